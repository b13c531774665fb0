//! What is searched for, what a page of it is, and where the next page begins. Pure.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use shared::error::{ErrorCode, Refusal};
use shared::ids::{CategoryId, ProductId, SellerId};
use shared::money::Currency;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::facets::Facets;
use crate::catalog::products::Product;
use crate::http::Page;

/// A text searched for, in characters at most.
const TEXT_MAX: usize = 100;

/// Which products, in which order.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Words of the title or the description, as people type them: `"in this order"`,
    /// `-without`, `this or that`. Where nothing has them, titles that are spelt nearly so.
    #[param(max_length = 100)]
    pub q: Option<String>,
    /// Of this category and what it divides into: its id or its slug.
    pub category: Option<String>,
    /// Of this shop.
    pub seller: Option<SellerId>,
    /// With a unit free to buy (`true`), or without (`false`).
    pub in_stock: Option<bool>,
    /// Priced in this currency (ISO 4217). Needed with prices, unless a shop is named.
    pub currency: Option<String>,
    /// With a variant for at least this, in minor units.
    #[param(minimum = 0)]
    pub price_min: Option<i64>,
    /// With a variant for at most this, in minor units.
    #[param(minimum = 0)]
    pub price_max: Option<i64>,
    /// The order; absent: `relevance` with `q`, else `newest`.
    #[param(inline)]
    pub sort: Option<Sort>,
    /// Whether to count what was found by category, shop, price and stock.
    pub facets: Option<bool>,
    /// The `next_cursor` of the page before; none for the first. The rest of the query is
    /// the same then.
    pub cursor: Option<String>,
    /// Items at most.
    #[param(minimum = 1, maximum = 100, default = 20)]
    pub limit: Option<i64>,
}

/// In which order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// What fits `q` best.
    Relevance,
    /// The newest first.
    Newest,
    /// The cheapest first.
    PriceAsc,
    /// The dearest first.
    PriceDesc,
}

/// A page of what was found.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Found {
    /// The products, in the order asked for.
    pub items: Vec<Product>,
    /// Give it as `cursor` for the next page; null: this was the last.
    pub next_cursor: Option<String>,
    /// How what was found divides, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facets: Option<Facets>,
}

/// A search that can be.
#[derive(Clone, Debug)]
pub(super) struct Search {
    /// What is typed; never empty.
    pub text: Option<String>,
    pub category: Option<String>,
    pub seller: Option<SellerId>,
    pub in_stock: Option<bool>,
    pub currency: Option<Currency>,
    pub price_min: Option<i64>,
    pub price_max: Option<i64>,
    pub sort: Sort,
    pub facets: bool,
    pub cursor: Option<Cursor>,
    pub limit: usize,
}

fn refused(field: &'static str, detail: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new(ErrorCode::InvalidParameter, detail).at(field)
}

impl TryFrom<&Filter> for Search {
    type Error = crate::http::Error;

    fn try_from(filter: &Filter) -> Result<Self, Self::Error> {
        let limit = Page::limit(filter.limit)?;
        let text = filter.q.as_deref().map(str::trim).filter(|text| !text.is_empty());
        if text.is_some_and(|text| text.chars().count() > TEXT_MAX) {
            return Err(refused("q", format!("has at most {TEXT_MAX} characters")).into());
        }
        // Postgres has no text with a zero in it.
        let has_zero = |text: &Option<String>| text.as_deref().is_some_and(|text| text.contains('\0'));
        if has_zero(&filter.q) {
            return Err(refused("q", "has a character that no text has").into());
        }
        if has_zero(&filter.category) {
            return Err(refused("category", "There is no such category").into());
        }
        let currency = filter.currency.as_deref().map(Currency::parse).transpose();
        let currency = currency.map_err(|_| refused("currency", "is an ISO 4217 code"))?;
        let sort = match (filter.sort, text) {
            (Some(Sort::Relevance), None) => return Err(refused("sort", "relevance needs q").into()),
            (Some(sort), _) => sort,
            (None, Some(_)) => Sort::Relevance,
            (None, None) => Sort::Newest,
        };
        let search = Self {
            text: text.map(str::to_owned),
            category: filter.category.clone(),
            seller: filter.seller,
            in_stock: filter.in_stock,
            currency,
            price_min: filter.price_min,
            price_max: filter.price_max,
            sort,
            facets: filter.facets.unwrap_or_default(),
            cursor: filter
                .cursor
                .as_deref()
                .map(|text| Cursor::read(text, sort))
                .transpose()?,
            limit: usize::try_from(limit).unwrap_or(1),
        };
        search.check_prices()?;
        Ok(search)
    }
}

