//! 12 compression of several kinds of data, 13 several offers.

use super::echo;
use crate::wire::{BINARY, CLOSE, COMPRESSED, Client, FINAL, TEXT, deflate, fragmented, frame};

/// The suite sends a thousand of each.
const MESSAGES: usize = 3;
/// Bytes of a message, and of the fragments it is cut into.
const SIZES: [(usize, usize); 18] = [
    (16, 0),
    (64, 0),
    (256, 0),
    (1024, 0),
    (4096, 0),
    (8192, 0),
    (16_384, 0),
    (32_768, 0),
    (65_536, 0),
    (131_072, 0),
    (8192, 256),
    (16_384, 256),
    (32_768, 256),
    (65_536, 256),
    (131_072, 256),
    (131_072, 1024),
    (131_072, 4096),
    (131_072, 32_768),
];
const BOTH: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// Bytes without a pattern, always the same.
fn noise() -> impl Iterator<Item = u8> {
    std::iter::successors(Some(1_u32), |n| {
        Some(n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223))
    })
    .map(|n| (n >> 24) as u8)
}

fn text(of: impl Fn(usize) -> String) -> Vec<u8> {
    let text: Vec<u8> = (0..).flat_map(|n| of(n).into_bytes()).take(200_000).collect();
    text
}

fn json() -> Vec<u8> {
    text(|n| {
        format!(
            r#"{{"id":{n},"type":"chat","text":"message {}","at":{}}},"#,
            n % 17,
            n * 7919
        )
    })
}

/// The kinds of data of 12.1 to 12.5.
fn kinds() -> [(u8, Vec<u8>); 5] {
    let picture = (0_u32..200_000)
        .zip(noise())
        .map(|(n, noise)| (n / 512) as u8 ^ (noise & 7));
    let prose = text(|n| format!("{} habe nun, ach, {} und {} studiert. ", n % 97, n % 13, n % 7));
    let html = text(|n| format!("<tr class=\"row{}\"><td>{n}</td><td>{}</td></tr>\n", n % 2, n * n));
    [
        (TEXT, json()),
        (BINARY, picture.collect()),
        (BINARY, prose),
        (TEXT, html),
        // What is compressed already.
        (BINARY, noise().take(200_000).collect()),
    ]
}

/// Sends messages of every size, compressed where that was agreed, and hears them again.
fn talk(name: &str, offer: &str, agreed: Option<&str>, opcode: u8, data: &[u8]) {
    for (n, (size, fragment)) in (1..).zip(SIZES) {
        let mut client = Client::open(echo::start(), "/ws", Some(offer));
        assert_eq!(client.extensions.as_deref(), agreed, "case {name}.{n}");
        for part in data.windows(size).step_by(size / 2 + 7).take(MESSAGES) {
            let (first, payload) = match agreed {
                Some(_) => (COMPRESSED | opcode, deflate(part)),
                None => (opcode, part.to_vec()),
            };
            let fragment = if fragment == 0 { payload.len() } else { fragment };
            client.send(&fragmented(first, &payload, fragment).concat(), usize::MAX);
            let heard = client.message();
            assert!(
                heard.is_some_and(|heard| heard == (opcode, part.to_vec())),
                "case {name}.{n}"
            );
        }
        client.send(&frame(FINAL | CLOSE, &1000_u16.to_be_bytes()), usize::MAX);
        assert_eq!(client.closed(), Ok(Some(1000)), "case {name}.{n}");
    }
}

#[test]
fn autobahn_12_compression_of_different_data() {
    for (n, (opcode, data)) in (1..).zip(kinds()) {
        talk(
            &format!("12.{n}"),
            "permessage-deflate; client_max_window_bits",
            Some(BOTH),
            opcode,
            &data,
        );
    }
}

#[test]
fn autobahn_13_compression_under_different_offers() {
    let full = format!("{BOTH}; server_max_window_bits=15");
    let offer = |parameters: &str| format!("permessage-deflate; client_max_window_bits{parameters}");
    let cases = [
        (1, offer(""), Some(BOTH)),
        (2, offer("; server_no_context_takeover"), Some(BOTH)),
        (3, offer("; server_max_window_bits=9"), None),
        (4, offer("; server_max_window_bits=15"), Some(&*full)),
        (5, offer("; server_no_context_takeover; server_max_window_bits=9"), None),
        (
            6,
            offer("; server_no_context_takeover; server_max_window_bits=15"),
            Some(&*full),
        ),
        (
            7,
            [
                offer("; server_no_context_takeover; server_max_window_bits=9"),
                offer("; server_no_context_takeover"),
                offer(""),
            ]
            .join(", "),
            Some(BOTH),
        ),
    ];
    let data = json();
    for (n, offer, agreed) in cases {
        talk(&format!("13.{n}"), &offer, agreed, TEXT, &data);
    }
}
