//! How a node is set up: a builder whose one `build` does all the checking.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::dialect::{Dialect, Dialects};
use crate::error::ConfigError;
use crate::limits::{Limits, MAX_BROADCAST_LINE, MAX_FIRST_LINE, MAX_GUEST_NAME, MAX_LINE};
use crate::quote::quoted_len;

/// The network that nodes which name none belong to.
pub(crate) const DEFAULT_NETWORK: &str = "peerline";

/// The name in chat of a node that was given none.
const DEFAULT_CHAT_NAME: &str = "peerline";
/// What is added to it: a hyphen and four digits of the node's id.
const CHAT_DIGITS: usize = 5;
/// The furthest that any clock on Earth is ahead of or behind UTC, with room: a day, in seconds.
const MAX_UTC_OFFSET: u32 = 86_400;

/// Where a node says that it listens.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
#[cfg_attr(feature = "testing", derive(Hash))]
pub enum Listen {
    /// At this port of the address that others see.
    Port(u16),
    /// At this address.
    Addr(SocketAddr),
}

/// Where a guest that says where it listens is dialled.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
#[cfg_attr(feature = "testing", derive(Hash))]
pub enum GuestHosts {
    /// At the address that it speaks from, at the port it names: so it speaks for itself alone.
    #[default]
    Source,
    /// At the address that it names, if that is one. For networks where guests listen elsewhere
    /// than they speak from and are trusted not to name others.
    Any,
}

/// Whether lines for one node find their way by its id.
///
/// A node that routes by keyspace keeps links with nodes of its choice by their ids, about 10 in a
/// network of 10,000, which carry no broadcasts. A line then goes to the neighbour nearest to its
/// destination, and elsewhere from there if that leads nowhere.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
#[cfg_attr(feature = "testing", derive(Hash))]
pub enum Keyspace {
    /// Never: ways are learned and sought, as serves a few thousand nodes.
    #[default]
    Off,
    /// While the network seems to have 5,000 nodes or more: the node counts how many of those it
    /// is told of it knows already.
    Auto,
    /// Always.
    On,
}

/// The checked settings of a node. Made by [`Config::builder`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub struct Config {
    network: String,
    agent: String,
    advertise: Option<Listen>,
    max_peers: usize,
    private_exempt: bool,
    dialects: Dialects,
    guest_hosts: GuestHosts,
    chat_name: String,
    utc_offset: i32,
    judged: Judged,
    keyspace: Keyspace,
    limits: Limits,
}

/// Which broadcasts wait for the application's verdict.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "testing", derive(Hash))]
enum Judged {
    #[default]
    None,
    /// In order.
    Kinds(Vec<String>),
    All,
}

impl Config {
    /// A builder with every setting at its default.
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder::default()
    }

    /// The network's name; only nodes of one network connect.
    pub fn network(&self) -> &str {
        &self.network
    }

    /// The program's name and version, told to peers.
    pub fn agent(&self) -> &str {
        &self.agent
    }

    /// Where the node says that it listens, if not at the port it was told of by
    /// [`Node::listening`](crate::Node::listening).
    pub fn advertise(&self) -> Option<Listen> {
        self.advertise
    }

    /// How many peers there may be in all; 0 means any number.
    pub fn max_peers(&self) -> usize {
        self.max_peers
    }

    /// Whether private addresses are exempt from the rules on network groups.
    pub fn private_exempt(&self) -> bool {
        self.private_exempt
    }

    /// Whether this dialect is spoken; the native one always is.
    pub fn speaks(&self, dialect: Dialect) -> bool {
        match dialect {
            Dialect::Native => true,
            Dialect::Btpeer => self.dialects.btpeer,
            Dialect::Chat => self.dialects.chat,
        }
    }

    pub(crate) fn dialects(&self) -> Dialects {
        self.dialects
    }

    /// Where guests are dialled.
    pub fn guest_hosts(&self) -> GuestHosts {
        self.guest_hosts
    }

    /// The name in chat; four digits of the node's id are added.
    pub fn chat_name(&self) -> &str {
        &self.chat_name
    }

    /// How far the time in chat is ahead of UTC, seconds.
    pub fn utc_offset(&self) -> i32 {
        self.utc_offset
    }

    /// Whether broadcasts of this kind wait for the application's verdict.
    pub fn validates(&self, kind: &str) -> bool {
        match &self.judged {
            Judged::None => false,
            Judged::Kinds(kinds) => {
                kinds.binary_search_by(|known| known.as_str().cmp(kind)).is_ok()
            }
            Judged::All => true,
        }
    }

    /// Whether broadcasts of any kind do; told without looking at a kind.
    pub(crate) fn validates_some(&self) -> bool {
        self.judged != Judged::None
    }

    /// Whether lines for one node find their way by its id.
    pub fn keyspace(&self) -> Keyspace {
        self.keyspace
    }

    /// The bounds.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            network: DEFAULT_NETWORK.to_string(),
            agent: concat!("peerline/", env!("CARGO_PKG_VERSION")).to_string(),
            advertise: None,
            max_peers: 0,
            private_exempt: true,
            dialects: Dialects { btpeer: true, chat: true },
            guest_hosts: GuestHosts::Source,
            chat_name: DEFAULT_CHAT_NAME.to_string(),
            utc_offset: 0,
            judged: Judged::None,
            keyspace: Keyspace::Off,
            limits: Limits::default(),
        }
    }
}

