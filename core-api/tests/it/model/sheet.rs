//! Sums as somebody would do them on paper from what the documents promise: what the lines
//! of an order cost, and what of them goes to whom. It uses nothing of the product, neither
//! its functions nor its way of writing them down, so that a mistake would have to be made
//! twice. Amounts are whole cents.

/// Where money can be, in the books. Debits are positive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Account {
    /// With the payment provider.
    Clearing,
    /// Owed to a shop.
    Owed(usize),
    /// The platform's own.
    Commission,
    /// What the platform gave towards prices.
    Discounts,
    /// Owed to tax offices by the platform.
    Tax,
    /// On its way to buyers.
    RefundsDue,
    /// On its way to shops.
    PayoutsDue,
    /// What the provider keeps for itself.
    Fees,
    /// With buyers' banks, until it is decided whose it is.
    Disputed,
    /// What lost disputes cost the platform.
    DisputeLosses,
    /// Given up.
    WriteOffs,
    /// Paid to buyers past the provider.
    PaidOutside,
}

/// How a region taxes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tax {
    /// Basis points.
    pub rate: i64,
    /// Prices contain it.
    pub included: bool,
    /// Goods bear it.
    pub goods: bool,
    /// Shipping bears it.
    pub shipping: bool,
    /// The shop pays the tax office.
    pub seller_remits: bool,
}

/// What a code takes off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Off {
    /// So many basis points of the goods that it is good for.
    Percent(i64),
    /// So much of them.
    Amount(i64),
}

/// A discount code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Code {
    /// The shop that bears it and for whose goods it is; `None`: the platform, for all.
    pub shop: Option<usize>,
    /// How much.
    pub off: Off,
    /// What those goods must be worth.
    pub least: i64,
}

/// What a shop's parcels cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Postage {
    /// With the first unit.
    pub base: i64,
    /// With each further one.
    pub extra: i64,
    /// Goods worth this are sent for nothing.
    pub free_from: Option<i64>,
}

/// Units that somebody wants to buy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Of which shop.
    pub shop: usize,
    /// What.
    pub variant: usize,
    /// How many.
    pub units: i64,
    /// At what price each.
    pub price: i64,
}

/// The columns of a line, or of a part of it, that are undone each by itself.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Cells {
    /// What the buyer pays for the goods, but for tax that is added.
    pub goods: i64,
    /// What the platform gives towards them.
    pub given: i64,
    /// Tax of the goods.
    pub tax: i64,
    /// What the buyer pays for the shipping, likewise.
    pub shipping: i64,
    /// Tax of the shipping.
    pub shipping_tax: i64,
    /// What the platform keeps.
    pub commission: i64,
}

/// A line of an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line {
    /// What was bought.
    pub wanted: Wanted,
    /// Units times price.
    pub gross: i64,
    /// What the shop takes off.
    pub seller_off: i64,
    /// Its columns.
    pub cells: Cells,
}

/// `amount × part ÷ whole`; a half is rounded up. None of them is negative.
pub fn rounded(amount: i64, part: i64, whole: i64) -> i64 {
    let product = i128::from(amount) * i128::from(part);
    let (down, rest) = (product / i128::from(whole), product % i128::from(whole));
    let up = i128::from(rest * 2 >= i128::from(whole));
    i64::try_from(down + up).expect("it fits")
}

/// Parts of `amount` in proportion to `weights`: everybody gets their share without its
/// fraction, and what is left goes cent by cent to whom the largest fraction was taken from,
/// of equals to the first. Where nothing weighs anything the first has it all.
pub fn split(amount: i64, weights: &[i64]) -> Vec<i64> {
    let sum: i64 = weights.iter().sum();
    if sum == 0 {
        return (0..weights.len())
            .map(|nth| if nth == 0 { amount } else { 0 })
            .collect();
    }
    let exact = |weight: i64| i128::from(amount) * i128::from(weight);
    let fit = |cents: i128| i64::try_from(cents).expect("it fits");
    let mut parts: Vec<i64> = weights.iter().map(|&w| fit(exact(w) / i128::from(sum))).collect();
    let mut fractions: Vec<i128> = weights.iter().map(|&w| exact(w) % i128::from(sum)).collect();
    for _ in 0..amount - parts.iter().sum::<i64>() {
        let largest = *fractions.iter().max().expect("there is one");
        let whose = fractions.iter().position(|&f| f == largest).expect("somebody's");
        parts[whose] += 1;
        fractions[whose] = -1;
    }
    parts
}

