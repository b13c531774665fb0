//! One spelling of an e-mail address, by which accounts are found. Accounts are made,
//! looked up and written to by this spelling alone, so that no two accounts share a
//! mailbox by way of case, width or script, and no mail goes to a look-alike.
//!
//! Compatible forms become one (Unicode NFKC), letters small, the domain what the name
//! service knows it by (Unicode Technical Standard 46: `münze.example` is
//! `xn--mnze-0ra.example`). What is before the @ must then be ASCII: other letters need
//! an extension that few servers speak (RFC 6531), and look too much alike.

use serde::{Deserialize, Deserializer};
use unicode_normalization::UnicodeNormalization as _;
use utoipa::ToSchema;

/// The longest address that SMTP carries (RFC 5321, 4.5.3.1.3), in bytes.
const MAX_BYTES: usize = 254;

/// An e-mail address in its one spelling.
#[derive(Clone, PartialEq, Eq, Hash, Debug, ToSchema)]
#[schema(value_type = String, format = Email, max_length = 254, example = "viewer@example.com")]
pub struct Email(String);

impl Email {
    /// The address that `text` means.
    ///
    /// # Errors
    /// In words, when it means none.
    pub fn parse(text: &str) -> Result<Self, String> {
        // Before anything that takes time for each character.
        if text.len() > 4 * MAX_BYTES {
            return Err(format!("not an e-mail address: longer than {MAX_BYTES} bytes"));
        }
        let text: String = text.trim().nfkc().collect();
        let (local, domain) = text.rsplit_once('@').ok_or("not an e-mail address: no @ in it")?;
        if !local.is_ascii() {
            return Err("not an e-mail address: only ASCII can be before the @".to_owned());
        }
        let domain = idna::domain_to_ascii_strict(domain)
            .ok()
            .filter(|domain| domain.contains('.'))
            .ok_or("not an e-mail address: what follows the @ is no domain")?;
        let address = format!("{}@{domain}", local.to_ascii_lowercase());
        if address.len() > MAX_BYTES {
            return Err(format!("not an e-mail address: longer than {MAX_BYTES} bytes"));
        }
        garde::rules::email::parse_email(&address).map_err(|error| format!("not an e-mail address: {error}"))?;
        Ok(Self(address))
    }

    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl<'de> Deserialize<'de> for Email {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_is_found_however_it_is_written() {
        for (written, found) in [
            (" Viewer@Example.COM ", "viewer@example.com"),
            ("\u{ff56}iewer\u{ff20}example.com", "viewer@example.com"),
            ("a@Mu\u{308}nze.example", "a@xn--mnze-0ra.example"),
            ("a@XN--MNZE-0RA.example", "a@xn--mnze-0ra.example"),
            ("a@stra\u{df}e\u{3002}example", "a@xn--strae-oqa.example"),
            ("A.b+C@example.com", "a.b+c@example.com"),
        ] {
            assert_eq!(
                Email::parse(written).map(Email::into_string).as_deref(),
                Ok(found),
                "{written}"
            );
        }
    }

    #[test]
    fn what_is_no_address_or_looks_like_another_is_refused() {
        let long = format!("{}@example.com", "a".repeat(250));
        for bad in [
            "",
            "viewer",
            "a@b@c.example",
            "a b@example.com",
            "a@localhost",
            "a@[127.0.0.1]",
            "a@-b.example",
            "a@b..example",
            "@example.com",
            // A Cyrillic letter, and a dotless i that some take for an i.
            "\u{430}dmin@example.com",
            "m\u{131}ke@example.com",
            "a\r\nbcc:b@example.com",
            "a\0@example.com",
            &long,
        ] {
            assert!(Email::parse(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        /// The database holds addresses to small letters, and what is stored must be
        /// found again by itself.
        #[test]
        fn the_one_spelling_is_its_own(text in "\\PC{0,20}@\\PC{1,20}\\.[a-zé]{1,5}") {
            if let Ok(email) = Email::parse(&text) {
                prop_assert!(email.as_str().is_ascii());
                prop_assert_eq!(email.as_str().to_lowercase(), email.as_str());
                prop_assert_eq!(Email::parse(email.as_str()), Ok(email));
            }
        }
    }
}