impl Search {
    /// Prices in different currencies are not compared. A shop's are all in one.
    fn check_prices(&self) -> Result<(), Refusal> {
        for (field, price) in [("price_min", self.price_min), ("price_max", self.price_max)] {
            if price.is_some_and(|minor| minor < 0) {
                return Err(refused(field, "is not negative"));
            }
        }
        if matches!((self.price_min, self.price_max), (Some(min), Some(max)) if min > max) {
            return Err(refused("price_max", "is not less than price_min"));
        }
        let by_price = matches!(self.sort, Sort::PriceAsc | Sort::PriceDesc);
        let compares = by_price || self.price_min.is_some() || self.price_max.is_some();
        if compares && self.currency.is_none() && self.seller.is_none() {
            return Err(refused("currency", "prices need a currency, or a seller"));
        }
        Ok(())
    }
}

/// Where the next page begins: behind a row's place in the order, so that rows which come
/// meanwhile shift nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cursor {
    /// In an order that an index has: behind this key and id. The key of the newest is 0.
    Row { key: i64, id: Uuid },
    /// In an order made of a window: of what was found no later than `newest`.
    Window { how: How, newest: Uuid, key: i64, id: Uuid },
}

/// How a text finds products.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum How {
    /// By its words.
    Words,
    /// By how it is spelt.
    Spelling,
}

impl Sort {
    const fn name(self) -> &'static str {
        match self {
            Self::Relevance => "relevance",
            Self::Newest => "newest",
            Self::PriceAsc => "price_asc",
            Self::PriceDesc => "price_desc",
        }
    }
}

impl Cursor {
    /// As it is given away.
    pub fn write(self, sort: Sort) -> String {
        let name = sort.name();
        match self {
            Self::Row { key, id } => format!("{name}.{key}.{id}"),
            Self::Window { how, newest, key, id } => format!("{name}.{how}.{newest}.{key}.{id}"),
        }
    }

    /// # Errors
    /// `InvalidParameter` for what no page of this order gave away.
    pub fn read(text: &str, sort: Sort) -> Result<Self, Refusal> {
        let parse = || -> Option<Self> {
            let parts: Vec<&str> = text.split('.').collect();
            match parts[..] {
                [name, key, id] if name == sort.name() && sort != Sort::Relevance => Some(Self::Row {
                    key: key.parse().ok()?,
                    id: id.parse().ok()?,
                }),
                [name, how, newest, key, id] if name == sort.name() => Some(Self::Window {
                    how: how.parse().ok()?,
                    newest: newest.parse().ok()?,
                    key: key.parse().ok()?,
                    id: id.parse().ok()?,
                }),
                _ => None,
            }
        };
        parse().ok_or_else(|| refused("cursor", "is the next_cursor of a page of the same query"))
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Words => "words",
            Self::Spelling => "spelling",
        })
    }
}

impl FromStr for How {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "words" => Ok(Self::Words),
            "spelling" => Ok(Self::Spelling),
            _ => Err(()),
        }
    }
}

/// A product that was found, as far as ordering and counting need it.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub id: ProductId,
    /// How well it fits, in millionths.
    pub rank: i32,
    pub category_id: Option<CategoryId>,
    pub seller_id: SellerId,
    pub shop_name: String,
    pub currency: String,
    pub price_from_minor: i64,
    pub in_stock: bool,
}

impl Candidate {
    fn key(&self, sort: Sort) -> i64 {
        match sort {
            Sort::Relevance => self.rank.into(),
            Sort::Newest => 0,
            Sort::PriceAsc | Sort::PriceDesc => self.price_from_minor,
        }
    }
}

