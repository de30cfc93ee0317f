//! The parser against the definition: lines that are valid in every way they can be written, that
//! were damaged, cut short, or nested. Both must say the same, and of a valid one what it is.
//!
//! Each case has a seed, and a failure names it and the line.

use peerline_proto::MAX_DEPTH;
use peerline_proto::testing::{decode, state_table};
use peerline_testkit::entropy::Entropy;
use peerline_testkit::oracle::judge;

const VALID: u64 = 20_000;
const DAMAGED: u64 = 40_000;
const CUT: u64 = 500;

#[derive(Clone, Debug, Eq, PartialEq)]
enum Verdict {
    Blank,
    Invalid,
    Valid { kind: String, unknown_fields: u32 },
}

/// What both say of the line.
#[track_caller]
fn verdict(line: &[u8]) -> Verdict {
    let (decoded, judged) = (decode(line), judge(line));
    let verdict = match (&decoded, &judged) {
        (Ok(None), None) => Some(Verdict::Blank),
        (Err(_), Some(Err(_))) => Some(Verdict::Invalid),
        (Ok(Some((kind, unknown_fields))), Some(Ok(judged))) if kind == judged => {
            Some(Verdict::Valid { kind: kind.clone(), unknown_fields: *unknown_fields })
        }
        _ => None,
    };
    let line = String::from_utf8_lossy(line);
    verdict.unwrap_or_else(|| panic!("parser: {decoded:?}; definition: {judged:?}; line: {line}"))
}

#[derive(Copy, Clone, Debug)]
enum Type {
    Text,
    Integer,
    Bool,
    Texts,
    Integers,
    Listen,
    Peers,
    Have,
    Want,
    Any,
}

