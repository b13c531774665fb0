//! A server's frame in either wire format. See [`hawker_fuzz::message`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hawker_fuzz::message(data));
