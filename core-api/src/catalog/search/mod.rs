//! Search: products that everybody may see, by words, category, shop, price and stock.
//!
//! Orders that an index has (newest, price) are read from it, a page at a time. What fits
//! a text best is ranked within a window of the newest [`WINDOW`] products that have its
//! words, so that a word which everything has costs no more than any other; facets count
//! the same window. Where nothing has the words, titles that are spelt nearly so are found.
//! A cursor names a row's place in the order, and a window's newest product: what is added
//! later neither shifts nor repeats anything.

pub mod facets;
pub mod handlers;
pub mod model;
mod store;

use shared::ids::ProductId;
use sqlx::{Connection, PgConnection, PgPool};

use model::{Candidate, Cursor, How, Search, Sort};
pub use model::{Filter, Found};

use crate::catalog::{categories, products};
use crate::http::Result;

/// Products that are ranked or counted at most.
const WINDOW: i64 = 500;
/// Products that are compared by their spelling at most: that costs more.
const SPELLING_WINDOW: i64 = 200;

/// The products that `filter` finds.
///
/// # Errors
/// `InvalidParameter`.
pub async fn search(db: &PgPool, filter: &Filter) -> Result<Found> {
    let search = Search::try_from(filter)?;
    let mut connection = db.acquire().await?;
    // Plans are made for each search: which index is best depends on what is asked. The
    // threshold is how alike a word and a part of a title must be to be taken for a typo.
    let mut tx = connection
        .begin_with(
            "begin read only; set local plan_cache_mode = force_custom_plan; \
             set local pg_trgm.word_similarity_threshold = 0.4",
        )
        .await?;
    let found = found(&mut tx, &search).await?;
    tx.commit().await?;
    Ok(found)
}

async fn found(conn: &mut PgConnection, search: &Search) -> Result<Found> {
    let categories = match &search.category {
        None => None,
        Some(name) => Some(categories::subtree(conn, name).await?),
    };
    let narrow = store::Narrow {
        text: search.text.as_deref(),
        categories: categories.as_ref().map(|ids| ids.iter().map(|id| id.0).collect()),
        seller: search.seller,
        in_stock: search.in_stock,
        currency: search.currency,
        price_min: search.price_min,
        price_max: search.price_max,
    };
    let page = page(conn, search, &narrow).await?;
    let items = products::many(conn, &page.ids).await?;
    let facets = match (search.facets, page.window) {
        (false, _) => None,
        (true, Some((how, window))) => Some(count(how, &window)),
        (true, None) => {
            let window = store::window(conn, &narrow, None, WINDOW + 1).await?;
            Some(count(How::Words, &window))
        }
    };
    Ok(Found {
        items,
        next_cursor: page.next.map(|cursor| cursor.write(search.sort)),
        facets,
    })
}

/// A page, and the window that it was read from, where it was.
struct Page {
    ids: Vec<ProductId>,
    next: Option<Cursor>,
    window: Option<(How, Vec<Candidate>)>,
}

async fn page(conn: &mut PgConnection, search: &Search, narrow: &store::Narrow<'_>) -> Result<Page> {
    if let Some(Cursor::Window { how, newest, .. }) = search.cursor {
        let window = match how {
            How::Words => store::window(conn, narrow, Some(newest), WINDOW + 1).await?,
            How::Spelling => store::spelt_alike(conn, narrow, Some(newest), SPELLING_WINDOW + 1).await?,
        };
        return Ok(of_window(search, how, window));
    }
    if search.sort == Sort::Relevance {
        let window = store::window(conn, narrow, None, WINDOW + 1).await?;
        if !window.is_empty() {
            return Ok(of_window(search, How::Words, window));
        }
    } else {
        let page = in_order(conn, search, narrow).await?;
        if !page.ids.is_empty() || search.text.is_none() || search.cursor.is_some() {
            return Ok(page);
        }
    }
    let window = store::spelt_alike(conn, narrow, None, SPELLING_WINDOW + 1).await?;
    Ok(of_window(search, How::Spelling, window))
}

fn of_window(search: &Search, how: How, window: Vec<Candidate>) -> Page {
    let shown = &window[..window.len().min(most(how))];
    let (ids, next) = model::page_of(shown, how, search.sort, search.cursor, search.limit);
    Page {
        ids,
        next,
        window: Some((how, window)),
    }
}

/// A page in an order that an index has.
async fn in_order(conn: &mut PgConnection, search: &Search, narrow: &store::Narrow<'_>) -> Result<Page> {
    let after = match search.cursor {
        Some(Cursor::Row { key, id }) => Some((key, id)),
        _ => None,
    };
    let rows = i64::try_from(search.limit + 1).unwrap_or(i64::MAX);
    let mut places = match search.sort {
        Sort::PriceAsc => store::cheapest(conn, narrow, after, rows).await?,
        Sort::PriceDesc => store::dearest(conn, narrow, after, rows).await?,
        Sort::Newest | Sort::Relevance => store::newest(conn, narrow, after, rows).await?,
    };
    let more = places.len() > search.limit;
    places.truncate(search.limit);
    let next = places.last().filter(|_| more).map(|place| Cursor::Row {
        key: place.key,
        id: place.id.0,
    });
    Ok(Page {
        ids: places.into_iter().map(|place| place.id).collect(),
        next,
        window: None,
    })
}

fn most(how: How) -> usize {
    let rows = match how {
        How::Words => WINDOW,
        How::Spelling => SPELLING_WINDOW,
    };
    usize::try_from(rows).unwrap_or(usize::MAX)
}

/// Facets of a window, which has one more row than is counted when there are more.
fn count(how: How, window: &[Candidate]) -> facets::Facets {
    let most = most(how);
    facets::count(&window[..window.len().min(most)], window.len() <= most)
}
