//! The price of a purchase: goods and shipping. Pure; it reads no clock and no table.
//!
//! Shipping is charged once for all goods of one seller that share a shipping profile, cut
//! to what the cap of a show leaves, and then split over their lines by largest remainder,
//! so that the lines always sum to what is charged.

use std::collections::BTreeMap;

use shared::error::{ErrorCode, Refusal};
use shared::ids::{SellerId, ShippingProfileId};
use shared::money::{Currency, Money, MoneyError};

/// What shipping a seller's goods of one profile costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShippingRule {
    /// Goods of one profile ship together.
    pub profile: ShippingProfileId,
    /// For the first unit.
    pub base_minor: i64,
    /// For each further unit.
    pub extra_item_minor: i64,
    /// Goods worth at least this ship free; `None`: never.
    pub free_from_minor: Option<i64>,
    /// What all shipping of a show to one buyer and address costs at most; `None`: no cap.
    pub show_cap_minor: Option<i64>,
}

/// The show that a purchase is made in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Show {
    /// Whose: caps count for this seller's goods alone.
    pub seller: SellerId,
    /// What the buyer has paid for its shipping to the address before.
    pub charged_minor: i64,
}

/// One line to be priced. Lines come in the order of their ids: ties go to the earlier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line {
    /// Whose goods.
    pub seller: SellerId,
    /// Units.
    pub quantity: i32,
    /// The price of one.
    pub unit_price: Money,
    /// How they ship; `None`: free.
    pub shipping: Option<ShippingRule>,
}

/// A line's share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinePrice {
    /// Unit price times quantity.
    pub total: Money,
    /// Its share of the shipping.
    pub shipping: Money,
}

/// The whole price: `total = items + shipping`, and both are the sums of the lines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Price {
    /// In the order of the lines given.
    pub lines: Vec<LinePrice>,
    /// The goods.
    pub items: Money,
    /// Getting them there.
    pub shipping: Money,
    /// What the buyer pays.
    pub total: Money,
}

/// Prices `lines` in `currency`, bought in `show` where there is one.
///
/// # Errors
/// `currency_mismatch` when a line has another currency, `invalid_body` when the sum
/// does not fit.
pub fn price(currency: Currency, lines: &[Line], show: Option<Show>) -> Result<Price, Refusal> {
    let mut totals = Vec::with_capacity(lines.len());
    let mut items = Money::zero(currency);
    for line in lines {
        let total = line.unit_price.checked_mul(i64::from(line.quantity)).map_err(refusal)?;
        items = items.checked_add(total).map_err(refusal)?;
        totals.push(total);
    }

    let mut shares = vec![Money::zero(currency); lines.len()];
    let mut shipping = Money::zero(currency);
    let mut groups = groups(lines);
    for group in &mut groups {
        group.cost = group_cost(currency, group, lines, &totals).map_err(refusal)?;
    }
    if let Some(show) = show {
        cap(&mut groups, show).map_err(refusal)?;
    }
    for group in groups {
        shipping = shipping.checked_add(group.cost).map_err(refusal)?;
        let weights: Vec<u64> = group.members.iter().map(|&i| totals[i].minor.unsigned_abs()).collect();
        for (&i, share) in group.members.iter().zip(group.cost.split(&weights)) {
            shares[i] = share;
        }
    }

    let total = items.checked_add(shipping).map_err(refusal)?;
    let lines = totals
        .into_iter()
        .zip(shares)
        .map(|(total, shipping)| LinePrice { total, shipping })
        .collect();
    Ok(Price {
        lines,
        items,
        shipping,
        total,
    })
}

/// Lines that ship together.
struct Group {
    seller: SellerId,
    rule: ShippingRule,
    /// Their positions.
    members: Vec<usize>,
    cost: Money,
}

/// The lines that ship together, by seller and profile.
fn groups(lines: &[Line]) -> Vec<Group> {
    let mut groups: BTreeMap<(SellerId, ShippingProfileId), Group> = BTreeMap::new();
    for (i, line) in lines.iter().enumerate() {
        if let Some(rule) = line.shipping {
            let group = groups.entry((line.seller, rule.profile)).or_insert_with(|| Group {
                seller: line.seller,
                rule,
                members: Vec::new(),
                cost: Money::zero(line.unit_price.currency),
            });
            group.members.push(i);
        }
    }
    groups.into_values().collect()
}

