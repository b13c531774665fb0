//! What a line of an order is made of, in minor units of the order's currency, and what
//! of it goes to whom. Pure: the same sums price a line, book its capture, and undo it.
//!
//! The components are chosen so that none is negative and each is undone by itself: what
//! a part of the units takes back is never less than nothing, and all parts together are
//! the whole to the cent.

/// How an order's tax works.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Prices and shipping contain the tax; else it comes on top.
    pub tax_included: bool,
    /// The shop pays the tax office; else the platform does.
    pub seller_remits: bool,
}

impl Terms {
    /// Where there is no tax, it makes no difference.
    pub const UNTAXED: Self = Self {
        tax_included: true,
        seller_remits: false,
    };
}

/// The components of a line, or of a part of it. None is negative.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Parts {
    /// What the buyer pays for the goods: after every discount, without tax that is added.
    pub goods: i64,
    /// What the platform pays towards the goods. (What the shop takes off nobody pays.)
    pub platform_discount: i64,
    /// Tax of the goods.
    pub tax: i64,
    /// What the buyer pays for the shipping, without tax that is added.
    pub shipping: i64,
    /// Tax of the shipping.
    pub shipping_tax: i64,
    /// What the platform keeps.
    pub commission: i64,
}

/// What a line brings its shop: `amount = base + shipping + tax - commission`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Earned {
    /// What commission is taken of: the goods at the shop's price, without tax.
    pub base: i64,
    /// Shipping without tax; free of commission.
    pub shipping: i64,
    /// Tax that the shop passes on to the tax office.
    pub tax: i64,
    /// What the platform keeps.
    pub commission: i64,
    /// What the shop gets.
    pub amount: i64,
}

impl Parts {
    /// What the buyer pays.
    #[must_use]
    pub const fn paid(&self, terms: Terms) -> i64 {
        let added = if terms.tax_included { 0 } else { self.all_tax() };
        self.goods + self.shipping + added
    }

    /// What commission is taken of: never shipping, never tax.
    #[must_use]
    pub const fn base(&self, terms: Terms) -> i64 {
        let within = if terms.tax_included { self.tax } else { 0 };
        self.goods + self.platform_discount - within
    }

    /// What it brings the shop.
    #[must_use]
    pub const fn earned(&self, terms: Terms) -> Earned {
        let base = self.base(terms);
        let within = if terms.tax_included { self.shipping_tax } else { 0 };
        let shipping = self.shipping - within;
        let tax = if terms.seller_remits { self.all_tax() } else { 0 };
        Earned {
            base,
            shipping,
            tax,
            commission: self.commission,
            amount: base + shipping + tax - self.commission,
        }
    }

    /// Tax that the platform owes the tax office.
    #[must_use]
    pub const fn tax_owed(&self, terms: Terms) -> i64 {
        if terms.seller_remits { 0 } else { self.all_tax() }
    }

    const fn all_tax(&self) -> i64 {
        self.tax + self.shipping_tax
    }

    /// The goods' components of the first `units` of `quantity`: each multiplied, then
    /// rounded half up once. No shipping.
    #[must_use]
    pub fn of_units(&self, units: i32, quantity: i32) -> Self {
        let share = |component: i64| share(component, units, quantity);
        Self {
            goods: share(self.goods),
            platform_discount: share(self.platform_discount),
            tax: share(self.tax),
            shipping: 0,
            shipping_tax: 0,
            commission: share(self.commission),
        }
    }

    /// Its shipping alone.
    #[must_use]
    pub fn shipping_alone(&self) -> Self {
        Self {
            shipping: self.shipping,
            shipping_tax: self.shipping_tax,
            ..Self::default()
        }
    }

    /// Component by component.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            goods: self.goods + other.goods,
            platform_discount: self.platform_discount + other.platform_discount,
            tax: self.tax + other.tax,
            shipping: self.shipping + other.shipping,
            shipping_tax: self.shipping_tax + other.shipping_tax,
            commission: self.commission + other.commission,
        }
    }

    /// Component by component.
    #[must_use]
    pub const fn minus(&self, other: &Self) -> Self {
        Self {
            goods: self.goods - other.goods,
            platform_discount: self.platform_discount - other.platform_discount,
            tax: self.tax - other.tax,
            shipping: self.shipping - other.shipping,
            shipping_tax: self.shipping_tax - other.shipping_tax,
            commission: self.commission - other.commission,
        }
    }
}

