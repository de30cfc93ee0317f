//! The program `peerline`: its table of contents.
//!
//! `demo` shows the whole thing in a second, `chat` is for people, `node` is for machines, `share`
//! is for files, and `simulate` needs no socket. What they share: one queue of everything that can
//! happen ([`inbox`]), a node on either runtime ([`start`]), lines that programs read ([`lines`]),
//! and the rule that nothing a peer wrote reaches a terminal unescaped ([`escape`]).

mod args;
mod chat;
mod demo;
mod end;
mod escape;
mod inbox;
mod lines;
mod logger;
mod node;
mod share;
mod signals;
mod simulate;
mod start;

use std::process::ExitCode;

use args::{Args, Command};

fn main() -> ExitCode {
    let args = Args::from_command_line();
    logger::start(args.verbosity());
    let ended = match &args.command {
        Command::Demo(_) => demo::run(),
        Command::Chat(args) => chat::run(args),
        Command::Node(args) => node::run(args),
        Command::Share(args) => share::run(args),
        Command::Simulate(args) => simulate::run(args),
    };
    end::exit_code(ended)
}
