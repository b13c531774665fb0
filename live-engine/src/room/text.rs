//! What may be said: the rules for the characters of a chat message. Pure.

use std::borrow::Cow;

use shared::error::{ErrorCode, Refusal};

/// The text as it is stored and shown: line breaks and tabs become spaces, the ends are
/// trimmed.
///
/// # Errors
/// `InvalidBody` for a text that shows nothing, is longer than `max_chars` characters
/// (Unicode scalar values, as Postgres counts them), or holds control characters or
/// marks that would reorder what stands around it on the page.
pub fn normalise(text: &str, max_chars: usize) -> Result<String, Refusal> {
    let refuse = |detail: Cow<'static, str>| Err(Refusal::new(ErrorCode::InvalidBody, detail).at("text"));
    let spaced: String = text.chars().map(|c| if is_break(c) { ' ' } else { c }).collect();
    let text = spaced.trim();
    if text.chars().any(|c| c.is_control() || reorders(c)) {
        return refuse("control characters are not allowed".into());
    }
    if text.chars().all(|c| c.is_whitespace() || is_invisible(c)) {
        return refuse("a message needs something to read".into());
    }
    if text.chars().count() > max_chars {
        return refuse(format!("a message has at most {max_chars} characters").into());
    }
    Ok(text.to_owned())
}

/// Line breaks and tabs, the Unicode separators for lines and paragraphs included.
const fn is_break(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{2028}' | '\u{2029}')
}

/// Embeddings, overrides and isolates (Unicode Standard Annex 9): they can make a
/// message run into the page around it.
const fn reorders(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Characters that leave no mark of their own.
const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2060}'..='\u{2064}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_trimmed_and_kept_on_one_line() {
        assert_eq!(normalise("  hello\r\nthere\t! ", 500).as_deref(), Ok("hello  there !"));
        assert_eq!(normalise("👩‍👩‍👧 e\u{301}", 500).as_deref(), Ok("👩‍👩‍👧 e\u{301}"));
    }

    #[test]
    fn what_shows_nothing_or_breaks_the_page_is_refused() {
        let long = "x".repeat(501);
        let refused = [
            "",
            "  \n ",
            "\u{200b}\u{feff}",
            "a\u{0}b",
            "a\u{7f}",
            "\u{9b}1m",
            "a\u{202e}b",
            long.as_str(),
        ];
        for text in refused {
            let refusal = normalise(text, 500).expect_err("refused");
            assert_eq!(refusal.code, ErrorCode::InvalidBody, "{text:?}");
            assert_eq!(refusal.field.as_deref(), Some("text"));
        }
        assert!(normalise(&"ü".repeat(500), 500).is_ok());
    }

    proptest! {
        #[test]
        fn what_is_allowed_fits_the_column_and_stays_the_same(text in "\\PC{0,40}|.{0,600}") {
            if let Ok(normal) = normalise(&text, 500) {
                let chars = normal.chars().count();
                prop_assert!((1..=500).contains(&chars));
                prop_assert!(!normal.contains('\0'));
                prop_assert_eq!(normalise(&normal, 500), Ok(normal.clone()));
            }
        }
    }
}
