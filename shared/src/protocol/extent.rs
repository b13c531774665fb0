//! Whether a MessagePack value is all there: read by its markers and lengths alone,
//! without recursion or memory. Whoever decodes lists reserves room for as many entries
//! as they say they have; a frame of a few bytes could say millions, on every level that
//! it nests.

/// Whether the first value of `bytes` ends within them, so that its lists together have
/// no more entries than there are bytes.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    // Values still to come; each takes a byte at least.
    let mut due: u64 = 1;
    let mut rest = bytes;
    while due > 0 {
        let Some((&marker, after)) = rest.split_first() else {
            return false;
        };
        let Some((entries, payload, length)) = extent(marker, after) else {
            return false;
        };
        let Some(after) = after.get(length..).filter(|after| after.len() as u64 >= payload) else {
            return false;
        };
        // It fits, as it is no longer than a slice.
        rest = &after[usize::try_from(payload).unwrap_or(usize::MAX)..];
        due = due - 1 + entries;
        if due > rest.len() as u64 {
            return false;
        }
    }
    true
}

/// Of the value that a marker begins: the values in it, the bytes of its payload, and the
/// bytes between marker and payload that say so. None: there is no such marker, or what
/// follows it is cut off.
fn extent(marker: u8, after: &[u8]) -> Option<(u64, u64, usize)> {
    let long = |bytes: usize| {
        let length = after.get(..bytes)?;
        Some(length.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    let low = |mask: u8| u64::from(marker & mask);
    Some(match marker {
        0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => (0, 0, 0),
        0x80..=0x8f => (2 * low(0x0f), 0, 0),
        0x90..=0x9f => (low(0x0f), 0, 0),
        0xa0..=0xbf => (0, low(0x1f), 0),
        0xc1 => return None,
        // Bytes and text, with lengths of one, two and four bytes.
        0xc4 | 0xd9 => (0, long(1)?, 1),
        0xc5 | 0xda => (0, long(2)?, 2),
        0xc6 | 0xdb => (0, long(4)?, 4),
        // Extensions: a byte for the kind besides.
        0xc7 => (0, long(1)? + 1, 1),
        0xc8 => (0, long(2)? + 1, 2),
        0xc9 => (0, long(4)? + 1, 4),
        0xcc | 0xd0 => (0, 1, 0),
        0xcd | 0xd1 | 0xd4 => (0, 2, 0),
        0xd5 => (0, 3, 0),
        0xca | 0xce | 0xd2 => (0, 4, 0),
        0xd6 => (0, 5, 0),
        0xcb | 0xcf | 0xd3 => (0, 8, 0),
        0xd7 => (0, 9, 0),
        0xd8 => (0, 17, 0),
        0xdc => (long(2)?, 0, 2),
        0xdd => (long(4)?, 0, 4),
        0xde => (2 * long(2)?, 0, 2),
        0xdf => (2 * long(4)?, 0, 4),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_whole_when_all_that_it_promises_is_there() {
        for whole in [
            b"\xc0".as_slice(),
            b"\x93\x01\x02\x03",
            b"\x82\xa2id\x01\xa3cmd\xa5leave",
            b"\xdc\x00\x02\xc0\xc0",
            b"\xde\x00\x01\xa1k\x90",
            b"\xc4\x02ab",
            b"\xc7\x02\x05ab",
            b"\xd8\x05aaaaaaaaaaaaaaaa",
            b"\xcf\0\0\0\0\0\0\0\x01",
            b"\xdb\0\0\0\x01a and what comes after it",
        ] {
            assert!(is_whole(whole), "{whole:x?}");
        }
        for cut in [
            b"".as_slice(),
            b"\xc1",
            b"\x93\x01\x02",
            b"\x81\xa1k",
            b"\xa5leav",
            b"\xdd\xff\xff\xff\xff\xc0",
            b"\xdf\xff\xff\xff\xff\xa1k\xc0",
            b"\xc6\xff\xff\xff\xff",
            b"\xdc\x00",
            b"\x91\x91\x91",
        ] {
            assert!(!is_whole(cut), "{cut:x?}");
        }
    }

    #[test]
    fn every_marker_has_the_length_that_another_implementation_gives_it() {
        for marker in 0..=u8::MAX {
            // Lengths of lists are zero, so that nothing need follow.
            let value = [&[marker][..], &[0; 64]].concat();
            let read = rmp_serde::from_slice::<serde::de::IgnoredAny>(&value);
            assert_eq!(is_whole(&value), read.is_ok(), "{marker:x}");
        }
    }
}
