//! `peerline demo`: six nodes on two runtimes meet, talk, lose one of them, and talk on.
//!
//! Decides the story and tells it as it happens. Nothing waits for a time to pass: each chapter
//! ends when what it waits for has happened, and fails when that takes too long. What was due and
//! what arrived is in [`ledger`], the nodes are in [`cast`], the last word is in [`summary`].

mod cast;
mod ledger;
mod summary;

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use peerline_mio::PeerId;

use crate::end::{End, Failure};
use cast::{Actor, CAST, Report, What};
use ledger::{Ledger, Letter, Purpose};

/// How long all chapters together may take. They need a fraction of a second; this is for a
/// machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(8);

/// How long the nodes may take to part at the end.
const PARTING: Duration = Duration::from_secs(1);

/// The one who dies: the first of the cast, through whom all the others met.
const VICTIM: usize = 0;

/// Tells the story; [`End::Done`] if all went as it should.
pub(crate) fn run() -> Result<End, Failure> {
    let mut story = Story::begin()?;
    let is_whole = match story.chapters() {
        Ok(()) => true,
        Err(Stop::Late) => false,
        Err(Stop::Failed(failure)) => return Err(failure),
    };
    story.part();
    story.sum_up(is_whole)
}

/// Why the story stops before its end.
enum Stop {
    /// Something did not happen in time.
    Late,
    /// Something could not be done at all.
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// What is known so far.
struct Story {
    began: Instant,
    cast: Vec<Actor>,
    reports: Receiver<Report>,
    ledger: Ledger,
    /// For each node, each time it found another: whom.
    found: Vec<Vec<usize>>,
    /// For each node, each time it lost the victim: when, and why.
    losses: Vec<Vec<(Instant, String)>>,
    is_victim_dead: bool,
    /// The latest answer, and when it came.
    echo: Option<(Letter, Instant)>,
}

impl Story {
    /// Starts the nodes; all but the first know only the first.
    fn begin() -> Result<Self, Failure> {
        let began = Instant::now();
        let (tell, reports) = mpsc::channel();
        let mut cast: Vec<Actor> = Vec::new();
        for (at, role) in CAST.into_iter().enumerate() {
            let know = cast.first().and_then(Actor::addr);
            cast.push(cast::start(at, role, know, &tell)?);
        }
        let count = cast.len();
        Ok(Self {
            began,
            cast,
            reports,
            ledger: Ledger::default(),
            found: vec![Vec::new(); count],
            losses: vec![Vec::new(); count],
            is_victim_dead: false,
            echo: None,
        })
    }

    fn chapters(&mut self) -> Result<(), Stop> {
        self.introduce()?;
        self.find_each_other()?;
        self.broadcast(1, "Every node says something to all")?;
        self.write_to_each_other()?;
        self.lose_one()?;
        self.broadcast(2, "The others go on and say something to all")
    }

    // ---- the chapters

    fn introduce(&self) -> Result<(), Stop> {
        writeln!(io::stdout(), "Six nodes on two event loops, in one process")?;
        for (at, actor) in self.cast.iter().enumerate() {
            let knows = if at == 0 { "knows nobody" } else { "knows only the address of anna" };
            let addr = actor.addr().map_or_else(|| "nowhere".into(), |addr| addr.to_string());
            let (name, runtime) = (actor.name, actor.runtime.name());
            self.tell(format_args!("{name:5} on {runtime:4} listens at {addr}, {knows}"))?;
        }
        Ok(())
    }

    fn find_each_other(&mut self) -> Result<(), Stop> {
        headline("They find each other")?;
        let others = self.cast.len() - 1;
        while self.found.iter().any(|found| found.len() < others) {
            let at = self.hear()?;
            let found = self.found.get(at).cloned().unwrap_or_default();
            if found.len() == others {
                let (name, names) = (self.name(at), self.names(&found));
                self.tell(format_args!("{name:5} has found {names}"))?;
            }
        }
        Ok(())
    }