/// What the provider keeps of a capture: 2.9 % and 30 cents, and never more than all.
pub fn fee_of(amount: i64) -> i64 {
    (rounded(amount, 290, 10_000) + 30).min(amount)
}

/// The tax of an amount that bears it.
fn tax_of(amount: i64, tax: Tax) -> i64 {
    let whole = if tax.included { 10_000 + tax.rate } else { 10_000 };
    rounded(amount, tax.rate, whole)
}

/// What a code takes off each line, or why it cannot.
fn taken_off(gross: &[i64], shops: &[usize], code: &Code) -> Result<Vec<i64>, &'static str> {
    let good: Vec<i64> = gross
        .iter()
        .zip(shops)
        .map(|(&gross, &shop)| {
            if code.shop.is_none_or(|of| of == shop) {
                gross
            } else {
                0
            }
        })
        .collect();
    if code.shop.is_some_and(|of| !shops.contains(&of)) {
        return Err("discount_not_for_these");
    }
    let sum: i64 = good.iter().sum();
    if sum < code.least {
        return Err("discount_minimum");
    }
    let off = match code.off {
        Off::Percent(rate) => rounded(sum, rate, 10_000),
        Off::Amount(cents) => cents.min(sum),
    };
    Ok(split(off, &good))
}

/// What each line bears of the shipping: its shop sends all of its goods together.
fn postage(lines: &[Wanted], gross: &[i64], shops: &[Option<Postage>]) -> Vec<i64> {
    let mut shares = vec![0; lines.len()];
    for (shop, rule) in shops.iter().enumerate() {
        let of_shop: Vec<usize> = (0..lines.len()).filter(|&nth| lines[nth].shop == shop).collect();
        let (Some(rule), false) = (rule, of_shop.is_empty()) else {
            continue;
        };
        let worth: i64 = of_shop.iter().map(|&nth| gross[nth]).sum();
        if rule.free_from.is_some_and(|from| worth >= from) {
            continue;
        }
        let units: i64 = of_shop.iter().map(|&nth| lines[nth].units).sum();
        let weights: Vec<i64> = of_shop.iter().map(|&nth| gross[nth]).collect();
        for (&nth, share) in of_shop
            .iter()
            .zip(split(rule.base + rule.extra * (units - 1), &weights))
        {
            shares[nth] = share;
        }
    }
    shares
}

/// What is bought, line by line: `rates` are the shops' rates of commission, in basis points.
///
/// # Errors
/// Why the code is not good for it.
pub fn price(
    wanted: &[Wanted],
    code: Option<&Code>,
    shops: &[Option<Postage>],
    rates: &[i64],
    tax: Option<Tax>,
) -> Result<Vec<Line>, &'static str> {
    let gross: Vec<i64> = wanted.iter().map(|w| w.units * w.price).collect();
    let whose: Vec<usize> = wanted.iter().map(|w| w.shop).collect();
    let off = match code {
        Some(code) => taken_off(&gross, &whose, code)?,
        None => vec![0; wanted.len()],
    };
    let shipping = postage(wanted, &gross, shops);
    let by_shop = code.is_some_and(|code| code.shop.is_some());
    let line = |nth: usize| {
        let (seller_off, given) = if by_shop { (off[nth], 0) } else { (0, off[nth]) };
        let asked = gross[nth] - seller_off;
        let of = |bears: fn(&Tax) -> bool, amount| tax.filter(bears).map_or(0, |tax| tax_of(amount, tax));
        let goods_tax = of(|tax| tax.goods, asked);
        let within = if tax.is_some_and(|tax| tax.included) {
            goods_tax
        } else {
            0
        };
        Line {
            wanted: wanted[nth],
            gross: gross[nth],
            seller_off,
            cells: Cells {
                goods: asked - given,
                given,
                tax: goods_tax,
                shipping: shipping[nth],
                shipping_tax: of(|tax| tax.shipping, shipping[nth]),
                commission: rounded(asked - within, rates[wanted[nth].shop], 10_000),
            },
        }
    };
    Ok((0..wanted.len()).map(line).collect())
}