/// Cuts the costs of the show's seller: with what was paid before, and what has no cap, no
/// profile's goods take shipping beyond its cap. The lowest cap comes first, so that it is
/// not used up by what may cost more.
fn cap(groups: &mut [Group], show: Show) -> Result<(), MoneyError> {
    let mut spent = show.charged_minor;
    let mut capped: Vec<(i64, &mut Group)> = Vec::new();
    for group in groups.iter_mut().filter(|group| group.seller == show.seller) {
        match group.rule.show_cap_minor {
            None => spent = spent.checked_add(group.cost.minor).ok_or(MoneyError::Overflow)?,
            Some(cap) => capped.push((cap, group)),
        }
    }
    // Stable: of equal caps the lower id stays first.
    capped.sort_by_key(|(cap, _)| *cap);
    for (cap, group) in capped {
        let left = cap.saturating_sub(spent).max(0);
        group.cost.minor = group.cost.minor.min(left);
        spent = spent.checked_add(group.cost.minor).ok_or(MoneyError::Overflow)?;
    }
    Ok(())
}

fn group_cost(currency: Currency, group: &Group, lines: &[Line], totals: &[Money]) -> Result<Money, MoneyError> {
    let rule = &group.rule;
    let mut goods = Money::zero(currency);
    let mut units = 0_i64;
    for &i in &group.members {
        goods = goods.checked_add(totals[i])?;
        units += i64::from(lines[i].quantity);
    }
    if rule.free_from_minor.is_some_and(|from| goods.minor >= from) {
        return Ok(Money::zero(currency));
    }
    let extra = Money::new(rule.extra_item_minor, currency).checked_mul((units - 1).max(0))?;
    Money::new(rule.base_minor, currency).checked_add(extra)
}

