//! What shipping costs: charged once for all goods of one seller that share a profile, cut
//! to what the cap of a show leaves, and split over their lines by largest remainder. And
//! what several orders of a show cost together, whichever of them stand.

use std::collections::BTreeMap;

use shared::ids::{SellerId, ShippingProfileId};
use shared::money::{Currency, Money, MoneyError};

use super::{Line, Show};

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

/// Each line's share of the shipping; `totals` are the goods' prices before any discount,
/// which is what free shipping asks for.
pub(super) fn shares(
    currency: Currency,
    lines: &[Line],
    totals: &[Money],
    show: Option<Show>,
) -> Result<Vec<Money>, MoneyError> {
    let mut shares = vec![Money::zero(currency); lines.len()];
    let mut groups = groups(lines);
    for group in &mut groups {
        group.cost = group_cost(currency, group, lines, totals)?;
    }
    if let Some(show) = show {
        cap(&mut groups, show)?;
    }
    for group in groups {
        let weights: Vec<u64> = group.members.iter().map(|&i| totals[i].minor.unsigned_abs()).collect();
        for (&i, share) in group.members.iter().zip(group.cost.split(&weights)) {
            shares[i] = share;
        }
    }
    Ok(shares)
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

/// What shipping of one cap costs before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Uncapped {
    /// The cap; `None`: there is none.
    pub cap_minor: Option<i64>,
    /// The cost.
    pub full_minor: i64,
}

/// What shipping of the lines costs without a cap, by seller and cap: those without one come
/// first, then the lowest. Of one cap all profiles cost as if they were one, as [`cap`] has it.
///
/// # Errors
/// When the sum does not fit.
pub fn uncapped(currency: Currency, lines: &[Line]) -> Result<Vec<(SellerId, Uncapped)>, MoneyError> {
    let mut totals = Vec::with_capacity(lines.len());
    for line in lines {
        totals.push(line.unit_price.checked_mul(i64::from(line.quantity))?);
    }
    let mut sums: BTreeMap<(SellerId, Option<i64>), i64> = BTreeMap::new();
    for group in groups(lines) {
        let cost = group_cost(currency, &group, lines, &totals)?;
        let sum = sums.entry((group.seller, group.rule.show_cap_minor)).or_default();
        *sum = sum.checked_add(cost.minor).ok_or(MoneyError::Overflow)?;
    }
    let sums = sums.into_iter().map(|((seller, cap_minor), full_minor)| {
        let uncapped = Uncapped { cap_minor, full_minor };
        (seller, uncapped)
    });
    Ok(sums.collect())
}

/// What orders of a show cost together for shipping, each after those before it. Of an order
/// the goods without a cap come first, then those of the lowest.
#[must_use]
pub fn together<'a>(orders: impl IntoIterator<Item = &'a [Uncapped]>) -> i64 {
    orders.into_iter().flatten().fold(0, |spent: i64, part| {
        let left = part.cap_minor.map_or(i64::MAX, |cap| cap.saturating_sub(spent).max(0));
        spent.saturating_add(part.full_minor.min(left))
    })
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
