//! Broadcasts that arrive one behind the other: judged one by one, kept together.
//!
//! A burst costs least when what its lines have in common is done once for all of them: one check
//! for UTF-8, one copy, one allocation. That copy holds new broadcasts and nothing else, and is
//! bounded. Whatever is not plain news, or not written as nodes write it, is left to
//! [`on`](super::on), which does the same line by line.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use crate::broadcast::trees::Steady;
use crate::broadcast::{Key, Verdict};
use crate::id::ConnId;
use crate::limits::MAX_BROADCAST_LINE;
use crate::links::Link;
use crate::message::{Delivery, Frame, Kind, Message, place};
use crate::node::on::range_of;
use crate::node::{Node, chat};
use crate::queue::Class;
use crate::seen::StreamId;
use crate::time::UnixTime;
use crate::wire::run::{Line, Run, START};

/// Bytes of lines that share one allocation, at most. 8 KiB: one of them that is kept alone keeps
/// no more than that, and dividing the cost of an allocation further would gain little.
pub(super) const MANY: usize = 8 * 1024;
/// Bytes that are looked at together at first, and after lines that were not plain news.
pub(super) const FEW: usize = 2 * 1024;

/// A broadcast that is new, and where it lies in the text it came in.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(super) struct News {
    key: Key,
    hole: Option<(u64, u64)>,
    time: UnixTime,
    line: Range<u32>,
    /// Both within the line.
    kind: Range<u32>,
    body: Range<u32>,
}

impl Node {
    /// Takes plain news off the front of what arrived. `most` says how many bytes to look at
    /// together.
    pub(super) fn hear_news(&mut self, conn: ConnId, rest: &mut &[u8], most: &mut usize) {
        while rest.starts_with(START) && self.takes_news(conn) {
            let Some(text) = whole_lines(rest, *most) else { return };
            let taken = self.hear_lines(conn, text);
            *rest = rest.get(taken..).unwrap_or_default();
            *most = if taken == text.len() { MANY } else { FEW };
            if taken < text.len() {
                return;
            }
        }
    }

    fn takes_news(&self, conn: ConnId) -> bool {
        self.links.get(conn).is_some_and(Link::is_between_lines)
    }

    /// Takes lines until one is not plain news. Returns how many bytes were taken.
    fn hear_lines(&mut self, conn: ConnId, text: &str) -> usize {
        let mut news = core::mem::take(&mut self.news);
        let mut lines = Run::of(text);
        let (mut taken, mut stream) = (0, None);
        while let Some(line) = lines.next().filter(|line| self.is_plain(line)) {
            if !line.same_stream {
                stream = stream_of(&line);
            }
            let Some(stream) = stream else { break };
            taken = line.to;
            self.stats.lines_in += 1;
            let key = (stream, line.said.seq);
            let verdict = self.broadcasts.hear(stream.0, stream.1, key.1, self.now, &mut self.rng);
            #[cfg(peerline_planted)]
            let verdict = self.plant_in_verdict(verdict, stream.0);
            if let Verdict::New { hole } = verdict {
                news.push(News::of(&line, key, hole));
            } else {
                self.tell_news(conn, text, &mut news);
                self.on_no_news(conn, key, verdict);
            }
        }
        self.tell_news(conn, text, &mut news);
        self.news = news;
        taken
    }

    /// Whether a line is delivered and passed on if only it is new.
    #[inline]
    fn is_plain(&self, line: &Line<'_>) -> bool {
        let len = line.to.saturating_sub(line.from).saturating_sub(1);
        let quoted = line.said.kind.text;
        let kind = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
        len <= MAX_BROADCAST_LINE.min(self.config.limits().max_line)
            && kind != chat::CHAT
            && !self.is_judged(kind)
    }

    fn on_no_news(&mut self, conn: ConnId, key: Key, verdict: Verdict) {
        match verdict {
            Verdict::New { .. } => {}
            Verdict::Duplicate => self.on_duplicate(conn, key),
            Verdict::NotTaken => self.stats.not_taken += 1,
            Verdict::Impersonated { new_epoch } => self.on_impersonated(conn, new_epoch),
        }
    }

