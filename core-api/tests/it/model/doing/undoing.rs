//! Calling off, giving back, and what buyers' banks take.

use core_api::{disputes, orders, refunds};
use shared::ids::{PaymentId, RefundId};
use shared::money::Money;

use super::{Went, asks, code, pick};
use crate::model::acts::Act;
use crate::model::paper::{DisputeState, Ours, Stage};
use crate::model::play::Play;
use crate::model::world::euro;

impl Play {
    pub(super) async fn undo(&mut self, act: &Act, twice: bool) -> Went {
        let (till, settings) = (&self.world.state.till, &self.world.state.config.commerce);
        match act {
            Act::Cancel { order } => {
                let order = self.order(*order)?;
                let said = code(orders::cancel(till, settings, self.buyer_of(order), self.order_id(order)).await);
                Some((self.paper.cancel(order), said))
            }
            Act::CancelUnits {
                order,
                line,
                units,
                by_shop,
            } => {
                let order = self.order(*order)?;
                let line = self.line(order, *line);
                let shop = self.shop_of(order, line);
                let who = match by_shop {
                    true => orders::Who::Shop(shop.user, shop.seller),
                    false => orders::Who::Buyer(self.buyer_of(order)),
                };
                let what = (self.order_id(order), self.item_id(order, line));
                let new = refunds::model::NewCancellation {
                    quantity: i32::from(*units),
                    reason: "not to be had".into(),
                };
                let call = async |key| orders::cancel_item(till, settings, who, what, key, &new).await;
                let said = asks(twice, call).await;
                Some((self.paper.cancel_units(order, line, i64::from(*units)), said))
            }
            Act::Give {
                order,
                units,
                shipping,
                restock,
            } => {
                let order = self.order(*order)?;
                let mut named: Vec<(usize, i64)> = Vec::new();
                for (line, units) in units {
                    let line = self.line(order, *line);
                    if named.iter().all(|(at, _)| *at != line) {
                        named.push((line, i64::from(*units)));
                    }
                }
                let item = |&(line, units): &(usize, i64)| refunds::model::NewRefundItem {
                    order_item_id: self.item_id(order, line),
                    quantity: i32::try_from(units).expect("few"),
                };
                let new = refunds::model::NewRefund {
                    items: named.iter().map(item).collect(),
                    shipping: *shipping,
                    restock: *restock,
                    reason: "goodwill".into(),
                };
                let (admin, id) = (self.world.admin, self.order_id(order));
                let call = async |key| refunds::acts::create(till, settings, admin, id, key, &new).await;
                let said = asks(twice, call).await;
                Some((self.paper.give(order, &named, *shipping, *restock), said))
            }
            Act::Retry { refund } => {
                let nth = pick(*refund, self.paper.refunds.len())?;
                let (admin, id) = (self.world.admin, RefundId(self.ids.refunds[nth]));
                let said = asks(twice, async |key| refunds::anew::retry(till, admin, id, key).await).await;
                Some((self.paper.retry(nth), said))
            }
            Act::Dispute { order, quarters } => {
                let order = self.order(*order)?;
                self.dispute(order, i64::from(*quarters)).await
            }
            Act::Judge { dispute, won } => {
                let nth = pick(*dispute, self.paper.disputes.len())?;
                self.judge(nth, *won).await
            }
            Act::SettleOutside { refund } => {
                let nth = pick(*refund, self.paper.refunds.len())?;
                let (admin, id) = (self.world.admin, RefundId(self.ids.refunds[nth]));
                let how = refunds::model::OutsideSettlement {
                    reason: "bank transfer".into(),
                };
                let call = async |key| refunds::anew::settle_outside(till, admin, id, key, &how).await;
                let said = asks(twice, call).await;
                Some((self.paper.settle_outside(nth), said))
            }
            _ => None,
        }
    }

    /// A bank disputes so many quarters of what was paid for an order, and the platform hears of
    /// it. `None`: it was not paid for.
    async fn dispute(&mut self, order: usize, quarters: i64) -> Went {
        let o = &self.paper.orders[order];
        let amount = o.total * quarters / 4;
        let captured = o.attempts.iter().position(|a| a.ours == Ours::Captured)?;
        if amount == 0 || o.stage != Stage::Paid {
            return None;
        }
        let id = PaymentId(self.ids.payments[order][captured]);
        let till = &self.world.state.till;
        let provider = till.built_in.as_ref().expect("it is the provider");
        let opened = provider.open_dispute(id, Some(Money::new(amount, euro()))).await;
        let said = code(disputes::heed(till, "test", &opened.expect("it was captured")).await);
        self.paper.dispute(order, amount);
        Some((Ok(()), said))
    }

    /// A dispute is decided, and the platform hears of it. `None`: that was so, or it was decided
    /// twice before.
    async fn judge(&mut self, nth: usize, won: bool) -> Went {
        let to = if won { DisputeState::Won } else { DisputeState::Lost };
        let dispute = &self.paper.disputes[nth];
        if dispute.state == to || dispute.judged > 1 {
            return None;
        }
        let (till, reference) = (&self.world.state.till, &self.ids.disputes[nth]);
        let provider = till.built_in.as_ref().expect("it is the provider");
        provider.decide_dispute(reference, won).await.expect("there is one");
        let said = code(disputes::heed(till, "test", reference).await);
        self.paper.judge(nth, to);
        Some((Ok(()), said))
    }
}