/// Name, whether required, type.
type Field = (&'static str, bool, Type);

/// The messages as the generator writes them.
const MESSAGES: &[(&str, &[Field])] = &[
    (
        "hello",
        &[
            ("nodeid", true, Type::Text),
            ("version", false, Type::Integer),
            ("min_version", false, Type::Integer),
            ("network", false, Type::Text),
            ("agent", false, Type::Text),
            ("nonce", false, Type::Integer),
            ("listen", false, Type::Listen),
            ("you", false, Type::Text),
            ("max", false, Type::Integer),
            ("caps", false, Type::Texts),
        ],
    ),
    ("ping", &[("nonce", false, Type::Integer)]),
    ("pong", &[("nonce", false, Type::Integer)]),
    (
        "bye",
        &[
            ("reason", false, Type::Text),
            ("retry", false, Type::Integer),
            ("peers", false, Type::Peers),
        ],
    ),
    ("getaddr", &[("max", false, Type::Integer)]),
    ("addr", &[("peers", true, Type::Peers), ("ages", false, Type::Integers)]),
    (
        "broadcast",
        &[
            ("originator", true, Type::Text),
            ("epoch", true, Type::Integer),
            ("seq", true, Type::Integer),
            ("time", true, Type::Integer),
            ("kind", true, Type::Text),
            ("msg", true, Type::Any),
        ],
    ),
    ("ihave", &[("have", true, Type::Have)]),
    (
        "graft",
        &[
            ("originator", false, Type::Text),
            ("epoch", false, Type::Integer),
            ("want", false, Type::Want),
        ],
    ),
    ("prune", &[("originator", false, Type::Text), ("epoch", false, Type::Integer)]),
    (
        "message",
        &[
            ("id", true, Type::Text),
            ("from", true, Type::Text),
            ("to", true, Type::Text),
            ("kind", true, Type::Text),
            ("time", true, Type::Integer),
            ("ttl", true, Type::Integer),
            ("try", false, Type::Integer),
            ("msg", true, Type::Any),
        ],
    ),
    (
        "request",
        &[
            ("id", true, Type::Text),
            ("from", true, Type::Text),
            ("to", true, Type::Text),
            ("kind", true, Type::Text),
            ("time", true, Type::Integer),
            ("ttl", true, Type::Integer),
            ("deadline", true, Type::Integer),
            ("try", false, Type::Integer),
            ("msg", true, Type::Any),
        ],
    ),
    (
        "reply",
        &[
            ("re", true, Type::Text),
            ("n", true, Type::Integer),
            ("from", true, Type::Text),
            ("to", true, Type::Text),
            ("kind", true, Type::Text),
            ("msg", true, Type::Any),
            ("last", false, Type::Bool),
        ],
    ),
    (
        "nak",
        &[
            ("re", true, Type::Text),
            ("at", false, Type::Text),
            ("code", true, Type::Text),
            ("ttl", false, Type::Integer),
        ],
    ),
    ("find", ENDS),
    ("found", ENDS),
    (
        "error",
        &[("re", false, Type::Text), ("code", false, Type::Text), ("ttl", false, Type::Integer)],
    ),
    ("unknown", &[]),
];

/// What a search for a node says, and its answer.
const ENDS: &[Field] = &[
    ("id", true, Type::Text),
    ("from", true, Type::Text),
    ("to", true, Type::Text),
    ("ttl", true, Type::Integer),
];

const BLANKS: [&str; 6] = ["", "", "", " ", "\t ", "\r"];
const TEXTS: [&str; 8] =
    ["", "x", "NEWS", "127.0.0.1:4000", "a \"b\" \\ / c", "ä\u{7f}€", "😀\u{10ffff}", "\0\u{1f}\n"];
const INTEGERS: [&str; 6] = ["0", "1", "7", "65536", "4294967296", "9007199254740991"];
const NUMBERS: [&str; 12] = [
    "-0",
    "-1",
    "0.0",
    "1.5",
    "1E2",
    "-2.5e-3",
    "1e308",
    "1e-999",
    "0e999",
    "9007199254740992",
    "18446744073709551616",
    "123456789012345678901234567890.5",
];
/// Fields that no message has.
const STRANGERS: [&str; 5] = ["zz", "Nonce", "msgtype ", "topic", ""];

struct Line {
    bytes: Vec<u8>,
    verdict: Verdict,
}

/// Writes lines that are valid.
struct Writer(Entropy);

impl Writer {
    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.0.below(from.len() as u64) as usize]
    }

    fn line(&mut self) -> Line {
        let (kind, own) = MESSAGES[self.0.below(MESSAGES.len() as u64) as usize];
        let name =
            if kind == "unknown" { self.pick(&["", "Ping", "reserved", "ping "]) } else { kind };
        let mut members = vec![self.member("msgtype", |writer| writer.text(name))];
        for (field, required, shape) in own {
            if *required || self.0.chance(60) {
                members.push(self.member(field, |writer| writer.value(*shape)));
            }
        }
        let strangers = self.strangers(own);
        let unknown_fields = strangers.len() as u32;
        members.extend(strangers);
        self.shuffle(&mut members);
        let text = format!("{{{}}}", members.join(","));
        let (before, after) = (self.pick(&BLANKS), self.pick(&["", "\n", "\r\n", " \t\r\n"]));
        let verdict = Verdict::Valid { kind: kind.into(), unknown_fields };
        Line { bytes: format!("{before}{text}{after}").into_bytes(), verdict }
    }

    /// Members that this message does not have, some of them another message's. Of names that no
    /// message has, one may come twice.
    fn strangers(&mut self, own: &[Field]) -> Vec<String> {
        let mut members = Vec::new();
        while self.0.chance(40) {
            let name = self.pick(&STRANGERS);
            members.push(self.member(name, |writer| writer.any(5)));
        }
        let is_own = |name: &str| own.iter().any(|(field, ..)| *field == name);
        for foreign in ["seq", "peers", "nonce", "code"] {
            if !is_own(foreign) && self.0.chance(10) {
                members.push(self.member(foreign, |writer| writer.any(3)));
            }
        }
        members
    }

    fn shuffle(&mut self, members: &mut [String]) {
        for last in (1..members.len()).rev() {
            members.swap(last, self.0.below(last as u64 + 1) as usize);
        }
    }

    fn member(&mut self, name: &str, value: impl FnOnce(&mut Self) -> String) -> String {
        let name = self.text(name);
        let blanks = [(); 4].map(|()| self.pick(&BLANKS));
        let value = value(self);
        format!("{}{name}{}:{}{value}{}", blanks[0], blanks[1], blanks[2], blanks[3])
    }

    fn value(&mut self, shape: Type) -> String {
        match shape {
            Type::Text => self.any_text(),
            Type::Integer => self.integer(),
            Type::Bool => self.pick(&["true", "false"]).into(),
            Type::Texts => self.list(Self::any_text),
            Type::Integers => self.list(Self::integer),
            Type::Listen if self.0.chance(50) => self.any_text(),
            Type::Listen => self.integer(),
            Type::Peers => self.list(Self::peer),
            Type::Have => self.list(Self::announced),
            Type::Want => self.list(|writer| writer.integers(2)),
            Type::Any => self.any(5),
        }
    }

    fn peer(&mut self) -> String {
        if self.0.chance(30) {
            return self.any_text();
        }
        let blanks = [(); 2].map(|()| self.pick(&BLANKS));
        format!("[{}{},{}{}]", blanks[0], self.any_text(), blanks[1], self.any_text())
    }

    fn announced(&mut self) -> String {
        let (text, epoch) = (self.any_text(), self.integer());
        format!("[{text},{}{epoch},{}]", self.pick(&BLANKS), self.list(|writer| writer.integers(3)))
    }

    fn integers(&mut self, count: usize) -> String {
        let integers: Vec<String> = (0..count).map(|_| self.integer()).collect();
        format!("[{}{}]", self.pick(&BLANKS), integers.join(","))
    }

    fn integer(&mut self) -> String {
        if self.0.chance(50) {
            return self.pick(&INTEGERS).into();
        }
        self.0.below(1 << 53).to_string()
    }

    fn list(&mut self, mut each: impl FnMut(&mut Self) -> String) -> String {
        let mut items = Vec::new();
        while self.0.chance(60) {
            let blanks = [(); 2].map(|()| self.pick(&BLANKS));
            items.push(format!("{}{}{}", blanks[0], each(self), blanks[1]));
        }
        format!("[{}{}]", self.pick(&BLANKS), items.join(","))
    }

    /// Any JSON of at most `depth` levels.
    fn any(&mut self, depth: usize) -> String {
        match self.0.below(if depth == 0 { 4 } else { 6 }) {
            0 => self.pick(&["null", "true", "false"]).into(),
            1 => self.pick(&NUMBERS).into(),
            2 => self.integer(),
            3 => self.any_text(),
            4 => self.list(|writer| writer.any(depth - 1)),
            _ => {
                let members = self.list(|writer| {
                    let name = writer.pick(&TEXTS);
                    writer.member(name, |writer| writer.any(depth - 1))
                });
                format!("{{{}}}", &members[1..members.len() - 1])
            }
        }
    }

    fn any_text(&mut self) -> String {
        let text = self.pick(&TEXTS);
        self.text(text)
    }

    /// The text in quotes, each character in one of the ways it can be written.
    fn text(&mut self, text: &str) -> String {
        let mut quoted = String::from("\"");
        for character in text.chars() {
            let short = "\"\\/\n".find(character).map(|at| &"\"\\/n"[at..=at]);
            let must = character < ' ' || matches!(character, '"' | '\\');
            match short {
                Some(short) if self.0.chance(if must { 70 } else { 20 }) => {
                    quoted.push_str(&format!("\\{short}"));
                }
                _ if must || self.0.chance(4) => self.escape(character, &mut quoted),
                _ => quoted.push(character),
            }
        }
        quoted + "\""
    }

    fn escape(&mut self, character: char, quoted: &mut String) {
        for unit in character.encode_utf16(&mut [0; 2]) {
            let upper = self.0.chance(50);
            let escape = if upper { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") };
            quoted.push_str(&escape);
        }
    }

    /// Damages the bytes, of which there must be some, in one of several ways.
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        let len = bytes.len() as u64;
        let from = self.0.below(len) as usize;
        let to = (from + self.0.between(1, 12) as usize).min(bytes.len());
        let at = self.0.below(len + 1) as usize;
        match self.0.below(7) {
            0 => bytes[from] ^= 1 << self.0.below(8),
            1 => bytes[from] = self.0.number() as u8,
            2 => drop(bytes.drain(from..to)),
            3 => {
                let copy = bytes[from..to].to_vec();
                bytes.splice(at..at, copy);
            }
            4 => self.repeat_member(bytes),
            5 => self.change_number(bytes),
            _ => {
                let tokens = [
                    "{", "}", "[", "]", ",", ":", "\"", "\\", "\\ud800", "\\uDFFF", "0", "-", "e9",
                ];
                let token = self.pick(&tokens).bytes();
                bytes.splice(at..at, token);
            }
        }
    }

    /// Copies what stands between two commas to another comma: often a whole member.
    fn repeat_member(&mut self, bytes: &mut Vec<u8>) {
        let places = places(bytes, |byte| byte == b',');
        if places.len() < 2 {
            return;
        }
        let first = self.0.below(places.len() as u64 - 1) as usize;
        let copy = bytes[places[first]..places[first + 1]].to_vec();
        let at = places[self.0.below(places.len() as u64) as usize];
        bytes.splice(at..at, copy);
    }

    /// Puts another number in place of one.
    fn change_number(&mut self, bytes: &mut Vec<u8>) {
        let digits = places(bytes, |byte| byte.is_ascii_digit());
        if digits.is_empty() {
            return;
        }
        let from = digits[self.0.below(digits.len() as u64) as usize];
        let rest = &bytes[from..];
        let len = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        let other = match self.0.below(4) {
            0 => self.0.number().to_string(),
            // Around the digits of the largest double.
            1 => "9".repeat(self.0.between(299, 312) as usize),
            _ => self.pick(&NUMBERS).into(),
        };
        bytes.splice(from..from + len, other.into_bytes());
    }
}

