//! Signatures of what providers send: `t=1700000000,v1=<hex>` with an HMAC-SHA256 over the
//! time, a dot and the raw body, as Stripe writes it
//! (<https://docs.stripe.com/webhooks#verify-manually>). Pure; it reads no clock.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// How far the sender's clock and ours may differ, in seconds: longer ago, it may be a copy
/// that somebody kept.
pub const TOLERANCE_SECONDS: i64 = 300;

/// Signatures of one header at most: a sender that changes its secret sends two.
const SIGNATURES_MAX: usize = 8;

/// Why a message is not believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unsigned {
    /// The header is missing or not of the form.
    Unreadable,
    /// It was signed too long ago, or in the future.
    Stale,
    /// No signature is of this body, time and secret.
    Forged,
}

/// Whether `header` signs `body` with `secret` at about `now`, in seconds of Unix time.
///
/// # Errors
/// When it does not.
pub fn verify(secret: &[u8], header: &str, body: &[u8], now: i64) -> Result<(), Unsigned> {
    let mut time = None;
    let mut signatures = Vec::new();
    for part in header.split(',') {
        match part.trim().split_once('=') {
            Some(("t", value)) if time.is_none() => time = Some(value),
            Some(("t", _)) => return Err(Unsigned::Unreadable),
            Some(("v1", value)) if signatures.len() < SIGNATURES_MAX => signatures.push(value),
            _ => {}
        }
    }
    // As it was written: the signature is over its digits.
    let time = time.ok_or(Unsigned::Unreadable)?;
    let at: i64 = time.parse().map_err(|_| Unsigned::Unreadable)?;
    if signatures.is_empty() {
        return Err(Unsigned::Unreadable);
    }
    let mac = mac(secret, time, body).ok_or(Unsigned::Forged)?;
    let is_ours = |text: &&str| {
        // In constant time: how much of it is right is nobody's business.
        unhex(text).is_some_and(|bytes| mac.clone().verify_slice(&bytes).is_ok())
    };
    if !signatures.iter().any(is_ours) {
        return Err(Unsigned::Forged);
    }
    if at.abs_diff(now) > TOLERANCE_SECONDS.unsigned_abs() {
        return Err(Unsigned::Stale);
    }
    Ok(())
}

/// The header that signs `body` with `secret` at `at`, in seconds of Unix time.
#[must_use]
pub fn sign(secret: &[u8], at: i64, body: &[u8]) -> String {
    let bytes = mac(secret, &at.to_string(), body).map(|mac| mac.finalize().into_bytes());
    let hex: String = bytes.into_iter().flatten().map(|byte| format!("{byte:02x}")).collect();
    format!("t={at},v1={hex}")
}

/// HMAC takes a key of any length: `None` does not happen.
fn mac(secret: &[u8], time: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    Some(mac)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match *pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    text.as_bytes().chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"a secret of the carrier's";
    const NOW: i64 = 1_795_399_200;
    const KNOWN: &str = "t=1795399200,v1=68437e2d024c20326dc200d8c348cfa53a4b9c33df6d22d34a37578ccba355a5";

    #[test]
    fn what_was_signed_with_the_secret_just_now_is_believed() {
        let header = sign(SECRET, NOW - 299, b"{}");
        assert_eq!(verify(SECRET, &header, b"{}", NOW), Ok(()));
        let two = format!("{header},v1={}", "00".repeat(32));
        assert_eq!(verify(SECRET, &two, b"{}", NOW), Ok(()), "one of several is enough");
        let spaced = header.replace(',', ", ");
        assert_eq!(verify(SECRET, &spaced, b"{}", NOW), Ok(()));
    }

    /// RFC 4231 has no case with our prefix; this one was computed with OpenSSL:
    /// `printf '1795399200.{}' | openssl dgst -sha256 -hmac secret`.
    #[test]
    fn a_signature_is_the_one_that_others_compute() {
        assert_eq!(sign(b"secret", NOW, b"{}"), KNOWN);
    }

    #[test]
    fn anything_else_is_not() {
        let header = sign(SECRET, NOW, b"{}");
        assert_eq!(verify(b"another", &header, b"{}", NOW), Err(Unsigned::Forged));
        assert_eq!(verify(SECRET, &header, b"{ }", NOW), Err(Unsigned::Forged));
        let moved = header.replace(&NOW.to_string(), &(NOW + 1).to_string());
        assert_eq!(verify(SECRET, &moved, b"{}", NOW), Err(Unsigned::Forged));
        let short = &header[..header.len() - 2];
        assert_eq!(verify(SECRET, short, b"{}", NOW), Err(Unsigned::Forged));
        for late in [-301, 301] {
            assert_eq!(verify(SECRET, &header, b"{}", NOW + late), Err(Unsigned::Stale));
        }
        for bad in ["", "t=1", "v1=00", "t=x,v1=00", "t=1,t=2,v1=00", "t=,v1=00"] {
            assert_eq!(verify(SECRET, bad, b"{}", NOW), Err(Unsigned::Unreadable), "{bad}");
        }
        let far = format!("t={},v1=00", i64::MIN);
        assert_eq!(verify(SECRET, &far, b"{}", NOW), Err(Unsigned::Forged));
    }
}
