//! Rules that fields of many bodies share, for garde's `custom`.

use serde::{Deserialize, Deserializer};
use shared::error::{ErrorCode, Refusal};

/// A line that people read: so many characters without the space around them, and none
/// that moves or hides text.
pub fn shown(min: usize, max: usize) -> impl Fn(&str, &()) -> garde::Result {
    move |text, ()| {
        let count = text.trim().chars().count();
        if !(min..=max).contains(&count) {
            return Err(garde::Error::new(format_args!("must have {min} to {max} characters")));
        }
        if text.chars().any(is_hidden) {
            return Err(garde::Error::new("has characters that cannot be shown"));
        }
        Ok(())
    }
}

/// Text of several lines, of at most so many characters.
pub fn prose(max: usize) -> impl Fn(&str, &()) -> garde::Result {
    move |text, ()| {
        if text.chars().count() > max {
            return Err(garde::Error::new(format_args!("must have at most {max} characters")));
        }
        // Postgres has no text with a zero in it.
        if text.chars().any(|c| is_hidden(c) && !matches!(c, '\n' | '\r' | '\t')) {
            return Err(garde::Error::new("has characters that cannot be shown"));
        }
        Ok(())
    }
}

/// Controls, and what turns the direction of text around or takes no room.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// ISO 3166-1 alpha-2 by its form.
///
/// # Errors
/// For anything but two capitals.
pub fn is_country(text: &str, (): &()) -> garde::Result {
    if text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase()) {
        Ok(())
    } else {
        Err(garde::Error::new("must be a country's two letters, in capitals"))
    }
}

/// What a page shows as a picture: a path of this server, or a web address. Empty: none.
///
/// # Errors
/// For anything else, scripts in particular.
pub fn is_picture(text: &str, (): &()) -> garde::Result {
    const MAX: usize = 2_000;
    let own = text.starts_with('/') && !text.starts_with("//");
    let web = text.starts_with("https://") || text.starts_with("http://");
    let clean = !text
        .chars()
        .any(|c| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | '<' | '>' | '\\'));
    if text.is_empty() || (text.len() <= MAX && clean && (own || web)) {
        Ok(())
    } else {
        Err(garde::Error::new("must be a path that starts with / or a web address"))
    }
}

/// A name in addresses of pages: small letters, digits, single hyphens between.
///
/// # Errors
/// For anything else.
pub fn is_slug(text: &str, (): &()) -> garde::Result {
    let fits = (1..=60).contains(&text.len())
        && text
            .split('-')
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
    if fits {
        Ok(())
    } else {
        Err(garde::Error::new(
            "must be small letters and digits, with single hyphens between",
        ))
    }
}

/// Whether what a list is asked for by name may be one: small letters, digits, `_` and `.`.
///
/// # Errors
/// `InvalidParameter`.
pub fn named(field: &'static str, name: Option<&str>) -> super::Result<()> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.');
    if name.is_none_or(|name| name.chars().all(fits)) {
        return Ok(());
    }
    Err(
        Refusal::new(ErrorCode::InvalidParameter, "must be small letters, digits, _ and .")
            .at(field)
            .into(),
    )
}

/// Reads a field that may be absent (`None`), null (`Some(None)`) or there. Use with
/// `#[serde(default, deserialize_with = "…")]`.
///
/// # Errors
/// Those of `T`.
pub fn nullable<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_be_read() {
        let rule = shown(1, 5);
        assert!(rule("Münze", &()).is_ok());
        for bad in ["", "   ", "sixsix", "a\u{202e}b", "a\nb", "a\0"] {
            assert!(rule(bad, &()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn prose_has_lines_but_no_zero() {
        let rule = prose(10);
        assert!(rule("two\nlines", &()).is_ok());
        assert!(rule("a\0b", &()).is_err());
    }

    #[test]
    fn a_picture_runs_no_script() {
        for good in ["", "/pictures/1.svg", "https://cdn.example/a.png"] {
            assert!(is_picture(good, &()).is_ok(), "{good}");
        }
        for bad in ["javascript:alert(1)", "//evil.example/a", "data:text/html,x", "/a\"b"] {
            assert!(is_picture(bad, &()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_slug_has_single_hyphens_between() {
        assert!(is_slug("home-and-living", &()).is_ok());
        for bad in ["", "-a", "a--b", "Home", "a_b"] {
            assert!(is_slug(bad, &()).is_err(), "{bad}");
        }
    }
}
