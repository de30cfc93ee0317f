//! Reads the lists in lines: arrays of words, of numbers, and of arrays of these.
//!
//! Each is gone through once, from its start to its end, by somebody who knows what each array is
//! to hold: to see whether it does, and again to take it. What does is JSON, so a text need not
//! have been checked before.
#![deny(clippy::arithmetic_side_effects)]

use alloc::borrow::Cow;

use crate::wire::json::{Scan, Span, Wrong};
use crate::wire::msg::{Announced, Named, Told};

/// A place in a list. Each step is in the array that was entered last and not left yet, and is
/// `None` where something else stands there; then the place means nothing any more.
#[derive(Debug)]
pub(super) struct List<'a> {
    scan: Scan<'a>,
    at: usize,
    /// An element begins here: what is before it has been passed.
    begins: bool,
}

impl<'a> List<'a> {
    /// In the array that this is.
    pub(super) fn of(array: Span<'a>) -> Option<Self> {
        Self::at(Scan::of(array.text), 0)
    }

    /// In the array that begins here.
    pub(super) fn at(scan: Scan<'a>, at: usize) -> Option<Self> {
        let mut list = Self { scan, at, begins: true };
        list.enter()?;
        Some(list)
    }

    /// Whether the array goes on; at its end it is left. Where neither a comma nor an end is,
    /// nothing can be read any more.
    #[inline]
    fn has_more(&mut self) -> bool {
        if self.begins {
            return true;
        }
        let byte = self.scan.byte(self.at);
        self.pass(self.at.wrapping_add(1));
        self.begins = byte == b',';
        if !matches!(byte, b',' | b']') {
            self.at = usize::MAX;
        }
        byte != b']'
    }

    /// Leaves the array, of which all has been read.
    #[inline]
    fn leave(&mut self) -> Option<()> {
        (!self.has_more()).then_some(())
    }

    /// Enters an element that is an array.
    #[inline]
    pub(super) fn enter(&mut self) -> Option<()> {
        let is_array = self.has_more() && self.scan.byte(self.at) == b'[';
        self.pass(self.at.wrapping_add(1));
        self.begins = self.scan.byte(self.at) != b']';
        is_array.then_some(())
    }

    /// An element that is a string.
    #[inline]
    pub(super) fn text(&mut self) -> Option<Cow<'a, str>> {
        if !self.has_more() {
            return None;
        }
        let text = self.scan.quoted(self.at, Wrong::NotValue).ok()?;
        self.pass(text.1);
        Some(text.0.unescape())
    }

    /// An element that is an integer from 0 to 2^53 - 1.
    #[inline]
    pub(super) fn integer(&mut self) -> Option<u64> {
        if !self.has_more() {
            return None;
        }
        let (end, number) = self.scan.integer(self.at)?;
        self.pass(end);
        // What goes on is another number.
        matches!(self.scan.byte(self.at), b',' | b']').then_some(number)
    }

    #[inline]
    fn pass(&mut self, end: usize) {
        self.at = self.scan.blanks(end);
        self.begins = false;
    }
}

/// Hands each string of an array to `each`; `None` if it is none, or holds anything else.
pub(super) fn words<'a>(array: Span<'a>, each: &mut dyn FnMut(Cow<'a, str>)) -> Option<()> {
    let mut list = List::of(array)?;
    while list.has_more() {
        each(list.text()?);
    }
    Some(())
}

/// Whether this is an array of integers.
pub(super) fn are_integers(array: Span<'_>) -> bool {
    let Some(mut list) = List::of(array) else { return false };
    while list.has_more() {
        if list.integer().is_none() {
            return false;
        }
    }
    true
}

/// Hands each range of `[[originator, epoch, [[from, to, hold], …]], …]` to `each`; `None` if it is
/// no such list.
pub(crate) fn announced<'a>(have: Span<'a>, each: &mut dyn FnMut(Announced<'a>)) -> Option<()> {
    ranges(&mut List::of(have)?, each)
}

/// Such a list that begins at a place, with the blanks behind it.
pub(super) fn announced_at<'a>(scan: Scan<'a>, start: usize) -> Option<Span<'a>> {
    let mut list = List::at(scan, start)?;
    ranges(&mut list, &mut |_| ())?;
    Some(scan.array(start, list.at))
}

fn ranges<'a>(list: &mut List<'a>, each: &mut dyn FnMut(Announced<'a>)) -> Option<()> {
    while list.has_more() {
        list.enter()?;
        let stream = Named { originator: list.text()?, epoch: list.integer()? };
        list.enter()?;
        while list.has_more() {
            list.enter()?;
            let (from, to, hold) = (list.integer()?, list.integer()?, list.integer()?);
            list.leave()?;
            each(Announced { stream: stream.clone(), from, to, hold });
        }
        list.leave()?;
    }
    Some(())
}

/// Hands each range of `[[from, to], …]` to `each`; `None` if it is no such list.
pub(crate) fn wanted(want: Span<'_>, each: &mut dyn FnMut(u64, u64)) -> Option<()> {
    let mut list = List::of(want)?;
    while list.has_more() {
        list.enter()?;
        let (from, to) = (list.integer()?, list.integer()?);
        list.leave()?;
        each(from, to);
    }
    Some(())
}

