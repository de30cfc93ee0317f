//! A node that stops, or is killed, and starts again with its address book and nothing else: it is
//! back among the others. On both runtimes, with real sockets; as a program, with a real kill.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use peerline_runtime::{Builder, Handle, Runtime};
use peerline_testkit::reserved::Reserved;

#[cfg(target_os = "linux")]
use crate::chat_program::piped::Piped;

/// How soon a node is to be back.
const GOAL: Duration = Duration::from_secs(30);
/// How many nodes know each other.
const NODES: usize = 6;

/// A folder of a test's own, gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("peerline-restart-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn book(&self) -> PathBuf {
        self.0.join("book")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn node<R: Runtime>() -> Builder<R> {
    Builder::new().listen(Reserved::for_good())
}

/// Waits until each node has so many peers. Returns how long that took.
#[track_caller]
fn until_peers(nodes: &[&Handle], count: usize) -> Duration {
    let begun = Instant::now();
    while nodes.iter().any(|node| node.peers().wait().unwrap().len() != count) {
        assert!(begun.elapsed() < GOAL, "{count} peers each, not within {GOAL:?}");
        thread::yield_now();
    }
    begun.elapsed()
}

fn back_after_a_stop<R: Runtime>(runtime: &str) {
    let folder = Folder::new(runtime);
    let first = node::<R>().start().unwrap();
    let others: Vec<Handle> =
        (2..NODES).map(|_| node::<R>().bootstrap(first.local_addrs()).start().unwrap()).collect();
    let last = node::<R>().bootstrap(first.local_addrs()).book(folder.book()).start().unwrap();
    let mut all: Vec<&Handle> = others.iter().chain([&first, &last]).collect();
    until_peers(&all, NODES - 1);

    last.shutdown(Duration::from_secs(1)).wait().unwrap();
    all.pop();
    until_peers(&all, NODES - 2);
    let again = node::<R>().book(folder.book()).start().unwrap();
    let begun = Instant::now();
    until_peers(&[&again], NODES - 1);
    all.push(&again);
    until_peers(&all, NODES - 1);
    println!("{runtime}: back with all of {} peers after {:?}", NODES - 1, begun.elapsed());
    again.broadcast("NEWS", "back").wait().unwrap();
}

#[test]
fn a_node_on_mio_is_back_after_a_stop_with_its_book_alone() {
    back_after_a_stop::<peerline_mio::Runner>("mio");
}

#[test]
fn a_node_on_smol_is_back_after_a_stop_with_its_book_alone() {
    back_after_a_stop::<peerline_smol::Runner>("smol");
}

/// Killed, it says no bye and saves nothing: what counts is what it saved before.
#[test]
#[cfg(target_os = "linux")]
fn a_program_is_back_after_a_kill_with_its_book_alone() {
    for runtime in ["mio", "smol"] {
        let folder = Folder::new(&format!("killed-{runtime}"));
        let book = folder.book().to_str().unwrap().to_owned();
        let mut first = Piped::start(&["node"]);
        let hub = first.addr.clone();
        let others: Vec<Piped> =
            (2..NODES).map(|_| Piped::start(&["node", "--join", &hub])).collect();
        let victim = ["node", "--runtime", runtime, "--book", &book];
        let mut killed = Piped::start(&[&victim[..], &["--join", &hub]].concat());
        for _ in 1..NODES {
            killed.line("up ");
        }
        assert_eq!(killed.ask("save"), "ok");
        let id = killed.id.clone();
        drop(killed); // by SIGKILL
        first.line(&format!("down {id} "));

        let begun = Instant::now();
        let mut again = Piped::start(&victim);
        for _ in 1..NODES {
            again.line("up ");
        }
        println!("{runtime}: back with all of {} peers after {:?}", NODES - 1, begun.elapsed());
        assert!(begun.elapsed() < GOAL);
        drop(others);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_program_says_that_it_has_no_book_and_which_file_is_none() {
    let folder = Folder::new("none");
    let book = folder.book().to_str().unwrap().to_owned();
    fs::write(&book, "dear diary, this is no address book").unwrap();
    let mut node = Piped::start(&["node", "--book", &book, "-v"]);
    assert_eq!(node.ask("save"), "ok");
    let kept = fs::read_to_string(format!("{book}.bad")).unwrap();
    assert_eq!(kept, "dear diary, this is no address book");
    drop(node);
    let mut node = Piped::start(&["node"]);
    assert_eq!(node.ask("save"), "error the node has no file for its address book");
}
