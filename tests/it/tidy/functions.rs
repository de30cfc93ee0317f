//! How long functions are and how deep code is nested, by matching braces.

use super::source::{SourceFile, code_lines, is_word, words};

const LONGEST: usize = 70;
const TAIL: usize = 50;
const DEEP: &str = "                    "; // five levels
const DEEP_PER_CENT: usize = 2;

pub(super) struct Function {
    pub(super) name: String,
    line: usize,
    length: usize,
}

/// Every function with a body, in the order of the file.
pub(super) fn functions(code: &str) -> Vec<Function> {
    words(code, "fn").filter_map(|at| function(code, at)).collect()
}

pub(super) fn are_short(file: &SourceFile) -> Vec<String> {
    let all = functions(&file.all_code()).into_iter();
    let long = all.filter(|function| function.length > LONGEST);
    long.map(|function| {
        let Function { name, line, length } = function;
        file.at(line, &format!("`{name}` has {length} lines of code; the limit is {LONGEST}"))
    })
    .collect()
}

/// The 99th percentile of all lengths.
pub(super) fn tail_is_short(files: &[SourceFile]) -> Vec<String> {
    let all = files.iter().flat_map(|file| functions(&file.all_code()));
    let mut lengths: Vec<usize> = all.map(|function| function.length).collect();
    lengths.sort_unstable();
    let rank = (lengths.len() * 99).div_ceil(100);
    let tail = lengths.get(rank.saturating_sub(1)).copied().unwrap_or(0);
    let fault = format!("1 in 100 functions has {tail} lines of code; the limit is {TAIL}");
    (tail > TAIL).then_some(fault).into_iter().collect()
}

pub(super) fn are_flat(files: &[SourceFile]) -> Vec<String> {
    let all: String = files.iter().map(SourceFile::all_code).collect();
    let lines = code_lines(&all);
    let deep = all.lines().filter(|line| line.starts_with(DEEP) && !line.trim().is_empty()).count();
    let fault = format!("{deep} of {lines} lines are nested five levels; the limit is 2 %");
    (deep * 100 > lines * DEEP_PER_CENT).then_some(fault).into_iter().collect()
}

fn function(code: &str, at: usize) -> Option<Function> {
    let rest = &code[at..];
    let name: String =
        rest["fn".len()..].trim_start().chars().take_while(|&c| is_word(c)).collect();
    let open = body(rest).filter(|_| !name.is_empty())?;
    let length = code_lines(&rest[..end_of_block(rest, open)]);
    let line = code[..at].matches('\n').count();
    Some(Function { name, line, length })
}

/// Where the body opens; a declaration without one ends in `;` first.
fn body(rest: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, character) in rest.char_indices() {
        match character {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.checked_sub(1)?,
            '{' if depth == 0 => return Some(at),
            ';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

fn end_of_block(rest: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, character) in rest[open..].char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + at + 1;
        }
    }
    rest.len()
}
