//! The integration tests: nodes on virtual time, nodes on real sockets, the program, the source
//! tree.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::wildcard_enum_match_arm)] // events and reasons may grow; a test asks for some

mod address_book;
mod asking;
#[cfg(target_os = "linux")] // pseudo-terminals and process descriptors as they are there
mod chat_program;
mod conformance;
mod documents;
mod explore;
mod golden;
mod guest_bounds;
mod guests_abuse;
mod handles;
mod mixed_chat;
mod mixed_guests;
#[cfg(target_os = "linux")] // network namespaces
mod netns;
mod node_limits;
mod node_pair;
#[cfg(target_os = "linux")] // as chat_program
mod node_program;
mod node_requests;
mod node_rivals;
mod node_strangers;
mod node_verdicts;
mod node_words;
mod restart;
mod routes;
#[cfg(target_os = "linux")] // as chat_program
mod share_program;
mod sim;
mod tidy;
mod topology;
mod trees;
mod vectors;
mod wire_oracle;
