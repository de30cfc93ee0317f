//! What is measured to show one rule of the trees: runs made so that it has something to do.
//!
//! Each is small, and most do what a network rarely does: publishers that are cut off, first words
//! that cross, neighbours that lie or lose what they push. The tables of usual runs are in
//! [`rows`](super::rows).

use std::collections::BTreeSet;
use std::time::Duration;

use peerline_proto::{Verdict, testing};

use super::scenarios::{Figures, Part, warm};
use super::{Manner, Quality, Setup, addr_of};

/// Publishers that push to one link alone lose that link and publish again 100 ms later: of 20
/// those to whom this can happen.
pub fn cut_off(setup: &Setup) -> Figures {
    let mut net = warm(setup);
    let speakers: Vec<usize> = net.draw(20, &BTreeSet::new()).into_iter().collect();
    for turn in 0..3 * speakers.len() {
        net.publish(speakers[turn % speakers.len()]);
        net.run_for(Duration::from_millis(100));
    }
    let part = Part::begin(&net);
    let mut missed = 0;
    for by in &speakers {
        let heard = net.pushed_to(*by);
        let [only] = heard[..] else { continue };
        if speakers.contains(&only) {
            continue;
        }
        net.stop(only);
        net.run_for(Duration::from_millis(100));
        let living: BTreeSet<usize> = net.living().collect();
        let others = net.watch(&living) - 1;
        let number = net.publish(*by);
        net.run_for(Duration::from_secs(1));
        missed += others - net.casts[number].got;
    }
    Figures { missed, ..part.end(&net, setup.count - 1) }
}

/// Three nodes publish where nobody ever spoke, so that all links but a few prune them, lose those
/// few, and go on: what so many broadcasts of each come to then.
pub fn begun_anew(setup: &Setup, each: usize) -> Figures {
    let mut net = setup.connected();
    let publishers = net.draw(3, &BTreeSet::new());
    let speak = |net: &mut Quality, each: usize| {
        for by in (0..each).flat_map(|_| &publishers) {
            net.publish(*by);
            net.run_for(Duration::from_millis(100));
        }
        net.run_for(Duration::from_secs(1));
    };
    speak(&mut net, 10);
    let heard: BTreeSet<usize> = publishers.iter().flat_map(|by| net.pushed_to(*by)).collect();
    heard.difference(&publishers).for_each(|child| net.stop(*child));
    net.run_for(Duration::from_secs(1));
    let living: BTreeSet<usize> = net.living().collect();
    let others = net.watch(&living) - 1;
    net.forget_ways();
    let part = Part::begin(&net);
    speak(&mut net, each);
    part.end(&net, others)
}

/// So many nodes publish at once where nobody ever spoke; then 20 others, one a second.
pub fn crossing(setup: &Setup, together: usize) -> Figures {
    let mut net = setup.connected();
    let speakers = net.draw(together, &BTreeSet::new());
    for by in &speakers {
        net.publish(*by);
    }
    net.run_for(Duration::from_secs(3));
    net.forget_ways();
    let part = Part::begin(&net);
    for by in net.draw(20, &speakers) {
        net.publish(by);
        net.run_for(Duration::from_secs(1));
    }
    part.end(&net, setup.count - 1)
}

/// 30 of a hundred nodes forward nothing, and announce each broadcast at once, as if they had had
/// it long before, while ten others publish, ten broadcasts a second: what the honest got of the
/// second half.
pub fn boasters(setup: &Setup, casts: usize) -> Figures {
    let mut net = warm(setup);
    let senders: BTreeSet<usize> = (0..10).map(|sender| sender * setup.count / 10).collect();
    let liars = net.draw(setup.count * 30 / 100, &senders);
    liars.iter().for_each(|index| net.behave(*index, Manner::Silent));
    let honest: BTreeSet<usize> = (0..net.len()).filter(|node| !liars.contains(node)).collect();
    let others = net.watch(&honest) - 1;
    let turns: Vec<usize> = senders.iter().copied().collect();
    let mut part = Part::begin(&net);
    for number in 0..casts {
        if number == casts / 2 {
            net.run_for(Duration::from_secs(1));
            net.forget_ways();
            part = Part::begin(&net);
        }
        let by = turns[number % turns.len()];
        net.publish(by);
        let node = net.node(by);
        let seq = number / turns.len() + 1 + usize::from(by == 0); // who warmed the network
        let stream = format!("\"{}\",{}", node.id(), testing::epoch(node));
        let line = format!("{{\"msgtype\":\"ihave\",\"have\":[[{stream},[[{seq},{seq},150]]]]}}\n");
        liars.iter().for_each(|liar| net.say(*liar, line.as_bytes()));
        net.run_for(Duration::from_millis(100));
    }
    net.run_for(Duration::from_secs(35));
    part.end(&net, others)
}

