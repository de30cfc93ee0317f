//! Each rule, shown something that breaks it: a rule that cannot fail is no rule.
//!
//! Words that a rule looks for in raw text are put together here, so that this file passes.

use super::source::SourceFile;
use super::{functions, layers, manifests, rules, twins};

fn file(path: &str, text: &str) -> SourceFile {
    SourceFile::new(path, text)
}

fn core(path: &str, text: &str) -> SourceFile {
    file(&format!("proto/src/{path}"), text)
}

/// `rule` finds no fault in `good` and exactly one in `bad`.
#[track_caller]
fn tells(rule: fn(&SourceFile) -> Vec<String>, path: &str, good: &str, bad: &str) {
    assert_eq!(rule(&file(path, good)), Vec::<String>::new());
    assert_eq!(rule(&file(path, bad)).len(), 1, "{:?}", rule(&file(path, bad)));
}

#[test]
fn a_missing_header_is_found() {
    tells(rules::has_header, "cli/src/a.rs", "//! Yes.\n", "use x;\n");
    tells(rules::has_header, "cli/src/a.rs", &"//!\n".repeat(15), &"//!\n".repeat(16));
    tells(rules::has_header, "cli/src/lib.rs", &"//!\n".repeat(16), "");
}

#[test]
fn a_long_line_is_found() {
    let (good, bad) = ("é".repeat(100), "é".repeat(101));
    tells(rules::has_short_lines, "cli/src/a.rs", &good, &bad);
}

#[test]
fn unfinished_work_is_found() {
    let bad = concat!("// TO", "DO: later\n");
    tells(rules::is_finished, "cli/src/a.rs", "// TODOS\n", bad);
}

#[test]
fn a_skipped_or_sleeping_test_is_found() {
    let rule = rules::tests_run_at_once;
    let good =
        concat!("fn a() {\n    sleep(1);\n}\n// #[ign", "ore]\n\n#[cfg(test)]\nmod tests {\n}\n");
    let slow = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() { thread::sleep(1); }\n}\n";
    tells(rule, "cli/src/a.rs", good, concat!("#[test]\n#[ign", "ore = \"why\"]\nfn a() {}\n"));
    tells(rule, "cli/src/a.rs", good, slow);
    tells(rule, "tests/it/a.rs", "// sleep(1)\nf(\"sleep(1)\");\n", "sleep(1);\n");
    assert_eq!(rule(&file("cli/src/a.rs", slow))[0], "cli/src/a.rs:5: `sleep(` waits in a test");
}

#[test]
fn a_long_file_is_found_and_its_tests_do_not_count() {
    let (most, tests) = ("f();\n".repeat(600), "\n#[cfg(test)]\nmod tests {\n    a();\n}\n");
    let good = format!("//! A.\n\n{most}{tests}");
    tells(rules::is_short, "cli/src/a.rs", &good, &"f();\n".repeat(601));
    tells(rules::is_short, "tests/it/a.rs", &most, &"f();\n".repeat(601));
    let example = "f();\n".repeat(99);
    tells(rules::is_short, "tests/examples/a.rs", &example, &"f();\n".repeat(100));
}

#[test]
fn impure_code_is_found_and_comments_are_not_code() {
    let good = "/* std:: */ fn a<'a>() { b('\"', r#\"std::\"#, \"\\\"std::\"); } // thread\n";
    for bad in ["use std::fmt;\n", "let a = Instant::now();\n", "static mut A: u8 = 0;\n"] {
        tells(rules::is_pure, "proto/src/a.rs", good, bad);
    }
    let in_tests = "\n#[cfg(test)]\n#[allow(x)]\nmod tests {\n    use std::fmt;\n}\n";
    tells(rules::is_pure, "proto/src/a.rs", in_tests, "#[cfg(test)]\nuse std::fmt;\n");
}

#[test]
fn a_path_of_one_machine_is_found() {
    let good = concat!("see src/t", "mp/a and $HOME/w", "ork/b\n");
    tells(rules::is_portable, "README.md", good, concat!("cd /wo", "rk/main\n"));
    tells(rules::is_portable, ".ci/run", good, concat!("D=/tm", "p/x\n"));
}

#[test]
fn a_long_function_is_found() {
    let of = |lines: usize| format!("fn a(x: [u8; 2]) {{\n{}}}\n", "    b();\n".repeat(lines - 2));
    let good = format!("trait T {{ fn t(); }}\n{}// more\n", of(70));
    tells(functions::are_short, "cli/src/a.rs", &good, &of(71));
    let files = |length| vec![file("cli/src/a.rs", &(of(length) + &of(10).repeat(99)))];
    assert!(functions::tail_is_short(&files(70)).is_empty());
    assert_eq!(functions::tail_is_short(&[file("cli/src/a.rs", &of(51))]).len(), 1);
}

