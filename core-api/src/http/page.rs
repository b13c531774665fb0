//! Lists, a page at a time, newest first; and the answer to a creation.

use std::future::{Ready, ready};

use actix_web::body::BoxBody;
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, HttpResponse, Responder, web};
use serde::{Deserialize, Serialize};
use shared::error::{ErrorCode, Refusal};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Error, Result};

const LIMIT_DEFAULT: i64 = 20;
const LIMIT_MAX: i64 = 100;

/// Which part of a list: by keyset, so that a page costs the same however deep it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Page {
    /// The `next_cursor` of the page before; none for the first.
    #[param(required = false)]
    pub cursor: Option<Uuid>,
    /// Items at most.
    #[param(minimum = 1, maximum = 100, default = 20, required = false)]
    pub limit: i64,
}

#[derive(Deserialize)]
struct Query {
    cursor: Option<Uuid>,
    limit: Option<i64>,
}

impl Page {
    /// How many items at most, when so many are asked for.
    ///
    /// # Errors
    /// `InvalidParameter`.
    pub fn limit(asked: Option<i64>) -> Result<i64> {
        let limit = asked.unwrap_or(LIMIT_DEFAULT);
        if (1..=LIMIT_MAX).contains(&limit) {
            return Ok(limit);
        }
        let detail = format!("limit is from 1 to {LIMIT_MAX}");
        Err(Refusal::new(ErrorCode::InvalidParameter, detail).at("limit").into())
    }

    /// How many rows to read: one more than shown, to know whether more follow.
    #[must_use]
    pub const fn rows(&self) -> i64 {
        self.limit + 1
    }
}

impl Default for Page {
    fn default() -> Self {
        Self {
            cursor: None,
            limit: LIMIT_DEFAULT,
        }
    }
}

impl FromRequest for Page {
    type Error = Error;
    type Future = Ready<Result<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(read(request.query_string()))
    }
}

fn read(query: &str) -> Result<Page> {
    let refused = |detail: String| Refusal::new(ErrorCode::InvalidParameter, detail);
    let Query { cursor, limit } = web::Query::<Query>::from_query(query)
        .map_err(|error| refused(error.to_string()))?
        .into_inner();
    let limit = Page::limit(limit)?;
    Ok(Page { cursor, limit })
}

/// One page of a list.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct List<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// Give it as `cursor` for the next page; null: this was the last.
    pub next_cursor: Option<Uuid>,
}

impl<T> List<T> {
    /// A page from the rows that [`Page::rows`] asked for.
    #[must_use]
    pub fn of(mut rows: Vec<T>, page: &Page, id: impl Fn(&T) -> Uuid) -> Self {
        let shown = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let more = rows.len() > shown;
        rows.truncate(shown);
        let next_cursor = rows.last().filter(|_| more).map(id);
        Self {
            items: rows,
            next_cursor,
        }
    }

    /// A list that is always whole.
    #[must_use]
    pub const fn whole(items: Vec<T>) -> Self {
        Self {
            items,
            next_cursor: None,
        }
    }

    /// The same page of other things.
    #[must_use]
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> List<U> {
        List {
            items: self.items.into_iter().map(f).collect(),
            next_cursor: self.next_cursor,
        }
    }
}

impl<T: Serialize> Responder for List<T> {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        HttpResponse::Ok().json(self)
    }
}

/// 201 with what was made.
pub struct Created<T>(pub T);

impl<T: Serialize> Responder for Created<T> {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        HttpResponse::Created().json(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_page_has_no_cursor() {
        let ids: Vec<Uuid> = (0..3).map(|_| Uuid::now_v7()).collect();
        let page = Page { cursor: None, limit: 2 };
        let list = List::of(ids.clone(), &page, |id| *id);
        assert_eq!(list.items, ids[..2]);
        assert_eq!(list.next_cursor, Some(ids[1]));
        let list = List::of(ids[..2].to_vec(), &page, |id| *id);
        assert_eq!(list.next_cursor, None);
    }

    #[test]
    fn limits_and_cursors_are_checked() {
        assert_eq!(read("").ok(), Some(Page::default()));
        for bad in ["limit=0", "limit=101", "limit=x", "cursor=1"] {
            assert_eq!(
                read(bad).map_err(|e| e.code()),
                Err(ErrorCode::InvalidParameter),
                "{bad}"
            );
        }
    }
}
