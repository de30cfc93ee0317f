//! Requests: those of ours that wait for replies, and those of others that wait for ours. Pure:
//! [`node`](crate::node) finds the way and sends.

mod answering;
mod asked;

pub(crate) use answering::{Answering, Arrival, Asker};
pub(crate) use asked::{Asked, Due, Pending, TRIES};
