//! The shared folder: which files are in it for others, and how one comes into it.
//!
//! Decides what a name may be. A path never leaves the folder: a name is one part of a path, what
//! it leads to must lie in the folder itself when all links are followed, and be a plain file.
//! Hidden files are nobody's business; a file that is being got is one until it is whole. Nothing
//! is ever written over.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Files that are looked at. When there are more: the rest is not shared. 10,000: a folder that
/// people keep.
const FILES: usize = 10_000;

/// How long the names read from the folder are taken for true. A second: a query costs no more
/// than a look at them, and a new file is found soon.
const FRESH: Duration = Duration::from_secs(1);

/// The longest name, bytes: what file systems take.
const MOST_NAME: usize = 255;

/// The files of a folder.
#[derive(Debug)]
pub(super) struct Library {
    root: PathBuf,
    names: Vec<String>,
    read: Option<Instant>,
    /// Files got so far, which numbers their hidden names.
    got: u64,
}

/// What is to be done with a file that was asked for.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Taken {
    /// All of it.
    Whole(Vec<u8>),
    /// It is longer than may be sent.
    TooLong { len: u64, limit: u64 },
}

impl Library {
    /// The library of this folder.
    ///
    /// # Errors
    /// There is no such folder.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let root = folder.canonicalize()?;
        if !root.is_dir() {
            return Err(io::Error::from(io::ErrorKind::NotADirectory));
        }
        Ok(Self { root, names: Vec::new(), read: None, got: 0 })
    }

    /// The names of all files shared, in order.
    pub(super) fn names(&mut self, now: Instant) -> &[String] {
        let fresh = self.read.is_some_and(|read| now.duration_since(read) < FRESH);
        if !fresh {
            self.read = Some(now);
            // A folder that cannot be read has nothing in it for others.
            self.names = self.list().unwrap_or_default();
        }
        &self.names
    }

    /// Reads the folder anew when it is next looked at.
    pub(super) fn look_again(&mut self) {
        self.read = None;
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.root)?.filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            self.find(&name).map(|_| name)
        });
        let mut names: Vec<String> = names.take(FILES).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Where the file of this name is, and how long; none if it is not shared.
    pub(super) fn find(&self, name: &str) -> Option<(PathBuf, u64)> {
        if !is_name(name) {
            return None;
        }
        let path = self.root.join(name).canonicalize().ok()?;
        let is_hidden = |name: &OsStr| name.as_encoded_bytes().starts_with(b".");
        if path.parent() != Some(&self.root) || path.file_name().is_none_or(is_hidden) {
            return None;
        }
        let metadata = path.metadata().ok()?;
        metadata.is_file().then_some((path, metadata.len()))
    }

    /// Room for a file of this name that is to come, of which there must not be one yet.
    ///
    /// # Errors
    /// Why it may not come.
    pub(super) fn expect(&mut self, name: &str) -> io::Result<Expected> {
        if !is_name(name) {
            let why = "that is no name for a file here";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let path = self.root.join(name);
        if path.symlink_metadata().is_ok() {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists));
        }
        self.got += 1;
        let hidden = format!(".{}-{}.part", std::process::id(), self.got);
        Ok(Expected { hidden: self.root.join(hidden), path })
    }
}

/// Whether a text is one part of a path, not hidden, and harmless to write in a line.
pub(super) fn is_name(name: &str) -> bool {
    let is_bad = |c: char| c.is_control() || "/\\:".contains(c);
    (1..=MOST_NAME).contains(&name.len()) && !name.starts_with('.') && !name.contains(is_bad)
}

/// Reads a file, if it is no longer than the limit.
pub(super) fn take(path: &Path, limit: u64) -> io::Result<Taken> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    let mut bytes = Vec::new();
    if len <= limit {
        // It may have grown meanwhile.
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    }
    let len = len.max(bytes.len() as u64);
    Ok(if len > limit { Taken::TooLong { len, limit } } else { Taken::Whole(bytes) })
}

/// A file that is to come.
#[derive(Debug)]
pub(super) struct Expected {
    hidden: PathBuf,
    path: PathBuf,
}

