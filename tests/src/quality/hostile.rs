//! What is measured of neighbours that do not what they should: who still gets everything, and what
//! it costs.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use peerline_proto::{NodeId, testing};

use super::scenarios::{Figures, Part, warm};
use super::{Manner, Quality, Setup};

/// So many of a hundred nodes behave in this manner while ten others publish, ten broadcasts a
/// second: what the others got.
pub fn mutes(setup: &Setup, percent: usize, manner: Manner, casts: usize) -> Figures {
    let mut net = warm(setup);
    let senders: BTreeSet<usize> = (0..10).map(|sender| sender * setup.count / 10).collect();
    let mutes = net.draw(setup.count * percent / 100, &senders);
    mutes.iter().for_each(|index| net.behave(*index, manner));
    let honest: BTreeSet<usize> = (0..net.len()).filter(|node| !mutes.contains(node)).collect();
    let others = net.watch(&honest) - 1;
    let part = Part::begin(&net);
    let turns: Vec<usize> = senders.iter().copied().collect();
    for number in 0..casts {
        net.publish(turns[number % turns.len()]);
        net.run_for(Duration::from_millis(100));
    }
    net.run_for(Duration::from_secs(35));
    part.end(&net, others)
}

/// So many of a hundred nodes flood all their neighbours ten times a second while ten others
/// publish: announcements of streams that do not exist, and of numbers still to come in those that
/// do; grafts of made-up streams; broadcasts under made-up ids and, with numbers far ahead, under
/// those of the publishers. What the others got.
pub fn floods(setup: &Setup, percent: usize, casts: usize) -> Figures {
    let mut net = warm(setup);
    let senders: BTreeSet<usize> = (0..10).map(|sender| sender * setup.count / 10).collect();
    let flooders = net.draw(setup.count * percent / 100, &senders);
    let honest: BTreeSet<usize> = (0..net.len()).filter(|node| !flooders.contains(node)).collect();
    let others = net.watch(&honest) - 1;
    let part = Part::begin(&net);
    let turns: Vec<usize> = senders.iter().copied().collect();
    for number in 0..casts {
        net.publish(turns[number % turns.len()]);
        for flooder in &flooders {
            let lines = nonsense(&mut net, &turns);
            net.say(*flooder, lines.as_bytes());
        }
        net.run_for(Duration::from_millis(100));
    }
    net.run_for(Duration::from_secs(35));
    part.end(&net, others)
}

/// What a flooder says at once: about 10 KiB.
fn nonsense(net: &mut Quality, senders: &[usize]) -> String {
    let mut lines = String::new();
    let made_up = |net: &mut Quality| {
        let mut id = [0; 16];
        id.iter_mut().for_each(|byte| *byte = net.below(256) as u8);
        (NodeId::from_random_bytes(id), net.below(1 << 31))
    };
    for _ in 0..2 {
        let ranges: Vec<String> = (0..60)
            .map(|number| {
                let (id, epoch) = made_up(net);
                match senders.get(number) {
                    Some(sender) => {
                        let (id, epoch) = (net.node(*sender).id(), net.epoch(*sender));
                        format!("[\"{id}\",{epoch},[[1,512,20]]]")
                    }
                    None => format!("[\"{id}\",{epoch},[[1,8,20]]]"),
                }
            })
            .collect();
        writeln!(lines, "{{\"msgtype\":\"ihave\",\"have\":[{}]}}", ranges.join(",")).unwrap();
    }
    for number in 0..8 {
        let (id, epoch) = made_up(net);
        let stream = format!("\"originator\":\"{id}\",\"epoch\":{epoch}");
        writeln!(lines, "{{\"msgtype\":\"graft\",{stream},\"want\":[[1,512]]}}").unwrap();
        let sender = senders[net.below(senders.len())];
        let far = 100_000 + net.below(1 << 30);
        let (id, epoch, seq) = match number % 4 {
            0 => (net.node(sender).id(), net.epoch(sender) as usize, far),
            _ => (id, epoch, 1),
        };
        let stream = format!("\"originator\":\"{id}\",\"epoch\":{epoch},\"seq\":{seq}");
        writeln!(
            lines,
            "{{\"msgtype\":\"broadcast\",{stream},\"time\":0,\"kind\":\"Q\",\"msg\":\"no\"}}"
        )
        .unwrap();
    }
    lines
}

impl Quality {
    fn epoch(&self, of: usize) -> u32 {
        testing::epoch(self.node(of))
    }
}
