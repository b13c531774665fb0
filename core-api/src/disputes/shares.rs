//! What a lost dispute takes, and from whom. Pure.
//!
//! A bank takes an amount, and says nothing of lines. As far as the payment still has it, it
//! is taken from what is left of the lines, in proportion to what their buyer has paid for
//! that, and of each line from its parts likewise: as if so much of each had been refunded.

use shared::money::{Currency, Money};

use crate::ledger::model::Share;
use crate::ledger::parts::{Parts, Terms};

/// What is taken of `left`, the lines less what went back of them, for `minor` units that a
/// bank keeps: exactly that much of what was paid, or all that is left where it is less.
/// Lines are in the order of their ids.
#[must_use]
pub fn taken(left: &[Share], minor: i64, terms: Terms, currency: Currency) -> Vec<Share> {
    let paid: Vec<i64> = left.iter().map(|share| share.parts.paid(terms)).collect();
    let minor = minor.min(paid.iter().sum());
    let parts = split(minor, &paid, currency);
    let shares = left.iter().zip(parts).map(|(share, minor)| Share {
        parts: part_of(&share.parts, minor, terms, currency),
        ..*share
    });
    shares.filter(|share| share.parts != Parts::default()).collect()
}

/// Of `parts` so much that its buyer has paid `minor` for it: what was paid splits by largest
/// remainder, what was not is multiplied and rounded half up once.
fn part_of(parts: &Parts, minor: i64, terms: Terms, currency: Currency) -> Parts {
    let whole = parts.paid(terms);
    // Nor is anything taken of what cost its buyer nothing.
    if minor == 0 {
        return Parts::default();
    }
    if minor == whole {
        return *parts;
    }
    let added = |component: i64| if terms.tax_included { 0 } else { component };
    let weights = [parts.goods, parts.shipping, added(parts.tax), added(parts.shipping_tax)];
    let paid = split(minor, &weights, currency);
    let scaled = |component: i64| scaled(component, minor, whole);
    let tax = |component: i64, nth: usize| {
        if terms.tax_included {
            scaled(component)
        } else {
            paid[nth]
        }
    };
    Parts {
        goods: paid[0],
        platform_discount: scaled(parts.platform_discount),
        tax: tax(parts.tax, 2),
        shipping: paid[1],
        shipping_tax: tax(parts.shipping_tax, 3),
        commission: scaled(parts.commission),
    }
}

/// In proportion, by largest remainder; no part is more than its weight, where they all are
/// not less than the amount. Nothing is negative.
fn split(minor: i64, weights: &[i64], currency: Currency) -> Vec<i64> {
    let weights: Vec<u64> = weights.iter().map(|weight| weight.unsigned_abs()).collect();
    let parts = Money::new(minor, currency).split(&weights);
    parts.into_iter().map(|part| part.minor).collect()
}

/// `component × minor ÷ whole`, rounded half up.
fn scaled(component: i64, minor: i64, whole: i64) -> i64 {
    let (minor, whole) = (i128::from(minor), i128::from(whole.max(1)));
    let rounded = (2 * i128::from(component) * minor + whole) / (2 * whole);
    // At most the component, for at most the whole.
    i64::try_from(rounded).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::ids::{OrderItemId, SellerId};

    use super::*;
    use crate::ledger::parts::tests::any_parts;

    fn euro() -> Currency {
        Currency::parse("EUR").expect("a currency")
    }

    fn share(parts: Parts) -> Share {
        Share {
            item: OrderItemId::new(),
            seller: SellerId::new(),
            parts,
        }
    }

    fn goods(goods: i64, commission: i64) -> Share {
        share(Parts {
            goods,
            commission,
            ..Parts::default()
        })
    }

    #[test]
    fn an_amount_is_taken_of_each_line_in_proportion_and_to_the_cent() {
        let left = [goods(1_000, 100), goods(500, 50), goods(500, 0)];
        let taken = taken(&left, 1_001, Terms::UNTAXED, euro());
        let parts: Vec<_> = { &taken }.iter().map(|s| (s.parts.goods, s.parts.commission)).collect();
        assert_eq!(parts, [(501, 50), (250, 25), (250, 0)]);
    }

    #[test]
    fn no_more_is_taken_than_is_left() {
        let left = [goods(1_000, 100), goods(0, 0)];
        let all = taken(&left, 5_000, Terms::UNTAXED, euro());
        assert_eq!(all, [left[0]]);
        assert_eq!(taken(&left, 0, Terms::UNTAXED, euro()), []);
        assert_eq!(taken(&[], 10, Terms::UNTAXED, euro()), []);
    }

    #[test]
    fn what_cost_its_buyer_nothing_is_left_to_its_shop() {
        let given = share(Parts {
            platform_discount: 1_000,
            commission: 100,
            ..Parts::default()
        });
        let taken = taken(&[goods(500, 50), given], 500, Terms::UNTAXED, euro());
        assert_eq!((taken.len(), taken[0].parts.goods), (1, 500));
    }

    proptest! {
        #[test]
        fn whatever_a_bank_takes_is_found_to_the_cent_and_no_line_gives_more_than_it_has(
            lines in prop::collection::vec(any_parts(), 1..8), cut in prop::collection::vec(0..=1_000_i64, 1..4),
            tax_included: bool, seller_remits: bool,
        ) {
            let terms = Terms { tax_included, seller_remits };
            let mut left: Vec<Share> = lines.into_iter().map(share).collect();
            for per_mille in cut {
                let paid: i64 = left.iter().map(|share| share.parts.paid(terms)).sum();
                let minor = paid * per_mille / 1_000;
                let taken = taken(&left, minor, terms, euro());
                let sum: i64 = taken.iter().map(|share| share.parts.paid(terms)).sum();
                prop_assert_eq!(sum, minor);
                for share in &mut left {
                    if let Some(took) = taken.iter().find(|took| took.item == share.item) {
                        share.parts = share.parts.minus(&took.parts);
                    }
                    prop_assert_eq!(share.parts.at_least_nothing(), share.parts);
                }
            }
        }
    }
}