/// Collects settings; [`build`](Self::build) checks them.
///
/// ```
/// use peerline_proto::{Config, ConfigError};
///
/// let config = Config::builder().network("lab").max_peers(20).build()?;
/// assert_eq!(config.network(), "lab");
///
/// let name = "n".repeat(65);
/// let error = Config::builder().network(name).build().unwrap_err();
/// assert_eq!(error.to_string(), "network is 65; the most is 64");
/// # Ok::<(), ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ConfigBuilder {
    config: Config,
}

impl ConfigBuilder {
    /// The network's name, 1 to 64 bytes as JSON. Default `peerline`, which version 0 nodes belong
    /// to.
    pub fn network(mut self, name: impl Into<String>) -> Self {
        self.config.network = name.into();
        self
    }

    /// The program's name and version, told to peers, up to 64 bytes as JSON. Default
    /// `peerline/VERSION`.
    pub fn agent(mut self, agent: impl Into<String>) -> Self {
        self.config.agent = agent.into();
        self
    }

    /// Where the node says that it listens. Default: at the port it does listen at.
    pub fn advertise(mut self, listen: Listen) -> Self {
        self.config.advertise = Some(listen);
        self
    }

    /// How many peers there may be in all, dialled and accepted. Default 0: any number within
    /// [`Limits`].
    pub fn max_peers(mut self, peers: usize) -> Self {
        self.config.max_peers = peers;
        self
    }

    /// Whether private addresses (10/8, 172.16/12, 192.168/16, fc00::/7, link-local) count as one
    /// network group each, like loopback always does. Default true: a laboratory is no attack.
    pub fn private_exempt(mut self, exempt: bool) -> Self {
        self.config.private_exempt = exempt;
        self
    }

    /// Whether a guest dialect is spoken. Default: both are. The native one always is. Where one is
    /// not, its first bytes are a violation, and nobody is dialled in it.
    pub fn speak(mut self, dialect: Dialect, on: bool) -> Self {
        match dialect {
            Dialect::Native => {}
            Dialect::Btpeer => self.config.dialects.btpeer = on,
            Dialect::Chat => self.config.dialects.chat = on,
        }
        self
    }

    /// Where guests are dialled. Default [`GuestHosts::Source`].
    pub fn guest_hosts(mut self, hosts: GuestHosts) -> Self {
        self.config.guest_hosts = hosts;
        self
    }

    /// The name in chat, 1 to 59 bytes; four digits of the node's id are added. Default `peerline`.
    pub fn chat_name(mut self, name: impl Into<String>) -> Self {
        self.config.chat_name = name.into();
        self
    }

    /// How far the time in chat is ahead of UTC, in seconds: the original writes local time.
    /// Default 0; at most a day either way.
    pub fn utc_offset(mut self, seconds: i32) -> Self {
        self.config.utc_offset = seconds;
        self
    }

    /// Broadcasts of this kind are passed on only when the application has accepted them by
    /// [`Node::verdict`](crate::Node::verdict); may be said for several kinds. By default every
    /// broadcast is passed on at once, before the application hears of it.
    pub fn validate(mut self, kind: impl Into<String>) -> Self {
        match &mut self.config.judged {
            Judged::All => {}
            Judged::Kinds(kinds) => {
                let kind = kind.into();
                if let Err(place) = kinds.binary_search(&kind) {
                    kinds.insert(place, kind);
                }
            }
            Judged::None => self.config.judged = Judged::Kinds(Vec::from([kind.into()])),
        }
        self
    }

    /// The same for broadcasts of every kind.
    pub fn validate_all(mut self) -> Self {
        self.config.judged = Judged::All;
        self
    }

    /// Whether lines for one node find their way by its id. Default [`Keyspace::Off`]; all nodes of
    /// a large network should say the same, for only those that do take part.
    pub fn keyspace(mut self, keyspace: Keyspace) -> Self {
        self.config.keyspace = keyspace;
        self
    }

