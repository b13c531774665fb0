//! How what was found divides: by category, shop, price and stock. Pure.

use serde::{Deserialize, Serialize};
use shared::ids::{CategoryId, SellerId};
use shared::money::{Currency, Money};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::sellers::SellerRef;

/// Products counted at most: what more would cost is felt by who waits.
pub(super) const COUNTED_MAX: i64 = 3_000;
/// Categories told of at most, the fullest first.
pub(super) const CATEGORIES_MAX: i64 = 50;
/// Shops told of at most, the fullest first.
pub(super) const SELLERS_MAX: i64 = 20;

/// How what was found divides.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Facets {
    /// How many products were counted: all that were found, 3,000 at most.
    pub counted: i64,
    /// Whether those are all; otherwise there are more, and the counts show proportions.
    pub complete: bool,
    /// With a unit free to buy.
    pub in_stock: i64,
    /// Without.
    pub out_of_stock: i64,
    /// By category, each with what stands below it, the fullest first, at most 50; and how
    /// many are in none.
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
    pub count: i64,
}

/// Products of one shop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SellerCount {
    /// Whose.
    pub seller: SellerRef,
    /// How many.
    pub count: i64,
}

/// Products between two prices, both included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PriceRange {
    /// The lowest price in it.
    pub from: Money,
    /// The highest.
    pub to: Money,
    /// How many.
    pub count: i64,
}

/// One line of a count. `low` and `high` are the lowest and the highest price of a range;
/// of everything, `low` is how many are in stock.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    /// `all`, `uncategorised`, `category`, `seller` or `price`.
    pub kind: String,
    pub id: Option<Uuid>,
    /// The shop's name, or the currency.
    pub name: String,
    pub count: i64,
    pub low: i64,
    pub high: i64,
}

/// Puts a count together, in the order of its lines.
pub(super) fn of(tallies: Vec<Tally>) -> Facets {
    let mut facets = Facets {
        complete: true,
        ..Facets::default()
    };
    for Tally {
        kind,
        id,
        name,
        count,
        low,
        high,
    } in tallies
    {
        match (kind.as_str(), id) {
            ("all", _) => {
                facets.counted = count.min(COUNTED_MAX);
                facets.complete = count <= COUNTED_MAX;
                facets.in_stock = low.min(facets.counted);
                facets.out_of_stock = facets.counted - facets.in_stock;
            }
            ("seller", Some(id)) => facets.sellers.push(SellerCount {
                seller: SellerRef {
                    id: SellerId(id),
                    shop_name: name,
                },
                count,
            }),
            ("price", _) => {
                // What is stored was parsed when it was written.
                if let Ok(currency) = Currency::parse(&name) {
                    facets.prices.push(PriceRange {
                        from: Money::new(low, currency),
                        to: Money::new(high, currency),
                        count,
                    });
                }
            }
            (_, id) => facets.categories.push(CategoryCount {
                category_id: id.map(CategoryId),
                count,
            }),
        }
    }
    facets
        .categories
        .sort_by_key(|category| std::cmp::Reverse(category.count));
    facets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(kind: &str, id: Option<Uuid>, name: &str, count: i64, low: i64, high: i64) -> Tally {
        Tally {
            kind: kind.to_owned(),
            id,
            name: name.to_owned(),
            count,
            low,
            high,
        }
    }

    #[test]
    fn a_count_says_whether_it_is_whole() {
        let counted = |count| {
            let facets = of(vec![tally("all", None, "", count, count - 1, 0)]);
            (facets.counted, facets.complete, facets.in_stock + facets.out_of_stock)
        };
        assert_eq!(counted(3), (3, true, 3));
        assert_eq!(counted(COUNTED_MAX), (COUNTED_MAX, true, COUNTED_MAX));
        assert_eq!(counted(COUNTED_MAX + 1), (COUNTED_MAX, false, COUNTED_MAX));
    }

    #[test]
    fn what_is_in_no_category_stands_among_them_by_its_number() {
        let (id, shop) = (Uuid::now_v7(), Uuid::now_v7());
        let facets = of(vec![
            tally("all", None, "", 5, 4, 0),
            tally("uncategorised", None, "", 3, 0, 0),
            tally("category", Some(id), "", 2, 0, 0),
            tally("seller", Some(shop), "Shop", 5, 0, 0),
            tally("price", None, "EUR", 5, 100, 200),
        ]);
        let categories: Vec<_> = facets.categories.iter().map(|c| (c.category_id, c.count)).collect();
        assert_eq!(categories, [(None, 3), (Some(CategoryId(id)), 2)]);
        assert_eq!(
            (facets.sellers[0].seller.shop_name.as_str(), facets.sellers[0].count),
            ("Shop", 5)
        );
        let range = &facets.prices[0];
        assert_eq!((range.from.minor, range.to.minor, range.count), (100, 200, 5));
        assert_eq!((facets.in_stock, facets.out_of_stock), (4, 1));
    }
}
