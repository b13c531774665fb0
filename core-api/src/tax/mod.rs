//! Which tax a purchase bears: a rate for each region, from the configuration. Pure; it
//! reads no table. Countries that are not configured are not taxed; of one that is configured by
//! region, every address has a rule or is refused. A checkout goes to one address,
//! so that one rule, or none, is for all of it.

mod table;

use serde::{Deserialize, Serialize};
use shared::money::{BasisPoints, Currency, Money};
use utoipa::ToSchema;

pub use table::{NoRule, TaxTable};

use crate::ledger::parts::Terms;

/// The tax of one region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TaxRule {
    /// How much of the amount without tax.
    pub rate: BasisPoints,
    /// Goods are taxed.
    pub goods: bool,
    /// Shipping is taxed.
    pub shipping: bool,
    /// Whether prices contain it, and who pays it to the tax office.
    pub terms: Terms,
}

impl TaxRule {
    /// The tax of `minor` units, rounded half up once: of what comes on top, or of what is
    /// within. `minor` is not negative.
    #[must_use]
    pub fn of(&self, minor: i64) -> i64 {
        let rate = i128::from(self.rate.get());
        let whole = if self.terms.tax_included { 10_000 + rate } else { 10_000 };
        let tax = (2 * i128::from(minor) * rate + whole) / (2 * whole);
        // At most the amount: no rate is above a hundred percent.
        i64::try_from(tax).unwrap_or(i64::MAX)
    }
}

/// Tax of a purchase at one rate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TaxLine {
    /// The rate, in hundredths of a percent.
    pub rate_bps: i32,
    /// What it is of, without the tax.
    pub base: Money,
    /// The tax.
    pub amount: Money,
    /// Whether the prices contain it; else it was added.
    pub included: bool,
}

/// The taxed parts of a line, in minor units.
#[derive(Clone, Copy, Debug)]
pub struct Taxed {
    /// The rate; 0: none.
    pub rate_bps: i32,
    /// What the goods' tax is of, as priced: after the shop's discount.
    pub goods: i64,
    /// Tax of the goods.
    pub tax: i64,
    /// The shipping, as priced.
    pub shipping: i64,
    /// Tax of it.
    pub shipping_tax: i64,
}

/// The tax of these lines, by rate, the lowest first.
#[must_use]
pub fn lines(currency: Currency, included: bool, lines: impl IntoIterator<Item = Taxed>) -> Vec<TaxLine> {
    let mut sums: std::collections::BTreeMap<i32, (i64, i64)> = std::collections::BTreeMap::new();
    for line in lines {
        for (priced, tax) in [(line.goods, line.tax), (line.shipping, line.shipping_tax)] {
            if tax > 0 {
                let sum = sums.entry(line.rate_bps).or_default();
                sum.0 += if included { priced - tax } else { priced };
                sum.1 += tax;
            }
        }
    }
    sums.into_iter()
        .map(|(rate_bps, (base, amount))| TaxLine {
            rate_bps,
            base: Money::new(base, currency),
            amount: Money::new(amount, currency),
            included,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(rate: u16, included: bool) -> TaxRule {
        TaxRule {
            rate: BasisPoints::new(rate).expect("a rate"),
            goods: true,
            shipping: true,
            terms: Terms {
                tax_included: included,
                seller_remits: false,
            },
        }
    }

    #[test]
    fn tax_is_of_the_amount_without_it() {
        assert_eq!(rule(1_900, true).of(11_900), 1_900);
        assert_eq!(rule(1_900, false).of(10_000), 1_900);
        assert_eq!(rule(1_000, false).of(5), 1, "half a cent is rounded up");
        assert_eq!(rule(1_000, false).of(4), 0);
    }

    #[test]
    fn a_line_of_tax_says_its_base() {
        let eur = Currency::parse("EUR").expect("EUR is in ISO 4217");
        let taxed = |goods, tax, shipping, shipping_tax| Taxed {
            rate_bps: 1_900,
            goods,
            tax,
            shipping,
            shipping_tax,
        };
        let lines = lines(eur, true, [taxed(11_900, 1_900, 595, 95), taxed(1_190, 190, 100, 0)]);
        assert_eq!(lines.len(), 1);
        assert_eq!((lines[0].base.minor, lines[0].amount.minor), (11_500, 2_185));
        assert!(
            super::lines(eur, true, [taxed(100, 0, 0, 0)]).is_empty(),
            "no tax, no line"
        );
    }

    proptest! {
        #[test]
        fn included_tax_is_the_rate_of_the_rest_within_half_a_cent(minor in 0..1_000_000_000_i64, rate in 0_u16..=10_000) {
            let tax = rule(rate, true).of(minor);
            prop_assert!((0..=minor).contains(&tax));
            // tax = rest × rate ÷ 10,000 within what rounding the tax itself moves.
            let off = (i128::from(minor - tax) * i128::from(rate) - i128::from(tax) * 10_000).abs();
            prop_assert!(2 * off <= 10_000 + i128::from(rate));
        }
    }
}
