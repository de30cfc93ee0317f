//! The workspace's files as the rules see them.
//!
//! A Rust file is split at its test module, and each half is kept with comments blanked and the
//! contents of literals masked, so that a rule sees code and only code. It is a scan of characters,
//! not a parser: rustfmt has been there before.

use std::fs;
use std::path::{Path, PathBuf};

/// One text file, named by its path from the workspace's root.
pub(super) struct SourceFile {
    pub(super) path: String,
    pub(super) text: String,
    /// The code outside the test module; empty in a file that is not Rust.
    pub(super) code: String,
    /// The code of the test module, or of the whole file if it is a test.
    pub(super) tests: String,
}

impl SourceFile {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let (mut code, mut tests) = (String::new(), String::new());
        if path.ends_with(".rs") {
            code = mask(text);
            tests = code.split_off(start_of_tests(path, &code));
        }
        Self { path: path.into(), text: text.into(), code, tests }
    }

    pub(super) fn is_under(&self, folder: &str) -> bool {
        Path::new(&self.path).starts_with(folder)
    }

    /// `path:line: message`, counted from one.
    pub(super) fn at(&self, line: usize, message: &str) -> String {
        format!("{}:{}: {message}", self.path, line + 1)
    }

    /// Both halves of the code, one after the other, as they were.
    pub(super) fn all_code(&self) -> String {
        format!("{}{}", self.code, self.tests)
    }
}

/// How many lines hold code, once comments are blanked.
pub(super) fn code_lines(code: &str) -> usize {
    code.lines().filter(|line| !line.trim().is_empty()).count()
}

/// Where `word` stands in `code` as a whole word, in bytes.
pub(super) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = code[..at].chars().next_back().is_some_and(is_word);
        let after = code[at + word.len()..].chars().next().is_some_and(is_word);
        let open_start = word.starts_with(is_word);
        let open_end = word.ends_with(is_word);
        !(before && open_start || after && open_end)
    })
}

pub(super) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Every text file a rule may look at, in order of path.
pub(super) fn workspace() -> Vec<SourceFile> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut paths = Vec::new();
    collect(root, &mut paths);
    paths.sort();
    paths.iter().filter_map(|path| read(root, path)).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    const SKIPPED: [&str; 6] =
        ["target", ".git", "artifacts", "coverage", "corpus", "node_modules"];
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name());
        if !path.is_dir() {
            paths.push(path);
        } else if !SKIPPED.iter().any(|skipped| name == *skipped) {
            collect(&path, paths);
        }
    }
}

fn read(root: &Path, path: &Path) -> Option<SourceFile> {
    let name = path.strip_prefix(root).ok()?.to_str()?;
    let known = [".rs", ".md", ".toml"].iter().any(|end| name.ends_with(end));
    if !known && !name.starts_with(".ci/") {
        return None;
    }
    fs::read_to_string(path).ok().map(|text| SourceFile::new(name, &text))
}

fn start_of_tests(path: &str, code: &str) -> usize {
    let is_test = path.starts_with("tests/") || path.contains("/tests/");
    if is_test || path.ends_with("/tests.rs") || code.trim_start().starts_with("#![cfg(test)]") {
        return 0;
    }
    let module = |at: &usize| {
        let item = code[at + 1..].lines().find(|line| !line.starts_with('#'));
        item.is_some_and(|line| line.starts_with("mod ") && line.ends_with('{'))
    };
    code.match_indices("\n#[cfg(test)]").map(|(at, _)| at).find(module).unwrap_or(code.len())
}

/// Blanks comments and fills literals with `_`; line breaks stay where they are.
fn mask(text: &str) -> String {
    let mut rest = text;
    let mut code = String::with_capacity(text.len());
    while let Some(first) = rest.chars().next() {
        let (kind, length) = token(rest, code.chars().next_back());
        let (taken, left) = rest.split_at(length.unwrap_or_else(|| first.len_utf8()));
        match kind {
            Token::Code => code.push_str(taken),
            Token::Comment => code.extend(taken.chars().map(|c| if c == '\n' { c } else { ' ' })),
            Token::Literal => code.extend(taken.chars().map(|c| match c {
                '\n' | '"' => c,
                _ => '_',
            })),
        }
        rest = left;
    }
    code
}

enum Token {
    Code,
    Comment,
    Literal,
}

/// What starts here, and how many bytes it has if it is not one character of code.
fn token(rest: &str, before: Option<char>) -> (Token, Option<usize>) {
    let in_word = before.is_some_and(is_word);
    if rest.starts_with("//") {
        (Token::Comment, Some(rest.find('\n').unwrap_or(rest.len())))
    } else if rest.starts_with("/*") {
        (Token::Comment, Some(block_comment(rest)))
    } else if rest.starts_with('"') {
        (Token::Literal, Some(quoted(rest, '"')))
    } else if let Some(length) = raw_string(rest).filter(|_| !in_word || before == Some('b')) {
        (Token::Literal, Some(length))
    } else if let Some(length) = character(rest) {
        (Token::Literal, Some(length))
    } else {
        (Token::Code, None)
    }
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    for (at, _) in rest.char_indices() {
        if rest[at..].starts_with("/*") {
            depth += 1;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
        }
        if depth == 0 {
            return at + 2;
        }
    }
    rest.len()
}

/// The length of a literal that starts with `quote` and may escape it.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        if !escaped && character == quote {
            return at + 1;
        }
        escaped = !escaped && character == '\\';
    }
    rest.len()
}

fn raw_string(rest: &str) -> Option<usize> {
    let hashes = rest.strip_prefix('r')?.chars().take_while(|&c| c == '#').count();
    let body = rest[1 + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(body.find(&end).map_or(rest.len(), |at| 2 + hashes + at + end.len()))
}

/// A character literal; a lifetime is not one.
fn character(rest: &str) -> Option<usize> {
    let mut inside = rest.strip_prefix('\'')?.chars();
    let first = inside.next()?;
    (first == '\\' || inside.next() == Some('\'')).then(|| quoted(rest, '\''))
}
