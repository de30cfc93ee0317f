//! Reads choices off the front of a fuzzer's bytes: one byte for most of them, so that a change of
//! one byte is a change of one choice.

/// What is left of the bytes.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next byte; `None` when there are no more, which ends a script.
    pub(crate) fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// The next byte, which stays.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next byte, or 0.
    pub(crate) fn byte(&mut self) -> u8 {
        self.next().unwrap_or_default()
    }

    /// The next bytes, at most this many.
    pub(crate) fn take(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A number of eight bytes, the missing ones 0.
    pub(crate) fn number(&mut self) -> u64 {
        self.take(8).iter().fold(0, |number, byte| (number << 8) | u64::from(*byte))
    }

    /// One of these.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::from(self.byte()) % from.len()]
    }

    /// All that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// The stream in pieces of these lengths, over and over; whole if they are all zero.
pub(crate) fn cut<'a>(stream: &'a [u8], plan: &[u8]) -> Vec<&'a [u8]> {
    if plan.iter().all(|length| *length == 0) {
        return vec![stream];
    }
    let mut rest = stream;
    let mut pieces = Vec::new();
    for length in plan.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, left) = rest.split_at(rest.len().min(usize::from(*length)));
        pieces.push(piece);
        rest = left;
    }
    pieces
}
