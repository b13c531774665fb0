//! Whether a text has a link in it. Pure.
//!
//! A link is what somebody else's page would turn into one, or what a reader is meant to
//! type: a scheme (`http`, `hxxp` and any other before `://`), `www.`, an address by its
//! name (`shop.example.com`, with the dot written as `[.]`, `(dot)` or in other scripts'
//! full stops too) or by its number. It knows the top-level domains that people use and
//! every one of two letters; names without one of these pass, and so does a name whose dot
//! has spaces around it. `nice.it is` is taken for a link: the author is told and adds the
//! space.

use unicode_normalization::UnicodeNormalization as _;

use crate::room::text::is_invisible;

/// Top-level domains of more than two letters that messages are found to advertise.
const DOMAINS: [&str; 58] = [
    "com", "net", "org", "info", "biz", "edu", "gov", "mil", "int", "app", "dev", "page", "web", "site", "online",
    "store", "shop", "live", "stream", "tube", "xyz", "top", "club", "vip", "fun", "icu", "buzz", "link", "click",
    "news", "blog", "chat", "group", "world", "today", "life", "space", "website", "tech", "cloud", "host", "pro",
    "name", "mobi", "asia", "cat", "bid", "loan", "win", "date", "review", "download", "stripe", "finance", "money",
    "cash", "onion", "рф",
];
/// The longest label of a name (RFC 1035).
const MAX_LABEL: usize = 63;

/// Whether there is one.
pub fn has_link(text: &str) -> bool {
    let text = plain(text);
    text.contains("://")
        || text
            .split(|c: char| {
                c.is_whitespace() || matches!(c, ',' | ';' | '"' | '\'' | '<' | '>' | '(' | ')' | '[' | ']')
            })
            .any(is_address)
}

/// The text in small letters, with the many dots and slashes of Unicode, and of those who
/// hide one, made plain.
fn plain(text: &str) -> String {
    let folded: String = text
        .nfkc()
        .flat_map(char::to_lowercase)
        .filter(|c| !is_invisible(*c))
        .map(|c| match c {
            '。' | '．' | '｡' | '․' | '‧' | '∙' | '•' => '.',
            '／' | '⁄' | '∕' | '╱' | '⧸' => '/',
            '：' | '∶' | '꞉' => ':',
            c => c,
        })
        .collect();
    ["[.]", "(.)", "{.}", "[dot]", "(dot)", "{dot}"]
        .into_iter()
        .fold(folded, |text, dot| text.replace(dot, "."))
}

fn is_address(word: &str) -> bool {
    // Of a path, a port, a user's name or a query only the host matters.
    let host = word
        .split(['/', '?', '#', '\\', '|', '!', '*', '='])
        .find(|part| part.contains('.'));
    let Some(host) = host else { return false };
    host.split(['@', ':']).any(is_host)
}

fn is_host(host: &str) -> bool {
    let host = host.trim_matches(|c: char| !c.is_alphanumeric());
    let mut labels = host.split('.').rev();
    let (Some(top), Some(name)) = (labels.next(), labels.next()) else {
        return false;
    };
    if host.starts_with("www.") {
        return true;
    }
    let octets = || host.split('.').filter(|octet| octet.parse::<u8>().is_ok()).count();
    if host.split('.').count() == 4 && octets() == 4 {
        return true;
    }
    let fits =
        |label: &str| (1..=MAX_LABEL).contains(&label.len()) && label.chars().all(|c| c.is_alphanumeric() || c == '-');
    // `e.g`, `3.5kg`, `1.de` are no names.
    let is_name = fits(name) && name.chars().count() > 1 && name.chars().any(char::is_alphabetic);
    let is_top = DOMAINS.contains(&top) || top.starts_with("xn--") || is_country(top);
    is_name && is_top
}

/// Every top-level domain of two letters is a country's.
fn is_country(top: &str) -> bool {
    top.len() == 2 && top.bytes().all(|b| b.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_seen_however_they_are_written() {
        for text in [
            "https://evil.example/x",
            "see HTTP://EVIL.EXAMPLE",
            "hxxps://evil[.]example",
            "ftp://a",
            "www.evil.example",
            "evil.com",
            "go to evil.com!",
            "(evil.com)",
            "evil.co.uk/path?x=1",
            "evil[.]com",
            "evil(dot)com",
            "evil。com",
            "ｅｖｉｌ．ｃｏｍ",
            "evil.c\u{200b}om",
            "evil\u{fe00}.com",
            "evil\u{34f}.com",
            "http:\u{fe00}//evil",
            "t.me/evil and bit.ly/abc",
            "user@evil.com",
            "evil.com:8080",
            "http:/\u{200b}/evil.com",
            "192.168.0.1",
            "192.168.0.1:80/x",
            "evil.xn--p1ai",
            "evil.рф",
            "best-deals.shop",
        ] {
            assert!(has_link(text), "{text:?}");
        }
    }

    #[test]
    fn what_only_has_a_dot_is_no_link() {
        for text in [
            "hello.",
            "wow... nice",
            "e.g. this, i.e. that",
            "it is 3.5kg",
            "19.00 or 1.900,50",
            "wait.what",
            "v1.2.3",
            "a.m. or p.m.",
            "no.1",
            "evil . com",
            "well,ok",
            "and/or",
            "10.5.2026",
            "he said:yes",
        ] {
            assert!(!has_link(text), "{text:?}");
        }
    }
}
