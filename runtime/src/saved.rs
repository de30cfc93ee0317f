//! The file of the address book: read when a node starts, written now and then and at its end.
//!
//! Decides when to write: a minute after the start, every ten minutes while the book changes, when
//! somebody asks, and when the node has stopped. A file is whole or not there: what is written goes
//! to a second file, which takes the place of the first when the disk has it. The driver only
//! copies the book, at most 412 KiB by default; a thread writes it, one at a time. A file that is
//! no book is put aside and costs nothing else.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use peerline_proto::{BookError, Instant, Limits, Node};

use crate::error::{SaveError, StartError};
use crate::log::BOOK;
use crate::pending::Answer;

/// When the book is saved first: a minute after the start, so that a program which is killed young
/// still knows whom it met.
const FIRST: Duration = Duration::from_secs(60);

/// Time between two saves. Ten minutes: addresses stay good for hours.
const EVERY: Duration = Duration::from_secs(600);

/// Those who wait for a save under way. When full: `Busy`. 1,024, as many as commands may wait.
const WAITERS: usize = 1024;

/// The book's file. Not there for a node without one.
#[derive(Default)]
pub(crate) struct BookFile(Option<Kept>);

struct Kept {
    due: Instant,
    /// What was written last, by its hash.
    written: u64,
    writer: Arc<Writer>,
}

/// What the driver and the thread that writes share.
struct Writer {
    path: PathBuf,
    work: Mutex<Work>,
    idle: Condvar,
}

#[derive(Default)]
struct Work {
    /// A thread is writing.
    busy: bool,
    /// What it is to write next, and who waits for that.
    next: Option<(Vec<u8>, Vec<Waiter>)>,
}

/// Somebody who asked for a save.
pub(crate) type Waiter = Answer<(), SaveError>;

impl BookFile {
    /// Reads the file into the node, if there is one.
    ///
    /// # Errors
    /// [`StartError::Book`]: the file cannot be read, or its folder is not there.
    pub(crate) fn open(
        path: Option<PathBuf>,
        node: &mut Node,
        now: Instant,
    ) -> Result<Self, StartError> {
        let Some(path) = path else { return Ok(Self::default()) };
        match read(&path, node.config().limits()) {
            Ok(None) => log::debug!(target: BOOK, "{} is not there yet", path.display()),
            Ok(Some(Ok(bytes))) => match node.import_book(&bytes, now) {
                Ok(count) => log::info!(target: BOOK, "{count} addresses in {}", path.display()),
                Err(error) => put_aside(&path, &error),
            },
            Ok(Some(Err(error))) => put_aside(&path, &error),
            Err(error) => return Err(StartError::Book { path, error }),
        }
        let writer = Arc::new(Writer { path, work: Mutex::default(), idle: Condvar::new() });
        let written = hash(&node.export_book());
        Ok(Self(Some(Kept { due: now + FIRST, written, writer })))
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.0.as_ref().map(|kept| kept.due)
    }

    /// Saves the book if it is time and it has changed.
    pub(crate) fn tend(&mut self, node: &Node, now: Instant) {
        if self.next_due().is_some_and(|due| due <= now) {
            self.save_changes(node, now);
        }
    }

    fn save_changes(&mut self, node: &Node, now: Instant) {
        let Some(kept) = &mut self.0 else { return };
        kept.due = now + EVERY;
        let bytes = node.export_book();
        let hash = hash(&bytes);
        if std::mem::replace(&mut kept.written, hash) != hash {
            kept.writer.write(bytes, None);
        }
    }

    /// Saves the book now, and tells who asked for it how that ended.
    pub(crate) fn save(&mut self, node: &Node, waiter: Waiter) {
        let Some(kept) = &mut self.0 else { return waiter.give(Err(SaveError::NoBook)) };
        let bytes = node.export_book();
        kept.written = hash(&bytes);
        kept.writer.write(bytes, Some(waiter));
    }

    /// The node has stopped: saves what has changed, and waits until the disk has it.
    pub(crate) fn close(&mut self, node: &Node) {
        self.save_changes(node, Instant::ZERO);
        if let Some(kept) = self.0.take() {
            let busy = |work: &mut Work| work.busy;
            let work = kept.writer.lock();
            drop(kept.writer.idle.wait_while(work, busy));
        }
    }
}

