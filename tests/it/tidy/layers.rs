//! Who may know whom inside the core: leaves know leaves, parts know leaves, `node` knows all.
//!
//! A file is of the top-level module it stands in. What it uses is read off its `crate::` and
//! `super::` paths; a name that `lib.rs` exports counts as the module it comes from.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{SourceFile, is_word, words};

const LEAVES: [&str; 28] = [
    "limits", "queue", "seen", "backoff", "timers", "id", "time", "rng", "error", "event",
    "action", "config", "stats", "message", "quote", "group", "events", "planted", "base64",
    "ctime", "hash", "exchange", "budget", "dialect", "verdicts", "rules", "table", "sorted",
];

/// What a module may use beside the leaves and itself.
const PARTS: [(&str, &[&str]); 12] = [
    ("body", &["wire::json"]),
    ("message", &["body", "wire::json"]),
    ("wire", &[]),
    ("session", &["wire"]),
    ("links", &["session", "wire"]),
    ("guests", &["session", "wire"]),
    ("overlay", &[]),
    ("book", &[]),
    ("broadcast", &[]),
    ("peers", &[]),
    ("route", &[]),
    ("requests", &[]),
];

/// These see every part.
const TOP: [&str; 3] = ["lib", "node", "testing"];

/// Names at the root of the crate and the paths they stand for.
pub(super) type Exports = BTreeMap<String, String>;

pub(super) fn exports(core: &[SourceFile]) -> Exports {
    let root = core.iter().filter(|file| file.path.ends_with("src/lib.rs"));
    let uses = root.flat_map(|file| words(&file.code, "use").map(|at| &file.code[at + 3..]));
    let paths = uses.flat_map(|path| expand("", path.trim_start().trim_start_matches("crate::")));
    paths.filter_map(|path| Some((path.rsplit("::").next()?.to_owned(), path.clone()))).collect()
}

pub(super) fn knows_too_much(file: &SourceFile, exports: &Exports) -> Vec<String> {
    let module = top_module(file);
    if TOP.contains(&module) {
        return Vec::new();
    }
    let part = PARTS.iter().find(|(part, _)| *part == module);
    if part.is_none() && !LEAVES.contains(&module) {
        return vec![file.at(0, "has no place in the layers of the core")];
    }
    let allowed = part.map_or([].as_slice(), |(_, allowed)| *allowed);
    let may = |path: &str| {
        LEAVES.iter().chain(allowed).chain([&module]).any(|allowed| starts_with(path, allowed))
    };
    let used = paths_used(file, exports).into_iter();
    used.filter(|path| !may(path))
        .map(|path| file.at(0, &format!("must not use `{path}`")))
        .collect()
}

/// Pairs of files of which each uses the other. A module and those inside it are one thing.
pub(super) fn circles(core: &[SourceFile], exports: &Exports) -> Vec<String> {
    let modules: Vec<String> = core.iter().map(module).collect();
    let file_of = |path: &String| {
        let known = modules.iter().enumerate().filter(|(_, module)| starts_with(path, module));
        known.max_by_key(|(_, module)| module.len()).map(|(at, _)| at)
    };
    let uses = |file| paths_used(file, exports).iter().filter_map(file_of).collect();
    let uses: Vec<BTreeSet<usize>> = core.iter().map(uses).collect();
    let mut found = Vec::new();
    for (one, others) in uses.iter().enumerate() {
        for other in others.iter().copied().filter(|other| one < *other) {
            let [a, b] = [one, other].map(|at| modules[at].as_str());
            let apart = !starts_with(a, b) && !starts_with(b, a);
            if apart && uses[other].contains(&one) {
                found.push(core[one].at(0, &format!("`{a}` and `{b}` use each other")));
            }
        }
    }
    found
}

/// The path of the module that a file is.
fn module(file: &SourceFile) -> String {
    let path = file.path.trim_start_matches("proto/src/").trim_end_matches(".rs");
    path.trim_end_matches("/mod").replace('/', "::")
}

/// Every path of the core that a file uses, from the root of the crate.
pub(super) fn paths_used(file: &SourceFile, exports: &Exports) -> BTreeSet<String> {
    let from_root = words(&file.code, "crate::").flat_map(|at| expand("", &file.code[at + 7..]));
    let from_here = words(&file.code, "super::").flat_map(|at| relative(file, at));
    let is_known = |path: &String| path.chars().next().is_some_and(char::is_alphabetic);
    let resolve = |path: String| exports.get(&path).cloned().unwrap_or(path);
    from_root.chain(from_here).filter(is_known).map(resolve).collect()
}

fn top_module(file: &SourceFile) -> &str {
    let path = file.path.trim_start_matches("proto/src/").trim_end_matches(".rs");
    path.split('/').next().unwrap_or(path)
}

/// The paths of a chain of `super::` that starts at `at`.
fn relative(file: &SourceFile, at: usize) -> Vec<String> {
    if file.code[..at].ends_with("super::") {
        return Vec::new();
    }
    let rest = file.code[at..].trim_start_matches("super::");
    let ups = (file.code[at..].len() - rest.len()) / "super::".len();
    let path = file.path.trim_start_matches("proto/src/").trim_end_matches(".rs");
    let here: Vec<&str> = path.trim_end_matches("/mod").split('/').collect();
    let base = here[..here.len().saturating_sub(ups)].join("::");
    expand(&base, rest)
}

/// `a::{b, c::d}` as `a::b` and `a::c::d`, each below `base`.
fn expand(base: &str, text: &str) -> Vec<String> {
    let end = text.find(|c: char| !is_word(c) && c != ':' && c != '*').unwrap_or(text.len());
    let path = text[..end].trim_end_matches("::");
    let full = [base, path].iter().copied().filter(|part| !part.is_empty()).collect::<Vec<_>>();
    let full = full.join("::");
    let Some(group) =
        text[end..].strip_prefix('{').filter(|_| end == 0 || text[..end].ends_with("::"))
    else {
        return vec![full];
    };
    members(group).into_iter().flat_map(|member| expand(&full, member)).collect()
}

/// The members of a group whose `{` is already read.
fn members(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0_usize, 0, Vec::new());
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                found.push(group[start..at].trim());
                start = at + 1;
                if character == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    found.retain(|member| !member.is_empty());
    found
}

fn starts_with(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}
