//! The documents at the root, held to the code: tables, numbers, names, error texts, the program.
//!
//! A document is read as text, a line at a time. What it says is compared with what the crate says
//! of itself where that can be asked, else with the text of its sources.

use core::any::type_name;
use core::error::Error;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use peerline_proto::{
    BodyError, BookError, BroadcastError, ByeReason, CloseReason, ConfigError, ConnId, DialError,
    Dialect, Limits, NakCode, NodeId, Payload, Refused, ReplyError, RequestError, RequestFailure,
    SendError, TransportError, Violation, testing,
};
use serde::Serialize;

const DOCUMENTS: [&str; 7] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "INVARIANTS.md",
    "PROTOCOL.md",
    "README.md",
    "SECURITY.md",
];

/// Where a file that a document names may lie.
const BASES: [&str; 2] = ["", "proto/src"];

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The Rust files below a folder, by their paths from it.
fn sources(folder: &str) -> BTreeMap<String, String> {
    let (base, mut found) = (root().join(folder), BTreeMap::new());
    let mut folders = vec![base.clone()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.strip_prefix(&base).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if name.ends_with(".rs") {
                found.insert(name, fs::read_to_string(path).unwrap());
            }
        }
    }
    found
}

#[track_caller]
fn none(faults: Vec<String>) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

// ---- tables

/// What stands between two marker lines.
fn marked<'a>(document: &'a str, mark: &str) -> &'a str {
    let (_, after) = document.split_once(&format!("<!-- {mark} -->\n")).expect("the marker");
    after.split_once("<!-- end -->").expect("the end marker").0
}

/// The first two cells of each row of the table with these first two headings.
fn rows<'a>(document: &'a str, headings: &str) -> Vec<(&'a str, &'a str)> {
    let start = document.lines().skip_while(|line| !line.starts_with(headings)).skip(2);
    let table = start.take_while(|line| line.starts_with('|'));
    table.map(|line| cells(line).unwrap_or_else(|| panic!("{line}"))).collect()
}

fn cells(line: &str) -> Option<(&str, &str)> {
    let mut cells = line.split('|').map(|cell| cell.trim().trim_matches('`')).skip(1);
    Some((cells.next()?, cells.next()?))
}

/// A number with a unit: bytes and counts in ones, times in microseconds.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum Value {
    Count(u64),
    Micros(u64),
}

impl Value {
    /// As a document says it: `64 KiB`, `4,096`, `10 min`.
    fn told(text: &str) -> Option<Self> {
        let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
        let micros = match unit {
            "ns" if number == "0" => 1,
            "ms" => 1000,
            "s" => 1_000_000,
            "min" => 60_000_000,
            "h" => 3_600_000_000,
            _ => {
                let number: u64 = number.replace(',', "").parse().ok()?;
                let shift = [("", 0), ("KiB", 10), ("MiB", 20)].into_iter();
                let (_, shift) = shift.into_iter().find(|(known, _)| *known == unit)?;
                return Some(Self::Count(number << shift));
            }
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let part: u64 = format!("{part:0<3}").parse().ok()?;
        Some(Self::Micros(whole.parse::<u64>().ok()? * micros + part * micros / 1000))
    }

    /// As `Debug` shows it: `65536`, `10s`.
    fn shown(text: &str) -> Option<Self> {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        Self::told(&format!("{} {}", &text[..end], &text[end..]).trim_end().replace('_', ""))
    }

    /// As the source writes it: `64 * 1024`, `Duration::from_millis(100)`.
    fn written(text: &str) -> Option<Self> {
        let time = |number: &str| number.strip_suffix(')')?.parse().ok();
        if let Some(number) = text.strip_prefix("Duration::from_secs(") {
            return Some(Self::from(Duration::from_secs(time(number)?)));
        }
        if let Some(number) = text.strip_prefix("Duration::from_millis(") {
            return Some(Self::from(Duration::from_millis(time(number)?)));
        }
        let factors = text.split(" * ").map(|factor| factor.replace('_', "").parse::<u64>().ok());
        factors.product::<Option<u64>>().map(Self::Count)
    }
}

impl From<Duration> for Value {
    fn from(time: Duration) -> Self {
        Self::Micros(u64::try_from(time.as_micros()).unwrap())
    }
}

#[test]
fn the_state_table_is_the_one_of_the_code() {
    assert_eq!(marked(&read("PROTOCOL.md"), "state table"), testing::state_table());
}

#[test]
fn every_limit_stands_in_the_table_with_its_default() {
    let (document, source) = (read("PROTOCOL.md"), read("proto/src/limits.rs"));
    let table = rows(&document, "| field | default |");
    let names: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, fields(&source), "the fields in order");
    let shown = format!("{:?}", Limits::default());
    let members = shown.trim_start_matches("Limits {").trim_end_matches('}').split(',');
    let defaults: BTreeMap<&str, &str> =
        members.map(|member| member.trim().split_once(": ").unwrap()).collect();
    for (name, told) in table {
        let default = Value::shown(defaults[name]);
        assert!(default.is_some() && default == Value::told(told), "{name}: {told}, {default:?}");
    }
}