    fn broadcast(&mut self, round: u32, title: &str) -> Result<(), Stop> {
        headline(title)?;
        let began = Instant::now();
        let before = self.ledger.total();
        let alive = self.alive();
        for from in &alive {
            let letter = Letter { purpose: Purpose::News, from: *from, number: round };
            for to in alive.iter().filter(|to| *to != from) {
                self.ledger.expect(*to, letter);
            }
            let Some(actor) = self.cast.get(*from) else { continue };
            let body = (letter.from, letter.number);
            // How many neighbours took it is no matter: who should get it is in the ledger.
            let _receipt = actor.handle.broadcast(letter.purpose.kind(), &body).wait()?;
        }
        while !self.ledger.is_complete() {
            self.hear()?;
        }
        let due = self.ledger.total().due - before.due;
        let (count, took) = (alive.len(), shown(began.elapsed()));
        self.tell(format_args!("{count} broadcasts, {due} arrivals within {took}"))?;
        Ok(())
    }

    fn write_to_each_other(&mut self) -> Result<(), Stop> {
        headline("Every node writes to every other, and is answered")?;
        let alive = self.alive();
        let mut trips = Vec::new();
        for from in &alive {
            for to in alive.iter().filter(|to| *to != from) {
                trips.push(self.round_trip(*from, *to)?);
            }
        }
        trips.sort_unstable();
        let at = |index: usize| trips.get(index).copied().map(shown).unwrap_or_default();
        let count = trips.len();
        let (least, median, most) = (at(0), at(count / 2), at(count - 1));
        self.tell(format_args!("{count} messages and {count} answers, one after the other"))?;
        self.tell(format_args!(
            "there and back: {least} at best, {median} median, {most} at most"
        ))?;
        Ok(())
    }

    /// Sends one note and waits for its answer.
    fn round_trip(&mut self, from: usize, to: usize) -> Result<Duration, Stop> {
        let number = u32::try_from(to).unwrap_or(u32::MAX);
        let note = Letter { purpose: Purpose::Note, from, number };
        let echo = Letter { purpose: Purpose::Echo, from: to, number };
        self.ledger.expect(to, note);
        self.ledger.expect(from, echo);
        let sent = Instant::now();
        self.send(from, to, note)?;
        loop {
            match self.echo {
                Some((letter, when)) if letter == echo => return Ok(when.duration_since(sent)),
                Some(_) | None => self.hear()?,
            };
        }
    }

    fn send(&self, from: usize, to: usize, letter: Letter) -> Result<(), Stop> {
        let (Some(sender), Some(receiver)) = (self.cast.get(from), self.cast.get(to)) else {
            return Err(Stop::from("a node is missing"));
        };
        let body = (letter.from, letter.number);
        sender.handle.send(receiver.id(), letter.purpose.kind(), &body).wait()?;
        Ok(())
    }

    fn lose_one(&mut self) -> Result<(), Stop> {
        let name = self.name(VICTIM);
        headline(&format!("{name}, through whom they met, is killed"))?;
        let died = Instant::now();
        if !self.cast.get_mut(VICTIM).is_some_and(Actor::kill) {
            return Err(Stop::from("this node cannot be killed"));
        }
        self.is_victim_dead = true;
        self.tell(format_args!("{name} says nothing any more, not even bye"))?;
        let survivors = self.alive();
        while survivors.iter().any(|at| self.losses.get(*at).is_none_or(Vec::is_empty)) {
            self.hear()?;
        }
        for at in survivors {
            let Some((when, why)) = self.losses.get(at).and_then(|losses| losses.first()) else {
                continue;
            };
            let after = shown(when.duration_since(died));
            self.tell(format_args!("{:5} noticed after {after}: {why}", self.name(at)))?;
        }
        Ok(())
    }

    /// All who live say bye, and what they still had to report is heard: late repeats too.
    fn part(&mut self) {
        let alive = self.alive();
        let handles = alive.iter().filter_map(|at| self.cast.get(*at)).map(|actor| &actor.handle);
        let parting: Vec<_> = handles.map(|handle| handle.shutdown(PARTING)).collect();
        for stopped in parting {
            // A node that has stopped already is what we want.
            stopped.wait().ok();
        }
        // The reports end when the last node's handlers are gone.
        while let Ok(report) = self.reports.recv_timeout(PARTING) {
            self.note(report);
        }
    }

