//! The two runtimes: thin, alike, and strangers to each other.

use super::functions::functions;
use super::source::{SourceFile, code_lines, words};

const MOST_CODE: usize = 299;

/// Functions that only one of the two has: file, function, why.
const ONLY_IN_ONE: &[(&str, &str, &str)] = &[
    ("embedded.rs", "ready", "a poll hands its events over; a waker notes the edge itself"),
    ("embedded.rs", "turn", "a loop calls the driver; of a task that is its poll"),
    ("embedded.rs", "is_stopped", "a task says so by ending"),
    ("embedded.rs", "wake", "a poll has a waker of its own, to be rung"),
    ("embedded.rs", "wake_by_ref", "a poll has a waker of its own, to be rung"),
    ("embedded.rs", "sleep", "a poll takes its time-out as an argument; a task sets a timer"),
    ("embedded.rs", "poll", "what a loop does with ready and turn, a task does here"),
    ("io.rs", "key", "tokens of a poll are shared with its owner"),
    ("io.rs", "token", "tokens of a poll are shared with its owner"),
    ("io.rs", "is_ready", "a reactor answers from memory and has to be asked again"),
    ("runner.rs", "from", "a stream is a trait of the loop's world; an iterator is std's"),
    ("runner.rs", "poll_next", "a stream is a trait of the loop's world; an iterator is std's"),
];

pub(super) fn is_thin(files: &[SourceFile]) -> Vec<String> {
    let lines: usize = files.iter().map(|file| code_lines(&file.code)).sum();
    let fault = format!("a runtime has {lines} lines of code; the limit is {MOST_CODE}");
    (lines > MOST_CODE).then_some(fault).into_iter().collect()
}

/// The same files with the same functions in the same order.
pub(super) fn differences(left: &[SourceFile], right: &[SourceFile]) -> Vec<String> {
    let (left, right) = (outline(left), outline(right));
    let missing = |a: &[String], b: &[String]| -> Vec<String> {
        a.iter().filter(|name| !b.contains(name)).cloned().collect()
    };
    let mut faults = missing(&left, &right);
    faults.extend(missing(&right, &left));
    if faults.is_empty() && left != right {
        faults.push(format!("the order differs: {left:?} and {right:?}"));
    }
    faults.iter().map(|fault| format!("the runtimes differ: {fault}")).collect()
}

pub(super) fn names_the_other(file: &SourceFile) -> Vec<String> {
    let other = if file.is_under("runtime-mio") {
        "smol"
    } else if file.is_under("runtime-smol") {
        "mio"
    } else {
        return Vec::new();
    };
    let text = file.text.to_lowercase();
    let lines = text.lines().enumerate();
    let bad = lines.filter(|(_, line)| words(line, other).next().is_some());
    bad.map(|(number, _)| file.at(number, &format!("names {other}"))).collect()
}

/// `file: function` for each function of the sources outside tests, in order.
fn outline(files: &[SourceFile]) -> Vec<String> {
    let mut outline = Vec::new();
    for file in files {
        let Some((_, name)) = file.path.split_once("/src/") else { continue };
        outline.push(name.to_owned());
        for function in functions(&file.code).iter().map(|function| &function.name) {
            let is_alone = |(at, only, _): &(&str, &str, &str)| *at == name && only == function;
            if !ONLY_IN_ONE.iter().any(is_alone) {
                outline.push(format!("{name}: {function}"));
            }
        }
    }
    outline
}