#[test]
fn the_sum_of_all_limits_is_told_part_by_part() {
    let document = read("SECURITY.md");
    let mut parts: BTreeMap<&str, usize> =
        testing::worst_case_parts(&Limits::default(), 64 * 1024).into_iter().collect();
    for (names, told) in rows(&document, "| part | MiB |") {
        let bytes = names.split(", ").map(|name| parts.remove(name).expect(name));
        let mib = bytes.sum::<usize>() as f64 / f64::from(1 << 20);
        assert_eq!(format!("{mib:.1}"), told, "{names}");
    }
    assert!(parts.is_empty(), "nowhere told: {parts:?}");
}

/// The names of the fields of `Limits`.
fn fields(source: &str) -> Vec<&str> {
    let body = source.split_once("pub struct Limits {").unwrap().1.split_once("\n}").unwrap().0;
    let fields = body.lines().filter_map(|line| line.trim().strip_prefix("pub "));
    // A planted bug, or a rule left out, is in a build of its own, and no limit.
    let fields = fields.map(|field| field.split_once(':').unwrap().0);
    fields.filter(|field| !["planted", "without"].contains(field)).collect()
}

#[test]
fn every_constant_stands_in_the_table_with_its_value() {
    let document = read("PROTOCOL.md");
    let table = rows(&document, "| constant | value |");
    assert!(table.len() > 10, "{table:?}");
    let core = sources("proto/src");
    let all: Vec<(&str, &str)> = core.values().flat_map(|text| constants(text)).collect();
    for (name, told) in table {
        let found: Vec<_> = all.iter().filter(|(known, _)| *known == name).collect();
        let [(_, value)] = found[..] else { panic!("{name} is there {} times", found.len()) };
        let written = Value::written(value);
        assert!(written.is_some() && written == Value::told(told), "{name}: {told}, but {value}");
    }
}

/// Constants that other files use, and that say nothing of the protocol.
const INSIDE: [(&str, &str); 8] = [
    ("ADDRESS_COST", "what an address takes in memory, for the sum of all limits"),
    ("BOOK_HEAD", "bytes at the start of a saved book"),
    ("FEW", "bytes of lines looked at together at first"),
    ("FIELDS", "how many fields the tables of messages have"),
    ("GUEST_OBJECT", "`MAX_OBJECT` and `FRAME_COST`, for the sum of all limits"),
    ("LARGEST", "the largest integer of JSON that is exact everywhere"),
    ("MOST_DIGITS", "of that integer"),
    ("RANGE_COST", "what a range takes in memory, for the sum of all limits"),
];

#[test]
fn every_number_that_files_of_the_core_share_stands_in_the_table() {
    let (document, core) = (read("PROTOCOL.md"), sources("proto/src"));
    let table = rows(&document, "| constant | value |");
    let told = table.iter().map(|(name, _)| *name).chain(INSIDE.map(|(name, _)| name));
    let told: BTreeSet<&str> = told.collect();
    let shared: Vec<&str> = core.values().flat_map(|text| shared_numbers(text)).collect();
    assert!(shared.len() > 30, "{shared:?}");
    none(shared.iter().filter(|name| !told.contains(*name)).map(|name| (*name).into()).collect());
    for (name, _) in INSIDE {
        assert!(shared.contains(&name), "no reason is needed for {name}");
    }
}

