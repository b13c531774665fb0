//! How what was found divides: by category, shop, price and stock. Pure.

use std::collections::BTreeMap;
use std::hash::Hash;

use serde::{Deserialize, Serialize};
use shared::ids::{CategoryId, SellerId};
use shared::money::Money;
use utoipa::ToSchema;

use super::model::Candidate;
use crate::sellers::SellerRef;

/// Categories told of at most, the fullest first.
const CATEGORIES_MAX: usize = 50;
/// Shops told of at most, the fullest first.
const SELLERS_MAX: usize = 20;
/// Price ranges of one currency.
const RANGES: usize = 5;

/// How what was found divides.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Facets {
    /// How many products were counted: the newest that were found.
    pub counted: usize,
    /// Whether those are all; otherwise there are more, and the counts show proportions.
    pub complete: bool,
    /// With a unit free to buy.
    pub in_stock: usize,
    /// Without.
    pub out_of_stock: usize,
    /// By category, the fullest first. What stands below one is not counted in it.
    pub categories: Vec<CategoryCount>,
    /// By shop, the fullest first.
    pub sellers: Vec<SellerCount>,
    /// By lowest price: up to five ranges of each currency, about equally full.
    pub prices: Vec<PriceRange>,
}

/// Products of one category.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CategoryCount {
    /// Which; null: in none.
    pub category_id: Option<CategoryId>,
    /// How many.
    pub count: usize,
}

/// Products of one shop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SellerCount {
    /// Whose.
    pub seller: SellerRef,
    /// How many.
    pub count: usize,
}

/// Products between two prices, both included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PriceRange {
    /// The lowest price in it.
    pub from: Money,
    /// The highest.
    pub to: Money,
    /// How many.
    pub count: usize,
}

/// Counts what was found; `complete` says whether that is all there is.
pub(super) fn count(found: &[Candidate], complete: bool) -> Facets {
    let in_stock = found.iter().filter(|product| product.in_stock).count();
    let names: BTreeMap<SellerId, &str> = found.iter().map(|p| (p.seller_id, p.shop_name.as_str())).collect();
    let categories = fullest(found.iter().map(|p| p.category_id), CATEGORIES_MAX);
    let sellers = fullest(found.iter().map(|p| p.seller_id), SELLERS_MAX);
    Facets {
        counted: found.len(),
        complete,
        in_stock,
        out_of_stock: found.len() - in_stock,
        categories: categories
            .into_iter()
            .map(|(category_id, count)| CategoryCount { category_id, count })
            .collect(),
        sellers: sellers
            .into_iter()
            .map(|(id, count)| SellerCount {
                seller: SellerRef {
                    id,
                    shop_name: names.get(&id).copied().unwrap_or_default().to_owned(),
                },
                count,
            })
            .collect(),
        prices: ranges(found),
    }
}

/// The most frequent, ties in their own order.
fn fullest<K: Copy + Ord + Hash>(keys: impl Iterator<Item = K>, most: usize) -> Vec<(K, usize)> {
    let mut counts: BTreeMap<K, usize> = BTreeMap::new();
    for key in keys {
        *counts.entry(key).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    counts.truncate(most);
    counts
}

/// Ranges that do not overlap: equal prices are in one range.
fn ranges(found: &[Candidate]) -> Vec<PriceRange> {
    let mut by_currency: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for product in found {
        let prices = by_currency.entry(product.currency.as_str()).or_default();
        prices.push(product.price_from_minor);
    }
    let mut ranges = Vec::new();
    for (code, mut prices) in by_currency {
        // What is stored was parsed when it was written.
        let Ok(currency) = shared::money::Currency::parse(code) else {
            continue;
        };
        prices.sort_unstable();
        let full = prices.len().div_ceil(RANGES);
        let mut rest = prices.as_slice();
        while let [from, ..] = *rest {
            let last = rest[full.min(rest.len()) - 1];
            let count = rest.partition_point(|price| *price <= last);
            ranges.push(PriceRange {
                from: Money::new(from, currency),
                to: Money::new(last, currency),
                count,
            });
            rest = &rest[count..];
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::search::model::tests::candidate;

    #[test]
    fn every_product_is_counted_once_in_each_facet() {
        let mut found: Vec<Candidate> = (0..23).map(|i| candidate(0, 100 * (i % 7))).collect();
        found[0].in_stock = false;
        found[1].currency = "USD".to_owned();
        found[2].category_id = Some(CategoryId::new());
        let facets = count(&found, true);
        assert_eq!((facets.counted, facets.in_stock, facets.out_of_stock), (23, 22, 1));
        assert_eq!(facets.categories.iter().map(|c| c.count).collect::<Vec<_>>(), [22, 1]);
        assert_eq!(facets.sellers.iter().map(|s| s.count).sum::<usize>(), 23);
        assert_eq!(facets.prices.iter().map(|r| r.count).sum::<usize>(), 23);
        let euros: Vec<_> = facets
            .prices
            .iter()
            .filter(|r| r.from.currency.code() == "EUR")
            .collect();
        assert!(euros.len() <= RANGES && euros.windows(2).all(|w| w[0].to.minor < w[1].from.minor));
    }

    #[test]
    fn equal_prices_are_one_range() {
        let found: Vec<Candidate> = (0..10).map(|_| candidate(0, 500)).collect();
        let facets = count(&found, false);
        assert_eq!(facets.prices.len(), 1);
        assert!(!facets.complete);
        assert_eq!(
            count(&[], true),
            Facets {
                complete: true,
                ..Facets::default()
            }
        );
    }
}