/// Hands each entry of a list of addresses, bare or as `[address, node]`, to `each`; `None` if it
/// is no such list.
pub(crate) fn told<'a>(peers: Span<'a>, each: &mut dyn FnMut(Told<'a>)) -> Option<()> {
    let mut list = List::of(peers)?;
    while list.has_more() {
        if list.scan.byte(list.at) != b'[' {
            each(Told { addr: list.text()?, node: None });
            continue;
        }
        list.enter()?;
        let (addr, node) = (list.text()?, Some(list.text()?));
        list.leave()?;
        each(Told { addr, node });
    }
    Some(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;
    use alloc::{format, vec};

    use crate::limits::MAX_DEPTH;

    fn span(text: &str) -> Span<'_> {
        Scan::of(text).span(0, MAX_DEPTH).unwrap()
    }

    /// What each reader finds in a text; `None` where it is not of its kind.
    fn found(text: &str) -> [Option<Vec<String>>; 5] {
        let mut all: [Vec<String>; 5] = Default::default();
        let [strings, _, ranges, pairs, peers] = &mut all;
        let is = [
            words(span(text), &mut |word| strings.push(word.into())),
            are_integers(span(text)).then_some(()),
            announced(span(text), &mut |it| {
                let Named { originator, epoch } = it.stream;
                ranges.push(format!("{originator} {epoch} {} {} {}", it.from, it.to, it.hold));
            }),
            wanted(span(text), &mut |from, to| pairs.push(format!("{from} {to}"))),
            told(span(text), &mut |it| peers.push(format!("{} {:?}", it.addr, it.node))),
        ];
        let mut is = is.into_iter();
        all.map(|found| is.next().flatten().map(|()| found))
    }

    /// The same by another reader.
    fn expected(text: &str) -> [Option<Vec<String>>; 5] {
        use serde_json::{Value, from_str};
        let integer = |value: &Value| value.as_u64().filter(|number| *number < 1 << 53);
        let integers = |value: &Value, count: usize| {
            let all = value.as_array()?.iter().map(integer).collect::<Option<Vec<u64>>>()?;
            let shown = all.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
            Some(shown).filter(|_| all.len() == count)
        };
        let Value::Array(array) = from_str(text).unwrap() else { return Default::default() };
        let word = |value: &Value| value.as_str().map(ToString::to_string);
        let stream = |value: &Value| {
            let [originator, epoch, ranges] = value.as_array()?.as_slice() else { return None };
            let name = format!("{} {}", originator.as_str()?, integer(epoch)?);
            let ranges = ranges.as_array()?.iter().map(|range| integers(range, 3));
            ranges.map(|range| Some(format!("{name} {}", range?))).collect::<Option<Vec<_>>>()
        };
        let peer = |value: &Value| match value.as_array().map(Vec::as_slice) {
            Some([addr, node]) => Some(format!("{} {:?}", addr.as_str()?, Some(node.as_str()?))),
            Some(_) => None,
            None => Some(format!("{} None", value.as_str()?)),
        };
        [
            array.iter().map(word).collect(),
            array.iter().all(|value| integer(value).is_some()).then(Vec::new),
            array.iter().map(stream).collect::<Option<Vec<_>>>().map(|all| all.concat()),
            array.iter().map(|range| integers(range, 2)).collect(),
            array.iter().map(peer).collect(),
        ]
    }

    #[test]
    fn each_list_holds_what_another_reader_finds_in_it() {
        let lists = [
            "{}",
            "1",
            "[]",
            "[ ]",
            r#"["a","b\n\u0041",""]"#,
            "[1,0,9007199254740991]",
            "[9007199254740992]",
            "[1.0]",
            "[-1]",
            r#"[["o",3,[[1,2,3],[4,5,6]]],["p",4,[]]]"#,
            " [ [ \"\\u006f\" , 3 , [ [ 1 , 2 , 3 ] ] ] ] ",
            r#"[["o",3,[[1,2]]]]"#,
            r#"[["o",3,[[1,2,3,4]]]]"#,
            r#"[["o",3,[1,2,3]]]"#,
            r#"[["o",3]]"#,
            r#"[["o",3,[],1]]"#,
            r#"[[3,"o",[]]]"#,
            "[[1,2],[3,4]]",
            "[[1,2,3]]",
            "[[1]]",
            "[1,2]",
            r#"["192.0.2.1:5",["192.0.2.2:5","n"],["192.0.2.3:5","m"]]"#,
            r#"[["192.0.2.2:5"]]"#,
            r#"[["192.0.2.2:5","n","m"]]"#,
            r#"[["192.0.2.2:5",["n"]]]"#,
            r#"[[["o"]]]"#,
            "[null]",
            "[[{}]]",
        ];
        let mut taken = [0; 5];
        for list in lists {
            let list = list.trim();
            assert_eq!(found(list), expected(list), "{list}");
            for (count, found) in taken.iter_mut().zip(found(list)) {
                *count += usize::from(found.is_some_and(|found| !found.is_empty()));
            }
        }
        assert_eq!(taken, [1, 0, 2, 1, 2]);
        assert_eq!(found("[1,0]")[1], Some(vec![]));
    }

    #[test]
    fn no_text_is_read_beyond_its_end() {
        let whole = r#"[["o",3,[[1,2,3],[4,5,6]]],["a","b"],[1,2],"c",7]"#;
        for text in (0..whole.len()).map(|end| &whole[..end]) {
            let mut cut = span(whole);
            cut.text = text;
            assert!(announced(cut, &mut |_| ()).is_none() && wanted(cut, &mut |_, _| ()).is_none());
            assert!(told(cut, &mut |_| ()).is_none() && words(cut, &mut |_| ()).is_none());
            assert!(!are_integers(cut));
        }
    }
}