/// A page of a window: the ids in order, and where the next page begins. `window` holds
/// what was found, the newest first, and nothing newer than the cursor's `newest`.
pub(super) fn page_of(
    window: &[Candidate],
    how: How,
    sort: Sort,
    after: Option<Cursor>,
    limit: usize,
) -> (Vec<ProductId>, Option<Cursor>) {
    let mut places: Vec<(i64, Uuid)> = window.iter().map(|found| (found.key(sort), found.id.0)).collect();
    match sort {
        Sort::PriceAsc => places.sort_unstable(),
        Sort::Relevance | Sort::Newest | Sort::PriceDesc => places.sort_unstable_by_key(|place| Reverse(*place)),
    }
    let newest = match after {
        Some(Cursor::Window { newest, .. }) => Some(newest),
        _ => window.iter().map(|found| found.id.0).max(),
    };
    if let Some(Cursor::Window { key, id, .. }) = after {
        places.retain(|place| match sort {
            Sort::PriceAsc => *place > (key, id),
            Sort::Relevance | Sort::Newest | Sort::PriceDesc => *place < (key, id),
        });
    }
    let more = places.len() > limit;
    places.truncate(limit);
    let next = places.last().filter(|_| more).zip(newest);
    let next = next.map(|(&(key, id), newest)| Cursor::Window { how, newest, key, id });
    (places.into_iter().map(|(_, id)| ProductId(id)).collect(), next)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn candidate(rank: i32, price: i64) -> Candidate {
        Candidate {
            id: ProductId::new(),
            rank,
            category_id: None,
            seller_id: SellerId(Uuid::nil()),
            shop_name: "Shop".to_owned(),
            currency: "EUR".to_owned(),
            price_from_minor: price,
            in_stock: true,
        }
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_only_in_its_own_order() {
        let id = Uuid::now_v7();
        let row = Cursor::Row { key: 1_999, id };
        let window = Cursor::Window {
            how: How::Spelling,
            newest: id,
            key: 5,
            id,
        };
        for (cursor, sort) in [(row, Sort::PriceAsc), (row, Sort::Newest), (window, Sort::Relevance)] {
            assert_eq!(Cursor::read(&cursor.write(sort), sort), Ok(cursor));
        }
        assert!(Cursor::read(&row.write(Sort::PriceAsc), Sort::PriceDesc).is_err());
        assert!(Cursor::read(&row.write(Sort::Relevance), Sort::Relevance).is_err());
        assert!(Cursor::read("price_asc.1", Sort::PriceAsc).is_err());
    }

    #[test]
    fn pages_of_a_window_are_whole_in_every_order() {
        let window: Vec<Candidate> = (0..7).map(|i| candidate(i % 3, (i % 2).into())).collect();
        for sort in [Sort::Relevance, Sort::Newest, Sort::PriceAsc, Sort::PriceDesc] {
            let (all, end) = page_of(&window, How::Words, sort, None, 100);
            assert_eq!((all.len(), end), (7, None));
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let (ids, next) = page_of(&window, How::Words, sort, after, 2);
                seen.extend(ids);
                after = next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(seen, all, "{sort:?}");
        }
    }

    #[test]
    fn prices_are_compared_in_one_currency() {
        let search = |change: fn(&mut Filter)| {
            let mut filter = Filter::default();
            change(&mut filter);
            Search::try_from(&filter)
                .map(|_| ())
                .map_err(|error| error.refusal().field)
        };
        let at = |field: &'static str| Err(Some(field.into()));
        assert_eq!(search(|f| f.price_min = Some(1)), at("currency"));
        assert_eq!(search(|f| f.sort = Some(Sort::PriceAsc)), at("currency"));
        assert_eq!(search(|f| f.sort = Some(Sort::Relevance)), at("sort"));
        assert_eq!(search(|f| f.currency = Some("XYZW".into())), at("currency"));
        assert_eq!(
            search(|f| {
                f.currency = Some("EUR".into());
                (f.price_min, f.price_max) = (Some(2), Some(1));
            }),
            at("price_max")
        );
        assert_eq!(
            search(|f| {
                f.seller = Some(SellerId::new());
                f.sort = Some(Sort::PriceDesc);
            }),
            Ok(())
        );
    }
}
