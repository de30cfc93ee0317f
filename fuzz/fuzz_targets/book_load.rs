//! The fuzz target of the function of its name.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| peerline_fuzz::book_load(input));
