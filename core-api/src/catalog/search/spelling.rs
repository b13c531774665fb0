//! What was meant, where no product has what was typed: each word that nothing has is
//! replaced by the word of a title that is spelt most like it. Pure.

/// Words of a text that are looked at; further ones stay as they are.
pub(super) const WORDS_MAX: usize = 8;
/// Letters of a word whose neighbours are tried.
const LETTERS_MAX: usize = 24;

/// A part of what was typed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Token {
    /// A word that products are to have.
    Wanted(String),
    /// What stays as it is: `or`, and words that products are not to have.
    Kept(String),
}

/// The parts of a folded text, without quotation marks.
pub(super) fn tokens(folded: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for part in folded.split_whitespace() {
        let unwanted = part.starts_with('-');
        for word in part
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
        {
            let wanted = tokens.iter().filter(|token| matches!(token, Token::Wanted(_))).count();
            tokens.push(match word {
                "or" => Token::Kept(word.to_owned()),
                _ if unwanted => Token::Kept(format!("-{word}")),
                _ if wanted == WORDS_MAX => Token::Kept(word.to_owned()),
                _ => Token::Wanted(word.to_owned()),
            });
        }
    }
    tokens
}

/// What a word becomes when two letters change places or one goes: a slip of the hand that
/// leaves a short word little to be recognised by.
pub(super) fn neighbours(word: &str) -> Vec<String> {
    let letters: Vec<char> = word.chars().collect();
    if !(3..=LETTERS_MAX).contains(&letters.len()) {
        return Vec::new();
    }
    let swapped = (1..letters.len()).map(|i| {
        let mut other = letters.clone();
        other.swap(i - 1, i);
        other
    });
    let shorter = (0..letters.len()).map(|i| {
        let mut other = letters.clone();
        other.remove(i);
        other
    });
    swapped
        .chain(shorter)
        .map(|letters| letters.into_iter().collect())
        .collect()
}

/// The words of `near`, the most alike first, that do not take too many slips from `typed`:
/// those that take the fewest first, and of equals the most alike.
pub(super) fn nearest<'a>(typed: &str, near: &'a [String]) -> Vec<&'a str> {
    let tolerated = match typed.chars().count() {
        0..=2 => 0,
        3..=4 => 1,
        5..=7 => 2,
        _ => 3,
    };
    let slips = near.iter().map(|word| (slips(typed, word), word.as_str()));
    let mut good: Vec<_> = slips.filter(|(slips, _)| *slips <= tolerated).collect();
    good.sort_by_key(|(slips, _)| *slips);
    good.into_iter().map(|(_, word)| word).collect()
}

/// The text that was meant, where `instead` says what stands for each wanted word: it
/// itself, another one, or none. `None`: nothing is left, or nothing was changed.
pub(super) fn meant(tokens: &[Token], instead: &[Option<String>]) -> Option<String> {
    let mut instead = instead.iter();
    let (mut words, mut wanted, mut changed) = (Vec::new(), 0, false);
    for token in tokens {
        match token {
            Token::Kept(word) => words.push(word.as_str()),
            Token::Wanted(typed) => {
                let word = instead.next().and_then(Option::as_deref);
                changed |= word != Some(typed);
                wanted += usize::from(word.is_some());
                words.extend(word);
            }
        }
    }
    (changed && wanted > 0).then(|| words.join(" "))
}

/// How many letters were left out, added, replaced or swapped with the next one: the
/// optimal string alignment distance.
fn slips(typed: &str, meant: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (typed.chars().collect(), meant.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_hand_are_counted() {
        for (typed, meant, expected) in [
            ("mug", "mug", 0),
            ("mgu", "mug", 1),
            ("candel", "candle", 1),
            ("stonwear", "stoneware", 2),
            ("", "mug", 3),
            ("mug", "", 3),
        ] {
            assert_eq!(slips(typed, meant), expected, "{typed} {meant}");
        }
    }

    #[test]
    fn the_nearest_word_is_taken_and_none_that_is_far() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(nearest("candel", &words(&["candelabra", "candle"])), ["candle"]);
        assert_eq!(
            nearest("lmap", &words(&["lamp", "map"])),
            ["lamp", "map"],
            "of equals the first"
        );
        assert_eq!(
            nearest("candel", &words(&["candels", "handle", "candel"])),
            ["candel", "candels", "handle"]
        );
        assert_eq!(nearest("bicycle", &words(&["icicle"])), ["icicle"]);
        assert!(nearest("cup", &words(&["mug"])).is_empty());
        assert!(nearest("mug", &[]).is_empty());
    }

    #[test]
    fn what_is_meant_keeps_what_was_well_typed() {
        let tokens = tokens("\"lavendar candel\" -red or mgu");
        let wanted = |word: &str| Token::Wanted(word.to_owned());
        let kept = |word: &str| Token::Kept(word.to_owned());
        assert_eq!(
            tokens,
            [
                wanted("lavendar"),
                wanted("candel"),
                kept("-red"),
                kept("or"),
                wanted("mgu")
            ]
        );
        let some = |word: &str| Some(word.to_owned());
        let instead = [some("lavender"), some("candle"), None];
        assert_eq!(meant(&tokens, &instead).as_deref(), Some("lavender candle -red or"));
        assert_eq!(meant(&tokens, &[None, None, None]), None, "nothing is left");
        let same = [some("lavendar"), some("candel"), some("mgu")];
        assert_eq!(meant(&tokens, &same), None, "nothing was changed");
    }

    #[test]
    fn neighbours_are_one_slip_away() {
        let neighbours = neighbours("mgu");
        assert!(neighbours.contains(&"mug".to_owned()) && neighbours.contains(&"mg".to_owned()));
        assert!(super::neighbours("ab").is_empty() && super::neighbours(&"a".repeat(99)).is_empty());
    }
}
