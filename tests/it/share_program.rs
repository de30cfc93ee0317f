//! `peerline share` against hand-written BTPeer sockets, and against itself in both dialects.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use peerline_testkit::vectors::frame;

use crate::chat_program::piped::Piped;
use crate::node_program::{accept, patient, read_frame};

/// A folder of a test's own with these files, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(files: &[(&str, &[u8])]) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let name = format!("peerline-share-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(folder.join("shared/sub")).unwrap();
        fs::write(folder.join("secret"), "secret").unwrap();
        for (name, bytes) in files {
            fs::write(folder.join("shared").join(name), bytes).unwrap();
        }
        Self(folder)
    }

    fn path(&self) -> String {
        self.0.join("shared").display().to_string()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.join("shared").join(name)).unwrap()
    }

    /// Shares it.
    fn share(&self, args: &[&str]) -> Piped {
        Piped::start(&[&["share", &self.path()][..], args].concat())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Bytes of every value, in an order of their own: no text.
fn binary(len: u32) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// Asks by a frame, and reads to the end.
fn ask(sharer: &Piped, kind: &str, payload: &[u8]) -> Vec<u8> {
    let mut stream = patient(TcpStream::connect(&sharer.addr).unwrap());
    stream.write_all(&frame(kind, payload)).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

/// A listener where results arrive, and its id.
fn asker(host: [u8; 4]) -> (TcpListener, String) {
    let listener = TcpListener::bind(SocketAddr::from((host, 0))).unwrap();
    let id = listener.local_addr().unwrap().to_string();
    (listener, id)
}

fn result(listener: &TcpListener) -> (String, String) {
    let mut stream = accept(listener);
    let told = read_frame(&mut stream);
    stream.shutdown(Shutdown::Both).ok();
    told
}

fn resp(file: &str, owner: &str) -> (String, String) {
    ("RESP".to_owned(), format!("{file} {owner}"))
}

#[test]
fn a_file_is_sent_byte_for_byte_and_no_path_leaves_the_folder() {
    let bytes = binary(300_000);
    let folder = Folder::new(&[("a b.bin", &bytes), ("empty", b""), (".hidden", b"x")]);
    #[cfg(unix)]
    std::os::unix::fs::symlink("../secret", folder.0.join("shared/link")).unwrap();
    for runtime in ["mio", "smol"] {
        let sharer = folder.share(&["--runtime", runtime]);
        assert_eq!(ask(&sharer, "FGET", b"a b.bin"), frame("REPL", &bytes));
        assert_eq!(ask(&sharer, "fget", b"empty"), frame("REPL", b""));
        let secret = folder.0.join("secret").display().to_string();
        for name in [
            "no such file",
            "",
            ".",
            "..",
            "../secret",
            "sub/../../secret",
            "./empty",
            "sub",
            ".hidden",
            "link",
            "empty\n",
            " empty",
            "..\\secret",
            "\0",
            &secret,
        ] {
            let answer = ask(&sharer, "FGET", name.as_bytes());
            assert_eq!(answer, frame("ERRO", b"File not found"), "{name:?}");
        }
        assert_eq!(ask(&sharer, "FGET", b"\xff"), frame("ERRO", b"File not found"));
        assert_eq!(ask(&sharer, "XXXX", b"payload"), b"");
    }
}

#[test]
fn a_file_that_is_too_long_is_told_with_both_numbers() {
    let folder = Folder::new(&[]);
    let file = fs::File::create(folder.0.join("shared/long")).unwrap();
    file.set_len(20_000_000).unwrap();
    let sharer = folder.share(&[]);
    let why = b"file is 20000000 bytes; the limit is 16777216";
    assert_eq!(ask(&sharer, "FGET", b"long"), frame("ERRO", why));
    file.set_len(16_777_216).unwrap();
    assert_eq!(ask(&sharer, "FGET", b"long").len(), 16_777_216 + 8);
}

#[test]
fn guests_that_do_not_read_keep_nobody_from_a_file() {
    let folder = Folder::new(&[("long", &vec![b'a'; 16_000_000])]);
    let sharer = folder.share(&[]);
    let mut readers: Vec<TcpStream> = (0..3)
        .map(|_| {
            let mut stream = patient(TcpStream::connect(&sharer.addr).unwrap());
            stream.write_all(&frame("FGET", b"long")).unwrap();
            stream
        })
        .collect();
    // Slow ones give way after ten seconds.
    let mut last = readers.pop().unwrap();
    last.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    let mut answer = Vec::new();
    last.read_to_end(&mut answer).unwrap();
    assert_eq!(answer.len(), 16_000_000 + 8);
    drop(readers);
}

/// An asker, and a listener at the same port of another address. Another test may have that port
/// there, so not the first one has to do.
fn asker_and_namesake() -> (TcpListener, String, TcpListener) {
    let mut pairs = (0..100).filter_map(|_| {
        let (third, id) = asker([127, 0, 0, 2]);
        let port = third.local_addr().unwrap().port();
        Some((third, id, TcpListener::bind(("127.0.0.1", port)).ok()?))
    });
    pairs.next().expect("a port that is free at both addresses")
}

#[test]
fn queries_are_acknowledged_and_answered_at_the_port_of_whoever_asks() {
    let folder = Folder::new(&[("hello.txt", b"hello"), ("hello again", b""), ("other", b"")]);
    let sharer = folder.share(&[]);
    let (listener, id) = asker([127, 0, 0, 1]);
    for malformed in ["one two", "", "a b c d", "a:1 key x"] {
        let answer = ask(&sharer, "QUER", malformed.as_bytes());
        assert_eq!(answer, frame("ERRO", b"Query: incorrect arguments"), "{malformed:?}");
    }
    let ack = |key: &str| frame("REPL", format!("Query ACK: {key}").as_bytes());
    let query = |words: String, key: &str| {
        assert_eq!(ask(&sharer, "QUER", words.as_bytes()), ack(key), "{words}");
    };
    query(format!("{id} nosuchkey 0"), "nosuchkey");
    query("nobody hello 0".into(), "hello");
    query(format!("{id} other 0"), "other");
    assert_eq!(result(&listener), resp("other", &sharer.addr), "nothing came before it");
    query(format!("{id} hello 0"), "hello");
    let mut told = [result(&listener), result(&listener)];
    told.sort();
    assert_eq!(told, [resp("hello again", &sharer.addr), resp("hello.txt", &sharer.addr)]);
    // It names somebody else, who is not called: whoever asks is, at that port.
    let (third, third_id, own) = asker_and_namesake();
    query(format!("{third_id} other 0"), "other");
    assert_eq!(result(&own), resp("other", &sharer.addr));
    third.set_nonblocking(true).unwrap();
    assert!(third.accept().is_err(), "the third party was called");
}

#[test]
fn a_query_goes_along_a_line_of_three_as_far_as_its_ttl() {
    let files: [(&str, &[u8]); 3] = [("hello.txt", b"hello"), ("last", b""), ("other", b"")];
    let [near, far] = [Folder::new(&[]), Folder::new(&files)];
    let empty = Folder::new(&[]);
    let mut middle = near.share(&[]);
    let mut end = far.share(&["--join-btpeer", &middle.addr]);
    end.line("joined");
    middle.line("joined");
    // By hand, over the middle.
    let (listener, id) = asker([127, 0, 0, 1]);
    for words in ["hello 0", "hello 1", "ello 2"] {
        let key = words.split(' ').next().unwrap();
        let ack = frame("REPL", format!("Query ACK: {key}").as_bytes());
        assert_eq!(ask(&middle, "QUER", format!("{id} {words}").as_bytes()), ack);
    }
    for _ in 0..2 {
        assert_eq!(result(&listener), resp("hello.txt", &end.addr), "of the last two alone");
    }
    // The same query is not passed on again; others are.
    for words in ["hello 1", "other 1", "last 1"] {
        ask(&middle, "QUER", format!("{id} {words}").as_bytes());
    }
    let mut told = [result(&listener), result(&listener)];
    told.sort();
    assert_eq!(told, [resp("last", &end.addr), resp("other", &end.addr)]);
    // By a sharer.
    let mut begin = empty.share(&["--join-btpeer", &middle.addr]);
    begin.line("joined");
    middle.line("joined");
    assert_eq!(begin.ask("search hello 0"), "ok 1");
    assert_eq!(begin.ask("search llo 1"), "ok 1");
    assert_eq!(begin.line("found"), format!("found hello.txt at {}", end.addr));
    assert_eq!(begin.ask(&format!("get hello.txt from {}", end.addr)), "ok");
    assert_eq!(begin.line("got"), "got hello.txt 5 bytes");
    assert_eq!(empty.read("hello.txt"), b"hello");
}

#[test]
fn native_sharers_find_and_get_each_others_files() {
    let bytes = binary(400_000);
    let (ours, theirs) = (Folder::new(&[]), Folder::new(&[("x.bin", &bytes), ("t x", b"\"\n")]));
    for runtimes in [["mio", "smol"], ["smol", "mio"]] {
        let mut owner = theirs.share(&["--runtime", runtimes[0]]);
        let mut sharer = ours.share(&["--runtime", runtimes[1], "--join", &owner.addr]);
        sharer.line("up ");
        owner.line("up ");
        assert_eq!(sharer.ask("search x"), "ok 1");
        let mut found = [sharer.line("found"), sharer.line("found")];
        found.sort();
        let at = format!("at {}", owner.id);
        assert_eq!(found, [format!("found t x {at}"), format!("found x.bin {at}")]);
        assert_eq!(sharer.ask(&format!("get x.bin from {}", owner.id)), "ok");
        assert_eq!(sharer.line("got"), "got x.bin 400000 bytes");
        assert_eq!(sharer.ask(&format!("get t x from {}", owner.addr)), "ok");
        assert_eq!(sharer.line("got"), "got t x 2 bytes");
        assert_eq!((ours.read("x.bin"), ours.read("t x")), (bytes.clone(), b"\"\n".to_vec()));
        let again = sharer.ask(&format!("get x.bin from {}", owner.id));
        assert!(again.starts_with("error "), "{again}");
        assert_eq!(sharer.ask(&format!("get no such from {}", owner.id)), "ok");
        assert_eq!(sharer.line("failed no"), "failed no such File not found");
        sharer.say("peers");
        sharer.line(&format!("peer {} ", owner.id));
        assert_eq!(sharer.line("ok"), "ok 1");
        assert_eq!(sharer.ask("quit"), "ok");
        assert_eq!(sharer.exit_status(), Some(0));
        for name in ["x.bin", "t x"] {
            fs::remove_file(ours.0.join("shared").join(name)).unwrap();
        }
        assert_eq!(fs::read_dir(ours.path()).unwrap().count(), 1, "nothing but sub is left");
    }
}

#[test]
fn what_a_hostile_owner_answers_harms_nobody() {
    let folder = Folder::new(&[("have", b"mine")]);
    let mut sharer = folder.share(&[]);
    let (listener, id) = asker([127, 0, 0, 1]);
    let serving = thread::spawn(move || {
        let answers = [
            frame("ERRO", b"no\x1b[2J\nok 1"),
            frame("REPL", b"cut")[..10].to_vec(),
            frame("REPL", &[0xff, 0x00]),
        ];
        answers.map(|answer| {
            let mut stream = accept(&listener);
            let asked = read_frame(&mut stream);
            stream.write_all(&answer).unwrap();
            asked
        })
    });
    assert_eq!(sharer.ask(&format!("get a from {id}")), "ok");
    assert_eq!(sharer.line("failed a"), "failed a no\\u{1b}[2J\\u{a}ok 1");
    assert_eq!(sharer.ask(&format!("get b from {id}")), "ok");
    sharer.line("failed b");
    assert_eq!(sharer.ask(&format!("get c d from {id}")), "ok");
    assert_eq!(sharer.line("got"), "got c d 2 bytes");
    assert_eq!(folder.read("c d"), [0xff, 0]);
    let asked = serving.join().unwrap();
    assert_eq!(asked.map(|(_, name)| name), ["a", "b", "c d"]);
    for file in ["../a", ".a", "sub/a", "have"] {
        let answer = sharer.ask(&format!("get {file} from {id}"));
        assert!(answer.starts_with("error "), "{file}: {answer}");
    }
    // Results that nobody asked for are heard in silence.
    assert_eq!(ask(&sharer, "RESP", b"evil.txt 10.0.0.1:1"), b"");
    assert_eq!(sharer.ask("search evil"), "ok 0");
    assert!(!sharer.has_told("found"), "nobody had asked");
    assert_eq!(ask(&sharer, "RESP", b"evil\x1b.txt 10.0.0.1:1"), b"");
    assert_eq!(ask(&sharer, "RESP", b"evil.txt \x1b[2J"), b"");
    assert_eq!(sharer.line("found"), "found evil.txt at \\u{1b}[2J");
    sharer.say("list");
    assert_eq!(sharer.line("file"), "file 2 c d");
    assert_eq!(sharer.line("file"), "file 4 have");
    assert_eq!(sharer.line("ok"), "ok 2");
}
