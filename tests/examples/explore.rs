//! Explores every interleaving of small networks and prints what was seen.
//!
//! `cargo run --release -p peerline-testkit --example explore [STATES]`: at most so many states of
//! each scenario, by default 250,000. Where there are no more, the count is followed by `all`.

use std::process::ExitCode;

use peerline_testkit::explore::tell_all;

const USUAL: usize = 250_000;

fn main() -> std::io::Result<ExitCode> {
    let asked = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let (_, failures) = tell_all(&mut std::io::stdout(), asked.unwrap_or(USUAL))?;
    Ok(ExitCode::from(u8::from(failures > 0)))
}
