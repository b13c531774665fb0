//! A client's frame in either wire format. See [`hawker_fuzz::command`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hawker_fuzz::command(data));