/// The names of the constants of a source that are numbers or times and that other files see.
fn shared_numbers(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter_map(|line| {
        let starts = ["pub const ", "pub(crate) const ", "pub(super) const "];
        let (name, rest) =
            starts.iter().find_map(|start| line.strip_prefix(start))?.split_once(": ")?;
        let kind = rest.split_once(" =")?.0;
        ["u8", "u16", "u32", "u64", "usize", "Duration"].contains(&kind).then_some(name)
    })
}

/// Name and value of each constant of a source.
fn constants(source: &str) -> impl Iterator<Item = (&str, &str)> {
    source.lines().filter_map(|line| {
        let (name, rest) = line.split_once("const ")?.1.split_once(": ")?;
        Some((name, rest.split_once(" = ")?.1.strip_suffix(';')?))
    })
}

#[test]
fn values_are_read_in_all_three_forms() {
    for (told, shown, written, value) in [
        ("64 KiB", "65536", "64 * 1024", Value::Count(65_536)),
        ("4,096", "4096", "4_096", Value::Count(4_096)),
        ("10 min", "600s", "Duration::from_secs(600)", Value::Micros(600_000_000)),
        ("100 ms", "100ms", "Duration::from_millis(100)", Value::Micros(100_000)),
    ] {
        let read = [Value::told(told), Value::shown(shown), Value::written(written)];
        assert_eq!(read, [Some(value); 3], "{told}");
    }
    for bad in ["", "x", "10 miles", "ten s"] {
        assert_eq!([Value::told(bad), Value::written(bad)], [None; 2], "{bad}");
    }
}

// ---- names

/// The lines of a document that are no code, each with its number.
fn prose(document: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut inside = false;
    document.lines().enumerate().filter(move |(_, line)| {
        let fence = line.starts_with("```");
        inside ^= fence;
        !inside && !fence
    })
}

/// The texts between two marks in a line.
fn between<'a>(line: &'a str, open: &'a str, close: char) -> impl Iterator<Item = &'a str> {
    let mut rest = line;
    core::iter::from_fn(move || {
        let (text, after) = rest.split_once(open)?.1.split_once(close)?;
        rest = after;
        Some(text)
    })
}

/// The files that a line names: targets of links, and words in backticks that look like a path.
fn named_files(line: &str) -> Vec<&str> {
    let links = between(line, "](", ')').filter(|target| !target.contains("://"));
    let links = links.map(|target| target.split('#').next().unwrap_or(target));
    let quoted = between(line, "`", '`').filter(|word| looks_like_a_path(word));
    links.chain(quoted).filter(|name| !name.is_empty()).collect()
}

fn looks_like_a_path(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let known = [".rs", ".md", ".toml", ".txt"].iter().any(|end| word.ends_with(end));
    word.chars().all(plain) && (known || word.contains('/'))
}

/// A word in backticks with the look of a test's name: a sentence.
fn named_tests(line: &str) -> impl Iterator<Item = &str> {
    let plain = |c: char| c.is_ascii_lowercase() || c == '_';
    between(line, "`", '`')
        .filter(move |word| word.chars().all(plain) && word.matches('_').count() > 2)
}

fn exists(name: &str) -> bool {
    BASES.iter().any(|base| root().join(base).join(name).exists())
}

#[test]
fn every_file_that_a_document_names_exists() {
    let mut faults = Vec::new();
    for document in DOCUMENTS {
        for (number, line) in prose(&read(document)) {
            let lost = named_files(line).into_iter().filter(|name| !exists(name));
            faults.extend(lost.map(|name| format!("{document}:{}: no {name}", number + 1)));
        }
    }
    none(faults);
}

#[test]
fn every_test_that_a_document_names_exists() {
    let all: String = sources("").into_values().collect();
    let mut faults = Vec::new();
    for document in DOCUMENTS {
        for (number, line) in prose(&read(document)) {
            let lost = named_tests(line).filter(|name| !all.contains(&format!("fn {name}(")));
            faults.extend(lost.map(|name| format!("{document}:{}: no {name}", number + 1)));
        }
    }
    none(faults);
}

#[test]
fn every_crate_of_the_readme_is_in_its_folder() {
    let document = read("README.md");
    let table = rows(&document, "| folder | package |");
    assert!(table.len() >= 6, "{table:?}");
    for (folder, package) in table {
        let manifest: PathBuf = root().join(folder).join("Cargo.toml");
        let manifest = fs::read_to_string(manifest).unwrap_or_default();
        assert!(manifest.contains(&format!("name = \"{package}\"\n")), "{package} in {folder}");
    }
}

