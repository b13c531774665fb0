//! Search: products that everybody may see, by words, category, shop, price and stock.
//!
//! Orders that an index has (newest, price) are read from it, a page at a time. Where words
//! are searched for, only [`Effort::near`] products are looked at in this way at first: what
//! has the words may be rare, or all old. Then what has them is looked up and sorted, unless
//! that is more than [`Effort::gathered`] products. By relevance, up to [`RANKED_MAX`] products that have the words are ranked; where more have
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
use shared::error::{ErrorCode, Refusal};
use shared::ids::ProductId;
use sqlx::{Connection, PgConnection, PgPool};
use uuid::Uuid;

use model::{Class, Cursor, Place, Search, Sort};
pub use model::{Filter, Found};
use spelling::Token;

use crate::catalog::{categories, products};
use crate::http::Result;

/// Products that are ranked at most.
const RANKED_MAX: i64 = 1_000;
/// And for whoever is on a further page, when some have come meanwhile: a cursor is only what
/// its sender says, and nobody has more than these sorted.
const RANKED_FURTHER_MAX: i64 = 2 * RANKED_MAX;

/// How much is done in one way before another is taken. What is found is the same.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Products that are looked at in the order asked for, whether they have the words.
    pub near: i64,
    /// Products with the words that are looked up and sorted. Where more have them, an index
    /// is read in its order until the page is full.
    pub gathered: i64,
}

impl Default for Effort {
    fn default() -> Self {
        Self {
            near: 2_500,
            gathered: 20_000,
        }
    }
}

/// Words that are tried instead of one at most.
const TRIED_MAX: usize = 5;
/// Words of titles that one run of [`prune_words`] looks at, drawn anew each time.
const WORDS_LOOKED_AT: i64 = 200;

/// The products that `filter` finds.
///
/// # Errors
/// `InvalidParameter`.
pub async fn search(db: &PgPool, filter: &Filter) -> Result<Found> {
    search_with(db, filter, Effort::default()).await
}

/// The same with another effort.
///
/// # Errors
/// `InvalidParameter`.
pub async fn search_with(db: &PgPool, filter: &Filter, effort: Effort) -> Result<Found> {
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
    let found = found(&mut tx, &search, effort).await?;
    tx.commit().await?;
    Ok(found)
}

async fn found(conn: &mut PgConnection, search: &Search, effort: Effort) -> Result<Found> {
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
    let mut page = page(conn, search, &narrow, effort).await?;
    if page.ids.is_empty()
        && search.cursor.is_none()
        && let Some(words) = &narrow.words
        && let Some(text) = correct(conn, &words.folded).await?
    {
        narrow.words = Some(store::words(conn, &text).await?);
        page = self::page(conn, search, &narrow, effort).await?;
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
    store::look_words_up(conn, true).await?;
    for token in &tokens {
        let Token::Wanted(word) = token else { continue };
        let near = store::near(conn, word, &spelling::neighbours(word)).await?;
        instead.push(if near.known {
            Some(word.clone())
        } else {
            nearest_found(conn, word, &near.words).await?
        });
    }
    store::look_words_up(conn, false).await?;
    Ok(spelling::meant(&tokens, &instead))
}

/// The word of `near` that is most like `word` and that a product on sale has: titles that
/// are not on sale any more have left words behind.
async fn nearest_found(conn: &mut PgConnection, word: &str, near: &[String]) -> Result<Option<String>> {
    for other in spelling::nearest(word, near).into_iter().take(TRIED_MAX) {
        if store::is_found(conn, other).await? {
            return Ok(Some(other.to_owned()));
        }
    }
    Ok(None)
}

/// Forgets words of titles that no product on sale has, of as many as one run looks at.
/// Returns how many.
///
/// # Errors
/// When the database fails.
pub async fn prune_words(db: &PgPool) -> Result<u64> {
    Ok(store::delete_unused_words(&mut *db.acquire().await?, WORDS_LOOKED_AT).await?)
}

/// A page, and the place of its last product where there are more.
#[derive(Default)]
struct Page {
    ids: Vec<ProductId>,
    next: Option<Place>,
}

async fn page(conn: &mut PgConnection, search: &Search, narrow: &store::Narrow, effort: Effort) -> Result<Page> {
    let mut way = Way { conn, narrow, effort };
    let place = search.cursor.as_ref().map(|cursor| cursor.place);
    match (search.sort, place) {
        (Sort::Relevance, Some(Place::Class { class, time, id })) => {
            way.by_class(search.limit, class, Some((time, id))).await
        }
        (Sort::Relevance, _) => way.by_rank(search.limit, place).await,
        (Sort::Newest | Sort::PriceAsc | Sort::PriceDesc, _) => way.in_order(search, place).await,
    }
}

/// One more than a page has, to see whether there are more.
fn rows(limit: usize) -> i64 {
    i64::try_from(limit + 1).unwrap_or(i64::MAX)
}

/// The way to a page.
struct Way<'a> {
    conn: &'a mut PgConnection,
    narrow: &'a store::Narrow,
    effort: Effort,
}