impl Writer {
    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes these bytes on another thread, after what is being written; what waited to be is
    /// older, and is not written any more.
    fn write(self: &Arc<Self>, bytes: Vec<u8>, waiter: Option<Waiter>) {
        let mut work = self.lock();
        let mut waiters = work.next.take().map_or_else(Vec::new, |(_, waiters)| waiters);
        let refused = if waiters.len() < WAITERS {
            waiters.extend(waiter);
            None
        } else {
            waiter
        };
        work.next = Some((bytes, waiters));
        let starts = !std::mem::replace(&mut work.busy, true);
        drop(work);
        if let Some(waiter) = refused {
            let (waiting, limit) = (WAITERS, WAITERS);
            waiter.give(Err(SaveError::Busy { what: "callers for a save", waiting, limit }));
        }
        let writer = Arc::clone(self);
        let name = thread::Builder::new().name("peerline-book".into());
        if starts && name.spawn(move || writer.run()).is_err() {
            // No thread is to be had: better late here than not at all.
            self.run();
        }
    }

    /// Writes until there is nothing more to write.
    fn run(&self) {
        loop {
            let mut work = self.lock();
            let Some((bytes, waiters)) = work.next.take() else {
                work.busy = false;
                self.idle.notify_all();
                return;
            };
            drop(work);
            let saved = replace(&self.path, &bytes);
            if let Err(error) = &saved {
                log::warn!(target: BOOK, "cannot save {}: {error}", self.path.display());
            }
            for waiter in waiters {
                // An error of the system is no value to be copied.
                let again = |error: &io::Error| io::Error::new(error.kind(), error.to_string());
                waiter.give(saved.as_ref().map_err(again).map_err(SaveError::Write).copied());
            }
        }
    }
}

/// What is in a file, no more than a book may have; `None` if there is no file.
fn read(path: &Path, limits: &Limits) -> io::Result<Option<Result<Vec<u8>, BookError>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // A folder that is not there would be noticed only when all is to be saved.
            return if folder(path).is_dir() { Ok(None) } else { Err(error) };
        }
        Err(error) => return Err(error),
    };
    let limit = limits.book_bytes().max(Limits::default().book_bytes());
    let len = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    if len > limit {
        return Ok(Some(Err(BookError::TooLarge { len, limit })));
    }
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(Some(Ok(bytes)))
}

/// Keeps a file that is no book for whoever wants to see what it is.
fn put_aside(path: &Path, error: &BookError) {
    let aside = beside(path, ".bad");
    let kept = match fs::rename(path, &aside) {
        Ok(()) => format!("kept as {}", aside.display()),
        Err(error) => format!("cannot be put aside: {error}"),
    };
    log::warn!(target: BOOK, "{} is not used: {error}; {kept}", path.display());
}

/// Writes a file so that it has these bytes, or is as it was, whenever the machine stops.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = beside(path, ".new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // Who may read a book may aim at places in it.
        options.mode(0o600);
    }
    let mut file = options.open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&fresh, path)?;
    // A folder is a file only here; elsewhere the system sees to it.
    #[cfg(unix)]
    File::open(folder(path))?.sync_all()?;
    Ok(())
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// The path of a file beside this one.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

