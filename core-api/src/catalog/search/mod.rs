//! Search: products that everybody may see, by words, category, shop, price and stock.
//!
//! Orders that an index has (newest, price) are read from it, a page at a time. By
//! relevance, up to [`RANKED_MAX`] products that have the words are ranked; where more have
//! them, ranks say little, and they come by class: the title is the text, the title has the
//! words, anything else has them; in each class the newest first, so that a word which
//! everything has costs no more than any other and every product is reached. Where nothing
//! has the words, those are replaced that nothing has, by words that are spelt nearly so.
//!
//! A cursor names a product's place in the order, which nothing that is added later moves.
//! Facets count what was found, [`facets::COUNTED_MAX`] at most, and say whether that is all.

pub mod facets;
pub mod handlers;
pub mod model;
mod spelling;
mod store;

use shared::Timestamp;
use shared::ids::ProductId;
use sqlx::{Connection, PgConnection, PgPool};
use uuid::Uuid;

use model::{Class, Cursor, Place, Search, Sort};
pub use model::{Filter, Found};
use spelling::Token;

use crate::catalog::{categories, products};
use crate::http::Result;

/// Products that are ranked at most, and that are few: they are looked up and sorted.
const RANKED_MAX: i64 = 1_000;

/// The products that `filter` finds.
///
/// # Errors
/// `InvalidParameter`.
pub async fn search(db: &PgPool, filter: &Filter) -> Result<Found> {
    let search = Search::try_from(filter)?;
    let mut connection = db.acquire().await?;
    // Plans are made for each search: which index is best depends on what is asked. A scan of
    // all products is best only where estimates are right, and very bad where they are not. The
    // threshold is how alike words must be for one to be looked at instead of the other.
    let mut tx = connection
        .begin_with(
            "begin read only; set local plan_cache_mode = force_custom_plan; set local enable_seqscan = off; \
             set local jit = off; set local pg_trgm.similarity_threshold = 0.2",
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
    let mut meant = search.cursor.as_ref().and_then(|cursor| cursor.meant.clone());
    let words = match meant.as_ref().or(search.text.as_ref()) {
        None => None,
        Some(text) => Some(store::words(conn, text).await?),
    };
    let mut narrow = store::Narrow {
        words,
        categories: categories.map(|ids| ids.iter().map(|id| id.0).collect()),
        seller: search.seller,
        in_stock: search.in_stock,
        currency: search.currency,
        price_min: search.price_min,
        price_max: search.price_max,
    };
    let mut page = page(conn, search, &narrow).await?;
    if page.ids.is_empty()
        && search.cursor.is_none()
        && let Some(words) = &narrow.words
        && let Some(text) = correct(conn, &words.folded).await?
    {
        narrow.words = Some(store::words(conn, &text).await?);
        page = self::page(conn, search, &narrow).await?;
        meant = Some(text).filter(|_| !page.ids.is_empty());
    }
    let facets = match search.facets {
        false => None,
        true => Some(facets::of(
            store::tallies(conn, &narrow, facets::COUNTED_MAX + 1).await?,
        )),
    };
    let next = page.next.map(|place| Cursor {
        place,
        meant: meant.clone(),
    });
    Ok(Found {
        items: products::many(conn, &page.ids).await?,
        next_cursor: next.map(|cursor| cursor.write(search.sort)),
        corrected: meant,
        facets,
    })
}

/// What was meant by a folded text; `None`: nothing else that can be found.
async fn correct(conn: &mut PgConnection, folded: &str) -> Result<Option<String>> {
    let tokens = spelling::tokens(folded);
    let mut instead = Vec::new();
    for token in &tokens {
        let Token::Wanted(word) = token else { continue };
        let near = store::near(conn, word, &spelling::neighbours(word)).await?;
        instead.push(if near.known {
            Some(word.clone())
        } else {
            spelling::nearest(word, &near.words).map(str::to_owned)
        });
    }
    Ok(spelling::meant(&tokens, &instead))
}

/// A page, and the place of its last product where there are more.
#[derive(Default)]
struct Page {
    ids: Vec<ProductId>,
    next: Option<Place>,
}

async fn page(conn: &mut PgConnection, search: &Search, narrow: &store::Narrow) -> Result<Page> {
    let place = search.cursor.as_ref().map(|cursor| cursor.place);
    match (search.sort, place) {
        (Sort::Relevance, Some(Place::Class { class, time, id })) => {
            by_class(conn, search.limit, narrow, class, Some((time, id))).await
        }
        (Sort::Relevance, _) => by_rank(conn, search.limit, narrow, place).await,
        (Sort::Newest | Sort::PriceAsc | Sort::PriceDesc, _) => in_order(conn, search, narrow, place).await,
    }
}

/// One more than a page has, to see whether there are more.
fn rows(limit: usize) -> i64 {
    i64::try_from(limit + 1).unwrap_or(i64::MAX)
}

/// A page by rank or, when there are too many for that, the first by class.
async fn by_rank(conn: &mut PgConnection, limit: usize, narrow: &store::Narrow, place: Option<Place>) -> Result<Page> {
    let after = match place {
        Some(Place::Row { key, id }) => Some((key, id)),
        Some(Place::Class { .. }) | None => None,
    };
    // Who is on a further page goes on as they began, though some may have come meanwhile.
    let most = after.is_none().then_some(RANKED_MAX + 1);
    let ranked = store::ranked(conn, narrow, most, after, rows(limit)).await?;
    if most.is_some() && ranked.first().is_some_and(|first| first.of > RANKED_MAX) {
        return by_class(conn, limit, narrow, Class::Exact, None).await;
    }
    let places = ranked.into_iter().map(|row| (row.key, row.id)).collect();
    Ok(cut(places, limit))
}

/// A page by class, from a place in `class` on.
async fn by_class(
    conn: &mut PgConnection,
    limit: usize,
    narrow: &store::Narrow,
    class: Class,
    mut after: Option<(Timestamp, Uuid)>,
) -> Result<Page> {
    let mut page = Page::default();
    for class in Class::ALL.into_iter().skip_while(|other| *other != class) {
        let left = limit - page.ids.len();
        let few = match class {
            Class::Title => store::count_titles(conn, narrow, RANKED_MAX + 1).await? <= RANKED_MAX,
            Class::Exact | Class::Elsewhere => false,
        };
        let places = store::of_class(conn, narrow, class, few, after.take(), rows(left)).await?;
        if places.len() > left {
            // The last that is shown may be of the class before.
            let shown = &places[..left];
            page.ids.extend(shown.iter().map(|place| place.id));
            if let Some(last) = shown.last() {
                page.next = class_place(class, last);
            }
            return Ok(page);
        }
        page.ids.extend(places.iter().map(|place| place.id));
        if let Some(last) = places.last() {
            page.next = class_place(class, last);
        }
    }
    page.next = None;
    Ok(page)
}

fn class_place(class: Class, place: &store::Place) -> Option<Place> {
    let time = model::time_of(place.key)?;
    Some(Place::Class {
        class,
        time,
        id: place.id.0,
    })
}

/// A page in an order that an index has.
async fn in_order(
    conn: &mut PgConnection,
    search: &Search,
    narrow: &store::Narrow,
    place: Option<Place>,
) -> Result<Page> {
    let after = match place {
        Some(Place::Row { key, id }) => Some((key, id)),
        Some(Place::Class { .. }) | None => None,
    };
    let rows = rows(search.limit);
    let few = narrow.words.is_some() && store::count(conn, narrow, RANKED_MAX + 1).await? <= RANKED_MAX;
    let places = match search.sort {
        Sort::PriceAsc => store::cheapest(conn, narrow, few, after, rows).await?,
        Sort::PriceDesc => store::dearest(conn, narrow, few, after, rows).await?,
        Sort::Newest | Sort::Relevance => {
            let after = after.and_then(|(key, id)| Some((model::time_of(key)?, id)));
            store::newest(conn, narrow, few, after, rows).await?
        }
    };
    let places = places.into_iter().map(|place| (place.key, place.id)).collect();
    Ok(cut(places, search.limit))
}

/// A page of the places that were read for it, which are one more when there are more.
fn cut(mut places: Vec<(i64, ProductId)>, limit: usize) -> Page {
    let more = places.len() > limit;
    places.truncate(limit);
    let next = places
        .last()
        .filter(|_| more)
        .map(|&(key, id)| Place::Row { key, id: id.0 });
    Page {
        ids: places.into_iter().map(|(_, id)| id).collect(),
        next,
    }
}