fn places(bytes: &[u8], is: impl Fn(u8) -> bool) -> Vec<usize> {
    let all = bytes.iter().enumerate();
    all.filter(|(_, byte)| is(**byte)).map(|(place, _)| place).collect()
}

#[test]
fn the_generator_writes_every_message_there_is() {
    let table = state_table();
    let known = table.lines().skip(2).filter_map(|row| row.split('|').nth(1)).map(str::trim);
    let written: Vec<&str> = MESSAGES.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(written, known.collect::<Vec<_>>());
}

#[test]
fn valid_lines_are_taken_however_they_are_written() {
    let mut kinds = Vec::new();
    for seed in 0..VALID {
        let line = Writer(Entropy::new(seed)).line();
        let text = String::from_utf8_lossy(&line.bytes);
        assert_eq!(verdict(&line.bytes), line.verdict, "seed {seed}: {text}");
        kinds.push(line.verdict);
    }
    let of = |wanted: &str| {
        let is =
            |verdict: &&Verdict| matches!(verdict, Verdict::Valid { kind, .. } if kind == wanted);
        kinds.iter().filter(is).count()
    };
    for (kind, _) in MESSAGES {
        assert!(of(kind) >= VALID as usize / 30, "{kind} is rare");
    }
}

#[test]
fn damaged_lines_are_judged_alike() {
    let (mut valid, mut invalid) = (0, 0);
    for seed in 0..DAMAGED {
        let mut writer = Writer(Entropy::new(!seed));
        let mut bytes = writer.line().bytes;
        writer.damage(&mut bytes);
        while writer.0.chance(30) && !bytes.is_empty() {
            writer.damage(&mut bytes);
        }
        match verdict(&bytes) {
            Verdict::Valid { .. } => valid += 1,
            Verdict::Invalid => invalid += 1,
            Verdict::Blank => {}
        }
    }
    let few = DAMAGED / 10;
    assert!(
        valid > few && invalid > few,
        "{valid} valid, {invalid} invalid: one side is not tried"
    );
}

