//! What the command line says: every option in one place.
//!
//! Decides names, defaults and the words of the help, examples first. Whether an address can be
//! used is for the node to say.

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand, ValueEnum, value_parser};

/// Examples before options: most readers need nothing else.
const TEMPLATE: &str = "{about}\n\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}";

const EXAMPLES: &str = "Examples:
  peerline demo                              six nodes meet and talk, in a second
  peerline chat                              prints what the other person must type
  peerline chat --join 192.168.1.7:4040      the other person
  peerline node --listen 0.0.0.0:4040        a meeting point without a screen
  peerline share ~/music --join 10.0.0.7:40  files for others, and theirs
  peerline simulate --seed 7                 a network in a storm, on virtual time";

const CHAT_EXAMPLES: &str = "Examples:
  peerline chat                                     prints what the others must type
  peerline chat --name bob --join 192.168.1.7:4040  another one
What you type is said to all; /help lists the commands.";

const NODE_EXAMPLES: &str = "Examples:
  peerline node --listen 0.0.0.0:4040               a meeting point for others
  peerline node --join 10.0.0.7:40 <commands >heard   two pipes of a script
It obeys stdin, one command a line, and answers `ok …` or `error …`:
  join [btpeer|chat] ADDR, broadcast KIND BODY, send PEER KIND BODY, ask PEER, forget PEER,
  request PEER|btpeer:ADDR KIND BODY, peers, live, save, quit. BODY is JSON, or else text.";

const SHARE_EXAMPLES: &str = "Examples:
  peerline share music --join 192.168.1.7:4040      natively
  peerline share music --join-btpeer 10.0.0.7:5000  with the BTPeer framework's file sharers
Commands on stdin: search KEY [TTL], get FILE from PEER-OR-ADDR into FOLDER, list, peers, quit.";

const DEMO_EXAMPLES: &str = "Examples:
  peerline demo && echo it works";

const SIMULATE_EXAMPLES: &str = "Examples:
  peerline simulate                        one network in a storm, as seed 0 draws it
  peerline simulate --nodes 30 --seeds 16  sixteen, each of thirty nodes";

const CHAT_STATUS: &str =
    "Exit status: 0 after /quit and Ctrl-D, 130 after Ctrl-C, 143 after SIGTERM, 1 on failure.";

const NODE_STATUS: &str =
    "Exit status: 0 after quit, 130 after Ctrl-C, 143 after SIGTERM, 1 on failure.";

const DEMO_STATUS: &str =
    "Exit status: 0 if every message arrived exactly once where it should, else 1.";

const SIMULATE_STATUS: &str =
    "Exit status: 0 if every rule held in every run, else 1. The same seed makes the same run.";

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "peerline", version, about = "Nodes that find each other and talk, with no server.",
    before_help = EXAMPLES, help_template = TEMPLATE, disable_help_subcommand = true
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show six nodes on two runtimes that meet, talk and lose one of them.
    #[command(before_help = DEMO_EXAMPLES, after_help = DEMO_STATUS, help_template = TEMPLATE)]
    Demo(DemoArgs),
    /// Talk with everybody on the network, line by line.
    #[command(before_help = CHAT_EXAMPLES, after_help = CHAT_STATUS, help_template = TEMPLATE)]
    Chat(ChatArgs),
    /// Run a node without a screen: it prints what it hears, and obeys its standard input.
    #[command(before_help = NODE_EXAMPLES, after_help = NODE_STATUS, help_template = TEMPLATE)]
    Node(NodeArgs),
    /// Share the files of a folder with native and BTPeer peers, and get theirs.
    #[command(before_help = SHARE_EXAMPLES, after_help = NODE_STATUS, help_template = TEMPLATE)]
    Share(ShareArgs),
    /// Run networks on virtual time, with faults that a seed draws, and hold them to the rules.
    #[command(
        before_help = SIMULATE_EXAMPLES, after_help = SIMULATE_STATUS, help_template = TEMPLATE
    )]
    Simulate(SimulateArgs),
}

/// The options of `demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// Log to stderr; twice or three times for more.
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
}

