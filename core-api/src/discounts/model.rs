//! Discount codes as they are sent and shown, and what one takes off a purchase. Pure.

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::error::{ErrorCode, Refusal};
use shared::ids::{DiscountCodeId, SellerId};
use shared::money::{BasisPoints, Currency, Money};
use utoipa::ToSchema;

use crate::http::rules::nullable;

/// An amount at most, in minor units.
const AMOUNT_MAX: i64 = 100_000_000_000;

/// A discount code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiscountCode {
    /// Its id.
    pub id: DiscountCodeId,
    /// What buyers write.
    pub code: String,
    /// Whose goods it is good for, who also bears it; null: all goods, and the platform
    /// bears it.
    pub seller_id: Option<SellerId>,
    /// What it takes off, in hundredths of a percent; null: an amount.
    pub percent_bps: Option<i32>,
    /// What it takes off once a purchase; null: a percentage.
    pub amount: Option<Money>,
    /// What the goods that it is good for must be worth; null: anything.
    pub min_items: Option<Money>,
    /// Orders that may use it; null: any number.
    pub uses_max: Option<i32>,
    /// Orders of one buyer that may; null: any number.
    pub uses_per_buyer_max: Option<i32>,
    /// Orders that do: those that were cancelled or not paid in time do not count.
    pub uses: i64,
    /// From when on.
    pub starts_at: DateTime<Utc>,
    /// Until when; null: without end.
    pub ends_at: Option<DateTime<Utc>>,
    /// It was switched off.
    pub disabled: bool,
}

/// A discount code to add. It takes off a percentage or an amount; either `percent_bps` or
/// `amount_minor`.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
pub struct NewDiscountCode {
    /// What buyers write: 3 to 32 letters, digits, hyphens and underscores. Small letters
    /// are the same as capitals.
    #[garde(custom(is_code))]
    #[schema(min_length = 3, max_length = 32)]
    pub code: String,
    /// What it takes off, in hundredths of a percent.
    #[garde(inner(range(min = 1, max = 10_000)))]
    #[serde(default)]
    #[schema(minimum = 1, maximum = 10_000)]
    pub percent_bps: Option<i32>,
    /// What it takes off once a purchase, in minor units.
    #[garde(inner(range(min = 1, max = AMOUNT_MAX)))]
    #[serde(default)]
    #[schema(minimum = 1)]
    pub amount_minor: Option<i64>,
    /// What amounts are in. A shop's are in the shop's currency; the platform says it
    /// wherever there is an amount.
    #[garde(skip)]
    #[serde(default)]
    pub currency: Option<Currency>,
    /// What the goods that it is good for must be worth, in minor units.
    #[garde(range(min = 0, max = AMOUNT_MAX))]
    #[serde(default)]
    #[schema(minimum = 0)]
    pub min_items_minor: i64,
    /// Orders that may use it; absent: any number.
    #[garde(inner(range(min = 1)))]
    #[serde(default)]
    #[schema(minimum = 1)]
    pub uses_max: Option<i32>,
    /// Orders of one buyer that may; absent: any number.
    #[garde(inner(range(min = 1)))]
    #[serde(default)]
    #[schema(minimum = 1)]
    pub uses_per_buyer_max: Option<i32>,
    /// From when on; absent: now.
    #[garde(skip)]
    #[serde(default)]
    pub starts_at: Option<DateTime<Utc>>,
    /// Until when; absent: without end.
    #[garde(skip)]
    #[serde(default)]
    pub ends_at: Option<DateTime<Utc>>,
}

