//! What of an order's shipping stays paid when the order is called off, because others of the
//! same show were spared theirs on its account. Pure.

use shared::ids::{OrderId, SellerId};

use crate::checkout::pricing::{Uncapped, together};

/// What somebody has bought in a show to one place, of the show's own goods.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spared {
    /// Whose goods.
    pub seller: SellerId,
    /// The orders, in that of their ids.
    pub parts: Vec<Part>,
}

/// What an order has of it, in minor units before added tax.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// The order.
    pub order: OrderId,
    /// It may still run out of time.
    pub is_unpaid: bool,
    /// Some of it was or will be sent.
    pub stands: bool,
    /// What its shipping was.
    pub charged: i64,
    /// What of that went back.
    pub back: i64,
    /// What it costs without the show's cap.
    pub uncapped: Vec<Uncapped>,
}

impl Part {
    /// What stays paid of it though nothing of it will be sent.
    const fn kept(&self) -> i64 {
        if self.stands { 0 } else { self.charged - self.back }
    }
}

impl Spared {
    /// What stays of an order of which nothing will be sent, out of `left` that did not go back
    /// yet: what the orders that stand would have cost together without it, as far as it was
    /// neither charged for them nor stays of others. What was given back of those that stand
    /// was given, and is not asked for again.
    #[must_use]
    pub fn stays(&self, order: OrderId, left: i64) -> i64 {
        let others = || self.parts.iter().filter(|part| part.order != order);
        let due = together(others().filter(|part| part.stands).map(|part| part.uncapped.as_slice()));
        let charged: i64 = others().filter(|part| part.stands).map(|part| part.charged).sum();
        let kept: i64 = others().map(Part::kept).sum();
        (due - charged - kept).clamp(0, left.max(0))
    }

    /// Other orders that something stays of: should this one have been what for, it goes back.
    pub fn kept_of_others(&self, order: OrderId) -> impl Iterator<Item = OrderId> {
        let others = self.parts.iter().filter(move |part| part.order != order);
        others.filter(|part| part.kept() > 0).map(|part| part.order)
    }

    /// Some of it may still run out of time.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.parts.iter().any(|part| part.is_unpaid)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part(charged: i64, full_minor: i64, cap: i64) -> Part {
        Part {
            order: OrderId::new(),
            is_unpaid: false,
            stands: true,
            charged,
            back: 0,
            uncapped: vec![Uncapped {
                cap_minor: Some(cap),
                full_minor,
            }],
        }
    }

    fn spared(parts: Vec<Part>) -> Spared {
        Spared {
            seller: SellerId::new(),
            parts,
        }
    }

    #[test]
    fn what_was_spared_stays_and_no_more() {
        let show = spared(vec![part(500, 500, 800), part(300, 500, 800), part(0, 500, 800)]);
        let stays = |nth: usize| show.stays(show.parts[nth].order, show.parts[nth].charged);
        assert_eq!([stays(0), stays(1), stays(2)], [500, 300, 0]);
        let alone = spared(vec![part(500, 500, 800)]);
        assert_eq!(alone.stays(alone.parts[0].order, 500), 0);
    }

    #[test]
    fn what_was_given_back_of_an_order_that_stands_is_not_asked_for() {
        let mut show = spared(vec![part(500, 500, 800), part(300, 300, 800)]);
        show.parts[1].back = 300;
        assert_eq!(show.stays(show.parts[0].order, 500), 0);
    }

    #[test]
    fn goods_without_a_cap_leave_no_more_than_the_others_would_have_cost() {
        let mut show = spared(vec![part(2_000, 2_000, 0), part(0, 500, 800), part(0, 500, 800)]);
        show.parts[0].uncapped[0].cap_minor = None;
        assert_eq!(show.stays(show.parts[0].order, 2_000), 800);
    }

    proptest! {
        // Whatever is called off, in whichever order, and asked again: what is paid in the end
        // is what the orders that stand cost, as if nothing else had ever been bought.
        #[test]
        fn whatever_is_called_off_the_rest_costs_what_it_would_have_alone(
            fulls in prop::collection::vec(0..1_000_i64, 1..6), cap in 0..2_000_i64,
            turns in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let mut spent = 0;
            let parts = fulls.iter().map(|&full| {
                let charged = full.min(cap - spent);
                spent += charged;
                part(charged, full, cap)
            });
            let mut show = spared(parts.collect());
            for turn in turns {
                let nth = turn.index(show.parts.len());
                show.parts[nth].stands = false;
                // This one is asked first, then what was kept before.
                let order = (nth..=nth).chain(0..show.parts.len());
                for nth in order.filter(|&nth| !show.parts[nth].stands).collect::<Vec<_>>() {
                    let part = &show.parts[nth];
                    let stays = show.stays(part.order, part.charged - part.back);
                    show.parts[nth].back = show.parts[nth].charged - stays;
                }
                let standing = show.parts.iter().filter(|part| part.stands);
                let alone = together(standing.map(|part| part.uncapped.as_slice()));
                let paid: i64 = show.parts.iter().map(|part| part.charged - part.back).sum();
                prop_assert_eq!(paid, alone);
            }
        }
    }
}