    /// The bounds. Default [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// Checks everything.
    ///
    /// # Errors
    /// The first setting that does not fit, with its value and what would fit.
    pub fn build(self) -> Result<Config, ConfigError> {
        let Config { network, agent, chat_name, utc_offset, limits, .. } = &self.config;
        at_least("network", network.len(), 1)?;
        at_most("network", quoted_len(network), 64)?;
        at_most("agent", quoted_len(agent), 64)?;
        at_least("chat_name", chat_name.len(), 1)?;
        at_most("chat_name", quoted_len(chat_name), MAX_GUEST_NAME - CHAT_DIGITS)?;
        at_most("utc_offset", utc_offset.unsigned_abs() as usize, MAX_UTC_OFFSET as usize)?;
        check_sizes(limits)?;
        check_counts(limits)?;
        check_times(limits)?;
        Ok(self.config)
    }
}

fn check_sizes(limits: &Limits) -> Result<(), ConfigError> {
    at_least("max_line", limits.max_line, MAX_BROADCAST_LINE)?;
    at_most("max_line", limits.max_line, MAX_LINE)?;
    at_least("max_frame", limits.max_frame, MAX_FIRST_LINE)?;
    at_most("max_frame", limits.max_frame, u32::MAX as usize)?;
    at_most("max_kind", limits.max_kind, 1024)?;
    at_least("send_queue", limits.send_queue, 4096)?;
    at_least("control_reserve", limits.control_reserve, 4096)?;
    at_least("queued_total", limits.queued_total, limits.send_queue)?;
    at_least("guest_queued", limits.guest_queued, 4096)?;
    at_least("event_queue", limits.event_queue, 4096)
}

fn check_counts(limits: &Limits) -> Result<(), ConfigError> {
    for (field, got) in [
        ("half_open", limits.half_open),
        ("closing", limits.closing),
        ("max_dialing", limits.max_dialing),
        ("guest_connections", limits.guest_connections),
        ("guests", limits.guests),
        ("guest_visits", limits.guest_visits),
        ("guest_told", limits.guest_told),
        ("guest_requests", limits.guest_requests),
        ("rivals", limits.rivals),
        ("book", limits.book),
        ("streams", limits.streams),
        ("streams_per_originator", limits.streams_per_originator),
        ("missing_ranges", limits.missing_ranges),
        ("cache", limits.cache),
        ("wanted", limits.wanted),
        ("recent_ids", limits.recent_ids),
        ("verdicts", limits.verdicts),
        ("verdict_bytes", limits.verdict_bytes),
        ("routes", limits.routes),
        ("hops_per_route", limits.hops_per_route),
        ("relayed", limits.relayed),
        ("pending_requests", limits.pending_requests),
        ("early_replies", limits.early_replies),
        ("answering", limits.answering),
        ("siblings", limits.siblings),
    ] {
        at_least(field, got, 1)?;
    }
    at_most("half_open", limits.half_open, 65_536)?;
    at_most("addr_answer", limits.addr_answer, 256)
}

fn check_times(limits: &Limits) -> Result<(), ConfigError> {
    for (field, got) in [
        ("dial_timeout", limits.dial_timeout),
        ("handshake_timeout", limits.handshake_timeout),
        ("ping_after", limits.ping_after),
        ("suspect_min", limits.suspect_min),
        ("write_stall", limits.write_stall),
        ("flush_timeout", limits.flush_timeout),
        ("linger", limits.linger),
        ("late_timer", limits.late_timer),
        ("duplicate_fresh", limits.duplicate_fresh),
        ("backoff_base", limits.backoff_base),
        ("addr_every", limits.addr_every),
        ("cache_for", limits.cache_for),
        ("repair_for", limits.repair_for),
        ("verdict_within", limits.verdict_within),
        ("guest_timeout", limits.guest_timeout),
        ("guest_every", limits.guest_every),
        ("find_near", limits.find_near),
        ("find_far", limits.find_far),
        ("feeler_every", limits.feeler_every),
        ("rotate_every", limits.rotate_every),
        ("isolated_after", limits.isolated_after),
        ("hop_min", limits.hop_min),
        ("walk_for", limits.walk_for),
    ] {
        at_least(field, millis(got), 1)?;
    }
    below(("suspect_min", limits.suspect_min), ("suspect_max", limits.suspect_max))?;
    below(("hop_min", limits.hop_min), ("hop_max", limits.hop_max))?;
    below(("ping_after", limits.ping_after), ("dead_after", limits.dead_after))?;
    below(("suspect_max", limits.suspect_max), ("dead_after", limits.dead_after))?;
    below(("duplicate_fresh", limits.duplicate_fresh), ("duplicate_wait", limits.duplicate_wait))?;
    below(("backoff_base", limits.backoff_base), ("backoff_max", limits.backoff_max))?;
    below(("discourage_for", limits.discourage_for), ("discourage_max", limits.discourage_max))
}