impl Expected {
    /// It is here: writes it under its hidden name, and then gives it its own.
    ///
    /// # Errors
    /// It could not be written, or there is one of its name meanwhile; nothing is left behind.
    pub(super) fn keep(self, bytes: &[u8]) -> io::Result<()> {
        let kept = self.write(bytes).and_then(|()| {
            // Renaming would write over a file that came meanwhile; this one is ours.
            OpenOptions::new().write(true).create_new(true).open(&self.path)?;
            fs::rename(&self.hidden, &self.path).inspect_err(|_| {
                fs::remove_file(&self.path).ok();
            })
        });
        kept.inspect_err(|_| {
            fs::remove_file(&self.hidden).ok();
        })
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).open(&self.hidden)?;
        file.write_all(bytes)?;
        file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A folder of a test's own, removed at its end.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            static COUNT: AtomicU64 = AtomicU64::new(0);
            let number = COUNT.fetch_add(1, Ordering::SeqCst);
            let name = format!("peerline-library-{}-{number}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            fs::create_dir_all(folder.join("shared/sub")).unwrap();
            Self(folder)
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.0.join(name), text).unwrap();
        }

        fn library(&self) -> Library {
            Library::open(&self.0.join("shared")).unwrap()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    #[test]
    fn plain_files_of_the_folder_are_shared_and_nothing_else() {
        let folder = Folder::new();
        for name in ["shared/b c", "shared/a", "shared/.hidden", "shared/sub/x", "outside"] {
            folder.write(name, "text");
        }
        let mut library = folder.library();
        let now = Instant::now();
        assert_eq!(library.names(now), ["a", "b c"]);
        assert_eq!(library.find("a").map(|(_, len)| len), Some(4));
        let whole = folder.0.join("outside").display().to_string();
        for name in [
            "",
            ".",
            "..",
            "../outside",
            "sub/x",
            "sub",
            ".hidden",
            "no such",
            "a/",
            "./a",
            "/a",
            "..\\outside",
            "C:a",
            "a\n",
            "\0",
            &whole,
            &"x".repeat(256),
        ] {
            assert_eq!(library.find(name), None, "{name:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_only_within_the_folder() {
        use std::os::unix::fs::symlink;
        let folder = Folder::new();
        folder.write("outside", "secret");
        folder.write("shared/a", "text");
        folder.write("shared/.hidden", "text");
        let link = |to: &str, name: &str| symlink(to, folder.0.join("shared").join(name)).unwrap();
        link("a", "good");
        link("../outside", "bad");
        link("..", "up");
        link(".hidden", "peek");
        link("loop", "loop");
        let mut library = folder.library();
        assert_eq!(library.names(Instant::now()), ["a", "good"]);
    }

    #[test]
    fn a_new_file_is_seen_after_a_second_or_when_it_is_asked_for() {
        let folder = Folder::new();
        let (mut library, now) = (folder.library(), Instant::now());
        assert!(library.names(now).is_empty());
        folder.write("shared/a", "text");
        assert!(library.names(now + FRESH / 2).is_empty());
        assert_eq!(library.names(now + FRESH), ["a"]);
        folder.write("shared/b", "text");
        library.look_again();
        assert_eq!(library.names(now + FRESH), ["a", "b"]);
    }

    #[test]
    fn a_file_is_taken_whole_up_to_the_limit() {
        let folder = Folder::new();
        folder.write("shared/a", "text");
        let (path, _) = folder.library().find("a").unwrap();
        assert_eq!(take(&path, 4).unwrap(), Taken::Whole(b"text".to_vec()));
        assert_eq!(take(&path, 3).unwrap(), Taken::TooLong { len: 4, limit: 3 });
    }

    #[test]
    fn what_comes_is_hidden_until_it_is_whole_and_never_written_over() {
        let folder = Folder::new();
        let mut library = folder.library();
        let (first, second) = (library.expect("a").unwrap(), library.expect("a").unwrap());
        first.write(b"half").unwrap();
        assert!(library.list().unwrap().is_empty());
        fs::remove_file(&first.hidden).unwrap();
        first.keep(b"text").unwrap();
        assert_eq!(library.list().unwrap(), ["a"]);
        assert_eq!(second.keep(b"other").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let kind = library.expect("a").unwrap_err().kind();
        assert_eq!(kind, io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(folder.0.join("shared/a")).unwrap(), b"text");
        assert_eq!(fs::read_dir(folder.0.join("shared")).unwrap().count(), 2, "a and sub");
        for name in ["../b", ".b", "", "sub/b"] {
            assert!(library.expect(name).is_err(), "{name}");
        }
    }
}
