//! Well-formed frames, read by the frame reader and by another implementation. See [`hawker_fuzz::frames`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hawker_fuzz::frames(data));