impl Parts {
    /// Of no component less than nothing.
    #[must_use]
    pub fn at_least_nothing(&self) -> Self {
        Self {
            goods: self.goods.max(0),
            platform_discount: self.platform_discount.max(0),
            tax: self.tax.max(0),
            shipping: self.shipping.max(0),
            shipping_tax: self.shipping_tax.max(0),
            commission: self.commission.max(0),
        }
    }
}

/// `component × units ÷ quantity`, rounded half up. Neither is negative.
fn share(component: i64, units: i32, quantity: i32) -> i64 {
    rounded(component, units.into(), quantity.into())
}

fn rounded(component: i64, part: i64, whole: i64) -> i64 {
    let (part, whole) = (i128::from(part), i128::from(whole.max(1)));
    let rounded = (2 * i128::from(component) * part + whole) / (2 * whole);
    // At most the component, for at most the whole.
    i64::try_from(rounded).unwrap_or(i64::MAX)
}

/// What was given back of a line before.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct GivenBack {
    /// Of how many units the goods were.
    pub units: i32,
    /// The components.
    pub parts: Parts,
}

/// What becomes of what is left of a line's shipping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShippingBack {
    /// All of it stays paid.
    Stays,
    /// It goes back.
    Goes,
    /// It goes back, but for so many minor units before added tax.
    GoesBut(i64),
}

impl ShippingBack {
    /// It goes back where somebody says so.
    #[must_use]
    pub const fn when(goes: bool) -> Self {
        if goes { Self::Goes } else { Self::Stays }
    }

    /// What of it would go back and does not, in minor units.
    #[must_use]
    pub const fn kept(self) -> i64 {
        match self {
            Self::Stays | Self::Goes => 0,
            Self::GoesBut(minor) => minor,
        }
    }

    /// What goes back of `left`: what of it stays is taxed as all of it was, rounded half up.
    fn of(self, left: &Parts) -> Parts {
        let stays = match self {
            Self::Stays => left.shipping,
            Self::Goes => 0,
            Self::GoesBut(minor) => minor.clamp(0, left.shipping),
        };
        let tax = match stays {
            0 => 0,
            _ => rounded(left.shipping_tax, stays, left.shipping),
        };
        Parts {
            shipping: left.shipping - stays,
            shipping_tax: left.shipping_tax - tax,
            ..Parts::default()
        }
    }
}