#[test]
fn every_file_of_the_core_has_its_line_on_the_map() {
    let document = read("ARCHITECTURE.md");
    let map: Vec<&str> = rows(&document, "| file | what ").iter().map(|(file, _)| *file).collect();
    let mut faults = Vec::new();
    for file in sources("proto/src").into_keys() {
        let lines = map.iter().filter(|known| **known == file).count();
        if lines != 1 {
            faults.push(format!("{file} has {lines} lines on the map"));
        }
    }
    none(faults);
}

#[test]
fn names_are_found_in_prose_and_not_in_code() {
    let line = "See [the map](ARCHITECTURE.md#core), `proto/src/lib.rs`, `Node`, `a b/c`, `x.rs`.";
    assert_eq!(named_files(line), ["ARCHITECTURE.md", "proto/src/lib.rs", "x.rs"]);
    assert!(exists("proto/src/lib.rs") && exists("lib.rs") && !exists("x.rs"));
    let named: Vec<&str> = named_tests("`late_reply_is_ignored`, `max_line`, `A_B_C_D`").collect();
    assert_eq!(named, ["late_reply_is_ignored"]);
    let lines: Vec<&str> = prose("a\n```\nb\n```\nc").map(|(_, line)| line).collect();
    assert_eq!(lines, ["a", "c"]);
}

// ---- the public names

/// What of the core no application has in hand: a driver has, or the runtime has its own.
const OF_DRIVERS: [&str; 13] = [
    "Action",
    "Config",
    "ConfigBuilder",
    "Node",
    "Outgoing",
    "Refused",
    "Start",
    "ctime",
    // Errors of the same names, which have room for what only a driver knows.
    "BroadcastError",
    "DialError",
    "ReplyError",
    "RequestError",
    "SendError",
];

/// The names in the lists of `pub use` that start so, but for those of a build of its own.
fn exported<'a>(source: &'a str, start: &str) -> BTreeSet<&'a str> {
    let lists = source.match_indices(start).filter(|(at, _)| {
        let before = source[..*at].trim_end();
        !before.ends_with("#[cfg(peerline_planted)]")
    });
    let lists = lists.filter_map(|(at, _)| source[at..].split_once(';')).map(|(list, _)| list);
    let names = lists.flat_map(|list| list.rsplit("::").next().unwrap_or(list).split(','));
    let names = names.map(|name| name.trim_matches(|c: char| "{} \n".contains(c)));
    names.filter(|name| !name.is_empty()).collect()
}

#[test]
fn applications_find_every_name_of_the_core_in_a_runtime() {
    let (core, runtime) = (read("proto/src/lib.rs"), read("runtime/src/lib.rs"));
    let core = exported(&core, "\npub use ");
    let told = exported(&runtime, "    pub use peerline_proto::{");
    assert!(core.len() > 50 && told.len() > 30, "{core:?} {told:?}");
    let mut expected = core;
    for name in OF_DRIVERS {
        assert!(expected.remove(name), "the core has no {name}");
    }
    assert_eq!(told, expected);
}

// ---- error texts

/// `Type::Variant: text`, or `Type: text` for an error that is no enum.
fn text_of<E: Error>(error: &E) -> String {
    let kind = type_name::<E>().rsplit("::").next().unwrap();
    let shown = format!("{error:?}");
    let variant = shown.split([' ', '(', '{']).next().unwrap();
    let name = if variant == kind { kind.to_owned() } else { format!("{kind}::{variant}") };
    format!("{name}: {error}\n")
}

fn texts_of<E: Error>(errors: &[E]) -> String {
    errors.iter().map(text_of).collect()
}

/// One text for each variant of each error of the core, in the order of its source.
fn error_texts() -> String {
    [close_texts(), peer_texts(), caller_texts(), body_texts()].concat()
}