impl Way<'_> {
    /// A page by rank or, when there are too many for that, the first by class.
    async fn by_rank(&mut self, limit: usize, place: Option<Place>) -> Result<Page> {
        let after = row_place(place);
        // Who is on a further page goes on as they began, though some may have come meanwhile.
        let most = if after.is_none() {
            RANKED_MAX
        } else {
            RANKED_FURTHER_MAX
        };
        let ranked = store::ranked(self.conn, self.narrow, most + 1, after, rows(limit)).await?;
        if ranked.first().is_some_and(|first| first.of > most) {
            if after.is_none() {
                return self.by_class(limit, Class::Exact, None).await;
            }
            let detail = "is not good any more: so many products have come; begin again";
            return Err(Refusal::new(ErrorCode::InvalidParameter, detail).at("cursor").into());
        }
        Ok(cut(ranked.into_iter().map(Into::into).collect(), limit))
    }

    /// A page by class, from a place in `class` on.
    async fn by_class(&mut self, limit: usize, class: Class, mut after: Option<(Timestamp, Uuid)>) -> Result<Page> {
        let mut page = Page::default();
        for class in Class::ALL.into_iter().skip_while(|other| *other != class) {
            let left = limit - page.ids.len();
            let (after, rows) = (after.take(), rows(left));
            let places = match class {
                Class::Exact => store::exact(self.conn, self.narrow, after, rows).await?,
                Class::Title => self.newest(store::Among::Title, after, rows).await?,
                Class::Elsewhere => self.newest(store::Among::Elsewhere, after, rows).await?,
            };
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

    /// A page in an order that an index has.
    async fn in_order(&mut self, search: &Search, place: Option<Place>) -> Result<Page> {
        let (after, rows) = (row_place(place), rows(search.limit));
        let places = match search.sort {
            Sort::PriceAsc => self.priced(false, after, rows).await?,
            Sort::PriceDesc => self.priced(true, after, rows).await?,
            Sort::Newest | Sort::Relevance => {
                let after = after.and_then(|(key, id)| Some((model::time_of(key)?, id)));
                self.newest(store::Among::All, after, rows).await?
            }
        };
        Ok(cut(places, search.limit))
    }

    /// Whether to look near first. A shop's products are few, and have indexes of their own.
    fn looks_near(&self) -> bool {
        self.narrow.words.is_some() && self.narrow.seller.is_none()
    }

    /// So many of the newest.
    async fn newest(
        &mut self,
        among: store::Among,
        after: Option<(Timestamp, Uuid)>,
        rows: i64,
    ) -> Result<Vec<store::Place>> {
        let Effort { near, gathered } = self.effort;
        if self.looks_near() {
            let found = store::newest_near(self.conn, self.narrow, among, after, rows, near).await?;
            if is_full(&found, rows) {
                return Ok(found);
            }
        }
        if self.narrow.words.is_some() {
            let found = store::newest_gathered(self.conn, self.narrow, among, after, rows, gathered + 1).await?;
            if found.first().is_none_or(|first| first.of <= gathered) {
                return Ok(found.into_iter().map(Into::into).collect());
            }
        }
        Ok(store::newest(self.conn, self.narrow, among, after, rows).await?)
    }

    /// So many of the cheapest, or of the dearest.
    async fn priced(&mut self, dearest: bool, after: Option<(i64, Uuid)>, rows: i64) -> Result<Vec<store::Place>> {
        let Effort { near, gathered } = self.effort;
        let looks_near = self.looks_near();
        let (conn, narrow) = (&mut *self.conn, self.narrow);
        if looks_near {
            let found = match dearest {
                true => store::dearest_near(conn, narrow, after, rows, near).await?,
                false => store::cheapest_near(conn, narrow, after, rows, near).await?,
            };
            if is_full(&found, rows) {
                return Ok(found);
            }
        }
        if narrow.words.is_some() {
            let found = store::priced_gathered(conn, narrow, dearest, after, rows, gathered + 1).await?;
            if found.first().is_none_or(|first| first.of <= gathered) {
                return Ok(found.into_iter().map(Into::into).collect());
            }
        }
        Ok(match dearest {
            true => store::dearest(conn, narrow, after, rows).await?,
            false => store::cheapest(conn, narrow, after, rows).await?,
        })
    }
}

fn is_full(places: &[store::Place], rows: i64) -> bool {
    i64::try_from(places.len()).is_ok_and(|found| found >= rows)
}

/// Behind which key and id a page begins.
fn row_place(place: Option<Place>) -> Option<(i64, Uuid)> {
    match place {
        Some(Place::Row { key, id }) => Some((key, id)),
        Some(Place::Class { .. }) | None => None,
    }
}

fn class_place(class: Class, place: &store::Place) -> Option<Place> {
    let time = model::time_of(place.key)?;
    Some(Place::Class {
        class,
        time,
        id: place.id.0,
    })
}

/// A page of the places that were read for it, which are one more when there are more.
fn cut(mut places: Vec<store::Place>, limit: usize) -> Page {
    let more = places.len() > limit;
    places.truncate(limit);
    let next = places.last().filter(|_| more).map(|last| Place::Row {
        key: last.key,
        id: last.id.0,
    });
    Page {
        ids: places.into_iter().map(|place| place.id).collect(),
        next,
    }
}
