//! Somebody who buys over REST: takes holds to the till or gives them back, buys from
//! the shelf, and holds units of a sale without a socket. Each step is asked for under
//! its key until it is answered, and some are asked for again after that.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use shared::ids::{CheckoutId, OrderId, ReservationId, SaleId, VariantId};
use shared::status::PaymentStatus;
use tokio::sync::mpsc;

use super::book::{Act, Done};
use super::hall::{Hall, Person, act_of};
use crate::rest::{NewCheckout, NewLine, RestClient, RestResult};

/// Of a hundred answers, so many are asked for again.
const AGAIN: u32 = 15;
/// Nobody may leave ten things open: so many are, and then the oldest is given up.
const LEFT_OPEN: usize = 5;

/// Units that somebody holds.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// The hold.
    pub reservation: ReservationId,
    /// Of which sale.
    pub sale: SaleId,
}

enum Goods {
    Hold(ReservationId),
    FromTheShelf(VariantId, u32),
}

/// What keeps goods from others and was not gone on with.
#[derive(Clone, Copy)]
enum Left {
    Checkout(CheckoutId),
    Order(OrderId),
}

/// See the module.
pub struct Shopper {
    hall: Arc<Hall>,
    person: Person,
    rng: StdRng,
    holds: mpsc::Receiver<Held>,
    left: VecDeque<Left>,
}

impl Shopper {
    /// Somebody whose choices follow from `seed`.
    #[must_use]
    pub fn new(hall: Arc<Hall>, person: Person, seed: u64, holds: mpsc::Receiver<Held>) -> Self {
        Self {
            hall,
            person,
            rng: StdRng::seed_from_u64(seed),
            holds,
            left: VecDeque::new(),
        }
    }

    /// Shops until the show closes.
    pub async fn run(mut self) {
        while !self.hall.closing.is_cancelled() {
            let pause = Duration::from_millis(self.rng.random_range(10..120));
            let held = tokio::select! {
                held = self.holds.recv() => held,
                () = tokio::time::sleep(pause) => None,
                () = self.hall.closing.cancelled() => return,
            };
            match held {
                Some(held) if self.rng.random_ratio(1, 4) => self.give_back(held).await,
                Some(held) => self.buy(Goods::Hold(held.reservation)).await,
                None if self.rng.random_ratio(1, 2) => self.hold().await,
                None => {
                    let variant = self.hall.variants.choose(&mut self.rng).copied();
                    let quantity = self.rng.random_range(1..4);
                    if let Some(variant) = variant {
                        self.buy(Goods::FromTheShelf(variant, quantity)).await;
                    }
                }
            }
        }
    }

    fn act(&self) -> Act {
        act_of(self.person.account.user)
    }

    /// Asks until it is answered, and writes the answer down; again, sometimes.
    async fn ask<T>(
        &mut self,
        act: Act,
        ask: impl AsyncFn(RestClient) -> RestResult<T>,
        done: impl Fn(&T) -> Done,
    ) -> Option<T> {
        let times = if self.rng.random_ratio(AGAIN, 100) { 2 } else { 1 };
        let mut first = None;
        for _ in 0..times {
            match self.hall.insist(&self.person.account, act, &ask).await? {
                Ok(answer) => {
                    self.hall.book.tell(act, done(&answer));
                    first.get_or_insert(answer);
                }
                Err(code) => {
                    self.hall.book.refuse(act, code);
                    return None;
                }
            }
        }
        first
    }

    async fn hold(&mut self) {
        let Some(sale) = self.hall.sales().choose(&mut self.rng).copied() else {
            return;
        };
        let act = self.act();
        let held = self
            .ask(
                act,
                async |rest| rest.hold(sale, 1, act.request).await,
                |hold| Done::Held {
                    reservation: hold.reservation,
                    sale: hold.sale,
                    quantity: hold.quantity,
                },
            )
            .await;
        let Some(held) = held else { return };
        let held = Held {
            reservation: held.reservation,
            sale,
        };
        match self.rng.random_range(0..3) {
            0 => self.give_back(held).await,
            1 => self.buy(Goods::Hold(held.reservation)).await,
            // It lapses.
            _ => {}
        }
    }

    async fn give_back(&mut self, held: Held) {
        let act = self.act();
        let Held { reservation, sale } = held;
        let released = |(): &()| Done::Released { reservation };
        self.ask(act, async |rest| rest.release(sale, reservation).await, released)
            .await;
    }

    async fn buy(&mut self, goods: Goods) {
        let (items, reservations) = match goods {
            Goods::Hold(hold) => (Vec::new(), vec![hold]),
            Goods::FromTheShelf(variant_id, quantity) => (vec![NewLine { variant_id, quantity }], Vec::new()),
        };
        let checkout = NewCheckout {
            items,
            reservations,
            address_id: self.person.address,
            stream_id: Some(self.hall.stream),
        };
        let act = self.act();
        let priced = self
            .ask(
                act,
                async |rest| rest.checkout(&checkout, act.request).await,
                |checkout| Done::CheckedOut {
                    checkout: checkout.id,
                    total_minor: checkout.total.minor,
                },
            )
            .await;
        let Some(priced) = priced else { return };
        if self.rng.random_ratio(1, 10) {
            return self.leave(Left::Checkout(priced.id)).await;
        }
        let act = self.act();
        let order = self
            .ask(
                act,
                async |rest| rest.place_order(priced.id, act.request).await,
                |order| Done::Ordered {
                    order: order.id,
                    checkout: priced.id,
                    total_minor: order.total.minor,
                },
            )
            .await;
        let Some(order) = order else {
            return self.leave(Left::Checkout(priced.id)).await;
        };
        if order.total != priced.total {
            let fault = format!(
                "checkout {} cost {} and its order {}",
                priced.id, priced.total, order.total
            );
            self.hall.book.fault(fault);
        }
        if self.rng.random_ratio(1, 10) || !self.pay(order.id).await {
            self.leave(Left::Order(order.id)).await;
        }
    }

    /// Leaves something open, and gives the oldest up where that is too much. What has gone
    /// on by itself meanwhile refuses that, and is as well.
    async fn leave(&mut self, left: Left) {
        self.left.push_back(left);
        if self.left.len() <= LEFT_OPEN {
            return;
        }
        let Some(oldest) = self.left.pop_front() else { return };
        let act = self.act();
        let give_up = async |rest: RestClient| match oldest {
            Left::Checkout(checkout) => rest.give_up_checkout(checkout).await,
            Left::Order(order) => rest.cancel_order(order).await.map(drop),
        };
        self.hall.insist(&self.person.account, act, give_up).await;
    }

    /// Pays with one of the test provider's tokens; after a decline once more. False when
    /// the order stays unpaid.
    async fn pay(&mut self, order: OrderId) -> bool {
        for _ in 0..2 {
            let token = match self.rng.random_range(0..10) {
                0..6 => "test_success",
                6..8 => "test_decline",
                8 => "test_timeout",
                _ => "test_late_success",
            };
            let act = self.act();
            let paid = self
                .ask(
                    act,
                    async |rest| rest.pay(order, token, act.request).await,
                    |payment| Done::Paid {
                        payment: payment.id,
                        order,
                        amount_minor: payment.amount.minor,
                        status: payment.status,
                    },
                )
                .await;
            match paid {
                None => return false,
                Some(payment) if payment.status != PaymentStatus::Failed => return true,
                Some(_) => {}
            }
        }
        false
    }
}