fn millis(duration: Duration) -> usize {
    usize::try_from(duration.as_millis()).unwrap_or(usize::MAX)
}

fn at_least(field: &'static str, got: usize, min: usize) -> Result<(), ConfigError> {
    if got < min {
        return Err(ConfigError::TooSmall { field, got: got as u64, min: min as u64 });
    }
    Ok(())
}

fn at_most(field: &'static str, got: usize, max: usize) -> Result<(), ConfigError> {
    if got > max {
        return Err(ConfigError::TooLarge { field, got: got as u64, max: max as u64 });
    }
    Ok(())
}

fn below(
    lower: (&'static str, Duration),
    upper: (&'static str, Duration),
) -> Result<(), ConfigError> {
    if lower.1 < upper.1 {
        return Ok(());
    }
    Err(ConfigError::Order {
        lower: lower.0,
        got_lower: millis(lower.1) as u64,
        upper: upper.0,
        got_upper: millis(upper.1) as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut Limits), expected: &str) {
        let mut limits = Limits::default();
        change(&mut limits);
        let error = Config::builder().limits(limits).build();
        assert_eq!(error.map_err(|error| error.to_string()), Err(expected.to_string()));
    }

    #[test]
    fn what_is_said_of_guests_is_kept_and_checked() {
        let dialects = [Dialect::Native, Dialect::Btpeer, Dialect::Chat];
        let silent = dialects.into_iter().fold(Config::builder(), |builder, dialect| {
            builder.speak(dialect, false).guest_hosts(GuestHosts::Any)
        });
        let config = silent.chat_name("bob").utc_offset(-3600).build().unwrap_or_default();
        assert_eq!(dialects.map(|dialect| config.speaks(dialect)), [true, false, false]);
        assert_eq!(dialects.map(|dialect| dialect.to_string()), ["native", "BTPeer", "chat"]);
        assert_eq!((config.chat_name(), config.utc_offset()), ("bob", -3600));
        assert_eq!(config.guest_hosts(), GuestHosts::Any);
        let told = |builder: ConfigBuilder| builder.build().map_err(|error| error.to_string());
        let long = told(Config::builder().chat_name("n".repeat(60)));
        assert_eq!(long, Err("chat_name is 60; the most is 59".to_string()));
        let far = told(Config::builder().utc_offset(-86_401));
        assert_eq!(far, Err("utc_offset is 86401; the most is 86400".to_string()));
    }

    #[test]
    fn the_defaults_fit() {
        assert_eq!(Config::builder().build(), Ok(Config::default()));
    }

    #[test]
    fn each_kind_of_misfit_is_named_with_both_numbers() {
        check(|limits| limits.max_line = 1000, "max_line is 1000; the least is 262144");
        check(|limits| limits.max_line = 1 << 25, "max_line is 33554432; the most is 16777216");
        check(|limits| limits.rivals = 0, "rivals is 0; the least is 1");
        check(
            |limits| limits.dead_after = Duration::from_secs(8),
            "ping_after is 8000, not below dead_after, which is 8000",
        );
    }

    #[test]
    fn what_is_set_is_what_the_config_says() {
        let listen = Listen::Port(5999);
        let builder = Config::builder().network("lab").agent("test/1").advertise(listen);
        let config = builder.max_peers(7).private_exempt(false).build();
        let said = config.map(|config| {
            assert_eq!((config.network(), config.agent()), ("lab", "test/1"));
            (config.advertise(), config.max_peers(), config.private_exempt())
        });
        assert_eq!(said, Ok((Some(listen), 7, false)));
    }

    #[test]
    fn names_are_measured_as_json_and_a_network_has_one() {
        let build = |network: &str, agent: &str| {
            let built = Config::builder().network(network).agent(agent).build();
            built.map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(build(&"n".repeat(64), &"a".repeat(64)), Ok(()));
        assert_eq!(build("", "a"), Err("network is 0; the least is 1".to_string()));
        let quotes = "\"".repeat(33);
        assert_eq!(build(&quotes, "a"), Err("network is 66; the most is 64".to_string()));
        assert_eq!(build("n", &quotes), Err("agent is 66; the most is 64".to_string()));
    }

    #[test]
    fn the_edges_of_what_fits_fit() {
        let mut limits = Limits { max_line: MAX_LINE, half_open: 65_536, ..Limits::default() };
        limits.queued_total = limits.send_queue;
        limits.rivals = 1;
        assert!(Config::builder().limits(limits).build().is_ok());
    }
}