impl fmt::Debug for BookFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BookFile").field(&self.0.as_ref().map(|kept| &kept.writer.path)).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use peerline_proto::{Config, Identity, NodeId, Start};

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn node() -> Node {
        let identity = Identity::new(NodeId::from_random_bytes([7; 16]));
        Node::new(Config::default(), identity, [7; 32], Start::default())
    }

    /// A folder of a test's own, gone when dropped.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder =
                std::env::temp_dir().join(format!("peerline-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn book(&self) -> PathBuf {
            self.0.join("book")
        }

        fn names(&self) -> Vec<String> {
            let files = fs::read_dir(&self.0).unwrap();
            let mut names: Vec<String> =
                files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    /// What is in the file once nobody writes any more.
    fn settled(book: &BookFile, path: &Path) -> Option<Vec<u8>> {
        let kept = book.0.as_ref().unwrap();
        drop(kept.writer.idle.wait_while(kept.writer.lock(), |work| work.busy));
        fs::read(path).ok()
    }

    #[test]
    fn a_book_is_saved_after_a_minute_and_then_when_it_changed() {
        let (folder, mut node) = (Folder::new("minute"), node());
        let path = folder.book();
        let mut book = BookFile::open(Some(path.clone()), &mut node, at(0)).unwrap();
        node.add_bootstrap("192.0.2.1:5999".parse().unwrap(), at(0));
        book.tend(&node, at(59));
        assert_eq!((settled(&book, &path), book.next_due()), (None, Some(at(60))));
        book.tend(&node, at(60));
        assert_eq!(settled(&book, &path), Some(node.export_book()));
        fs::remove_file(&path).unwrap();
        book.tend(&node, at(660));
        assert_eq!((settled(&book, &path), book.next_due()), (None, Some(at(1260))), "the same");
        node.add_bootstrap("192.0.2.2:5999".parse().unwrap(), at(700));
        book.tend(&node, at(1260));
        assert_eq!(settled(&book, &path), Some(node.export_book()));
        node.add_bootstrap("192.0.2.3:5999".parse().unwrap(), at(1300));
        book.close(&node);
        assert_eq!(fs::read(&path).unwrap(), node.export_book());
        assert_eq!(folder.names(), ["book"], "nothing else is left");
    }

    #[test]
    fn what_is_no_book_is_put_aside_and_costs_nothing_else() {
        let folder = Folder::new("aside");
        let path = folder.book();
        let mut whole = node();
        whole.add_bootstrap("192.0.2.1:5999".parse().unwrap(), at(0));
        let mut damaged = whole.export_book();
        *damaged.last_mut().unwrap() ^= 1;
        let large = vec![0; Limits::default().book_bytes() + 1];
        for bytes in [damaged, b"not a book at all".to_vec(), Vec::new(), large] {
            fs::write(&path, &bytes).unwrap();
            let mut node = node();
            let mut book = BookFile::open(Some(path.clone()), &mut node, at(0)).unwrap();
            assert_eq!(node.addresses().count(), 0);
            assert_eq!(fs::read(beside(&path, ".bad")).unwrap(), bytes);
            assert_eq!(folder.names(), ["book.bad"]);
            node.add_bootstrap("192.0.2.9:5999".parse().unwrap(), at(0));
            book.close(&node);
            assert_eq!(fs::read(&path).unwrap(), node.export_book());
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_or_written_is_told() {
        let folder = Folder::new("told");
        let nowhere = folder.0.join("no").join("book");
        let error = BookFile::open(Some(nowhere), &mut node(), at(0)).unwrap_err();
        assert!(error.to_string().starts_with("cannot read the address book "), "{error}");
        assert!(BookFile::open(Some(folder.0.clone()), &mut node(), at(0)).is_err(), "a folder");

        let (remote, mut node) = (crate::replies::tests::remote(), node());
        let ask = |book: &mut BookFile| {
            let (answer, pending) = crate::pending::Pending::new(Arc::clone(&remote));
            book.save(&node, answer);
            pending.wait()
        };
        let saved = ask(&mut BookFile::default());
        assert!(matches!(saved, Err(SaveError::NoBook)), "{saved:?}");
        let mut book = BookFile::open(Some(folder.book()), &mut self::node(), at(0)).unwrap();
        assert!(ask(&mut book).is_ok());
        fs::create_dir(beside(&folder.book(), ".new")).unwrap();
        let saved = ask(&mut book);
        assert!(matches!(saved, Err(SaveError::Write(_))), "{saved:?}");
        assert_eq!(fs::read(folder.book()).unwrap(), node.export_book(), "as it was");
        node.add_bootstrap("192.0.2.1:5999".parse().unwrap(), at(0));
        book.close(&node);
    }

    #[test]
    fn saves_asked_for_while_one_is_written_are_one() {
        let (folder, mut node) = (Folder::new("one"), node());
        let path = folder.book();
        let mut book = BookFile::open(Some(path.clone()), &mut node, at(0)).unwrap();
        let remote = crate::replies::tests::remote();
        let writer = Arc::clone(&book.0.as_ref().unwrap().writer);
        // As if a disk took its time.
        writer.lock().busy = true;
        let pending: Vec<_> = (0..=WAITERS)
            .map(|number| {
                node.add_bootstrap(([192, 0, 2, 1], 1 + number as u16).into(), at(0));
                let (answer, pending) = crate::pending::Pending::new(Arc::clone(&remote));
                book.save(&node, answer);
                pending
            })
            .collect();
        writer.run();
        let busy = |answer: &Result<(), SaveError>| matches!(answer, Err(SaveError::Busy { .. }));
        let answers: Vec<_> = pending.into_iter().map(crate::pending::Pending::wait).collect();
        assert_eq!(answers.iter().filter(|answer| busy(answer)).count(), 1);
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), WAITERS);
        assert_eq!(fs::read(&path).unwrap(), node.export_book(), "the last one");
    }
}