/// Every node loses a fifth of what it pushes and knows nothing of it, while ten publish, 100
/// broadcasts a second.
pub fn careless(setup: &Setup, casts: usize) -> Figures {
    let mut net = warm(setup);
    (0..net.len()).for_each(|index| net.behave(index, Manner::Careless));
    let part = Part::begin(&net);
    for number in 0..casts {
        net.publish(number % 10 * setup.count / 10);
        net.run_for(Duration::from_millis(10));
    }
    net.run_for(Duration::from_secs(35));
    part.end(&net, setup.count - 1)
}

/// One node publishes 500 broadcasts a second, nine others two, and every node loses a fifth of
/// what it pushes: what is missed of the nine, where caches are so small that a flood fills them
/// before anything is repaired.
pub fn drowned(setup: &Setup, seconds: usize) -> Figures {
    let mut net = warm(setup);
    (0..net.len()).for_each(|index| net.behave(index, Manner::Careless));
    let part = Part::begin(&net);
    let mut calm = Vec::new();
    for number in 0..500 * seconds {
        net.publish(1);
        if number % 28 == 0 {
            let turn = number / 28 % 9 + 1;
            calm.push(net.publish(turn * setup.count / 10));
        }
        net.run_for(Duration::from_millis(2));
    }
    net.run_for(Duration::from_secs(35));
    let missed = calm.iter().map(|number| setup.count - 1 - net.casts[*number].got).sum();
    Figures { missed, ..part.end(&net, setup.count - 1) }
}

/// The first words of a network whose every node takes 100 ms to accept a broadcast, as its
/// configuration has to say.
pub fn judged(setup: &Setup) -> Figures {
    let mut net = setup.connected();
    let part = Part::begin(&net);
    net.publish(0);
    for _ in 0..500 {
        net.run_for(Duration::from_millis(5));
        net.accept_what_waits(Duration::from_millis(100));
    }
    part.end(&net, setup.count - 1)
}

/// A part of the network is not connected to the rest while ten nodes publish, and is then.
pub fn late_link(setup: &Setup) -> Figures {
    let mut net = Quality::new(setup);
    net.connect_two_halves(8);
    let part = Part::begin(&net);
    for by in 0..10 {
        net.publish(by);
    }
    net.run_for(Duration::from_secs(2));
    net.bridge();
    net.run_for(Duration::from_secs(10));
    part.end(&net, setup.count - 1)
}

/// Ten nodes have one neighbour, which has 64 KiB a second for each of them. All the others speak,
/// more than that, and then this neighbour, what fits its queues only in place of what waits there.
pub fn behind_one(setup: &Setup) -> Figures {
    let (mut net, behind) = (Quality::new(setup), setup.count - 10);
    for index in 0..setup.count {
        let others = match index < behind {
            true => net.draw(8, &(behind..setup.count).chain([index]).collect()),
            false => BTreeSet::from([0]),
        };
        let now = net.now;
        for other in others {
            net.nodes[index].node.dial(addr_of(other), now).ok();
        }
        net.after(index);
    }
    net.run_for(Duration::from_secs(3));
    let wires = net.nodes[0].conns.values_mut().filter(|wire| wire.peer >= behind);
    wires.for_each(|wire| wire.narrow = Some(64 * 1024));
    let part = Part::begin(&net);
    for number in 0..1000 {
        net.publish(1 + number % (behind - 1));
        net.run_for(Duration::from_millis(5));
    }
    for _ in 0..300 {
        net.publish(0);
    }
    net.run_for(Duration::from_secs(60));
    part.end(&net, setup.count - 1)
}

impl Quality {
    /// To whom a node pushes what it publishes.
    fn pushed_to(&self, by: usize) -> Vec<usize> {
        let stream = (self.node(by).id(), testing::epoch(self.node(by)));
        let (eager, _) = testing::tree(self.node(by), stream);
        let wires = eager.iter().filter_map(|conn| self.nodes[by].conns.get(conn));
        wires.map(|wire| wire.peer).collect()
    }

    /// Accepts the broadcasts that have waited for a verdict for so long.
    fn accept_what_waits(&mut self, time: Duration) {
        let is_due = |(since, _, _): &&_| self.now.saturating_since(*since) >= time;
        let due = self.waiting.iter().take_while(is_due).count();
        let due: Vec<_> = self.waiting.drain(..due).collect();
        for (_, index, token) in due {
            self.with_node(index, |node, now| node.verdict(token, Verdict::Accept, now));
        }
    }
}
