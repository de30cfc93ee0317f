//! The mechanical half of the project's style, held by tests.
//!
//! Each rule is a function from a file to its faults, proved able to fail in `planted.rs`. What a
//! compiler lint can say is left to clippy; what needs judgement is left to review.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod functions;
mod layers;
mod manifests;
mod planted;
mod rules;
mod source;
mod twins;

use source::{SourceFile, workspace};

fn rust_files() -> impl Iterator<Item = SourceFile> {
    workspace().into_iter().filter(|file| file.path.ends_with(".rs"))
}

fn below(folder: &str) -> Vec<SourceFile> {
    rust_files().filter(|file| file.is_under(folder)).collect()
}

#[track_caller]
fn none(faults: impl IntoIterator<Item = String>) {
    let faults: Vec<String> = faults.into_iter().collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn the_rules_see_the_workspace() {
    let paths: Vec<String> = workspace().into_iter().map(|file| file.path).collect();
    for path in ["Cargo.toml", ".ci/run", "proto/src/lib.rs", "tests/it/tidy.rs"] {
        assert!(paths.iter().any(|seen| seen == path), "{path} is not among {paths:?}");
    }
}

#[test]
fn every_file_opens_with_what_it_is() {
    none(rust_files().flat_map(|file| rules::has_header(&file)));
}

#[test]
fn no_line_is_longer_than_a_screen() {
    none(rust_files().flat_map(|file| rules::has_short_lines(&file)));
}

#[test]
fn nothing_is_left_to_do() {
    none(rust_files().flat_map(|file| rules::is_finished(&file)));
}

#[test]
fn no_test_is_ignored_and_none_sleeps() {
    none(rust_files().flat_map(|file| rules::tests_run_at_once(&file)));
}

#[test]
fn no_file_is_too_long_to_read() {
    none(rust_files().flat_map(|file| rules::is_short(&file)));
}

#[test]
fn each_runtime_is_thin() {
    none(twins::is_thin(&below("runtime-mio/src")));
    none(twins::is_thin(&below("runtime-smol/src")));
}

#[test]
fn the_runtimes_are_twins_that_do_not_know_each_other() {
    none(twins::differences(&below("runtime-mio"), &below("runtime-smol")));
    none(workspace().iter().flat_map(twins::names_the_other));
}

#[test]
fn every_function_fits_on_a_screen() {
    let all: Vec<SourceFile> = rust_files().collect();
    none(all.iter().flat_map(functions::are_short));
    none(functions::tail_is_short(&all));
    none(functions::are_flat(&all));
}

#[test]
fn the_core_reads_no_clock_and_owns_no_thread() {
    none(below("proto/src").iter().flat_map(rules::is_pure));
}

#[test]
fn the_parts_of_the_core_do_not_know_each_other() {
    let core = below("proto/src");
    let exports = layers::exports(&core);
    none(core.iter().flat_map(|file| layers::knows_too_much(file, &exports)));
}

#[test]
fn no_two_files_of_the_core_use_each_other() {
    let core = below("proto/src");
    none(layers::circles(&core, &layers::exports(&core)));
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    none(workspace().iter().flat_map(rules::is_portable));
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    none(workspace().iter().flat_map(manifests::inherits_lints));
}

#[test]
fn every_dependency_has_a_reason() {
    let all = workspace();
    let document = all.iter().find(|file| file.path == "ARCHITECTURE.md");
    let reasons = document.map_or("", |file| &file.text);
    none(all.iter().flat_map(|file| manifests::has_reasons(file, reasons)));
}