fn close_texts() -> String {
    texts_of(&[
        CloseReason::Local,
        CloseReason::Goodbye(ByeReason::Shutdown),
        CloseReason::Duplicate,
        CloseReason::SelfConnection,
        CloseReason::SameId,
        CloseReason::Full { peers: 64, limit: 64 },
        CloseReason::Crowded { limit: 256 },
        CloseReason::Network,
        CloseReason::Version { theirs: 9, theirs_min: 8, ours: 1, ours_min: 0 },
        CloseReason::Transport(TransportError::Reset),
        CloseReason::Violation(Violation::NotHello),
        CloseReason::DialTimeout,
        CloseReason::HandshakeTimeout,
        CloseReason::KeepAliveTimeout,
        CloseReason::WriteStall,
    ])
}

fn peer_texts() -> String {
    let byes = texts_of(&[
        ByeReason::Shutdown,
        ByeReason::Disconnect,
        ByeReason::Duplicate,
        ByeReason::Full,
        ByeReason::Network,
        ByeReason::Version,
        ByeReason::Other,
    ]);
    let transport = texts_of(&[
        TransportError::Refused,
        TransportError::Reset,
        TransportError::Eof,
        TransportError::TimedOut,
        TransportError::Unreachable,
        TransportError::Exhausted,
        TransportError::Other,
    ]);
    let violations = texts_of(&[
        Violation::LineTooLong { len: 70_000, limit: 65_536 },
        Violation::NotUtf8 { at: 7 },
        Violation::Malformed { at: 7, what: "not an object" },
        Violation::UnknownDialect { byte: 0x16 },
        Violation::DialectOff { dialect: Dialect::Chat },
        Violation::FrameTooLong { len: 70_000, limit: 65_536 },
        Violation::TooMuch { held: 70_000, limit: 65_536 },
        Violation::NotHello,
        Violation::SecondHello,
    ]);
    [byes, transport, violations].concat()
}

fn caller_texts() -> String {
    let (len, queued, limit) = (70_000, 1_048_600, 1_048_576);
    let refused = texts_of(&[Refused::Busy { queued, limit }, Refused::Stopping]);
    let addr = "192.0.2.1:5999".parse().unwrap();
    let dials = texts_of(&[
        DialError::Unusable(addr),
        DialError::Own(addr),
        DialError::Dialing { conn: a_connection() },
        DialError::DialectOff { dialect: Dialect::Btpeer },
        DialError::TooMany { under_way: 64, limit: 64 },
        DialError::Busy { queued, limit },
        DialError::Stopping,
    ]);
    let sends = texts_of(&[
        SendError::NotConnected,
        SendError::Unsupported,
        SendError::Full { queued, limit },
        SendError::TooLarge { len, limit: 65_536 },
        SendError::KindTooLong { len: 200, limit: 128 },
        SendError::Stopping,
    ]);
    let broadcasts = texts_of(&[
        BroadcastError::TooLarge { len, limit: 65_536 },
        BroadcastError::KindTooLong { len: 200, limit: 128 },
        BroadcastError::TooDeep { depth: 31, limit: 30 },
        BroadcastError::Stopping,
    ]);
    [refused, dials, sends, request_texts(), broadcasts].concat()
}

fn request_texts() -> String {
    let (len, queued, limit) = (70_000, 1_048_600, 1_048_576);
    let requests = texts_of(&[
        RequestError::NoRoute,
        RequestError::Unsupported,
        RequestError::Own,
        RequestError::Full { queued, limit },
        RequestError::Busy { bound: "pending_requests", used: 16_385, limit: 16_384 },
        RequestError::TooLarge { len, limit: 65_536 },
        RequestError::KindTooLong { len: 200, limit: 128 },
        RequestError::KindUnfit { len: 0, limit: 4 },
        RequestError::Stopping,
    ]);
    let replies = texts_of(&[
        ReplyError::Gone,
        ReplyError::Full { queued, limit },
        ReplyError::TooLarge { len, limit: 65_536 },
        ReplyError::KindTooLong { len: 200, limit: 128 },
        ReplyError::KindUnfit { len: 0, limit: 4 },
        ReplyError::Stopping,
    ]);
    let naks = texts_of(&[
        NakCode::NoRoute,
        NakCode::Expired,
        NakCode::Busy,
        NakCode::TooLarge,
        NakCode::NoHandler,
        NakCode::Refused,
        NakCode::Other,
    ]);
    let failures = texts_of(&[
        RequestFailure::Nak { code: NakCode::NoRoute, at: None },
        RequestFailure::Timeout,
        RequestFailure::Stopping,
    ]);
    [requests, replies, naks, failures].concat()
}

