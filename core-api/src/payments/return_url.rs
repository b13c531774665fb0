//! Where a buyer comes back to from a payment's second step. Pure. It is a page of ours or
//! of whoever the configuration lists: anything else would lend our name to strangers who
//! send people on to theirs.

use std::net::IpAddr;

use reqwest::Url;
use serde::Serialize;
use shared::ids::PaymentId;

/// Longest address, in bytes.
pub const URL_MAX: usize = 2_048;

/// A checked address of a page to come back to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(transparent)]
pub struct ReturnUrl(String);

/// Why an address is none to come back to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotOurs {
    /// It is not a whole address, is too long, or names somebody.
    #[error("is not a whole address of at most 2048 bytes, without a user's name")]
    Unreadable,
    /// Others on the way could read along.
    #[error("must be https://, or http:// on this machine")]
    Unsafe,
    /// It is a stranger's.
    #[error("is of an origin that is not configured")]
    Stranger,
}

impl ReturnUrl {
    /// Takes an address whose origin is one of `origins`, which are written as browsers
    /// write them: `https://shop.example`.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse<'a>(text: &str, mut origins: impl Iterator<Item = &'a str>) -> Result<Self, NotOurs> {
        let url = Url::parse(text).map_err(|_| NotOurs::Unreadable)?;
        if text.len() > URL_MAX || !url.username().is_empty() || url.password().is_some() {
            return Err(NotOurs::Unreadable);
        }
        if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
            return Err(NotOurs::Unsafe);
        }
        let origin = url.origin().ascii_serialization();
        if !origins.any(|known| known == origin) {
            return Err(NotOurs::Stranger);
        }
        Ok(Self(url.into()))
    }

    /// The address that the buyer comes back to: it names the payment, and never what
    /// became of it, which anybody could write there.
    #[must_use]
    pub fn of(&self, payment: PaymentId) -> String {
        // It was an address when it was taken.
        Url::parse(&self.0).map_or_else(
            |_| self.0.clone(),
            |mut url| {
                url.query_pairs_mut().append_pair("payment", &payment.to_string());
                url.into()
            },
        )
    }

    /// As it was taken before.
    #[must_use]
    pub fn kept(text: String) -> Self {
        Self(text)
    }

    /// As it is kept.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The origin of an address of ours, as browsers write it.
#[must_use]
pub fn origin_of(url: &str) -> Option<String> {
    Url::parse(url).ok().map(|url| url.origin().ascii_serialization())
}

/// Whether an address is on this machine, whatever its scheme.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn parse(text: &str) -> Result<ReturnUrl, NotOurs> {
        let origins = [
            "https://shop.example",
            "http://127.0.0.1:8080",
            "http://plain.example",
            "https://[::1]:9",
        ];
        ReturnUrl::parse(text, origins.into_iter())
    }

    #[test]
    fn a_page_of_a_configured_origin_is_come_back_to() {
        for good in [
            "https://shop.example",
            "https://shop.example:443/orders/1?tab=2#paid",
            "https://SHOP.example/orders",
            "http://127.0.0.1:8080/watch",
            "https://[::1]:9/",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn no_other_page_is() {
        for (bad, why) in [
            ("", NotOurs::Unreadable),
            ("/orders", NotOurs::Unreadable),
            ("https://shop.example@evil.example/", NotOurs::Unreadable),
            ("https://user:word@shop.example/", NotOurs::Unreadable),
            ("https://evil.example/", NotOurs::Stranger),
            ("https://shop.example.evil.example/", NotOurs::Stranger),
            ("https://shop.example:444/", NotOurs::Stranger),
            ("https://evil.example/?https://shop.example", NotOurs::Stranger),
            ("https:\\\\evil.example\\shop.example", NotOurs::Stranger),
            ("http://127.0.0.1:8081/", NotOurs::Stranger),
            ("http://plain.example/", NotOurs::Unsafe),
            ("http://shop.example/", NotOurs::Unsafe),
            ("javascript:alert(1)", NotOurs::Unsafe),
            ("data:text/html,x", NotOurs::Unsafe),
            ("//shop.example/", NotOurs::Unreadable),
        ] {
            assert_eq!(parse(bad), Err(why), "{bad}");
        }
        let long = format!("https://shop.example/{}", "a".repeat(URL_MAX));
        assert_eq!(parse(&long), Err(NotOurs::Unreadable));
    }

    #[test]
    fn the_way_back_names_the_payment_beside_what_was_there() {
        let id = PaymentId(Uuid::nil());
        let nil = "00000000-0000-0000-0000-000000000000";
        let of = |text| parse(text).expect("an address").of(id);
        assert_eq!(
            of("https://shop.example"),
            format!("https://shop.example/?payment={nil}")
        );
        assert_eq!(
            of("https://shop.example/a?b=c#d"),
            format!("https://shop.example/a?b=c&payment={nil}#d")
        );
    }
}
