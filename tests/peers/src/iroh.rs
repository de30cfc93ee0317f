//! iroh-gossip over QUIC, without relays, on loopback only.
//!
//! It keeps a network of its own among those that join: links are its choice, so one is enough
//! here. Everything that would talk to other hosts is off. Messages of 16 KiB need a higher limit
//! than the 4 KiB it comes with; the rest is as it comes.

use std::net::SocketAddr;
use std::sync::Arc;

use futures::StreamExt;
use iroh::address_lookup::memory::MemoryLookup;
use iroh::endpoint::{PortmapperConfig, presets};
use iroh::protocol::Router;
use iroh::{Endpoint, EndpointAddr, EndpointId, RelayMode};
use iroh_gossip::api::{Event, GossipReceiver, GossipSender};
use iroh_gossip::net::{GOSSIP_ALPN, Gossip};
use iroh_gossip::proto::TopicId;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::body;
use crate::child::{Meter, Next, Pace, Task, WARM};
use crate::remote::{Command, Links, Remote};

const TOPIC: TopicId = TopicId::from_bytes([7; 32]);
/// What it comes with, and what messages of 16 KiB need.
const MESSAGES: [usize; 2] = [4096, 64 * 1024];

pub(crate) fn start(task: &Task, meter: &Arc<Meter>, free: bool) -> Remote {
    let (task, meter) = (task.clone(), Arc::clone(meter));
    Remote::start(free, move |commands, links, tell| async move {
        let lookup = MemoryLookup::new();
        let endpoint = Endpoint::builder(presets::Minimal)
            .relay_mode(RelayMode::Disabled)
            .portmapper_config(PortmapperConfig::Disabled)
            .address_lookup(lookup.clone())
            .clear_ip_transports()
            .bind_addr("127.0.0.1:0")
            .expect("an address")
            .bind()
            .await
            .expect("a port");
        let most = MESSAGES[usize::from(task.size > 3500)];
        let gossip = Gossip::builder().max_message_size(most).spawn(endpoint.clone());
        let router = Router::builder(endpoint.clone()).accept(GOSSIP_ALPN, gossip.clone()).spawn();
        let topic = gossip.subscribe(TOPIC, Vec::new()).await.expect("a topic");
        let (sender, receiver) = topic.split();
        tell(format!("{}@{}", endpoint.id(), endpoint.bound_sockets()[0]));
        let hearing = tokio::spawn(async move { hear(receiver, &links, &meter).await });
        obey(commands, sender, lookup, task.size).await;
        hearing.abort();
        drop(router);
    })
}

async fn hear(mut receiver: GossipReceiver, links: &Links, meter: &Meter) {
    while let Some(Ok(event)) = receiver.next().await {
        match event {
            Event::Received(message) => meter.got(message.content.first().copied()),
            Event::NeighborUp(_) => links.set(usize::MAX), // it links whom it likes
            Event::NeighborDown(_) => {}
            Event::Lagged => eprintln!("iroh-gossip: the subscriber was too slow"),
        }
    }
}

async fn obey(
    mut commands: UnboundedReceiver<Command>,
    sender: GossipSender,
    lookup: MemoryLookup,
    size: usize,
) {
    let (mut publishing, mut number): (Option<Pace>, u64) = (None, 0);
    while let Some(command) = commands.recv().await {
        match command {
            Command::Dial(to) => {
                let (id, addr) = to.split_once('@').expect("an id and an address");
                let id: EndpointId = id.parse().expect("an id");
                let addr: SocketAddr = addr.parse().expect("an address");
                lookup.add_endpoint_info(EndpointAddr::new(id).with_ip_addr(addr));
                sender.join_peers(vec![id]).await.expect("the node runs");
            }
            Command::Warm => {
                number += 1;
                let body = body(WARM, number, size);
                sender.broadcast(body.into()).await.expect("the node runs");
            }
            Command::Begin(pace) => publishing = Some(pace),
            Command::Resume => {}
        }
        let Some(pace) = &mut publishing else { continue };
        while let Next::Publish(what) = pace.next() {
            number += 1;
            let body = body(what, number, size);
            sender.broadcast(body.into()).await.expect("the node runs");
            pace.sent(what, 1);
        }
    }
}