fn body_texts() -> String {
    /// A value that does not convert.
    struct Stubborn;

    impl Serialize for Stubborn {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("it does not convert"))
        }
    }

    let bodies = [Payload::encode(&Stubborn), Payload::from_json("[")];
    let bodies = bodies.map(|body| body.expect_err("no body"));
    let [BodyError::Json(json), _] = &bodies else { panic!("{bodies:?}") };
    let settings = texts_of(&[
        ConfigError::TooSmall { field: "max_line", got: 1000, min: 262_144 },
        ConfigError::TooLarge { field: "max_kind", got: 2000, max: 1024 },
        ConfigError::Order {
            lower: "ping_after",
            got_lower: 9000,
            upper: "dead_after",
            got_upper: 8000,
        },
    ]);
    let books = texts_of(&[
        BookError::TooLarge { len: 70_000, limit: 65_536 },
        BookError::Foreign { got: 0x1234, expected: 0x6b6f_6f62_7265_6570 },
        BookError::Version { got: 2, known: 1 },
        BookError::Length { len: 69, expected: 70 },
        BookError::Damaged { got: 1, expected: 2 },
        BookError::Malformed { at: 49, what: "no kind of entry" },
    ]);
    let id = text_of(&"x".parse::<NodeId>().expect_err("no id"));
    [texts_of(&bodies), text_of(json), settings, books, id].concat()
}

/// The id of the first connection of a node.
fn a_connection() -> ConnId {
    use peerline_proto::{Config, Identity, Instant, Node, Start};
    let id = Identity::new(NodeId::from_random_bytes([1; 16]));
    let mut node = Node::new(Config::default(), id, [7; 32], Start::default());
    node.dial("192.0.2.1:5999".parse().unwrap(), Instant::ZERO).unwrap()
}

#[test]
fn every_error_says_what_is_on_record() {
    let (told, recorded) = (error_texts(), read("tests/golden/error-texts.txt"));
    for (told, recorded) in told.lines().zip(recorded.lines()) {
        assert_eq!(told, recorded);
    }
    assert!(told == recorded, "the record should be:\n{told}");
}

#[test]
fn no_error_is_missing_on_record() {
    let recorded = read("tests/golden/error-texts.txt");
    let source = read("proto/src/error.rs");
    let variants = variants(&source);
    assert!(variants.len() > 50, "{variants:?}");
    let is_there = |name: &String| recorded.lines().any(|line| line.starts_with(name));
    none(variants.into_iter().filter(|name| !is_there(name)).collect());
}

/// `Type::Variant:` for each variant of each public enum, `Type:` for each public struct.
fn variants(source: &str) -> Vec<String> {
    let (mut found, mut kind) = (Vec::new(), "");
    for line in source.lines() {
        let name = |text: &str| text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
        if let Some(text) = line.strip_prefix("pub enum ") {
            kind = &text[..name(text)];
        } else if let Some(text) = line.strip_prefix("pub struct ") {
            found.push(format!("{}:", &text[..name(text)]));
        } else if line.starts_with('}') {
            kind = "";
        } else if let Some(text) = line.strip_prefix("    ") {
            let is_variant = !kind.is_empty() && text.starts_with(char::is_uppercase);
            found.extend(is_variant.then(|| format!("{kind}::{}:", &text[..name(text)])));
        }
    }
    found
}

// ---- the program

/// The lines of the first Rust program of a text, hidden ones too, without indentation.
fn program(text: &str, fence: &str) -> Vec<String> {
    let lines = text.lines().skip_while(|line| *line != fence).skip(1);
    let lines = lines.take_while(|line| !line.starts_with("```")).map(str::trim);
    let shown = lines.map(|line| line.strip_prefix("# ").unwrap_or(line));
    shown.filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// The program is compiled and run as an example of that crate.
#[test]
fn the_program_of_the_readme_is_the_one_of_a_runtime() {
    let path = "runtime-mio/src/lib.rs";
    let page: String = read(path)
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line)))
        .collect();
    let program_of_readme = program(&read("README.md"), "```rust");
    assert!(program_of_readme.len() > 5, "{program_of_readme:?}");
    assert_eq!(program_of_readme, program(&page, "```"), "left: README.md, right: {path}");
}
