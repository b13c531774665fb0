//! A text as the letters that a reader sees in it: without case, marks, look-alikes,
//! digits that stand for letters, and what takes no room; and where it has gaps.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;
use unicode_security::skeleton;

/// What stands before a letter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Gap {
    /// Another letter.
    None,
    /// Punctuation, a picture: what people put between letters and seldom between words.
    Tight,
    /// A space or an apostrophe: what stands between words.
    Loose,
}

/// One letter of a folded text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Letter {
    pub(super) c: char,
    pub(super) gap: Gap,
}

/// How signs that may mean several things are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Reading {
    /// What `1`, `!` and `|` stand for.
    pub(super) one: char,
    /// Whether digits and signs at the ends of a word are letters of it.
    pub(super) edges: bool,
}

impl Reading {
    /// How a blocked word itself is read.
    pub(super) const PLAIN: Self = Self { one: 'i', edges: true };
    /// Every way to read a text.
    pub(super) const ALL: [Self; 4] = [
        Self::PLAIN,
        Self { one: 'i', edges: false },
        Self { one: 'l', edges: true },
        Self { one: 'l', edges: false },
    ];
}

/// What one character is to a reader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sign {
    /// A letter.
    Letter(char),
    /// A digit or sign, and the letter it may stand for.
    Leet(char, char),
    /// One that may be an i or an l.
    One(char),
    /// A digit that stands for nothing else.
    Digit(char),
    /// A mark on the letter before it.
    Mark(char),
    /// Nothing at all.
    Hidden,
    Gap(Gap),
}

/// A word as it is compared: its letters, with a space where it has a gap of its own.
#[must_use]
pub fn folded(word: &str) -> String {
    let letters = fold(word, Reading::PLAIN);
    let mut text = String::with_capacity(word.len());
    for (index, letter) in letters.iter().enumerate() {
        if index > 0 && letter.gap != Gap::None {
            text.push(' ');
        }
        text.push(letter.c);
    }
    text
}

/// The letters of a text, read in one way.
pub(super) fn fold(text: &str, reading: Reading) -> Vec<Letter> {
    let mut out = Vec::with_capacity(text.len());
    let (mut piece, mut gap) = (Vec::new(), Gap::None);
    for sign in text.nfkd().flat_map(signs) {
        match sign {
            Sign::Gap(between) => {
                close(&mut piece, &mut gap, reading, &mut out);
                gap = gap.max(between);
            }
            Sign::Hidden => {}
            // What a mark does to a Latin letter is folded away; elsewhere it is a vowel.
            Sign::Mark(c) => match piece.last() {
                Some(Sign::Letter(last) | Sign::Mark(last)) if !last.is_ascii() => piece.push(Sign::Mark(c)),
                _ => {}
            },
            sign => piece.push(sign),
        }
    }
    close(&mut piece, &mut gap, reading, &mut out);
    out
}

/// Ends a piece: its letters go out, the first behind the gap before it.
fn close(piece: &mut Vec<Sign>, gap: &mut Gap, reading: Reading, out: &mut Vec<Letter>) {
    let has_letters = piece.iter().any(|sign| matches!(sign, Sign::Letter(_)));
    let is_letter = |sign: &Sign| matches!(sign, Sign::Letter(_) | Sign::Mark(_));
    let (mut from, mut to) = (0, piece.len());
    if has_letters && !reading.edges {
        from = piece.iter().position(is_letter).unwrap_or(0);
        to = piece.iter().rposition(is_letter).map_or(0, |last| last + 1);
    }
    for sign in &piece[from..to] {
        let letter = match *sign {
            Sign::Letter(c) | Sign::Mark(c) => Some(c),
            Sign::Leet(_, c) if has_letters => Some(c),
            Sign::One(_) if has_letters => Some(reading.one),
            // Without a letter beside it a digit is a digit, and a sign nothing.
            Sign::Leet(c, _) | Sign::One(c) | Sign::Digit(c) => c.is_ascii_digit().then_some(c),
            Sign::Hidden | Sign::Gap(_) => None,
        };
        if let Some(c) = letter {
            out.push(Letter { c, gap: *gap });
            *gap = Gap::None;
        }
    }
    if to < piece.len() {
        *gap = (*gap).max(Gap::Tight);
    }
    piece.clear();
}