#[test]
fn deep_code_is_found() {
    let of = |deep: usize| {
        let code = "                    a();\n".repeat(deep) + &"b();\n".repeat(100 - deep);
        [file("cli/src/a.rs", &code)]
    };
    assert!(functions::are_flat(&of(2)).is_empty());
    assert_eq!(functions::are_flat(&of(3)).len(), 1);
}

#[test]
fn a_part_that_knows_another_is_found() {
    let root = core("lib.rs", "pub use book::Book;\npub use id::{NodeId, ConnId};\n");
    let exports = layers::exports(&[root]);
    let faults = |path, text| layers::knows_too_much(&core(path, text), &exports).len();
    assert_eq!(faults("overlay.rs", "use crate::{id::NodeId, time, ConnId};\n"), 0);
    assert_eq!(faults("overlay.rs", "use crate::{id::NodeId, book::{A, B}};\n"), 2);
    assert_eq!(faults("overlay.rs", "fn a(b: &crate::Book) {}\n"), 1);
    assert_eq!(faults("book/mod.rs", "use super::overlay;\n"), 1);
    assert_eq!(faults("book/choose.rs", "use super::Entry;\npub(super) fn a() {}\n"), 0);
    assert_eq!(faults("book/choose.rs", "use super::super::peers::Peer;\n"), 1);
    assert_eq!(faults("session/mod.rs", "use crate::wire::native;\n"), 0);
    assert_eq!(faults("message.rs", "use crate::wire::{json, native};\n"), 1);
    assert_eq!(faults("limits.rs", "use crate::links::Links;\n"), 1);
    assert_eq!(faults("node/on.rs", "use crate::{book, overlay};\n"), 0);
    assert_eq!(faults("unknown.rs", ""), 1);
}

#[test]
fn two_files_that_use_each_other_are_found() {
    let exports = layers::exports(&[core("lib.rs", "pub use book::Book;\n")]);
    let circles = |text: &str| {
        let of = [
            core("book/mod.rs", "use self::entry::Entry;\npub struct Book;\n"),
            core("book/entry.rs", "use super::{Book, draw};\n"),
            core("book/draw.rs", text),
        ];
        layers::circles(&of, &exports).len()
    };
    assert_eq!(circles("use super::Book;\nuse crate::Book;\n"), 0);
    assert_eq!(circles("use super::entry::Entry;\n"), 1);
    assert_eq!(circles("fn draw(entry: &crate::book::entry::Entry) {}\n"), 1);
    assert_eq!(circles("#[cfg(test)]\nmod tests {\n    use super::super::entry::Entry;\n}\n"), 0);
}

#[test]
fn runtimes_that_differ_are_found() {
    let one = |name: &str, text: &str| [file(&format!("{name}/src/lib.rs"), text)];
    let mio = one("runtime-mio", "fn a() {}\nfn b() {}\n");
    let differences = |text| twins::differences(&mio, &one("runtime-smol", text)).len();
    assert_eq!(differences("pub fn a() { c() }\nasync fn b() {}\n"), 0);
    assert_eq!(differences("fn b() {}\nfn a() {}\n"), 1);
    assert_eq!(differences("fn a() {}\nfn c() {}\n"), 2);
    assert_eq!(twins::differences(&mio, &[]).len(), 3);
    assert_eq!(twins::is_thin(&one("runtime-mio", &"a();\n".repeat(300))).len(), 1);
    tells(twins::names_the_other, "runtime-mio/src/a.rs", "//! smoll mio", "//! Unlike Smol.");
    tells(twins::names_the_other, "runtime-smol/Cargo.toml", "smol = \"2\"", "mio = \"1\"");
}

#[test]
fn a_crate_without_the_lints_is_found() {
    let good = "[package]\n\n[lints]\nworkspace = true\n";
    tells(manifests::inherits_lints, "cli/Cargo.toml", good, "[package]\n[lints]\n");
}

#[test]
fn a_dependency_without_a_reason_is_found() {
    let text = "[dependencies]\nlog = \"1\"\nuuid.workspace = true\npeerline = \"1\"\n\
                [dev-dependencies.mio]\nversion = \"1\"\n\
                [target.'cfg(unix)'.dependencies]\nlibc = \"0.2\"\n";
    let faults = manifests::has_reasons(&file("cli/Cargo.toml", text), "* `log`: lines, `libc`\n");
    assert_eq!(faults, ["cli/Cargo.toml:5: ARCHITECTURE.md has no `mio`"]);
}
