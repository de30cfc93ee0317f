//! libp2p's gossipsub over TCP and yamux, with the settings it comes with.
//!
//! *Signed*, with noise, is as it comes. *Anonymous* leaves authors and signatures out; messages
//! then are told apart by their first nine bytes, the cheapest way there is. The publisher makes
//! some messages, lets the swarm work, and goes on.

use std::sync::Arc;
use std::task::Poll;

use futures::{FutureExt, StreamExt};
use libp2p::gossipsub::{
    Behaviour, ConfigBuilder, Event, IdentTopic, MessageAuthenticity, MessageId, ValidationMode,
};
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, Swarm, SwarmBuilder, identity::Keypair, noise, plaintext, tcp, yamux};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::body;
use crate::child::{Meter, Next, Pace, Task, WARM};
use crate::remote::{Command, Links, Remote};

/// Messages made between two looks at the swarm.
const AT_ONCE: u64 = 16;

/// Who signs and who encrypts.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    Signed,
    Noise,
    Plain,
}

pub(crate) fn start(task: &Task, meter: &Arc<Meter>, way: Way, free: bool) -> Remote {
    let (task, meter) = (task.clone(), Arc::clone(meter));
    Remote::start(free, move |commands, links, tell| async move {
        let mut swarm = swarm(way);
        swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().expect("an address")).expect("a port");
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break address;
            }
        };
        tell(address.to_string());
        let topic = IdentTopic::new("news");
        swarm.behaviour_mut().subscribe(&topic).expect("a topic");
        let node = Node { swarm, topic, pace: None, number: 0, size: task.size };
        node.run(commands, &links, &meter).await;
    })
}

fn swarm(way: Way) -> Swarm<Behaviour> {
    let builder = SwarmBuilder::with_new_identity().with_tokio();
    let made = |key: &Keypair| behaviour(way, key);
    if way == Way::Plain {
        let tcp = builder.with_tcp(tcp::Config::new(), plaintext_of, yamux::Config::default);
        return tcp.expect("TCP").with_behaviour(made).expect("a behaviour").build();
    }
    let tcp = builder.with_tcp(tcp::Config::new(), noise::Config::new, yamux::Config::default);
    let kept = |config: libp2p::swarm::Config| {
        config.with_idle_connection_timeout(std::time::Duration::from_secs(60))
    };
    let built = tcp.expect("TCP").with_behaviour(made).expect("a behaviour");
    built.with_swarm_config(kept).build()
}

fn plaintext_of(key: &Keypair) -> Result<plaintext::Config, std::convert::Infallible> {
    Ok(plaintext::Config::new(key))
}

fn behaviour(way: Way, key: &Keypair) -> Behaviour {
    let mut config = ConfigBuilder::default();
    let author = if way == Way::Signed {
        MessageAuthenticity::Signed(key.clone())
    } else {
        config.validation_mode(ValidationMode::Anonymous);
        config.message_id_fn(|message| MessageId::from(message.data[..9].to_vec()));
        MessageAuthenticity::Anonymous
    };
    Behaviour::new(author, config.build().expect("settings")).expect("settings")
}

struct Node {
    swarm: Swarm<Behaviour>,
    topic: IdentTopic,
    pace: Option<Pace>,
    number: u64,
    size: usize,
}

impl Node {
    async fn run(mut self, mut commands: UnboundedReceiver<Command>, links: &Links, meter: &Meter) {
        loop {
            let busy = self.publish_some();
            if busy {
                // What is ready, and a turn for the tasks of the connections.
                while let Some(event) = self.swarm.next().now_or_never().flatten() {
                    take(event, links, meter);
                }
                while let Ok(command) = commands.try_recv() {
                    self.obey(command);
                }
                yield_once().await;
                continue;
            }
            tokio::select! {
                event = self.swarm.select_next_some() => take(event, links, meter),
                command = commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Dial(to) => {
                let to: Multiaddr = to.parse().expect("an address");
                self.swarm.dial(to).expect("a dial");
            }
            Command::Warm => drop(self.publish(WARM)),
            Command::Begin(pace) => self.pace = Some(pace),
            Command::Resume => {}
        }
    }

    /// Whether more may follow at once.
    fn publish_some(&mut self) -> bool {
        let Some(mut pace) = self.pace.take() else { return false };
        let mut count = 0;
        while let Next::Publish(what) = pace.next() {
            if count == AT_ONCE || !self.publish(what) {
                self.pace = Some(pace);
                return true;
            }
            pace.sent(what, 1);
            count += 1;
        }
        if pace.next() == Next::Wait {
            self.pace = Some(pace);
        }
        false
    }

    /// Whether it was taken by every queue or some; when all are full, it was by none.
    fn publish(&mut self, what: u8) -> bool {
        let body = body(what, self.number, self.size);
        let taken = self.swarm.behaviour_mut().publish(self.topic.clone(), body).is_ok();
        self.number += u64::from(taken);
        taken
    }
}

fn take(event: SwarmEvent<Event>, links: &Links, meter: &Meter) {
    match event {
        SwarmEvent::Behaviour(Event::Message { message, .. }) => {
            meter.got(message.data.first().copied());
        }
        SwarmEvent::Behaviour(Event::Subscribed { .. }) => links.add(),
        _ => {} // other crates' events: none that matters here
    }
}

async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