impl Cells {
    fn map2(self, other: Self, of: fn(i64, i64) -> i64) -> Self {
        Self {
            goods: of(self.goods, other.goods),
            given: of(self.given, other.given),
            tax: of(self.tax, other.tax),
            shipping: of(self.shipping, other.shipping),
            shipping_tax: of(self.shipping_tax, other.shipping_tax),
            commission: of(self.commission, other.commission),
        }
    }

    /// Column by column.
    pub fn plus(self, other: Self) -> Self {
        self.map2(other, |one, other| one + other)
    }

    /// Column by column, and never less than nothing.
    pub fn less(self, other: Self) -> Self {
        self.map2(other, |one, other| (one - other).max(0))
    }

    /// What the buyer pays, or gets back.
    pub fn paid(self, tax: Option<Tax>) -> i64 {
        let on_top = tax.is_some_and(|tax| !tax.included);
        self.goods + self.shipping + if on_top { self.tax + self.shipping_tax } else { 0 }
    }

    /// What the platform owes tax offices.
    fn office(self, tax: Option<Tax>) -> i64 {
        let shop = tax.is_some_and(|tax| tax.seller_remits);
        if shop { 0 } else { self.tax + self.shipping_tax }
    }

    /// What the shop gets: all that comes in for it, less what the platform keeps or passes on.
    pub fn earned(self, tax: Option<Tax>) -> i64 {
        self.paid(tax) + self.given - self.office(tax) - self.commission
    }

    /// What moves when these are sold, but for the money itself.
    pub fn shares(self, tax: Option<Tax>, shop: usize) -> [(Account, i64); 4] {
        [
            (Account::Discounts, self.given),
            (Account::Owed(shop), -self.earned(tax)),
            (Account::Commission, -self.commission),
            (Account::Tax, -self.office(tax)),
        ]
    }
}

/// What goes back for `units` more of a line of which `before` went back for `units_before`:
/// each column's part of all units so far, less what went before, and never less than nothing.
/// Of the shipping all that is left, or nothing.
pub fn going_back(line: &Line, units_before: i64, before: Cells, units: i64, shipping: bool) -> Cells {
    let left = |whole: i64, before: i64| {
        let so_far = rounded(whole, units_before + units, line.wanted.units);
        if units == 0 { 0 } else { (so_far - before).max(0) }
    };
    let all_of = |whole: i64, before: i64| if shipping { (whole - before).max(0) } else { 0 };
    let whole = line.cells;
    Cells {
        goods: left(whole.goods, before.goods),
        given: left(whole.given, before.given),
        tax: left(whole.tax, before.tax),
        commission: left(whole.commission, before.commission),
        shipping: all_of(whole.shipping, before.shipping),
        shipping_tax: all_of(whole.shipping_tax, before.shipping_tax),
    }
}

/// What a bank that keeps `amount` takes of what is `left` of the lines: in proportion to what
/// was paid for that, and of each line from its columns likewise.
pub fn taken(left: &[Cells], amount: i64, tax: Option<Tax>) -> Vec<Cells> {
    let paid: Vec<i64> = left.iter().map(|cells| cells.paid(tax)).collect();
    let on_top = tax.is_some_and(|tax| !tax.included);
    let shares = split(amount.min(paid.iter().sum()), &paid);
    let part = |(cells, (share, whole)): (&Cells, (i64, i64))| {
        if share == 0 {
            return Cells::default();
        }
        let added = |cents: i64| if on_top { cents } else { 0 };
        let weights = [cells.goods, cells.shipping, added(cells.tax), added(cells.shipping_tax)];
        let of_paid = split(share, &weights);
        let of = |cents: i64| rounded(cents, share, whole);
        Cells {
            goods: of_paid[0],
            shipping: of_paid[1],
            tax: if on_top { of_paid[2] } else { of(cells.tax) },
            shipping_tax: if on_top { of_paid[3] } else { of(cells.shipping_tax) },
            given: of(cells.given),
            commission: of(cells.commission),
        }
    };
    left.iter().zip(shares.into_iter().zip(paid)).map(part).collect()
}