fn refusal(error: MoneyError) -> Refusal {
    match error {
        MoneyError::CurrencyMismatch => ErrorCode::CurrencyMismatch.into(),
        MoneyError::Overflow | MoneyError::UnknownCurrency => {
            Refusal::new(ErrorCode::InvalidBody, "the sum is larger than can be charged")
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn eur() -> Currency {
        Currency::parse("EUR").expect("EUR is in ISO 4217")
    }

    fn line(seller: SellerId, quantity: i32, minor: i64, shipping: Option<ShippingRule>) -> Line {
        Line {
            seller,
            quantity,
            unit_price: Money::new(minor, eur()),
            shipping,
        }
    }

    fn rule(base: i64, extra: i64, free_from: Option<i64>) -> ShippingRule {
        ShippingRule {
            profile: ShippingProfileId::new(),
            base_minor: base,
            extra_item_minor: extra,
            free_from_minor: free_from,
            show_cap_minor: None,
        }
    }

    fn capped(base: i64, cap: i64) -> ShippingRule {
        ShippingRule {
            show_cap_minor: Some(cap),
            ..rule(base, 0, None)
        }
    }

    #[test]
    fn a_shows_shipping_is_cut_to_what_its_cap_leaves() {
        let (seller, other) = (SellerId::new(), SellerId::new());
        let rule = capped(500, 800);
        let lines = [line(seller, 1, 1_000, Some(rule)), line(other, 1, 1_000, Some(rule))];
        let shipping = |show: Option<(SellerId, i64)>| {
            let show = show.map(|(seller, charged_minor)| Show { seller, charged_minor });
            let price = price(eur(), &lines, show).expect("priced");
            [price.lines[0].shipping.minor, price.lines[1].shipping.minor]
        };
        assert_eq!(shipping(None), [500, 500], "caps are of shows");
        assert_eq!(shipping(Some((seller, 0))), [500, 500]);
        assert_eq!(
            shipping(Some((seller, 500))),
            [300, 500],
            "the other seller has no show"
        );
        assert_eq!(shipping(Some((seller, 800))), [0, 500]);
        assert_eq!(shipping(Some((seller, 9_999))), [0, 500], "nothing is given back");
    }

    #[test]
    fn of_several_caps_each_counts_all_that_is_charged() {
        let seller = SellerId::new();
        let show = Some(Show {
            seller,
            charged_minor: 100,
        });
        let rules = [capped(500, 900), capped(400, 600), rule(300, 0, None)];
        let lines = rules.map(|rule| line(seller, 1, 1_000, Some(rule)));
        let price = price(eur(), &lines, show).expect("priced");
        let shipping: Vec<_> = price.lines.iter().map(|line| line.shipping.minor).collect();
        // 100 before and 300 without a cap; 200 are left of 600, then 300 of 900.
        assert_eq!(shipping, [300, 200, 300]);
    }

    #[test]
    fn goods_of_one_profile_ship_together() {
        let (seller, rule) = (SellerId::new(), rule(500, 100, None));
        let lines = [line(seller, 1, 1000, Some(rule)), line(seller, 2, 500, Some(rule))];
        let price = price(eur(), &lines, None).expect("priced");
        assert_eq!(price.items.minor, 2000);
        assert_eq!(price.shipping.minor, 700, "base, and two further units");
        assert_eq!(price.lines[0].shipping.minor, 350);
        assert_eq!(price.lines[1].shipping.minor, 350);
    }

    #[test]
    fn each_seller_ships_on_its_own_account() {
        let rule = rule(500, 0, None);
        let lines = [
            line(SellerId::new(), 1, 1000, Some(rule)),
            line(SellerId::new(), 1, 1000, Some(rule)),
        ];
        assert_eq!(price(eur(), &lines, None).expect("priced").shipping.minor, 1000);
    }

    #[test]
    fn shipping_is_free_from_the_threshold_on_and_without_a_profile() {
        let seller = SellerId::new();
        let rule = rule(500, 0, Some(2000));
        let below = [line(seller, 1, 1999, Some(rule))];
        let at = [line(seller, 2, 1000, Some(rule))];
        let none = [line(seller, 1, 1, None)];
        assert_eq!(price(eur(), &below, None).expect("priced").shipping.minor, 500);
        assert_eq!(price(eur(), &at, None).expect("priced").shipping.minor, 0);
        assert_eq!(price(eur(), &none, None).expect("priced").shipping.minor, 0);
    }

    #[test]
    fn one_purchase_has_one_currency() {
        let mut yen = line(SellerId::new(), 1, 1, None);
        yen.unit_price.currency = Currency::parse("JPY").expect("JPY is in ISO 4217");
        let refused = price(eur(), &[line(SellerId::new(), 1, 1, None), yen], None).expect_err("two currencies");
        assert_eq!(refused.code, ErrorCode::CurrencyMismatch);
    }

    #[test]
    fn a_sum_beyond_all_bounds_is_refused() {
        let lines = [line(SellerId::new(), 1000, i64::MAX / 2, None)];
        assert_eq!(
            price(eur(), &lines, None).expect_err("too much").code,
            ErrorCode::InvalidBody
        );
    }

    fn any_lines() -> impl Strategy<Value = Vec<Line>> {
        let sellers = [SellerId::new(), SellerId::new()];
        let rules = [rule(499, 99, None), rule(350, 0, Some(5000)), rule(0, 0, None)];
        prop::collection::vec(
            (0..2_usize, 1..=1000_i32, 0..100_000_i64, prop::option::of(0..3_usize)),
            1..12,
        )
        .prop_map(move |lines| {
            lines
                .into_iter()
                .map(|(s, quantity, minor, r)| line(sellers[s], quantity, minor, r.map(|r| rules[r])))
                .collect()
        })
    }

    proptest! {
        #[test]
        fn the_lines_always_sum_to_the_whole(lines in any_lines()) {
            let price = price(eur(), &lines, None).expect("priced");
            let sum = |part: fn(&LinePrice) -> Money| price.lines.iter().map(|l| part(l).minor).sum::<i64>();
            prop_assert_eq!(sum(|l| l.total), price.items.minor);
            prop_assert_eq!(sum(|l| l.shipping), price.shipping.minor);
            prop_assert_eq!(price.total.minor, price.items.minor + price.shipping.minor);
            prop_assert!(price.lines.iter().all(|l| l.shipping.minor >= 0));
        }

        #[test]
        fn one_line_more_never_makes_the_goods_cheaper(lines in any_lines()) {
            let all = price(eur(), &lines, None).expect("priced");
            let fewer = price(eur(), &lines[..lines.len() - 1], None).expect("priced");
            prop_assert!(fewer.items.minor <= all.items.minor);
        }

        #[test]
        fn a_cap_never_raises_and_is_never_passed(lines in any_lines(), cap in 0..2_000_i64, before in 0..2_000_i64) {
            let seller = lines[0].seller;
            let lines: Vec<Line> = lines.into_iter().map(|line| Line {
                shipping: line.shipping.map(|rule| ShippingRule { show_cap_minor: Some(cap), ..rule }),
                ..line
            }).collect();
            let free = price(eur(), &lines, None).expect("priced");
            let cut = price(eur(), &lines, Some(Show { seller, charged_minor: before })).expect("priced");
            let of = |price: &Price| -> i64 {
                lines.iter().zip(&price.lines).filter(|(line, _)| line.seller == seller)
                    .map(|(_, share)| share.shipping.minor).sum()
            };
            prop_assert_eq!(of(&cut), of(&free).min((cap - before).max(0)));
            prop_assert_eq!(cut.lines.iter().map(|l| l.shipping.minor).sum::<i64>(), cut.shipping.minor);
        }

        #[test]
        fn what_has_no_profile_carries_no_shipping(lines in any_lines()) {
            let price = price(eur(), &lines, None).expect("priced");
            for (line, share) in lines.iter().zip(&price.lines) {
                prop_assert!(line.shipping.is_some() || share.shipping.minor == 0);
            }
        }
    }
}
