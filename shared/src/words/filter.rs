//! Finding blocked words: one pass of an automaton over a text's letters with repeats
//! taken out, then a look at each place whether the word really stands there.

use aho_corasick::AhoCorasick;

use super::fold::{Gap, Letter, Reading, fold};
use super::{BlockedWord, Matching, WordAction};

/// A list of words, ready to be looked for. What it can and cannot do:
///
/// - A letter that is repeated more often than in the word is still the word, but for one
///   `e` or `o` doubled once: that is how other words are spelt (`good` is not `god`).
/// - Letters apart count when punctuation or pictures are between them (`s.p.a.m`,
///   `sp-am`), or spaces around single letters (`s p a m`, `s pam`); two words that would
///   only make one when put together do not (`pen is`, `a hole`). A word that the shop
///   wrote with spaces counts with and without them.
/// - A word counts where words begin and end, so `class` does not have `ass` in it; and so
///   an inflected form is another word, to be listed by itself. [`Matching::Anywhere`]
///   gives that up and finds everything, the innocent included.
/// - `1`, `!` and `|` are read as i everywhere or as l everywhere, not as each in turn. A
///   letter that is left out or replaced by a star is not guessed.
#[derive(Clone, Debug, Default)]
pub struct WordFilter {
    automaton: Option<AhoCorasick>,
    patterns: Vec<Pattern>,
}

/// A blocked word that a text has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hit<'a> {
    /// As the shop wrote it.
    pub word: &'a str,
    /// What follows.
    pub action: WordAction,
}

/// The words are more than one automaton can hold: gigabytes.
#[derive(Debug, thiserror::Error)]
#[error("too many blocked words")]
pub struct TooManyWords;

#[derive(Clone, PartialEq, Eq, Debug)]
struct Pattern {
    word: String,
    matching: Matching,
    action: WordAction,
    /// How often each letter is repeated.
    runs: Vec<usize>,
    /// The letters, by their place among the runs, that follow a gap of the word's own.
    gaps: Vec<usize>,
}

/// The same letter, so often, from `from` on.
#[derive(Clone, Copy)]
struct Run {
    c: char,
    from: usize,
    count: usize,
}

impl PartialEq for WordFilter {
    fn eq(&self, other: &Self) -> bool {
        // The automaton follows from them.
        self.patterns == other.patterns
    }
}

impl WordFilter {
    /// A filter for these words. Those that fold to nothing are left out.
    ///
    /// # Errors
    /// `TooManyWords`.
    pub fn new(words: impl IntoIterator<Item = BlockedWord>) -> Result<Self, TooManyWords> {
        let (mut texts, mut patterns) = (Vec::new(), Vec::new());
        for BlockedWord { word, matching, action } in words {
            let letters = fold(&word, Reading::PLAIN);
            let runs = runs(&letters);
            if runs.is_empty() {
                continue;
            }
            texts.push(runs.iter().map(|run| run.c).collect::<String>());
            let gap = |(index, run): (usize, &Run)| (letters[run.from].gap != Gap::None).then_some(index);
            patterns.push(Pattern {
                word,
                matching,
                action,
                gaps: runs.iter().enumerate().filter_map(gap).collect(),
                runs: runs.iter().map(|run| run.count).collect(),
            });
        }
        let automaton = match texts.is_empty() {
            true => None,
            false => Some(AhoCorasick::new(&texts).map_err(|_| TooManyWords)?),
        };
        Ok(Self { automaton, patterns })
    }

    /// The strictest of the blocked words that a text has.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<Hit<'_>> {
        let automaton = self.automaton.as_ref()?;
        let mut found: Option<Hit<'_>> = None;
        let mut last = Vec::new();
        for reading in Reading::ALL {
            let letters = fold(text, reading);
            if letters == last {
                continue;
            }
            for hit in self.hits(automaton, &letters) {
                if found.is_none_or(|found| hit.action > found.action) {
                    found = Some(hit);
                }
            }
            if found.is_some_and(|found| found.action == WordAction::Refuse) {
                break;
            }
            last = letters;
        }
        found
    }

    fn hits<'a>(&'a self, automaton: &'a AhoCorasick, letters: &[Letter]) -> Vec<Hit<'a>> {
        let runs = runs(letters);
        let mut text = String::with_capacity(runs.len());
        // By byte: which run begins there.
        let mut starts = Vec::with_capacity(runs.len() + 1);
        for (index, run) in runs.iter().enumerate() {
            text.push(run.c);
            starts.resize(text.len(), index);
        }
        let hits = automaton.find_overlapping_iter(&text).filter_map(|place| {
            let pattern = &self.patterns[place.pattern().as_usize()];
            let first = *starts.get(place.start())?;
            let place = runs.get(first..first + pattern.runs.len())?;
            stands(pattern, letters, place).then_some(Hit {
                word: &pattern.word,
                action: pattern.action,
            })
        });
        hits.collect()
    }
}