    /// Keeps, passes on and delivers what is new. The lines follow each other in the text.
    fn tell_news(&mut self, conn: ConnId, text: &str, news: &mut Vec<News>) {
        let (Some(first), Some(last)) = (news.first(), news.last()) else { return };
        let (from, to) = (first.line.start, last.line.end);
        let text: Arc<str> = text.get(from as usize..to as usize).unwrap_or_default().into();
        let (via, link) = (self.speaker(conn), self.carrier(conn));
        self.count_news(link, news.len() as u64);
        let mut going: Option<Going> = None;
        #[cfg(peerline_planted)]
        self.plant_in_news(news);
        for new in news.drain(..) {
            let line = new.line.start.saturating_sub(from)..new.line.end.saturating_sub(from);
            let (frame, stream) = (Frame::part(&text, &line), new.key.0);
            if going.as_ref().is_none_or(|going| going.stream != stream) {
                self.learn_way(stream.0, via);
                going = None;
            }
            self.spread(&new, frame.clone(), link, &mut going);
            self.deliver(Message {
                frame,
                from: stream.0.into(),
                conn,
                delivery: Delivery::Broadcast,
                time: new.time,
                kind: Kind::Plain(new.kind),
                body: new.body,
                token: None,
            });
        }
    }

    /// Gives a broadcast to the trees, and does what they order.
    fn spread(&mut self, new: &News, frame: Frame, link: ConnId, going: &mut Option<Going>) {
        let (key @ (stream, seq), now) = (new.key, self.now);
        let mut orders = core::mem::take(&mut self.orders);
        let trees = &mut self.broadcasts.trees;
        let steady = match going {
            Some(Going { steady, .. }) if steady.is_none() => {
                *steady = trees.steady(key, link, now);
                steady.as_ref()
            }
            Some(Going { steady, .. }) => steady.as_ref(),
            None => None,
        };
        match steady.filter(|steady| steady.holds_for(seq, new.hole)) {
            Some(steady) => trees.received_more(key, frame, steady, now, &mut orders),
            None => {
                trees.received(key, frame, link, new.hole, now, &mut orders);
                *going = Some(Going { stream, steady: None });
            }
        }
        #[cfg(peerline_planted)]
        self.plant_in_orders(&mut orders);
        if orders.is_empty() {
            self.orders = orders;
        } else {
            self.stats.forwarded += self.carry_out(orders, Class::Forwarded).queued as u64;
        }
    }
}

#[cfg(peerline_planted)]
impl Node {
    /// A planted bug: of broadcasts that are taken together, each has the body of the first.
    fn plant_in_news(&self, news: &mut [News]) {
        if !self.is_planted(crate::planted::Bug::FirstOfMany) {
            return;
        }
        if let Some((first, others)) = news.split_first_mut() {
            others.iter_mut().for_each(|news| news.body = first.body.clone());
        }
    }
}

/// The stream of the broadcast before, and what the trees say of more of it.
struct Going {
    stream: StreamId,
    steady: Option<Steady>,
}

impl News {
    #[inline]
    fn of(line: &Line<'_>, key: Key, hole: Option<(u64, u64)>) -> Self {
        let kind = range_of(&line.said.kind);
        Self {
            key,
            hole,
            time: UnixTime::from_millis(line.said.time),
            line: place(line.from)..place(line.to),
            kind: kind.start.saturating_add(1)..kind.end.saturating_sub(1),
            body: range_of(&line.said.msg),
        }
    }
}

/// The whole lines among the first bytes, if they are text.
fn whole_lines(rest: &[u8], most: usize) -> Option<&str> {
    let near = rest.get(..most).unwrap_or(rest);
    let end = memchr::memrchr(b'\n', near)?;
    core::str::from_utf8(near.get(..=end)?).ok()
}

fn stream_of(line: &Line<'_>) -> Option<StreamId> {
    Some((line.said.originator.parse().ok()?, u32::try_from(line.said.epoch).ok()?))
}
