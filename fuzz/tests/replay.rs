//! Replays every kept input of every fuzz target: seeds, corpus, and what once failed.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use peerline_fuzz::{TARGETS, Target};

/// Fuzzed like the others, and found: never replayed.
const CANARY: &str = "canary";

const FEWEST_SEEDS: usize = 10;
/// A corpus is kept for its coverage, not as a collection.
const MOST_FILES: usize = 200;
const MOST_BYTES: u64 = 256 * 1024;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// What is in a folder, in order of name; nothing if there is no such folder.
fn entries(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn stems(path: &Path) -> BTreeSet<String> {
    let stem = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    entries(path).iter().map(stem).collect()
}

#[test]
fn every_kept_input_holds() {
    for Target { name, check } in TARGETS {
        for kept in ["seeds", "corpus", "regress"] {
            for path in entries(&folder(kept).join(name)) {
                // Shown only if the next line panics.
                println!("{}", path.display());
                check(&fs::read(&path).unwrap());
            }
        }
    }
}

#[test]
fn every_target_has_seeds_a_dictionary_and_a_binary() {
    let names = TARGETS.iter().map(|target| target.name);
    let names: BTreeSet<String> = names.chain([CANARY]).map(Into::into).collect();
    for kept in ["seeds", "dict", "fuzz_targets"] {
        assert_eq!(stems(&folder(kept)), names, "{kept}");
    }
    for name in &names {
        let seeds = entries(&folder("seeds").join(name)).len();
        assert!(seeds >= FEWEST_SEEDS, "{name} has {seeds} seeds");
    }
}

#[test]
fn kept_inputs_belong_to_a_target_and_are_few() {
    for kept in ["corpus", "regress"] {
        for path in entries(&folder(kept)) {
            let known = TARGETS.iter().any(|target| path.ends_with(target.name));
            assert!(known, "{} belongs to no target", path.display());
            let files = entries(&path);
            let bytes: u64 = files.iter().map(|file| fs::metadata(file).unwrap().len()).sum();
            assert!(files.len() <= MOST_FILES, "{} has {} files", path.display(), files.len());
            assert!(bytes <= MOST_BYTES, "{} has {bytes} bytes", path.display());
        }
    }
}
