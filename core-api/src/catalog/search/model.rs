//! What is searched for, what a page of it is, and where the next page begins. Pure.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use shared::Timestamp;
use shared::error::{ErrorCode, Refusal};
use shared::ids::SellerId;
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
    /// `-without`, `this or that`. Where nothing has them, words of titles that are spelt
    /// nearly so.
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
    /// With a variant for at least this, in minor units; with `price_max`, one between both.
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
    /// What fits `q` best: titles before descriptions. Where very many products have its
    /// words, the newest of each come first.
    Relevance,
    /// What was put on sale last comes first.
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
    /// What was searched for instead of `q`, where nothing has its words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrected: Option<String>,
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

/// Where the next page begins: behind a product's place in the order, so that products
/// which come meanwhile shift nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Cursor {
    pub place: Place,
    /// What is searched for instead of what was typed.
    pub meant: Option<String>,
}

/// A place in an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// Behind this key, of the sort, and id.
    Row { key: i64, id: Uuid },
    /// By relevance among more than are ranked: behind what was put on sale then, in this
    /// class.
    Class { class: Class, time: Timestamp, id: Uuid },
}

/// How well a product fits, where there are too many to be ranked: better ones come first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Class {
    /// Its title is the text.
    Exact,
    /// Its title has the words.
    Title,
    /// Its title and its description have them.
    Elsewhere,
}

impl Class {
    /// All, the best first.
    pub const ALL: [Self; 3] = [Self::Exact, Self::Title, Self::Elsewhere];

    const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Title => "title",
            Self::Elsewhere => "elsewhere",
        }
    }
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

/// Microseconds since 1970 as a time that the database has, too.
pub(super) fn time_of(micros: i64) -> Option<Timestamp> {
    const YEAR_10000: i64 = 253_402_300_800_000_000;
    (0..YEAR_10000)
        .contains(&micros)
        .then(|| Timestamp::from_timestamp_micros(micros))
        .flatten()
}

impl Cursor {
    pub(super) fn write(&self, sort: Sort) -> String {
        let (how, key, id) = match self.place {
            Place::Row { key, id } => ("row", key, id),
            Place::Class { class, time, id } => (class.name(), time.timestamp_micros(), id),
        };
        let meant = self.meant.as_ref().map(|text| BASE64_URL_SAFE_NO_PAD.encode(text));
        let mut parts = vec![sort.name().to_owned(), how.to_owned(), key.to_string(), id.to_string()];
        parts.extend(meant);
        parts.join(".")
    }

    fn read(text: &str, sort: Sort) -> Result<Self, Refusal> {
        let parse = || -> Option<Self> {
            let parts: Vec<&str> = text.split('.').collect();
            let (parts, meant) = match parts[..] {
                [name, how, key, id] => ([name, how, key, id], None),
                [name, how, key, id, meant] => ([name, how, key, id], Some(readable(meant)?)),
                _ => return None,
            };
            let [name, how, key, id] = parts;
            let (key, id): (i64, Uuid) = (key.parse().ok()?, id.parse().ok()?);
            let class = Class::ALL.into_iter().find(|class| class.name() == how);
            let place = match (sort, how, class) {
                _ if name != sort.name() => return None,
                (Sort::Relevance, _, Some(class)) => Place::Class {
                    class,
                    time: time_of(key)?,
                    id,
                },
                (Sort::Newest, "row", _) => Place::Row {
                    key: time_of(key)?.timestamp_micros(),
                    id,
                },
                (Sort::Relevance | Sort::PriceAsc | Sort::PriceDesc, "row", _) => Place::Row { key, id },
                _ => return None,
            };
            Some(Self { place, meant })
        };
        parse().ok_or_else(|| refused("cursor", "is the next_cursor of a page of the same query"))
    }
}

/// What was meant, out of a cursor: a text like those that are typed.
fn readable(meant: &str) -> Option<String> {
    let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(meant).ok()?).ok()?;
    let fits = text.chars().count() <= 4 * TEXT_MAX && !text.contains('\0');
    fits.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_only_in_its_own_order() {
        let id = Uuid::now_v7();
        let row = |key| Place::Row { key, id };
        let class = Place::Class {
            class: Class::Title,
            time: time_of(1_700_000_000_123_456).expect("a time"),
            id,
        };
        for (place, sort) in [
            (row(1_999), Sort::PriceAsc),
            (row(-1), Sort::PriceDesc),
            (row(1_700_000_000_123_456), Sort::Newest),
            (row(750_000), Sort::Relevance),
            (class, Sort::Relevance),
        ] {
            for meant in [None, Some("crème -brûlée".to_owned())] {
                let cursor = Cursor { place, meant };
                assert_eq!(Cursor::read(&cursor.write(sort), sort), Ok(cursor));
            }
        }
        let written = |place, sort| Cursor { place, meant: None }.write(sort);
        assert!(Cursor::read(&written(row(1), Sort::PriceAsc), Sort::PriceDesc).is_err());
        assert!(Cursor::read(&written(class, Sort::Newest), Sort::Newest).is_err());
        // Times that the database does not have.
        for key in [-1, i64::MIN, i64::MAX] {
            assert!(Cursor::read(&written(row(key), Sort::Newest), Sort::Newest).is_err());
        }
        for bad in ["", "price_asc.1", "price_asc.row.1.x", "price_asc.row.1.x.y.z"] {
            assert!(Cursor::read(bad, Sort::PriceAsc).is_err(), "{bad}");
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