/// A change of a discount code; what is absent stays. What it takes off never changes.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
pub struct DiscountCodeChange {
    /// Switches it off, or on again.
    #[garde(skip)]
    #[serde(default)]
    pub disabled: Option<bool>,
    /// From when on.
    #[garde(skip)]
    #[serde(default)]
    pub starts_at: Option<DateTime<Utc>>,
    /// Until when; null: without end.
    #[garde(skip)]
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<DateTime<Utc>>)]
    pub ends_at: Option<Option<DateTime<Utc>>>,
    /// Orders that may use it, no fewer than do; null: any number.
    #[garde(inner(inner(range(min = 1))))]
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i32>, minimum = 1)]
    pub uses_max: Option<Option<i32>>,
    /// Orders of one buyer that may, no fewer than do; null: any number.
    #[garde(inner(inner(range(min = 1))))]
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i32>, minimum = 1)]
    pub uses_per_buyer_max: Option<Option<i32>>,
}

/// The form in which codes are kept and compared.
#[must_use]
pub fn canonical(code: &str) -> String {
    code.trim().to_ascii_uppercase()
}

/// A code by its form.
///
/// # Errors
/// For anything but 3 to 32 letters, digits, hyphens and underscores after the first.
pub fn is_code(text: &str, (): &()) -> garde::Result {
    let code = canonical(text);
    let fits = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    let begins = code.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if (3..=32).contains(&code.len()) && begins && code.bytes().all(fits) {
        Ok(())
    } else {
        Err(garde::Error::new(
            "must be 3 to 32 letters, digits, hyphens and underscores",
        ))
    }
}

/// What is taken off a line's goods, in minor units. Neither is negative.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct LineDiscount {
    /// By the shop: it earns less.
    pub seller_minor: i64,
    /// By the platform, which pays it to the shop.
    pub platform_minor: i64,
}

impl LineDiscount {
    /// Both.
    #[must_use]
    pub const fn total(&self) -> i64 {
        self.seller_minor + self.platform_minor
    }
}

/// How much a code takes off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    /// A part of the goods.
    Percent(BasisPoints),
    /// So much, or all that the goods cost.
    Amount(i64),
}

/// What a code does to a purchase.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Discount {
    /// Whose goods it is good for; `None`: all, and the platform bears it.
    pub seller: Option<SellerId>,
    /// How much.
    pub cut: Cut,
    /// What those goods must be worth.
    pub min_items_minor: i64,
    /// What its amounts are in; `None`: it has none.
    pub currency: Option<Currency>,
}

/// A line, as a discount sees it. Lines come in the order of their ids.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Goods {
    /// Whose.
    pub seller: SellerId,
    /// What they cost without it.
    pub gross: Money,
    /// From a flash sale: no code is good for them.
    pub is_flash: bool,
}