    fn sum_up(&self, is_whole: bool) -> Result<End, Failure> {
        let row = |(at, actor): (usize, &Actor)| summary::Row {
            name: actor.name,
            runtime: actor.runtime.name(),
            found: self.found.get(at).map_or(0, Vec::len),
            counts: [Purpose::News, Purpose::Note, Purpose::Echo]
                .map(|purpose| self.ledger.count(at, purpose)),
            losses: (at != VICTIM).then(|| self.losses.get(at).map_or(0, Vec::len)),
        };
        let rows: Vec<_> = self.cast.iter().enumerate().map(row).collect();
        let verdict = summary::Verdict { is_whole, rows: &rows, ledger: &self.ledger };
        headline("Summary")?;
        write!(io::stdout(), "{}", summary::table(&rows))?;
        writeln!(io::stdout(), "\n{verdict} ({})", shown(self.began.elapsed()))?;
        Ok(if verdict.is_good() { End::Done } else { End::Failed })
    }

    // ---- what happens

    /// Waits for something to happen, and says to whom it did.
    fn hear(&mut self) -> Result<usize, Stop> {
        let left = PATIENCE.saturating_sub(self.began.elapsed());
        let Ok(report) = self.reports.recv_timeout(left) else {
            self.tell("... and nothing happens any more")?;
            return Err(Stop::Late);
        };
        let at = report.at;
        self.note(report);
        Ok(at)
    }

    fn note(&mut self, Report { at, when, what }: Report) {
        match what {
            What::Up(peer) => self.note_up(at, &peer),
            What::Down(peer, why) => self.note_down(at, &peer, when, why),
            What::Letter(letter, sender) if self.is_from(letter, &sender) => {
                self.ledger.arrived(at, letter);
                if letter.purpose == Purpose::Echo {
                    self.echo = Some((letter, when));
                }
            }
            What::Letter(..) | What::Stray => self.ledger.stray(),
        }
    }

    fn note_up(&mut self, at: usize, peer: &PeerId) {
        let who = self.who(peer);
        if let (Some(found), Some(who)) = (self.found.get_mut(at), who) {
            found.push(who);
        }
    }

    fn note_down(&mut self, at: usize, peer: &PeerId, when: Instant, why: String) {
        let is_loss = self.who(peer) == Some(VICTIM);
        if let Some(losses) = self.losses.get_mut(at).filter(|_| is_loss) {
            losses.push((when, why));
        }
    }

    // ---- who is who

    fn alive(&self) -> Vec<usize> {
        let is_alive = |at: &usize| !(self.is_victim_dead && *at == VICTIM);
        (0..self.cast.len()).filter(is_alive).collect()
    }

    fn who(&self, peer: &PeerId) -> Option<usize> {
        let id = peer.node()?;
        self.cast.iter().position(|actor| actor.id() == id)
    }

    fn is_from(&self, letter: Letter, sender: &PeerId) -> bool {
        self.cast.get(letter.from).is_some_and(|actor| Some(actor.id()) == sender.node())
    }

    fn name(&self, at: usize) -> &'static str {
        self.cast.get(at).map_or("nobody", |actor| actor.name)
    }

    fn names(&self, all: &[usize]) -> String {
        all.iter().map(|at| self.name(*at)).collect::<Vec<_>>().join(", ")
    }

    // ---- how it is told

    fn tell(&self, line: impl Display) -> io::Result<()> {
        writeln!(io::stdout(), "  {:6.3} s  {line}", self.began.elapsed().as_secs_f64())
    }
}

fn headline(title: &str) -> io::Result<()> {
    writeln!(io::stdout(), "\n{title}")
}

/// A time as people read it.
fn shown(time: Duration) -> String {
    let micros = time.as_micros();
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", time.as_secs_f64() * 1e3),
        1_000_000.. => format!("{:.1} s", time.as_secs_f64()),
    }
}
