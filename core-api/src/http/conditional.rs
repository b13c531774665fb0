//! Requests that name the copies one has (RFC 9110, 13.1.2).

use actix_web::HttpRequest;
use actix_web::http::header;

/// Whether the request's `If-None-Match` names `etag`: then 304 is the answer.
#[must_use]
pub fn is_known(request: &HttpRequest, etag: &str) -> bool {
    let tags = request.headers().get_all(header::IF_NONE_MATCH);
    { tags }
        .filter_map(|value| value.to_str().ok())
        .any(|tags| matches(tags, etag))
}

/// The weak comparison of `If-None-Match`.
fn matches(tags: &str, etag: &str) -> bool {
    let mut tags = tags.split(',').map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_tag_of_the_list_will_do_weak_or_not() {
        for tags in ["\"a\"", "\"b\", \"a\"", "W/\"a\"", "*"] {
            assert!(matches(tags, "\"a\""), "{tags}");
        }
        for tags in ["", "a", "\"b\"", "\"A\""] {
            assert!(!matches(tags, "\"a\""), "{tags}");
        }
    }
}
