//! The rules that look at one file and nothing else.
//!
//! A word that would break a rule by standing here is put together with `concat!`.

use super::source::{SourceFile, code_lines, is_word, words};

const LONGEST_HEADER: usize = 15;
const LONGEST_LINE: usize = 100;
const LONGEST_FILE: usize = 600;
const LONGEST_EXAMPLE: usize = 99;

const UNFINISHED: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];

/// What would make the core depend on the process it runs in.
const IMPURE: [&str; 14] = [
    "std::",
    "Instant::now",
    "SystemTime",
    "HashMap",
    "HashSet",
    "thread",
    "TcpStream",
    "static mut",
    "OnceLock",
    "log::",
    "println",
    "eprintln",
    "rand::",
    "getrandom",
];

const MACHINE_PATHS: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/tm", "p/")];

/// Between one line of `//!` and a screenful; the front page of a crate may say more.
pub(super) fn has_header(file: &SourceFile) -> Vec<String> {
    let lines = file.text.lines().take_while(|line| line.starts_with("//!")).count();
    let most = if file.path.ends_with("/lib.rs") { usize::MAX } else { LONGEST_HEADER };
    let fault = format!("{}: opens with {lines} lines of `//!`; 1 to {most} are due", file.path);
    (lines == 0 || lines > most).then_some(fault).into_iter().collect()
}

pub(super) fn has_short_lines(file: &SourceFile) -> Vec<String> {
    let lines = file.text.lines().enumerate();
    let long = lines.filter(|(_, line)| line.chars().count() > LONGEST_LINE);
    long.map(|(number, _)| file.at(number, "is longer than 100 characters")).collect()
}

pub(super) fn is_finished(file: &SourceFile) -> Vec<String> {
    file.find(&file.text, &UNFINISHED, "is unfinished")
}

pub(super) fn tests_run_at_once(file: &SourceFile) -> Vec<String> {
    let mut faults = file.find(&file.all_code(), &[concat!("#[ign", "ore")], "skips a test");
    let sleeping = file.find(&file.tests_in_place(), &["sleep("], "waits in a test");
    faults.extend(sleeping);
    faults
}

pub(super) fn is_short(file: &SourceFile) -> Vec<String> {
    let code = if file.code.is_empty() { &file.tests } else { &file.code };
    let is_example = file.path.contains("examples/");
    let most = if is_example { LONGEST_EXAMPLE } else { LONGEST_FILE };
    let lines = code_lines(code);
    let fault = format!("{}: {lines} lines of code; the limit is {most}", file.path);
    (lines > most).then_some(fault).into_iter().collect()
}

pub(super) fn is_pure(file: &SourceFile) -> Vec<String> {
    file.find(&file.code, &IMPURE, "is not for the core to use")
}

pub(super) fn is_portable(file: &SourceFile) -> Vec<String> {
    let lines = file.text.lines().enumerate();
    let bad = lines.filter(|(_, line)| MACHINE_PATHS.iter().any(|path| names(line, path)));
    bad.map(|(number, _)| file.at(number, "names a path of one machine")).collect()
}

/// Whether an absolute path starts with `prefix` somewhere in the line.
fn names(line: &str, prefix: &str) -> bool {
    line.match_indices(prefix).any(|(at, _)| {
        let starts = !line[..at].ends_with(|c: char| is_word(c) || "./-}".contains(c));
        starts && line[at + prefix.len()..].starts_with(char::is_alphabetic)
    })
}

impl SourceFile {
    /// The test half, moved down to where it stands in the file.
    fn tests_in_place(&self) -> String {
        let blank = "\n".repeat(self.code.matches('\n').count());
        blank + &self.tests
    }

    /// A fault for each line of `code` that holds one of `forbidden` as a whole word.
    fn find(&self, code: &str, forbidden: &[&str], why: &str) -> Vec<String> {
        let mut faults = Vec::new();
        for (number, line) in code.lines().enumerate() {
            for word in forbidden.iter().filter(|word| words(line, word).next().is_some()) {
                faults.push(self.at(number, &format!("`{word}` {why}")));
            }
        }
        faults
    }
}
