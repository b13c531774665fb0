//! What may be said: the rules for the characters of a chat message. Pure.
//!
//! A text is stored and shown as it is returned here: in Unicode Normalization Form C, on
//! one line, without what shows nothing. A lone surrogate never comes this far: neither
//! wire format can carry one.

use std::borrow::Cow;

use shared::error::{ErrorCode, Refusal};
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::{canonical_combining_class, is_combining_mark};

/// Marks on one letter at most. No orthography needs more; what has more is meant to run
/// over the lines around it.
const MAX_MARKS: usize = 4;

/// Bytes of a character before it is composed at most: a syllable of Hangul in its three
/// letters has nine, and there is room beside it.
const MAX_BYTES_A_CHAR: usize = 12;

/// Times a text is cleaned at most. Nobody's writing needs more than two.
const MAX_PASSES: usize = 8;

/// The text as it is stored and shown: normalised, line breaks and tabs become spaces, the
/// ends are trimmed, characters without a mark of their own are dropped unless they shape
/// those beside them, and of the marks on one letter the first four stay.
///
/// # Errors
/// `InvalidBody` for a text that shows nothing, is longer than `max_chars` characters
/// (Unicode scalar values, as Postgres counts them), holds control characters,
/// noncharacters, or marks that would reorder what stands around it on the page, or is
/// built so that it never comes to rest.
pub fn normalise(text: &str, max_chars: usize) -> Result<String, Refusal> {
    fits(text, max_chars)?;
    if is_plain(text) {
        return shown(text.trim(), max_chars);
    }
    let mut text = Cow::Borrowed(text);
    // What is dropped makes neighbours of others: a letter and its mark compose, a joiner
    // loses what it joined. So again, until a pass changes nothing.
    for _ in 0..MAX_PASSES {
        let cleaned = clean(&text)?;
        if cleaned == text {
            return shown(&cleaned, max_chars);
        }
        text = Cow::Owned(cleaned);
    }
    Err(refusal("these characters do not make a text"))
}

/// Whether a text has nothing to be cleaned but its ends: most messages are such, and the
/// tables of Unicode cost more than all else that is done with one.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// A cleaned text, if it is one to be shown.
fn shown(cleaned: &str, max_chars: usize) -> Result<String, Refusal> {
    if cleaned.chars().all(|c| c.is_whitespace() || is_invisible(c)) {
        Err(refusal("a message needs something to read"))
    } else if cleaned.chars().count() > max_chars {
        Err(refusal(format!("a message has at most {max_chars} characters")))
    } else {
        Ok(cleaned.to_owned())
    }
}

/// Whether a text may come down to so many characters at all: looked at before anything
/// that costs more.
///
/// # Errors
/// `InvalidBody`.
pub fn fits(text: &str, max_chars: usize) -> Result<(), Refusal> {
    if text.len() > max_chars.saturating_mul(MAX_BYTES_A_CHAR) {
        return Err(refusal(format!("a message has at most {max_chars} characters")));
    }
    Ok(())
}

fn refusal(detail: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::new(ErrorCode::InvalidBody, detail).at("text")
}

/// One pass over a text.
fn clean(text: &str) -> Result<String, Refusal> {
    let mut shown = String::with_capacity(text.len());
    let mut marks = 0;
    let mut chars = text.nfc().peekable();
    while let Some(c) = chars.next() {
        if is_break(c) {
            shown.push(' ');
            marks = 0;
        } else if c.is_control() || is_nonchar(c) || reorders(c) {
            return Err(refusal("control characters are not allowed"));
        } else if is_invisible(c) {
            if shapes(c, shown.chars().next_back(), chars.peek().copied()) {
                shown.push(c);
            }
        } else if is_combining_mark(c) && canonical_combining_class(c) != 0 {
            marks += 1;
            if marks <= MAX_MARKS {
                shown.push(c);
            }
        } else {
            shown.push(c);
            marks = 0;
        }
    }
    Ok(shown.trim().nfc().collect())
}

