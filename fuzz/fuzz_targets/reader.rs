//! Any bytes, however they are cut, read by the frame reader. See [`hawker_fuzz::reader`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hawker_fuzz::reader(data));