impl Discount {
    /// What it takes off each line: one rounding for all of them, then split by largest
    /// remainder, so that no line is given more than it costs.
    ///
    /// # Errors
    /// `discount_not_for_these`, `discount_minimum`.
    pub fn split(&self, goods: &[Goods]) -> Result<Vec<LineDiscount>, Refusal> {
        let is_good_for = |line: &Goods| {
            !line.is_flash
                && self.seller.is_none_or(|seller| seller == line.seller)
                && self.currency.is_none_or(|currency| currency == line.gross.currency)
        };
        let of: Vec<usize> = (0..goods.len()).filter(|&i| is_good_for(&goods[i])).collect();
        let Some(&first) = of.first() else {
            return Err(ErrorCode::DiscountNotForThese.into());
        };
        let sum = of
            .iter()
            .fold(0_i64, |sum, &i| sum.saturating_add(goods[i].gross.minor));
        if sum < self.min_items_minor {
            let currency = goods[first].gross.currency;
            let least = Money::new(self.min_items_minor, currency);
            let detail = format!("the goods it is good for must be worth {least}");
            return Err(Refusal::new(ErrorCode::DiscountMinimum, detail));
        }
        let whole = Money::new(sum, goods[first].gross.currency);
        let off = match self.cut {
            Cut::Percent(rate) => whole.rate(rate),
            Cut::Amount(minor) => Money::new(minor.min(sum), whole.currency),
        };
        let weights: Vec<u64> = of.iter().map(|&i| goods[i].gross.minor.unsigned_abs()).collect();
        let mut shares = vec![LineDiscount::default(); goods.len()];
        for (&i, share) in of.iter().zip(off.split(&weights)) {
            if self.seller.is_some() {
                shares[i].seller_minor = share.minor;
            } else {
                shares[i].platform_minor = share.minor;
            }
        }
        Ok(shares)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn goods(seller: SellerId, minor: i64, is_flash: bool) -> Goods {
        let eur = Currency::parse("EUR").expect("EUR is in ISO 4217");
        Goods {
            seller,
            gross: Money::new(minor, eur),
            is_flash,
        }
    }

    fn discount(seller: Option<SellerId>, cut: Cut) -> Discount {
        Discount {
            seller,
            cut,
            min_items_minor: 0,
            currency: None,
        }
    }

    fn percent(bps: u16) -> Cut {
        Cut::Percent(BasisPoints::new(bps).expect("a rate"))
    }

    #[test]
    fn a_shops_code_is_for_its_goods_alone_and_never_for_flash_lines() {
        let (shop, other) = (SellerId::new(), SellerId::new());
        let lines = [
            goods(shop, 1_000, false),
            goods(other, 1_000, false),
            goods(shop, 500, true),
        ];
        let of = |cut| discount(Some(shop), cut).split(&lines).expect("split");
        let minors = |cut| of(cut).iter().map(|l| l.seller_minor).collect::<Vec<_>>();
        assert_eq!(minors(percent(1_000)), [100, 0, 0]);
        assert_eq!(minors(Cut::Amount(5_000)), [1_000, 0, 0], "no more than they cost");
        let refused = discount(Some(SellerId::new()), percent(1)).split(&lines);
        assert_eq!(
            refused.expect_err("nobody's goods").code,
            ErrorCode::DiscountNotForThese
        );
    }

    #[test]
    fn the_minimum_is_of_the_goods_that_it_is_good_for() {
        let shop = SellerId::new();
        let lines = [goods(shop, 1_999, false), goods(shop, 9_000, true)];
        let mut discount = discount(None, percent(5_000));
        discount.min_items_minor = 2_000;
        let refused = discount.split(&lines).expect_err("a cent is missing");
        assert_eq!(refused.code, ErrorCode::DiscountMinimum);
        discount.min_items_minor = 1_999;
        assert_eq!(discount.split(&lines).expect("enough")[0].platform_minor, 1_000);
    }

    #[test]
    fn an_amount_is_good_for_goods_of_its_currency() {
        let shop = SellerId::new();
        let mut discount = discount(None, Cut::Amount(500));
        discount.currency = Currency::parse("USD").ok();
        let refused = discount
            .split(&[goods(shop, 1_000, false)])
            .expect_err("these are in EUR");
        assert_eq!(refused.code, ErrorCode::DiscountNotForThese);
    }

    #[test]
    fn a_code_is_written_in_any_case() {
        assert_eq!(canonical(" spring-10 "), "SPRING-10");
        assert!(is_code("spring-10", &()).is_ok());
        for bad in ["ab", "-abc", "a b c", "ä12", "a".repeat(33).as_str()] {
            assert!(is_code(bad, &()).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_line_is_given_more_than_it_costs_and_all_is_given(
            prices in prop::collection::vec(0..100_000_i64, 1..12), amount in 1..2_000_000_i64, bps in 1_u16..=10_000,
            is_percent: bool,
        ) {
            let shop = SellerId::new();
            let lines: Vec<Goods> = prices.iter().map(|&minor| goods(shop, minor, false)).collect();
            let cut = if is_percent { percent(bps) } else { Cut::Amount(amount) };
            let shares = discount(None, cut).split(&lines).expect("split");
            let (sum, given): (i64, i64) = (prices.iter().sum(), shares.iter().map(LineDiscount::total).sum());
            let whole = if is_percent { (sum * i64::from(bps) + 5_000) / 10_000 } else { amount.min(sum) };
            prop_assert_eq!(given, whole);
            for (share, price) in shares.iter().zip(prices) {
                prop_assert!((0..=price).contains(&share.total()));
            }
        }
    }
}
