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

/// The worst at once: of a hundred nodes 30 forward nothing, five flood all their neighbours ten
/// times a second and serve nothing, two say garbage, which is no JSON, as often, and two say
/// nothing but a byte every 10 s. A flood is announcements of streams that do not exist, and of
/// numbers still to come in those that do; grafts of made-up streams; broadcasts under made-up ids,
/// and, 40 once a second, under the id of one who publishes, with numbers ahead of his.
/// Ten others publish, ten broadcasts a second. What the honest got.
///
/// Nobody forges the numbers that those ten will use: that is not prevented without signatures.
pub fn floods(setup: &Setup, casts: usize) -> Figures {
    let mut net = warm(setup);
    let senders: BTreeSet<usize> = (0..10).map(|sender| sender * setup.count / 10).collect();
    let mut others = senders.clone();
    let [_, flooders, babblers, drippers] =
        [(30, Manner::Silent), (5, Manner::Deaf), (2, Manner::Silent), (2, Manner::Mute)].map(
            |(percent, manner)| {
                let drawn = net.draw(setup.count * percent / 100, &others);
                drawn.iter().for_each(|index| net.behave(*index, manner));
                others.extend(&drawn);
                drawn
            },
        );
    let hostile: BTreeSet<usize> = others.difference(&senders).copied().collect();
    let honest: BTreeSet<usize> = (0..net.len()).filter(|node| !hostile.contains(node)).collect();
    let others = net.watch(&honest) - 1;
    let part = Part::begin(&net);
    let turns: Vec<usize> = senders.iter().copied().collect();
    for number in 0..casts {
        net.publish(turns[number % turns.len()]);
        for flooder in &flooders {
            let mut lines = nonsense(&mut net, &turns);
            if number % 10 == 0 {
                lines.push_str(&forged(&mut net, &turns));
            }
            net.say(*flooder, lines.as_bytes());
        }
        babblers.iter().for_each(|babbler| net.say(*babbler, b"\x00garbage\n"));
        drippers.iter().filter(|_| number % 100 == 0).for_each(|dripper| net.say(*dripper, b"{"));
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
    for _ in 0..8 {
        let (id, epoch) = made_up(net);
        let stream = format!("\"originator\":\"{id}\",\"epoch\":{epoch}");
        let said = "\"seq\":1,\"time\":0,\"kind\":\"Q\",\"msg\":\"no\"";
        writeln!(lines, "{{\"msgtype\":\"graft\",{stream},\"want\":[[1,512]]}}").unwrap();
        writeln!(lines, "{{\"msgtype\":\"broadcast\",{stream},{said}}}").unwrap();
    }
    lines
}

/// What a flooder says in the name of one who publishes: more than a stream may have holes.
fn forged(net: &mut Quality, senders: &[usize]) -> String {
    let sender = senders[net.below(senders.len())];
    let (id, epoch) = (net.node(sender).id(), net.epoch(sender));
    let line = |seq: usize| {
        format!(
            "{{\"msgtype\":\"broadcast\",\"originator\":\"{id}\",\"epoch\":{epoch},\"seq\":{seq},\
             \"time\":0,\"kind\":\"Q\",\"msg\":\"no\"}}\n"
        )
    };
    let far: String = (1..40).map(|_| line(100_000 + net.below(1 << 30))).collect();
    line(200) + &far // 200: near enough for what is missing below to be asked for
}

impl Quality {
    fn epoch(&self, of: usize) -> u32 {
        testing::epoch(self.node(of))
    }
}
