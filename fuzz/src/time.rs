//! Target `time_math`: times and limits as extreme as their types allow.

use std::time::Duration;

use peerline_proto::{Config, ConfigError, Instant, Limits};

use crate::input::Input;
use crate::ops::play;
use crate::watched::Watched;

/// Durations at which something may turn over.
const DURATIONS: [Duration; 16] = [
    Duration::ZERO,
    Duration::from_nanos(1),
    Duration::from_nanos(999_999),
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(8),
    Duration::from_secs(18),
    Duration::from_secs(3600),
    Duration::from_secs(1 << 32),
    Duration::from_nanos(u64::MAX / 2),
    Duration::from_nanos(u64::MAX - 1),
    Duration::from_nanos(u64::MAX),
    Duration::from_secs(u64::MAX),
    Duration::MAX,
];

/// Sizes and counts, the same.
const SIZES: [usize; 16] = [
    0,
    1,
    2,
    7,
    64,
    256,
    4095,
    4096,
    65_536,
    262_144,
    1 << 24,
    (1 << 24) + 1,
    u32::MAX as usize,
    usize::MAX / 2,
    usize::MAX - 1,
    usize::MAX,
];

/// Arithmetic on times saturates, and settings that are accepted never harm a node, at any time.
///
/// Input: 21 bytes for two times and a duration, one for how many limits are set, two for each of
/// them, then operations as of `node_ops`.
pub fn time_math(input: &[u8]) {
    let mut input = Input::new(input);
    check_instants(&mut input);
    let mut limits = Limits::default();
    for _ in 0..input.byte() % 32 {
        let (field, value) = (input.byte(), input.byte());
        set(&mut limits, field, value);
    }
    let bytes = limits.worst_case_node(SIZES[usize::from(input.byte() & 15)]);
    assert!(bytes >= limits.event_queue && limits.worst_case_peer() >= limits.send_queue);
    match Config::builder().limits(limits).max_peers(usize::from(input.byte())).build() {
        Ok(config) => play(Watched::new(config), input),
        Err(error) => check_error(&error),
    }
}

/// Against arithmetic on numbers that have room.
fn check_instants(input: &mut Input<'_>) {
    let (a, b) = (Instant::from_nanos(input.number()), Instant::from_nanos(input.number()));
    let duration = match input.byte() {
        choice if choice & 1 == 0 => DURATIONS[usize::from(choice >> 4)],
        shift => Duration::from_nanos(input.number() >> (shift >> 2)),
    };
    let sum = u128::from(a.as_nanos()) + duration.as_nanos();
    assert_eq!(u128::from((a + duration).as_nanos()), sum.min(u128::from(u64::MAX)));
    let since = u128::from(a.as_nanos()).saturating_sub(u128::from(b.as_nanos()));
    assert_eq!(a.saturating_since(b).as_nanos(), since);
    assert!(a + duration >= a && (a + duration).saturating_since(a) <= duration);
    assert_eq!(b + a.saturating_since(b), a.max(b));
    let seconds = format!("{}.", a.as_nanos() / 1_000_000_000);
    assert!(a.to_string().starts_with(&seconds) && a.to_string().ends_with('s'));
}

/// Sets one limit to an extreme value.
fn set(limits: &mut Limits, field: u8, value: u8) {
    let shift = u32::from(value >> 4);
    let size = SIZES[usize::from(value & 15)].saturating_add(shift as usize);
    let time = DURATIONS[usize::from(value & 15)].saturating_add(Duration::from_nanos(1 << shift));
    let small = u32::try_from(size).unwrap_or(u32::MAX);
    match field % 43 {
        0 => limits.max_line = size,
        1 => limits.max_kind = size,
        2 => limits.send_queue = size,
        3 => limits.control_reserve = size,
        4 => limits.queued_total = size,
        5 => limits.event_queue = size,
        6 => limits.half_open = size,
        7 => limits.closing = size,
        8 => limits.max_inbound = size,
        9 => limits.target_outbound = size,
        10 => limits.max_dialing = size,
        11 => limits.guest_connections = size,
        12 => limits.rivals = size,
        13 => limits.book = size,
        14 => limits.full_mesh = size,
        15 => limits.addr_answer = size,
        16 => limits.addr_burst = small,
        17 => limits.streams = size,
        18 => limits.streams_per_originator = size,
        19 => limits.missing_ranges = size,
        20 => limits.recent_ids = size,
        field => set_time(limits, field, time),
    }
}

fn set_time(limits: &mut Limits, field: u8, time: Duration) {
    match field {
        21 => limits.dial_timeout = time,
        22 => limits.handshake_timeout = time,
        23 => limits.ping_after = time,
        24 => limits.suspect_min = time,
        25 => limits.suspect_max = time,
        26 => limits.dead_after = time,
        27 => limits.write_stall = time,
        28 => limits.flush_timeout = time,
        29 => limits.linger = time,
        30 => limits.late_timer = time,
        31 => limits.duplicate_fresh = time,
        32 => limits.duplicate_wait = time,
        33 => limits.backoff_base = time,
        34 => limits.backoff_max = time,
        35 => limits.backoff_urgent = time,
        36 => limits.own_address = time,
        37 => limits.advertise_within = time,
        38 => limits.addr_every = time,
        39 => limits.getaddr_every = time,
        40 => limits.missing_for = time,
        _ => limits.new_epoch_every = time,
    }
}

/// A refusal names two numbers that do not fit.
fn check_error(error: &ConfigError) {
    match *error {
        ConfigError::TooSmall { got, min, .. } => assert!(got < min, "{error}"),
        ConfigError::TooLarge { got, max, .. } => assert!(got > max, "{error}"),
        ConfigError::Order { got_lower, got_upper, .. } => {
            assert!(got_lower >= got_upper, "{error}");
        }
        // ConfigError may grow; these are the kinds there are.
        _ => panic!("{error}"),
    }
}
