//! Prices add up, whatever is bought.

use proptest::prelude::*;

use shared::ids::ShippingProfileId;
use shared::money::BasisPoints;

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
        discount: LineDiscount::default(),
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
        let price = price(eur(), &lines, show, None).expect("priced");
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
    let price = price(eur(), &lines, show, None).expect("priced");
    let shipping: Vec<_> = price.lines.iter().map(|line| line.shipping.minor).collect();
    // 100 before and 300 without a cap; 200 are left of 600, then 300 of 900.
    assert_eq!(shipping, [300, 200, 300]);
}

#[test]
fn goods_of_one_profile_ship_together() {
    let (seller, rule) = (SellerId::new(), rule(500, 100, None));
    let lines = [line(seller, 1, 1000, Some(rule)), line(seller, 2, 500, Some(rule))];
    let price = price(eur(), &lines, None, None).expect("priced");
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
    assert_eq!(price(eur(), &lines, None, None).expect("priced").shipping.minor, 1000);
}

#[test]
fn shipping_is_free_from_the_threshold_on_and_without_a_profile() {
    let seller = SellerId::new();
    let rule = rule(500, 0, Some(2000));
    let below = [line(seller, 1, 1999, Some(rule))];
    let at = [line(seller, 2, 1000, Some(rule))];
    let none = [line(seller, 1, 1, None)];
    assert_eq!(price(eur(), &below, None, None).expect("priced").shipping.minor, 500);
    assert_eq!(price(eur(), &at, None, None).expect("priced").shipping.minor, 0);
    assert_eq!(price(eur(), &none, None, None).expect("priced").shipping.minor, 0);
}

#[test]
fn one_purchase_has_one_currency() {
    let mut yen = line(SellerId::new(), 1, 1, None);
    yen.unit_price.currency = Currency::parse("JPY").expect("JPY is in ISO 4217");
    let refused = price(eur(), &[line(SellerId::new(), 1, 1, None), yen], None, None).expect_err("two currencies");
    assert_eq!(refused.code, ErrorCode::CurrencyMismatch);
}

#[test]
fn a_sum_beyond_all_bounds_is_refused() {
    let lines = [line(SellerId::new(), 1000, i64::MAX / 2, None)];
    assert_eq!(
        price(eur(), &lines, None, None).expect_err("too much").code,
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
        let price = price(eur(), &lines, None, None).expect("priced");
        let sum = |part: fn(&LinePrice) -> Money| price.lines.iter().map(|l| part(l).minor).sum::<i64>();
        prop_assert_eq!(sum(|l| l.gross), price.items.minor);
        prop_assert_eq!(sum(|l| l.shipping), price.shipping.minor);
        prop_assert_eq!(price.total.minor, price.items.minor + price.shipping.minor);
        prop_assert!(price.lines.iter().all(|l| l.shipping.minor >= 0));
    }

    #[test]
    fn one_line_more_never_makes_the_goods_cheaper(lines in any_lines()) {
        let all = price(eur(), &lines, None, None).expect("priced");
        let fewer = price(eur(), &lines[..lines.len() - 1], None, None).expect("priced");
        prop_assert!(fewer.items.minor <= all.items.minor);
    }

    #[test]
    fn a_cap_never_raises_and_is_never_passed(lines in any_lines(), cap in 0..2_000_i64, before in 0..2_000_i64) {
        let seller = lines[0].seller;
        let lines: Vec<Line> = lines.into_iter().map(|line| Line {
            shipping: line.shipping.map(|rule| ShippingRule { show_cap_minor: Some(cap), ..rule }),
            ..line
        }).collect();
        let free = price(eur(), &lines, None, None).expect("priced");
        let cut = price(eur(), &lines, Some(Show { seller, charged_minor: before }), None).expect("priced");
        let of = |price: &Price| -> i64 {
            lines.iter().zip(&price.lines).filter(|(line, _)| line.seller == seller)
                .map(|(_, share)| share.shipping.minor).sum()
        };
        prop_assert_eq!(of(&cut), of(&free).min((cap - before).max(0)));
        prop_assert_eq!(cut.lines.iter().map(|l| l.shipping.minor).sum::<i64>(), cut.shipping.minor);
    }

    #[test]
    fn orders_of_a_show_cost_together_what_they_are_charged_one_after_another(
        orders in prop::collection::vec((any_lines(), prop::collection::vec(prop::option::of(0..2_000_i64), 12)), 1..5),
    ) {
        let seller = SellerId::new();
        let (mut spent, mut uncapped_of) = (0, Vec::new());
        for (lines, caps) in orders {
            // Goods of one profile have one cap.
            let cap = |rule: ShippingRule| caps[usize::from(rule.profile.0.as_bytes()[15]) % caps.len()];
            let lines: Vec<Line> = lines.into_iter().map(|line| Line {
                seller,
                shipping: line.shipping.map(|rule| ShippingRule { show_cap_minor: cap(rule), ..rule }),
                ..line
            }).collect();
            let show = Show { seller, charged_minor: spent };
            spent += price(eur(), &lines, Some(show), None).expect("priced").shipping.minor;
            uncapped_of.push(uncapped(eur(), &lines).expect("priced"));
        }
        let costs: Vec<Vec<_>> = uncapped_of.into_iter()
            .map(|parts| parts.into_iter().map(|(_, part)| part).collect()).collect();
        prop_assert_eq!(together(costs.iter().map(Vec::as_slice)), spent);
    }

    #[test]
    fn what_has_no_profile_carries_no_shipping(lines in any_lines()) {
        let price = price(eur(), &lines, None, None).expect("priced");
        for (line, share) in lines.iter().zip(&price.lines) {
            prop_assert!(line.shipping.is_some() || share.shipping.minor == 0);
        }
    }
}