/// Line breaks and tabs, the Unicode separators for lines and paragraphs included.
const fn is_break(c: char) -> bool {
    matches!(
        c,
        '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

/// Embeddings, overrides and isolates (Unicode Standard Annex 9): they can make a
/// message run into the page around it.
const fn reorders(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Code points that are no characters and never will be.
const fn is_nonchar(c: char) -> bool {
    matches!(c, '\u{fdd0}'..='\u{fdef}' | '\u{fff9}'..='\u{fffb}') || c as u32 & 0xfffe == 0xfffe
}

/// Characters that leave no mark of their own.
pub(super) const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2060}'..='\u{2065}'
            | '\u{206a}'..='\u{206f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Whether an invisible character has work to do between these two: joiners between
/// letters that are not Latin and between pictures, a variation selector behind what it
/// varies, the tags of a flag behind the flag.
fn shapes(c: char, before: Option<char>, after: Option<char>) -> bool {
    let Some(before) = before.filter(|before| !before.is_whitespace()) else {
        return false;
    };
    match c {
        '\u{200c}' | '\u{200d}' => {
            !before.is_ascii()
                && (!is_invisible(before) || matches!(before, '\u{fe00}'..='\u{fe0f}'))
                && after.is_some_and(|after| !after.is_ascii() && !is_invisible(after) && !after.is_whitespace())
        }
        '\u{fe00}'..='\u{fe0f}' => !is_invisible(before) && may_vary(before),
        '\u{e0020}'..='\u{e007f}' => before == '\u{1f3f4}' || matches!(before, '\u{e0020}'..='\u{e007e}'),
        _ => false,
    }
}

/// Whether a character comes in several shapes that a selector chooses from: symbols,
/// pictures and ideographs, and what keycaps are made of. Behind a letter it would only
/// hide what is written from whoever looks for it.
const fn may_vary(c: char) -> bool {
    c >= '\u{2000}' || matches!(c, '0'..='9' | '#' | '*' | '©' | '®')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_trimmed_and_kept_on_one_line() {
        assert_eq!(normalise("  hello\r\nthere\t! ", 500).as_deref(), Ok("hello  there !"));
        assert_eq!(normalise("a\u{2028}b\u{85}c", 500).as_deref(), Ok("a b c"));
    }

    #[test]
    fn one_text_has_one_spelling() {
        assert_eq!(normalise("e\u{301}", 500).as_deref(), Ok("é"));
        assert_eq!(normalise("\u{212b}", 500).as_deref(), Ok("å".to_uppercase().as_str()));
        // Also where something hidden stood between a letter and its mark.
        assert_eq!(normalise("e\u{200b}\u{301}", 500).as_deref(), Ok("é"));
    }

    #[test]
    fn what_takes_no_room_is_dropped_unless_it_shapes_what_is_beside_it() {
        for (text, shown) in [
            ("pay\u{200b}pal", "paypal"),
            ("pay\u{200d}pal", "paypal"),
            ("pay\u{ad}\u{2060}\u{feff}pal", "paypal"),
            ("a\u{115f}\u{3164}\u{2800}b", "ab"),
            ("a\u{e0061}\u{e0062}b", "ab"),
            ("evil\u{fe00}.com and http:\u{fe01}//x", "evil.com and http://x"),
            ("葛\u{fe00}", "葛\u{fe00}"),
            ("\u{200f}hello", "hello"),
            ("👩\u{200d}👩\u{200d}👧", "👩\u{200d}👩\u{200d}👧"),
            ("❤\u{fe0f}\u{200d}🔥", "❤\u{fe0f}\u{200d}🔥"),
            ("1\u{fe0f}\u{20e3}", "1\u{fe0f}\u{20e3}"),
            ("❤\u{fe0f}\u{fe0f}\u{fe0f}", "❤\u{fe0f}"),
            ("می\u{200c}خواهم", "می\u{200c}خواهم"),
            ("می\u{200c}\u{200c}\u{200c}خواهم", "می\u{200c}خواهم"),
            // A joiner whose letter went.
            (
                "م\u{323}\u{323}\u{323}\u{323}\u{200c}\u{300}",
                "م\u{323}\u{323}\u{323}\u{323}",
            ),
            ("क्\u{200d}ष", "क्\u{200d}ष"),
            (
                "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
                "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
            ),
        ] {
            assert_eq!(normalise(text, 500).as_deref(), Ok(shown), "{text:?}");
        }
    }

    #[test]
    fn a_letter_carries_four_marks_at_most() {
        let flood = format!("a{}b{}", "\u{316}".repeat(80), "\u{323}".repeat(80));
        let shown = normalise(&flood, 500).expect("allowed");
        assert!(shown.chars().count() <= 2 + 2 * MAX_MARKS, "{shown:?}");
        // Vietnamese, Hebrew with points and accents, Thai.
        for text in ["ệ", "בְּרֵאשִׁ֖ית", "ผู้", "นี่"] {
            let composed: String = text.nfc().collect();
            assert_eq!(normalise(text, 500), Ok(composed), "{text:?}");
        }
    }

    #[test]
    fn what_shows_nothing_or_breaks_the_page_is_refused() {
        let (long, huge) = ("x".repeat(501), "\u{200b}".repeat(4_000) + "x");
        let refused = [
            "",
            "  \n ",
            "\u{200b}\u{feff}",
            "\u{3164}\u{2800}",
            "a\u{0}b",
            "a\u{7f}",
            "\u{9b}1m",
            "a\u{202e}b",
            "a\u{2067}b",
            "a\u{fffe}b",
            "a\u{fdd0}b",
            long.as_str(),
            // Whatever would be left of it.
            huge.as_str(),
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
        fn plain_text_is_what_the_whole_of_cleaning_leaves_as_it_is(text in "[ -~]{0,600}") {
            prop_assert!(is_plain(&text));
            let cleaned = clean(&text).and_then(|cleaned| shown(&cleaned, 500));
            prop_assert_eq!(normalise(&text, 500), cleaned);
        }

        #[test]
        fn what_is_allowed_fits_the_column_and_stays_the_same(text in "\\PC{0,40}|.{0,600}|[a👩\u{300}\u{301}\u{323}\u{200b}-\u{200f}\u{fe0f}\u{e0061} ]{0,40}") {
            if let Ok(normal) = normalise(&text, 500) {
                let chars = normal.chars().count();
                prop_assert!((1..=500).contains(&chars));
                prop_assert!(!normal.contains('\0'));
                prop_assert_eq!(normalise(&normal, 500), Ok(normal.clone()));
            }
        }
    }
}
