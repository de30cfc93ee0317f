//! The pipes that there are, by number. Numbers count from 1 and are given once, so a place in a
//! row is all it takes to find one; a pipe that is over leaves a hole, and holes in front are cut
//! off.

use std::collections::VecDeque;

use crate::net::pipe::Pipe;

/// The pipes.
#[derive(Debug, Default)]
pub(crate) struct Pipes {
    row: VecDeque<Option<Box<Pipe>>>,
    /// The number of the first in the row, but for one: how many were cut off.
    gone: u64,
    /// How many there are.
    count: usize,
}

impl Pipes {
    /// Adds one and returns its number.
    pub(crate) fn add(&mut self, pipe: Pipe) -> u64 {
        self.row.push_back(Some(Box::new(pipe)));
        self.count += 1;
        self.made()
    }

    /// How many there ever were: the last one's number.
    pub(crate) fn made(&self) -> u64 {
        self.gone + self.row.len() as u64
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Pipe> {
        self.row.get(self.place(number)?)?.as_deref()
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Pipe> {
        let place = self.place(number)?;
        self.row.get_mut(place)?.as_deref_mut()
    }

    pub(crate) fn remove(&mut self, number: u64) {
        let hole = self.place(number).and_then(|place| self.row.get_mut(place));
        self.count -= usize::from(hole.is_some_and(|hole| hole.take().is_some()));
        while self.row.front().is_some_and(Option::is_none) {
            self.row.pop_front();
            self.gone += 1;
        }
    }

    /// All of them with their numbers, the oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Pipe)> {
        let numbered = (self.gone + 1..).zip(&self.row);
        numbered.filter_map(|(number, pipe)| Some((number, pipe.as_deref()?)))
    }

    fn place(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.gone + 1)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::net::pipe::Line;

    #[test]
    fn a_number_finds_its_pipe_until_it_is_removed_and_never_again() {
        let line = Line { latency: Duration::ZERO, window: 1, bandwidth: 1 };
        let mut pipes = Pipes::default();
        let numbers: Vec<u64> = (0..5).map(|_| pipes.add(Pipe::new(line))).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5]);
        for (gone, left) in [(2, 4), (1, 3), (5, 2), (1, 2), (9, 2), (0, 2)] {
            pipes.remove(gone);
            let there: Vec<u64> = pipes.iter().map(|(number, _)| number).collect();
            assert_eq!((pipes.len(), there.len()), (left, left));
            let known = |number| pipes.get(number).is_some();
            assert!((0..9).all(|number| known(number) == there.contains(&number)), "{pipes:?}");
        }
        assert_eq!((pipes.add(Pipe::new(line)), pipes.made()), (6, 6));
        assert!(pipes.get_mut(6).is_some() && pipes.get_mut(5).is_none());
    }
}