#[test]
fn no_start_of_an_object_is_valid() {
    for seed in 0..CUT {
        let Line { bytes, verdict: whole } = Writer(Entropy::new(seed)).line();
        let start = bytes.iter().position(|byte| *byte == b'{').unwrap();
        let end = bytes.iter().rposition(|byte| *byte == b'}').unwrap();
        for cut in 0..=bytes.len() {
            let expected = if cut <= start {
                &Verdict::Blank
            } else if cut <= end {
                &Verdict::Invalid
            } else {
                &whole
            };
            assert_eq!(verdict(&bytes[..cut]), *expected, "seed {seed}, {cut} bytes");
        }
    }
}

/// Values of `depth` levels: lists, objects, both in turn, and among brackets that are text.
fn nested(depth: usize) -> [String; 4] {
    let in_turn: String = (0..depth).map(|at| ["[", "{\"[\":"][at % 2]).collect();
    let back: String = (0..depth).rev().map(|at| ["]", "}"][at % 2]).collect();
    [
        "[".repeat(depth) + &"]".repeat(depth),
        format!("{}{{}}{}", "{\"a\":".repeat(depth - 1), "}".repeat(depth - 1)),
        format!("{in_turn}0{back}"),
        format!("{}{{}}{}", "[\"[{\\\"\",".repeat(depth - 1), ",0]".repeat(depth - 1)),
    ]
}

#[test]
fn depth_is_counted_in_bodies_and_in_unknown_fields() {
    let broadcast =
        r#""msgtype":"broadcast","originator":"o","epoch":1,"seq":1,"time":1,"kind":"K""#;
    let message = r#""msgtype":"message","id":"i","from":"f","to":"t","kind":"K","time":1,"ttl":1"#;
    for depth in 1..=40 {
        for value in nested(depth) {
            let lines = [
                format!(r#"{{{broadcast},"msg":{value}}}"#),
                format!(r#"{{"msg":{value},{message}}}"#),
                format!(r#"{{"msgtype":"ping","x":{value}}}"#),
                // A `Value` keeps only the last of the two.
                format!(r#"{{"x":{value},"msgtype":"ping","x":0}}"#),
                format!(r#"{{"msg":{value},"msgtype":"later"}}"#),
            ];
            for line in lines {
                let valid = matches!(verdict(line.as_bytes()), Verdict::Valid { .. });
                assert_eq!(valid, depth < MAX_DEPTH, "{depth}: {line}");
            }
        }
    }
}

#[test]
fn lists_of_a_field_are_not_valid_when_nested_deeper() {
    for depth in 1..=40 {
        let value = format!("{}\"a\"{}", "[".repeat(depth), "]".repeat(depth));
        let line = format!(r#"{{"msgtype":"addr","peers":{value}}}"#);
        let valid = matches!(verdict(line.as_bytes()), Verdict::Valid { .. });
        assert_eq!(valid, depth == 1, "{depth}");
    }
}
