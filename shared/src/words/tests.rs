//! What the filter must find, and what it must leave alone.

use proptest::prelude::*;

use super::*;

fn filter(words: &[(&str, Matching)]) -> WordFilter {
    WordFilter::new(words.iter().map(|(word, matching)| BlockedWord {
        word: (*word).into(),
        matching: *matching,
        action: WordAction::Refuse,
    }))
    .expect("few words")
}

fn finds(word: &str, text: &str) -> bool {
    filter(&[(word, Matching::Word)]).find(text).is_some()
}

#[test]
fn a_word_is_found_behind_whatever_spelling_hides_it() {
    for text in [
        "damn",
        "DAMN!",
        "well, damn.",
        "dámñ",
        "d\u{301}a\u{308}m\u{334}n",
        "daaaamn",
        "daamnn",
        "damnnn",
        "d a m n",
        "d  a  m  n",
        "d.a.m.n",
        "d-a_m*n",
        "da.mn",
        "d\u{200b}a\u{ad}m\u{2060}n",
        "d amn",
        "da m n",
        "dаmn",     // Cyrillic а
        "ⅾаⅿո",     // Roman numerals, Cyrillic, Armenian
        "ᴅᴀᴍɴ",     // small capitals
        "ｄａｍｎ", // full width
        "𝖉𝖆𝖒𝖓",     // mathematical
        "ⓓⓐⓜⓝ",     // in circles
        "🅳🅰🅼🅽",     // in squares
        "🇩🇦🇲🇳",     // as flags
        "d4mn",
        "d@mn",
        "d😀a😀m😀n",
        "da\u{fe0f}mn",
    ] {
        assert!(finds("damn", text), "{text:?}");
    }
    for (word, text) in [
        ("ass", "a$$"),
        ("ass", "@s5"),
        ("kill", "k1ll"),
        ("kill", "ki11"),
        ("shit", "$h!t"),
        ("shit", "s h i t"),
        ("hell", "what the h3ll!!"),
        ("straße", "STRASSE"),
        ("buy followers", "buyfollowers"),
        ("buy followers", "buy followers now"),
        ("buy followers", "b u y f o l l o w e r s"),
        ("buy followers", "Buy  F0llowers"),
        ("1488", "1488"),
        ("垃圾", "这是垃圾货"),
        ("дурак", "ДУРАК"),
    ] {
        assert!(finds(word, text), "{word:?} in {text:?}");
    }
}

#[test]
fn words_that_only_contain_one_are_spared() {
    for (word, text) in [
        ("ass", "class"),
        ("ass", "as"),
        ("ass", "assassin"),
        ("ass", "was sick"),
        ("ass", "as soon as"),
        ("cunt", "Scunthorpe"),
        ("penis", "the pen is mightier"),
        ("hell", "he'll shell hello"),
        ("shell", "she’ll"),
        ("ahole", "a hole in one"),
        ("god", "good"),
        ("shot", "shoot"),
        ("shit", "5 hit"),
        ("damn", "darn"),
        ("tit", "tilt title"),
        ("rape", "grape drapes"),
        ("nob", "noble"),
        ("therapist", "the rapist"),
        ("damn", "dmn"),
        ("sick", "s i c"),
    ] {
        assert!(!finds(word, text), "{word:?} in {text:?}");
    }
}

#[test]
fn anywhere_is_inside_of_words_and_across_them_too() {
    let filter = filter(&[("spam", Matching::Anywhere)]);
    for text in ["antispam", "5pamming", "s pam", "sp am", "crisp amber"] {
        assert!(filter.find(text).is_some(), "{text:?}");
    }
    assert!(filter.find("spa").is_none());
}

#[test]
fn the_strictest_word_decides() {
    let word = |word: &str, action| BlockedWord {
        word: word.into(),
        matching: Matching::Word,
        action,
    };
    let words = [word("discount", WordAction::Hold), word("fake", WordAction::Refuse)];
    let filter = WordFilter::new(words).expect("few words");
    let action = |text| filter.find(text).map(|hit| (hit.word, hit.action));
    assert_eq!(action("a d1scount"), Some(("discount", WordAction::Hold)));
    assert_eq!(action("a discount on f4ke bowls"), Some(("fake", WordAction::Refuse)));
    assert_eq!(action("bowls"), None);
    assert_eq!(WordFilter::default().find("fake"), None);
}

#[test]
fn spellings_of_one_word_fold_to_one() {
    for spelling in ["Damn", "DÁMN", "d4mn", "ｄａｍｎ"] {
        assert_eq!(folded(spelling), "damn", "{spelling:?}");
    }
    assert_eq!(folded("Buy Followers"), "buy followers");
    assert_eq!(folded(" ... "), "");
    assert_eq!(folded("+++"), "");
}

proptest! {
    #[test]
    fn no_text_upsets_it(text in ".{0,200}", word in ".{0,20}") {
        let filter = WordFilter::new([Matching::Word, Matching::Anywhere].map(|matching| BlockedWord {
            word: word.clone(),
            matching,
            action: WordAction::Hold,
        })).expect("two words");
        let _ = filter.find(&text);
        // A word is always found in itself, unless nothing of it can be read.
        prop_assert_eq!(filter.find(&word).is_some(), !folded(&word).is_empty());
    }

    #[test]
    fn a_word_of_its_own_is_found_among_others(before in "[a-z]{1,8}", after in "[a-z]{1,8}") {
        let text = format!("{before} blocked {after}");
        prop_assert!(finds("blocked", &text));
    }
}
