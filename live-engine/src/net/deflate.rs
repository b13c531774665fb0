//! Compressed messages (RFC 7692, permessage-deflate), without context takeover in either
//! direction: every message stands for itself, so a connection keeps no window, a worker
//! keeps one of each for all of them, and what is compressed once serves everybody.

use std::cell::RefCell;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// What a sender leaves off the end of each message (RFC 7692, 7.2.1).
const LEFT_OFF: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// That, and an empty last block: a message that was cut short does not reach its end.
const TO_THE_END: [u8; 9] = [0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff];

/// Why a message cannot be inflated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InflateError {
    /// It is more than may be. No more than one byte beyond that was inflated.
    TooLarge,
    /// It is not a whole message of the format.
    NotDeflate,
}

/// Inflates messages one after the other, for all connections of a worker.
#[derive(Debug)]
pub struct Inflater {
    stream: Decompress,
    inflated: Vec<u8>,
}

impl Default for Inflater {
    fn default() -> Self {
        Self {
            stream: Decompress::new(false),
            inflated: Vec::new(),
        }
    }
}

impl Inflater {
    /// Inflates one message of at most `max_bytes`.
    ///
    /// # Errors
    /// See [`InflateError`].
    pub fn inflate(&mut self, message: &[u8], max_bytes: usize) -> Result<&[u8], InflateError> {
        self.stream.reset(false);
        self.inflated.clear();
        // One byte more tells a message that fits exactly from one that does not.
        self.inflated.reserve_exact(max_bytes + 1);
        self.run(message, max_bytes)?;
        let at_end = self.run(&TO_THE_END, max_bytes)?;
        if at_end {
            Ok(&self.inflated)
        } else {
            Err(InflateError::NotDeflate)
        }
    }

    /// Inflates all of `input`; true when it ends with the last block of a stream. A
    /// sender may end a stream in the middle of a message (RFC 7692, 7.2.3.4).
    fn run(&mut self, mut input: &[u8], max_bytes: usize) -> Result<bool, InflateError> {
        let mut at_end = false;
        while !input.is_empty() {
            if std::mem::take(&mut at_end) {
                self.stream.reset(false);
            }
            let (before_in, before_out) = (self.stream.total_in(), self.inflated.len());
            let status = self
                .stream
                .decompress_vec(input, &mut self.inflated, FlushDecompress::Sync)
                .map_err(|_| InflateError::NotDeflate)?;
            if self.inflated.len() > max_bytes {
                return Err(InflateError::TooLarge);
            }
            let used = usize::try_from(self.stream.total_in() - before_in).unwrap_or(usize::MAX);
            input = input.get(used..).unwrap_or_default();
            at_end = status == Status::StreamEnd;
            if used == 0 && self.inflated.len() == before_out && !at_end {
                return Err(InflateError::NotDeflate);
            }
        }
        Ok(at_end)
    }
}

thread_local! {
    static DEFLATER: RefCell<Option<Deflater>> = const { RefCell::new(None) };
}

/// Compresses one message with this thread's deflater; `None` when it is too short for
/// that to pay, or does not get smaller.
#[must_use]
pub fn deflate(message: &[u8]) -> Option<Vec<u8>> {
    if message.len() < MIN_BYTES {
        return None;
    }
    DEFLATER.with_borrow_mut(|deflater| deflater.get_or_insert_default().deflate(message))
}

/// Compresses messages one after the other, for all rooms of a worker.
#[derive(Debug)]
pub struct Deflater {
    stream: Compress,
}

impl Default for Deflater {
    fn default() -> Self {
        Self {
            stream: Compress::new(Compression::new(LEVEL), false),
        }
    }
}

/// Quick, and enough for events that repeat their fields' names; `benches/hot_paths.rs`
/// times it.
const LEVEL: u32 = 3;
/// A message below this is one or two events, which have little to repeat.
const MIN_BYTES: usize = 512;

impl Deflater {
    /// Compresses one message; `None` when that does not make it smaller.
    pub fn deflate(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        self.stream.reset();
        // What does not fit into this is not worth sending.
        let mut out = Vec::with_capacity(message.len() + LEFT_OFF.len());
        let status = self.stream.compress_vec(message, &mut out, FlushCompress::Sync);
        let all = self.stream.total_in() == message.len() as u64 && out.len() < out.capacity();
        if !all || !matches!(status, Ok(Status::Ok)) || !out.ends_with(&LEFT_OFF) {
            return None;
        }
        out.truncate(out.len() - LEFT_OFF.len());
        (out.len() < message.len()).then_some(out)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_examples_of_the_standard_are_read() {
        let mut inflater = Inflater::default();
        let mut read = |bytes: &[u8]| inflater.inflate(bytes, 100).map(<[u8]>::to_vec);
        // 7.2.3.1, 7.2.3.3, 7.2.3.4, 7.2.3.5, 7.2.3.6.
        let one_block = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
        let ended = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
        let two_blocks = [
            0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00,
        ];
        for bytes in [&one_block[..], &stored, &ended, &two_blocks] {
            assert_eq!(read(bytes).as_deref(), Ok(&b"Hello"[..]), "{bytes:x?}");
        }
        assert_eq!(read(&[0x00]).as_deref(), Ok(&b""[..]));
    }

    #[test]
    fn what_is_cut_short_or_no_deflate_is_refused_and_the_next_message_is_read() {
        let mut inflater = Inflater::default();
        let whole = Deflater::default().deflate(&[b'a'; 1000]).expect("smaller");
        for bytes in [&whole[..whole.len() - 2], &[0xff, 0xff, 0xff], &[0x06]] {
            assert_eq!(
                inflater.inflate(bytes, 2000),
                Err(InflateError::NotDeflate),
                "{bytes:x?}"
            );
            assert_eq!(inflater.inflate(&whole, 2000), Ok(&[b'a'; 1000][..]));
        }
    }

    #[test]
    fn a_bomb_is_stopped_one_byte_beyond_what_may_be() {
        let bomb = Deflater::default().deflate(&vec![0; 10_000_000]).expect("smaller");
        let mut inflater = Inflater::default();
        assert_eq!(inflater.inflate(&bomb, 16_384), Err(InflateError::TooLarge));
        assert!(
            inflater.inflated.capacity() < 20_000,
            "{}",
            inflater.inflated.capacity()
        );
        let exact = Deflater::default().deflate(&[0; 16_384]).expect("smaller");
        assert_eq!(inflater.inflate(&exact, 16_384).map(<[u8]>::len), Ok(16_384));
        assert_eq!(inflater.inflate(&exact, 16_383), Err(InflateError::TooLarge));
    }

    #[test]
    fn what_does_not_get_smaller_is_left_as_it_is() {
        assert_eq!(Deflater::default().deflate(b"x"), None);
        assert_eq!(Deflater::default().deflate(b""), None);
    }

    proptest! {
        #[test]
        fn what_was_deflated_inflates_to_the_same(
            messages in prop::collection::vec(prop::collection::vec(0_u8..8, 0..5000), 1..5)
        ) {
            let (mut deflater, mut inflater) = (Deflater::default(), Inflater::default());
            for message in messages {
                if let Some(bytes) = deflater.deflate(&message) {
                    prop_assert!(bytes.len() < message.len());
                    prop_assert_eq!(inflater.inflate(&bytes, 5000), Ok(&message[..]));
                }
            }
        }

        #[test]
        fn no_bytes_make_it_panic_or_inflate_too_much(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut inflater = Inflater::default();
            if let Ok(inflated) = inflater.inflate(&bytes, 100) {
                prop_assert!(inflated.len() <= 100);
            }
        }
    }
}