fn runs(letters: &[Letter]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::with_capacity(letters.len());
    for (index, letter) in letters.iter().enumerate() {
        match runs.last_mut() {
            Some(run) if run.c == letter.c => run.count += 1,
            _ => runs.push(Run {
                c: letter.c,
                from: index,
                count: 1,
            }),
        }
    }
    runs
}

/// Whether the word stands where its letters were found.
fn stands(pattern: &Pattern, letters: &[Letter], place: &[Run]) -> bool {
    let enough = place
        .iter()
        .zip(&pattern.runs)
        .all(|(run, needed)| run.count >= *needed);
    let (Some(first), Some(last)) = (place.first(), place.last()) else {
        return false;
    };
    if !enough {
        return false;
    }
    if pattern.matching == Matching::Anywhere {
        return true;
    }
    // Of the letters that are repeated across a word's edge, as few as can be.
    let first_needed = pattern.runs.first().copied().unwrap_or(1);
    let last_needed = pattern.runs.last().copied().unwrap_or(1);
    let begin = (first.from..=first.from + first.count - first_needed)
        .rev()
        .find(|index| begins(letters, *index));
    let Some(begin) = begin else { return false };
    let least = match place.len() {
        1 => begin + last_needed - 1,
        _ => last.from + last_needed - 1,
    };
    let end = (least..last.from + last.count).find(|index| ends(letters, *index));
    let Some(end) = end else { return false };
    !is_another_word(pattern, place, begin, end) && holds_together(pattern, place, &letters[begin..=end], begin)
}

fn begins(letters: &[Letter], index: usize) -> bool {
    let here = letters[index];
    index == 0 || here.gap != Gap::None || is_unspaced(here.c) || is_unspaced(letters[index - 1].c)
}

fn ends(letters: &[Letter], index: usize) -> bool {
    letters
        .get(index + 1)
        .is_none_or(|next| next.gap != Gap::None || is_unspaced(next.c) || is_unspaced(letters[index].c))
}

/// Whether nothing is added to the word but one `e` or `o` that is doubled.
fn is_another_word(pattern: &Pattern, place: &[Run], begin: usize, end: usize) -> bool {
    let mut added = None;
    for (run, needed) in place.iter().zip(&pattern.runs) {
        let count = (run.from + run.count).min(end + 1) - run.from.max(begin);
        match count - needed {
            0 => {}
            1 if added.is_none() && *needed == 1 => added = Some(run.c),
            _ => return false,
        }
    }
    matches!(added, Some('e' | 'o'))
}

/// Whether letters that stand apart are meant as one word.
fn holds_together(pattern: &Pattern, place: &[Run], letters: &[Letter], begin: usize) -> bool {
    let mut pieces: Vec<&[Letter]> = Vec::new();
    let (mut from, mut foreign) = (0, false);
    for (index, letter) in letters.iter().enumerate().skip(1) {
        if letter.gap == Gap::None {
            continue;
        }
        pieces.push(&letters[from..index]);
        from = index;
        let run = place.partition_point(|run| run.from <= begin + index).saturating_sub(1);
        foreign |= letter.gap == Gap::Loose && !pattern.gaps.contains(&run);
    }
    if !foreign {
        return true;
    }
    pieces.push(&letters[from..]);
    let single = |piece: &&[Letter]| piece.len() == 1;
    let singles = pieces.iter().copied().filter(|piece| single(piece));
    match (pieces.len(), singles.clone().count()) {
        (_, 0) => false,
        // `a` and `I` and their like are words.
        (2, 1) => singles
            .flatten()
            .all(|letter| !matches!(letter.c, 'a' | 'e' | 'i' | 'o' | 'u' | 'y')),
        (pieces, singles) => singles + 1 >= pieces,
    }
}

/// Scripts that put no spaces between words: a word may begin and end anywhere.
fn is_unspaced(c: char) -> bool {
    matches!(
        c,
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
            | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
            | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}'
    )
}