/// What a character, of compatibility-decomposed text, is to a reader; some are two.
fn signs(c: char) -> impl Iterator<Item = Sign> {
    let (first, second) = match c {
        'ß' => (Sign::Letter('s'), Some('s')),
        'æ' | 'Æ' => (Sign::Letter('a'), Some('e')),
        'œ' | 'Œ' => (Sign::Letter('o'), Some('e')),
        _ => (sign(c), None),
    };
    std::iter::once(first).chain(second.map(Sign::Letter))
}

fn sign(c: char) -> Sign {
    if c.is_ascii() {
        return ascii(c);
    }
    if is_hidden(c) {
        return Sign::Hidden;
    }
    if is_combining_mark(c) {
        return Sign::Mark(c);
    }
    if matches!(c, '\u{2019}' | '\u{2018}' | '\u{2bc}') || c.is_whitespace() {
        return Sign::Gap(Gap::Loose);
    }
    if let Some(letter) = enclosed(c).or_else(|| small_capital(c)) {
        return Sign::Letter(letter);
    }
    match look_alike(c) {
        Some(sign) => sign,
        None if c.is_alphanumeric() => Sign::Letter(c.to_lowercase().next().unwrap_or(c)),
        None => Sign::Gap(Gap::Tight),
    }
}

fn ascii(c: char) -> Sign {
    match c.to_ascii_lowercase() {
        letter @ 'a'..='z' => Sign::Letter(letter),
        '0' => Sign::Leet(c, 'o'),
        '1' | '!' | '|' => Sign::One(c),
        '3' => Sign::Leet(c, 'e'),
        '4' | '@' => Sign::Leet(c, 'a'),
        '5' | '$' => Sign::Leet(c, 's'),
        '7' | '+' => Sign::Leet(c, 't'),
        '8' => Sign::Leet(c, 'b'),
        '9' => Sign::Leet(c, 'g'),
        '2' | '6' => Sign::Digit(c),
        ' ' | '\t' | '\n' | '\r' | '\'' | '`' => Sign::Gap(Gap::Loose),
        _ => Sign::Gap(Gap::Tight),
    }
}

/// The Latin letter that a character can be taken for: its prototype of Unicode Technical
/// Standard 39, tried in small letters, as it is, and in capitals.
fn look_alike(c: char) -> Option<Sign> {
    if matches!(c, '€' | '£' | '¢') {
        let letter = match c {
            '€' => 'e',
            '£' => 'l',
            _ => 'c',
        };
        return Some(Sign::Leet(c, letter));
    }
    if !c.is_alphanumeric() {
        return None;
    }
    let cases = [c.to_lowercase().next(), Some(c), c.to_uppercase().next()];
    let mut buffer = [0; 4];
    for case in cases.into_iter().flatten() {
        let mut shape = skeleton(case.encode_utf8(&mut buffer)).filter(|c| !is_combining_mark(*c));
        match (shape.next(), shape.next()) {
            (Some('r'), Some('n')) => return Some(Sign::Letter('m')),
            // The prototype of everything that is one stroke.
            (Some('l'), None) => return Some(Sign::One(c)),
            (Some(shape), None) if shape.is_ascii() => return Some(ascii(shape)),
            _ => {}
        }
    }
    None
}

/// Letters in circles, squares and flags, as far as decomposition leaves them.
fn enclosed(c: char) -> Option<char> {
    let from = match c {
        '\u{1f150}'..='\u{1f169}' => 0x1f150,
        '\u{1f170}'..='\u{1f189}' => 0x1f170,
        '\u{1f1e6}'..='\u{1f1ff}' => 0x1f1e6,
        _ => return None,
    };
    u8::try_from(u32::from(c) - from).ok().map(|n| char::from(b'a' + n))
}

/// The letters of phonetic alphabets that are drawn as small capitals.
fn small_capital(c: char) -> Option<char> {
    const SMALL: &str = "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘꞯʀꜱᴛᴜᴠᴡxʏᴢ";
    let index = SMALL.chars().position(|small| small == c)?;
    u8::try_from(index).ok().map(|n| char::from(b'a' + n))
}

/// Characters that take no room.
fn is_hidden(c: char) -> bool {
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
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}
