//! Parcels, time, and what is released by it.

use core_api::fulfilment;
use core_api::http::Owner;

use super::{ALL, Went, asks, code, run};
use crate::model::acts::Act;
use crate::model::play::Play;

impl Play {
    pub(super) async fn send(&mut self, act: &Act, twice: bool) -> Went {
        let state = &self.world.state;
        match act {
            Act::Send { order, shop, some } => {
                let (order, nth) = (self.order(*order)?, usize::from(*shop));
                let first = self.paper.lines_of(order, nth).first().copied();
                let some = some.filter(|_| first.is_some());
                let items = some.zip(first).map(|(units, line)| {
                    vec![fulfilment::model::NewShippedItem {
                        order_item_id: self.item_id(order, line),
                        quantity: i32::from(units),
                    }]
                });
                let new = fulfilment::model::NewShipment {
                    carrier: "post".into(),
                    tracking: String::new(),
                    items,
                };
                let (shop, id) = (self.world.shops[nth], self.order_id(order));
                let owner = Owner {
                    user: shop.user,
                    seller: shop.seller,
                };
                let said = asks(twice, async |key| fulfilment::ship(state, &owner, id, key, &new).await).await;
                Some((self.paper.send(order, nth, some.map(i64::from)), said))
            }
            Act::Arrive { order } => {
                let order = self.order(*order)?;
                let said = code(fulfilment::confirm(state, self.buyer_of(order), self.order_id(order), None).await);
                Some((self.paper.arrive(order), said))
            }
            Act::Days { days } => {
                self.days(i32::from(*days)).await;
                self.paper.days(i64::from(*days));
                Some((Ok(()), Ok(())))
            }
            _ => {
                let said = code(fulfilment::release::release(&state.db, ALL).await);
                self.paper.release();
                Some((Ok(()), said))
            }
        }
    }

    /// Time passes for parcels, returns and releases.
    async fn days(&self, days: i32) {
        let (db, buyers) = (&self.world.state.db, self.world.buyer_ids());
        for sql in [
            "update shipments s set shipped_at = shipped_at - make_interval(days => $2),
                                    delivered_at = delivered_at - make_interval(days => $2)
               from orders o where o.id = s.order_id and o.user_id = any($1)",
            "update order_items i set release_after = release_after - make_interval(days => $2)
               from orders o where o.id = i.order_id and o.user_id = any($1)",
            "update returns r set answered_at = answered_at - make_interval(days => $2)
               from orders o where o.id = r.order_id and o.user_id = any($1)",
        ] {
            run(db, sql, &buyers, days).await;
        }
    }
}
