//! What of permessage-deflate (RFC 7692, 7) a client offers and the engine takes up: only
//! without context takeover in both directions and with full windows, so that no
//! connection keeps a window and one compressed message serves everybody.

/// What every offer that is taken up is answered with. A server may ask a client to go
/// without context takeover that has not offered to (7.1.1.2), and every browser does.
const TAKEN_UP: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// The answer to the first offer that can be taken up, out of the values of all
/// `Sec-WebSocket-Extensions` lines; `None` when there is none.
#[must_use]
pub fn negotiate<'a>(lines: impl Iterator<Item = &'a str>) -> Option<String> {
    lines.flat_map(|line| line.split(',')).find_map(take_up)
}

fn take_up(offer: &str) -> Option<String> {
    let mut parts = offer.split(';').map(str::trim);
    if parts.next() != Some("permessage-deflate") {
        return None;
    }
    let mut answer = TAKEN_UP.to_owned();
    let mut seen = Vec::new();
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(unquote(value.trim_start()))),
            None => (part, None),
        };
        // An offer that says something twice is none (7.1).
        if seen.contains(&name) {
            return None;
        }
        seen.push(name);
        match (name, value) {
            ("server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits", None) => {}
            // We read messages of any window.
            ("client_max_window_bits", Some(bits)) if window_bits(bits).is_some() => {}
            // What is written once for everybody has the full window.
            ("server_max_window_bits", Some("15")) => answer.push_str("; server_max_window_bits=15"),
            _ => return None,
        }
    }
    Some(answer)
}

/// From 8 to 15, without a leading zero.
fn window_bits(value: &str) -> Option<u8> {
    let bits = value.parse().ok().filter(|bits| (8..=15).contains(bits))?;
    (!value.starts_with(['0', '+'])).then_some(bits)
}

fn unquote(value: &str) -> &str {
    let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    inner.unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(offers: &[&str]) -> Option<String> {
        negotiate(offers.iter().copied())
    }

    #[test]
    fn compression_is_taken_up_without_context_takeover_or_not_at_all() {
        for offer in [
            "permessage-deflate",
            // What browsers offer.
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; client_max_window_bits=9",
            "permessage-deflate;client_max_window_bits=\"10\"",
            "x-webkit-deflate-frame, permessage-deflate",
        ] {
            assert_eq!(answer(&[offer]).as_deref(), Some(TAKEN_UP), "{offer}");
        }
        for offer in [
            "",
            "permessage-bzip2",
            "permessage-deflate; server_max_window_bits=10",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=010",
            "permessage-deflate; client_max_window_bits=16",
            "permessage-deflate; client_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; no_such_thing",
        ] {
            assert_eq!(answer(&[offer]), None, "{offer}");
        }
    }

    #[test]
    fn the_first_offer_that_can_be_is_taken_up() {
        let lines = [
            "permessage-deflate; server_max_window_bits=9, permessage-deflate; server_max_window_bits=15",
            "permessage-deflate",
        ];
        let expected = format!("{TAKEN_UP}; server_max_window_bits=15");
        assert_eq!(answer(&lines), Some(expected));
        assert_eq!(answer(&lines[1..]).as_deref(), Some(TAKEN_UP));
    }
}
