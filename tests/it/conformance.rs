//! The conformance scripts on every stage: virtual time, each runtime, each example driver.

use std::fs;

use peerline_testkit::conformance::simulated::Simulated;
use peerline_testkit::conformance::{check_all, play_all};
use peerline_testkit::entropy::seeds;

#[test]
fn scripts_pass_on_virtual_time_whatever_the_seed() {
    if std::env::var_os("PEERLINE_BLESS").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/conformance.txt");
        return fs::write(file, play_all(|| Simulated::new(1))).unwrap();
    }
    for seed in seeds(5) {
        check_all(|| Simulated::new(seed));
    }
}