/// The options of `simulate`.
#[derive(Debug, clap::Args)]
pub(crate) struct SimulateArgs {
    /// How many nodes [default: 3 to 30, as the seed draws].
    #[arg(short, long, value_name = "N", value_parser = value_parser!(u16).range(2..=MOST_NODES))]
    pub(crate) nodes: Option<u16>,
    /// The seed, which decides everything else.
    #[arg(short, long, value_name = "S", default_value_t = 0)]
    pub(crate) seed: u64,
    /// How many seeds, from this one on.
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub(crate) seeds: u64,
    /// Print everything that happened before the table.
    #[arg(long)]
    pub(crate) trace: bool,
    /// Log to stderr; twice or three times for more.
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// The most nodes of a simulated network: the rules know no bound, but time and memory do.
const MOST_NODES: i64 = 200;

/// The options of `chat`.
#[derive(Debug, clap::Args)]
pub(crate) struct ChatArgs {
    /// Your name; four digits of the node's id are added.
    #[arg(long, default_value = "peerline")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) net: NetArgs,
}

/// The options of `node`.
#[derive(Debug, clap::Args)]
pub(crate) struct NodeArgs {
    /// What to call this program towards peers [default: peerline/VERSION].
    #[arg(long, value_name = "TEXT")]
    pub(crate) agent: Option<String>,
    #[command(flatten)]
    pub(crate) net: NetArgs,
}

/// The options of `share`.
#[derive(Debug, clap::Args)]
pub(crate) struct ShareArgs {
    /// The folder: its files are for all; what is hidden in it, and folders in it, are not.
    pub(crate) folder: PathBuf,
    /// Join this BTPeer peer, as host:port; may be given several times.
    #[arg(long, value_name = "ADDR")]
    pub(crate) join_btpeer: Vec<String>,
    /// Call guests at any host they name, not only where they speak from.
    #[arg(long)]
    pub(crate) any_host: bool,
    #[command(flatten)]
    pub(crate) net: NetArgs,
}

/// What every node of a network needs to be told.
#[derive(Debug, clap::Args)]
pub(crate) struct NetArgs {
    /// Listen here; may be repeated [default: any port of any address].
    #[arg(short, long, value_name = "ADDR")]
    pub(crate) listen: Vec<String>,
    /// Join through this node, as host:port; may be given several times.
    #[arg(short, long, value_name = "ADDR")]
    pub(crate) join: Vec<String>,
    /// Keep the addresses of others in this file over a restart.
    #[arg(long, value_name = "FILE")]
    pub(crate) book: Option<PathBuf>,
    /// The network's name: only nodes of one network meet.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_NETWORK)]
    pub(crate) network: String,
    /// The most peers at once; 0 for no limit.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) max_peers: usize,
    /// The event loop to run on.
    #[arg(long, value_name = "NAME", value_enum, default_value = "mio")]
    pub(crate) runtime: Runtime,
    /// Log to stderr; twice or three times for more.
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
}

/// The network that nodes which name none belong to.
pub(crate) const DEFAULT_NETWORK: &str = "peerline";

/// The event loops there are.
#[derive(Copy, Clone, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Runtime {
    Mio,
    Smol,
}

impl Runtime {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mio => "mio",
            Self::Smol => "smol",
        }
    }
}

impl Args {
    /// Reads the command line; a mistake there, and a call for help, end the program.
    pub(crate) fn from_command_line() -> Self {
        Self::parse()
    }

    /// How often `-v` was said.
    pub(crate) fn verbosity(&self) -> u8 {
        match &self.command {
            Command::Demo(args) => args.verbose,
            Command::Chat(args) => args.net.verbose,
            Command::Node(args) => args.net.verbose,
            Command::Share(args) => args.net.verbose,
            Command::Simulate(args) => args.verbose,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_help_fits_on_a_screen_and_begins_with_examples() {
        let names = ["demo", "chat", "node", "share", "simulate"]
            .map(|name| vec!["peerline", name, "--help"]);
        for line in [vec!["peerline", "--help"]].into_iter().chain(names) {
            let help = Args::try_parse_from(&line).unwrap_err().to_string();
            assert!(help.lines().count() <= 25, "{line:?} has {} lines", help.lines().count());
            assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
            let examples = help.find("Examples:").unwrap();
            assert!(examples < help.find("Usage:").unwrap(), "{help}");
        }
    }

    #[test]
    fn addresses_may_be_given_several_times() {
        let line = ["peerline", "chat", "-l", "[::1]:0", "-j", "a:1", "--join", "b:2", "-vv"];
        let line = line.into_iter().chain(["--book", "known"]);
        let args = Args::try_parse_from(line).unwrap();
        assert_eq!(args.verbosity(), 2);
        let Command::Chat(chat) = args.command else { panic!("not a chat") };
        assert_eq!((chat.net.listen.len(), chat.net.join.len()), (1, 2));
        assert_eq!(chat.net.runtime, Runtime::Mio);
        assert_eq!(chat.net.book, Some(PathBuf::from("known")));
    }
}
