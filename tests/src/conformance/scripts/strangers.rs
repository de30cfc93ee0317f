//! Strangers on raw sockets: what they say wrong, and in how small pieces.

use std::time::Duration;

use peerline_proto::Limits;

use super::{still_talking, wait_for};
use crate::conformance::{PATIENCE, Play, hello};
use crate::entropy::Entropy;

pub(super) fn bad_strangers(play: &mut Play<'_>) {
    let mut limits = Limits::default();
    limits.handshake_timeout = Duration::from_secs(1);
    let (a, b) = play.pair(&limits);

    let mut entropy = Entropy::new(7);
    let mut noise: Vec<u8> = (0..1 << 20).map(|_| entropy.below(256) as u8).collect();
    for (first, why) in [
        (&[0x1f, 0xfe][..], "failed: first byte 0x1f begins no dialect spoken here"),
        (b"NAME\xff\xff\xff\xff", "failed: frame is 4294967295 bytes; the limit is 4096"),
    ] {
        noise[..first.len()].copy_from_slice(first);
        let stranger = play.stage().connect(a);
        play.stage().say(stranger, &noise);
        play.wait(a, why);
        assert!(play.stage().is_cut(stranger, PATIENCE));
        still_talking(play, a, b);
    }

    let stranger = play.stranger(a);
    play.stage().say(stranger, b"{\"msgtype\":\"x\",\"\xff\":1}\n");
    play.wait(a, "down stranger: line is not UTF-8 at byte 16");
    still_talking(play, a, b);

    let stranger = play.stranger(a);
    play.stage().say(stranger, hello().as_bytes());
    play.wait(a, "down stranger: a second hello");
    still_talking(play, a, b);

    let silent = play.stage().connect(a);
    play.wait(a, "failed: no hello in time");
    assert!(play.stage().is_cut(silent, PATIENCE));
    still_talking(play, a, b);
}

pub(super) fn line_too_long(play: &mut Play<'_>) {
    let (a, b) = play.pair(&Limits::default());
    let stranger = play.stranger(a);
    play.stage().say(stranger, "x".repeat(300 * 1024).as_bytes());
    play.wait(a, "down stranger: line is too long; the limit is 262144");
    assert!(play.stage().is_cut(stranger, PATIENCE));
    still_talking(play, a, b);
}

pub(super) fn byte_by_byte(play: &mut Play<'_>) {
    let (a, b) = play.pair(&Limits::default());
    let stranger = play.stranger(a);
    let ping = b"{\"msgtype\":\"ping\",\"nonce\":12345}\n";
    let mut bytes = 0;
    while bytes < 100_000 {
        for byte in ping {
            play.stage().say(stranger, &[*byte]);
        }
        bytes += ping.len();
    }
    let pings = bytes / ping.len();
    let pongs = |told: &str| told.matches("\"msgtype\":\"pong\",\"nonce\":12345").count();
    wait_for(play, a, |play| pongs(&play.stage().heard(stranger)) >= pings);
    play.note(a, &format!("answered {pings} pings"));
    still_talking(play, a, b);
}
