//! Answers to who asks for addresses, kept so that asking again teaches nothing new.
//!
//! All of one network group get the same answer for a while: however many places somebody asks
//! from, the book is not read out that way, and who is connected to whom is not seen to change.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::group::Group;
use crate::id::PeerId;
use crate::limits::ANSWERS;
use crate::sorted::SortedMap;
use crate::time::Instant;

/// How long an answer is the same. 10 min: an address in it may then have been silent for a
/// quarter of an hour, and is still better than none.
const ANSWER_FOR: Duration = Duration::from_secs(600);

/// An address that is told: who is there, and when it was last heard.
pub(crate) type Told = (SocketAddr, PeerId, Instant);

/// The answers, by the group of who asks.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Answers {
    /// At most [`ANSWERS`].
    kept: SortedMap<Group, (Instant, Vec<Told>)>,
}

impl Answers {
    /// What this group was told, if that is not long ago.
    pub(crate) fn get(&self, group: Group, now: Instant) -> Option<&[Told]> {
        let (at, told) = self.kept.get(&group)?;
        (now.saturating_since(*at) < ANSWER_FOR).then_some(told.as_slice())
    }

    /// Keeps what a group is told. The oldest answer makes room.
    pub(crate) fn keep(&mut self, group: Group, told: Vec<Told>, now: Instant) {
        self.kept.retain(|_, (at, _)| now.saturating_since(*at) < ANSWER_FOR);
        if self.kept.len() >= ANSWERS {
            let oldest = self.kept.iter().min_by_key(|(_, (at, _))| *at).map(|(group, _)| *group);
            oldest.and_then(|group| self.kept.remove(&group));
        }
        self.kept.insert(group, (now, told));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_for_ten_minutes_and_the_oldest_goes_first() {
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        let group = |number: u8| Group::V4([number, 0]);
        let told = |number: u8| {
            let addr = SocketAddr::from(([number, 0, 0, 1], 1));
            alloc::vec![(addr, PeerId::Guest("x".into()), at(0))]
        };
        let mut answers = Answers::default();
        for number in 0..=64 {
            answers.keep(group(number), told(number), at(u64::from(number)));
        }
        assert_eq!(answers.kept.len(), ANSWERS);
        assert_eq!(answers.get(group(0), at(64)), None, "the oldest made room");
        assert_eq!(answers.get(group(1), at(600)), Some(told(1).as_slice()));
        assert_eq!(answers.get(group(1), at(601)), None);
        answers.keep(group(1), told(9), at(2000));
        assert_eq!(answers.get(group(1), at(2000)), Some(told(9).as_slice()));
        assert_eq!(answers.kept.len(), 1, "what is old takes no memory");
    }
}