#[test]
fn tax_is_of_what_the_shop_asks_for_whatever_the_platform_takes_off() {
    let mut line = line(SellerId::new(), 1, 1_000, None);
    line.discount = LineDiscount {
        seller_minor: 100,
        platform_minor: 200,
    };
    let rule = TaxRule {
        rate: BasisPoints::new(1_000).expect("a rate"),
        goods: true,
        shipping: true,
        terms: Terms {
            tax_included: false,
            seller_remits: false,
        },
    };
    let priced = price(eur(), &[line], None, Some(rule)).expect("a price");
    assert_eq!((priced.tax.minor, priced.total.minor), (90, 790));
    let of_shipping_alone = TaxRule { goods: false, ..rule };
    let priced = price(eur(), &[line], None, Some(of_shipping_alone)).expect("a price");
    assert_eq!((priced.tax.minor, priced.total.minor), (0, 700));
}

fn any_tax() -> impl Strategy<Value = Option<TaxRule>> {
    prop::option::of((0_u16..=3_000, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(rate, goods, shipping, tax_included)| TaxRule {
            rate: BasisPoints::new(rate).expect("a rate"),
            goods,
            shipping,
            terms: Terms {
                tax_included,
                seller_remits: false,
            },
        },
    ))
}

proptest! {
    #[test]
    fn with_discounts_and_tax_everything_sums(
        mut lines in any_lines(),
        cuts in prop::collection::vec((0..=100_i64, 0..=100_i64), 12),
        tax in any_tax(),
    ) {
        for (line, (seller, platform)) in lines.iter_mut().zip(cuts) {
            let gross = line.unit_price.minor * i64::from(line.quantity);
            let seller_minor = gross * seller / 100;
            let platform_minor = (gross - seller_minor) * platform / 100;
            line.discount = LineDiscount { seller_minor, platform_minor };
        }
        let price = price(eur(), &lines, None, tax).expect("priced");
        let sum = |part: fn(&LinePrice) -> i64| price.lines.iter().map(part).sum::<i64>();
        prop_assert_eq!(sum(|l| l.discount.total()), price.discount.minor);
        prop_assert_eq!(sum(|l| l.tax.minor + l.shipping_tax.minor), price.tax.minor);
        let added = if price.terms.tax_included { 0 } else { price.tax.minor };
        prop_assert_eq!(price.total.minor, price.items.minor - price.discount.minor + price.shipping.minor + added);
        // What buyers, shops, platform and tax office get is what is paid.
        let parts = |l: &LinePrice| crate::ledger::parts::Parts {
            goods: l.gross.minor - l.discount.total(),
            platform_discount: l.discount.platform_minor,
            tax: l.tax.minor,
            shipping: l.shipping.minor,
            shipping_tax: l.shipping_tax.minor,
            commission: 0,
        };
        let paid: i64 = price.lines.iter().map(|l| parts(l).paid(price.terms)).sum();
        prop_assert_eq!(paid, price.total.minor);
        prop_assert!(price.lines.iter().all(|l| parts(l).base(price.terms) >= 0));
    }

    #[test]
    fn shipping_knows_no_discount_and_no_tax(mut lines in any_lines(), tax in any_tax()) {
        let plain = price(eur(), &lines, None, None).expect("priced");
        for line in &mut lines {
            line.discount.platform_minor = line.unit_price.minor * i64::from(line.quantity);
        }
        let cut = price(eur(), &lines, None, tax).expect("priced");
        prop_assert_eq!(plain.shipping, cut.shipping);
    }
}
