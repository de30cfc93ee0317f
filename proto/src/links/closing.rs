//! How connections end in order: what is queued goes out, then `bye`, then our half is shut and the
//! other's end awaited.
//!
//! One that lost to another connection of its peer is read to its end, for broadcasts and messages
//! that are on their way; of any other that ends nothing is taken, and nothing kept that it began.

use super::{Link, Links};
use crate::action::Action;
use crate::id::{ConnId, PeerId};
use crate::limits::LOSERS;
use crate::message::Frame;
use crate::queue::Class;
use crate::session::btpeer::Exchange;
use crate::session::{Closing, Phase};
use crate::time::Instant;
use crate::wire::framing::Framer;

impl Link {
    /// Whether it lost to another and is read to its end.
    fn is_loser(&self) -> bool {
        matches!(&self.phase, Phase::Closing(closing) if closing.loser.is_some())
    }

    /// Nothing that comes is taken any more, nor what came of an unfinished line.
    fn read_no_more(&mut self) {
        self.framer = Framer::default();
        if let Phase::Closing(closing) = &mut self.phase {
            closing.loser = None;
        }
    }
}

impl Links {
    /// The connection that has been closing longest, if there are more than `most`.
    pub(crate) fn one_closing_too_many(&self, most: usize) -> Option<ConnId> {
        let oldest = self.closing.first().map(|(_, conn)| *conn);
        oldest.filter(|_| self.closing.len() > most)
    }

    /// Ends a connection in order: what is queued goes out, then `bye`, then our half is shut and
    /// the other's end awaited, all of it not after `latest`. A guest that we answered may go on
    /// reading as long as an exchange takes: a file is more than a slow line carries in
    /// `flush_timeout`.
    pub(crate) fn close(
        &mut self,
        conn: ConnId,
        bye: Option<Frame>,
        loser: Option<PeerId>,
        latest: Instant,
        now: Instant,
    ) {
        if let Some(bye) = bye {
            // The lowest class, so that nothing queued before it comes after it.
            let _without_bye_if_full = self.push(conn, bye, Class::Forwarded, self.control_limit());
        }
        self.resume(conn, now);
        self.greeted(conn);
        drop(self.take_question(conn));
        let flush = self.flush_timeout;
        let answered = flush.max(self.guest_timeout);
        let until = (now + flush).min(latest);
        let Some(link) = self.get_mut(conn) else { return };
        let is_answered = matches!(link.phase, Phase::Guest(Exchange::Answering { .. }));
        let latest = if is_answered { (now + answered).min(latest) } else { until };
        let ended = match &link.phase {
            Phase::Ready(ready) => ready.superseded.is_some_and(|superseded| superseded.ended),
            Phase::Guest(Exchange::Answering { ended, .. }) => *ended,
            Phase::Dialing { .. }
            | Phase::Greeting(_)
            | Phase::Guest(Exchange::Visiting(_) | Exchange::Telling { .. })
            | Phase::Closing(_) => false,
        };
        let (since, is_loser) = (now, loser.is_some());
        link.phase =
            Phase::Closing(Closing { since, until, latest, finished: false, ended, loser });
        if !is_loser {
            link.read_no_more();
        }
        self.closing.insert((since, conn));
        if is_loser {
            self.read_few_losers();
        }
        self.finish_if_flushed(conn, now);
        self.reschedule(conn, now);
    }

    /// Of the connections that lost to others, so many are read to their ends; the oldest of more
    /// is not.
    fn read_few_losers(&mut self) {
        let lost = |conn: ConnId| self.get(conn).is_some_and(Link::is_loser);
        let mut losers = self.closing.iter().map(|(_, conn)| *conn).filter(|conn| lost(*conn));
        let oldest = losers.next();
        let too_many = losers.count() >= LOSERS;
        if let Some(link) = oldest.filter(|_| too_many).and_then(|conn| self.get_mut(conn)) {
            link.read_no_more();
        }
    }

    /// The other side ended its half of a closing connection. If ours is shut too it is over, and
    /// no frame is lost: all went out before.
    pub(crate) fn ended(&mut self, conn: ConnId) {
        let Some(link) = self.get_mut(conn) else { return };
        let Phase::Closing(closing) = &mut link.phase else { return };
        closing.ended = true;
        if closing.finished {
            self.drop_now(conn);
        }
    }

    pub(super) fn finish_if_flushed(&mut self, conn: ConnId, now: Instant) {
        let (linger, flush) = (self.linger, self.flush_timeout);
        let Some(link) = self.get_mut(conn) else { return };
        let flushed = link.queue.is_empty();
        let Phase::Closing(closing) = &mut link.phase else { return };
        if !flushed {
            let read_on = (link.progress + flush).min(closing.latest);
            closing.until = closing.until.max(read_on);
        }
        if !flushed || closing.finished {
            return;
        }
        closing.finished = true;
        closing.until = closing.until.min(now + linger);
        let ended = closing.ended;
        self.actions.push_back(Action::Finish { conn });
        if ended {
            self.drop_now(conn);
        }
        self.reschedule(conn, now);
    }
}
