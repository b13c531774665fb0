//! Units on their way back to their shops.

use core_api::http::Shopkeeper;
use core_api::returns;
use shared::ids::ReturnId;

use super::{ALL, Went, asks, code, pick};
use crate::model::acts::Act;
use crate::model::paper::BackState;
use crate::model::play::Play;

fn taker(shop: Shopkeeper) -> returns::Taker {
    returns::Taker {
        user: shop.user,
        whose: returns::Whose::Shop(shop.seller),
    }
}

impl Play {
    pub(super) async fn send_back(&mut self, act: &Act, twice: bool) -> Went {
        let (till, settings) = (&self.world.state.till, &self.world.state.config.commerce);
        match act {
            Act::AskBack { order, line, units } => {
                let order = self.order(*order)?;
                let line = self.line(order, *line);
                let new = returns::model::NewReturn {
                    order_item_id: self.item_id(order, line),
                    quantity: i32::from(*units),
                    reason: "too small".into(),
                };
                let (buyer, id) = (self.buyer_of(order), self.order_id(order));
                let whither = (&self.world.state.db, &self.world.state.bus);
                let call = async |key| returns::request(whither, settings, buyer, id, key, &new).await;
                let said = asks(twice, call).await;
                Some((self.paper.ask_back(order, line, i64::from(*units)), said))
            }
            Act::Answer { back, to } => {
                let (nth, id, shop) = self.back(*back)?;
                let order = self.paper.returns[nth].order;
                let said = match to {
                    BackState::Approved => code(returns::approve(till, taker(shop), id, "send it").await),
                    BackState::Rejected => code(returns::reject(till, taker(shop), id, "made to order").await),
                    _ => code(returns::withdraw(&till.db, self.buyer_of(order), self.order_id(order), id).await),
                };
                Some((self.paper.answer(nth, *to), said))
            }
            Act::ReturnIsSent { back } => {
                let (nth, id, _) = self.back(*back)?;
                let order = self.paper.returns[nth].order;
                let parcel = returns::model::ReturnParcel {
                    carrier: "post".into(),
                    tracking: "R1".into(),
                };
                let (buyer, of) = (self.buyer_of(order), self.order_id(order));
                let said = code(returns::send((&till.db, &self.world.state.bus), buyer, of, id, &parcel).await);
                Some((self.paper.return_is_sent(nth), said))
            }
            Act::Receive {
                back,
                restocked,
                shipping,
            } => {
                let (nth, id, shop) = self.back(*back)?;
                let receipt = returns::model::ReturnReceipt {
                    restocked: i32::from(*restocked),
                    shipping: *shipping,
                };
                let said = asks(twice, async |key| {
                    returns::receive(till, taker(shop), id, key, &receipt).await
                })
                .await;
                Some((self.paper.receive(nth, i64::from(*restocked), *shipping), said))
            }
            _ => {
                let said = code(returns::lapse(&till.db, &self.world.state.bus, settings, ALL).await);
                self.paper.lapse_returns();
                Some((Ok(()), said))
            }
        }
    }

    fn back(&self, nth: u8) -> Option<(usize, ReturnId, Shopkeeper)> {
        let nth = pick(nth, self.paper.returns.len())?;
        let back = &self.paper.returns[nth];
        Some((
            nth,
            ReturnId(self.ids.returns[nth]),
            self.shop_of(back.order, back.line),
        ))
    }
}