/// What goes back for `units` more of a line of `quantity`, and of what is left of its
/// shipping: up to the cumulative units, less what went before. Of no component less than
/// nothing: once refunds between others have failed, what stands
/// may be a cent ahead of its units, and the next ones make up for it.
#[must_use]
pub fn to_give_back(whole: &Parts, quantity: i32, before: &GivenBack, units: i32, shipping: ShippingBack) -> Parts {
    let goods_before = Parts {
        shipping: 0,
        shipping_tax: 0,
        ..before.parts
    };
    let goods = match units {
        0 => Parts::default(),
        _ => whole.of_units(before.units + units, quantity).minus(&goods_before),
    };
    let goods = goods.at_least_nothing();
    let left = whole.shipping_alone().minus(&before.parts.shipping_alone());
    goods.plus(&shipping.of(&left.at_least_nothing()))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    const INCLUDED: Terms = Terms::UNTAXED;
    const ADDED: Terms = Terms {
        tax_included: false,
        seller_remits: true,
    };

    fn line() -> Parts {
        Parts {
            goods: 9_000,
            platform_discount: 1_000,
            tax: 1_597,
            shipping: 500,
            shipping_tax: 80,
            commission: 840,
        }
    }

    #[test]
    fn included_tax_is_no_base_and_goes_to_the_tax_office() {
        let line = line();
        assert_eq!(line.paid(INCLUDED), 9_500);
        assert_eq!(line.base(INCLUDED), 8_403);
        let earned = line.earned(INCLUDED);
        assert_eq!((earned.shipping, earned.tax), (420, 0));
        assert_eq!(earned.amount, 8_403 + 420 - 840);
        assert_eq!(line.tax_owed(INCLUDED), 1_677);
    }

    #[test]
    fn added_tax_is_paid_on_top_and_may_be_the_shops_to_remit() {
        let line = line();
        assert_eq!(line.paid(ADDED), 9_500 + 1_677);
        assert_eq!(line.base(ADDED), 10_000);
        assert_eq!(line.earned(ADDED).amount, 10_000 + 500 + 1_677 - 840);
        assert_eq!(line.tax_owed(ADDED), 0);
    }

    #[test]
    fn a_third_of_a_cent_is_never_lost() {
        let whole = Parts {
            goods: 100,
            ..Parts::default()
        };
        let mut before = GivenBack::default();
        let mut given = Vec::new();
        for _ in 0..3 {
            let parts = to_give_back(&whole, 3, &before, 1, ShippingBack::Stays);
            before = GivenBack {
                units: before.units + 1,
                parts: before.parts.plus(&parts),
            };
            given.push(parts.goods);
        }
        assert_eq!(given, [33, 34, 33]);
    }

    #[test]
    fn shipping_that_stays_is_taxed_and_goes_back_to_the_cent_in_the_end() {
        let whole = line();
        let first = to_give_back(&whole, 1, &GivenBack::default(), 1, ShippingBack::GoesBut(301));
        assert_eq!((first.shipping, first.shipping_tax), (199, 80 - 48));
        let mut before = GivenBack { units: 1, parts: first };
        let none = to_give_back(&whole, 1, &before, 0, ShippingBack::GoesBut(301));
        assert_eq!(none, Parts::default(), "it stays as it was");
        let some = to_give_back(&whole, 1, &before, 0, ShippingBack::GoesBut(1));
        before.parts = before.parts.plus(&some);
        let rest = to_give_back(&whole, 1, &before, 0, ShippingBack::Goes);
        assert_eq!(before.parts.plus(&rest), whole);
    }

    /// What a line may be made of.
    pub(crate) fn any_parts() -> impl Strategy<Value = Parts> {
        (
            0..1_000_000_i64,
            0..1_000_000_i64,
            0..10_000_i64,
            0..5_000_i64,
            0..500_i64,
            0..10_000_i64,
        )
            .prop_map(
                |(goods, platform_discount, tax, shipping, shipping_tax, commission)| Parts {
                    goods,
                    platform_discount,
                    tax: tax.min(goods / 2),
                    shipping,
                    shipping_tax: shipping_tax.min(shipping / 2),
                    commission: commission.min(goods / 2),
                },
            )
    }

    proptest! {
        #[test]
        fn what_is_paid_is_shared_out_to_the_cent(parts in any_parts(), included: bool, seller_remits: bool) {
            let terms = Terms { tax_included: included, seller_remits };
            let out = parts.earned(terms).amount + parts.commission + parts.tax_owed(terms);
            prop_assert_eq!(parts.paid(terms) + parts.platform_discount, out);
        }

        #[test]
        fn steps_of_any_size_give_the_whole_back_and_never_less_than_nothing(
            whole in any_parts(), steps in prop::collection::vec(1..5_i32, 1..8), shipping_at in 0..8_usize, included: bool,
        ) {
            let terms = Terms { tax_included: included, seller_remits: false };
            let quantity: i32 = steps.iter().sum();
            let mut before = GivenBack::default();
            for (i, &units) in steps.iter().enumerate() {
                let shipping = ShippingBack::when(i == shipping_at.min(steps.len() - 1));
                let parts = to_give_back(&whole, quantity, &before, units, shipping);
                prop_assert!(parts.paid(terms) >= 0 && parts.goods >= 0 && parts.commission >= 0 && parts.shipping >= 0);
                before = GivenBack { units: before.units + units, parts: before.parts.plus(&parts) };
            }
            prop_assert_eq!(before.parts, whole);
        }

        #[test]
        fn refunds_that_fail_in_between_leave_no_cent_behind(
            whole in any_parts(), steps in prop::collection::vec((1..4_i32, any::<bool>()), 1..12),
        ) {
            let quantity: i32 = steps.iter().map(|step| step.0).sum();
            let sum = |stand: &[(i32, Parts)]| stand.iter().fold(GivenBack::default(), |sum, (units, parts)| GivenBack {
                units: sum.units + units,
                parts: sum.parts.plus(parts),
            });
            let mut stand: Vec<(i32, Parts)> = Vec::new();
            for &(units, fails) in &steps {
                stand.push((units, to_give_back(&whole, quantity, &sum(&stand), units, ShippingBack::Stays)));
                // The one before it has failed at the provider meanwhile.
                if fails && stand.len() > 1 {
                    stand.remove(stand.len() - 2);
                }
                for (_, parts) in &stand {
                    prop_assert!(parts.goods >= 0 && parts.tax >= 0 && parts.commission >= 0);
                }
            }
            let before = sum(&stand);
            let rest = to_give_back(&whole, quantity, &before, quantity - before.units, ShippingBack::Goes);
            prop_assert_eq!(before.parts.plus(&rest), whole);
        }
    }
}
