//! From a basket to a paid order, and asking the provider about what it was asked for before.

use core_api::checkout::{self, model::NewCheckout, model::NewLine};
use core_api::orders::model::NewOrder;
use core_api::{orders, payments, payouts, refunds};
use shared::ids::{CheckoutId, PaymentId, RequestId};
use uuid::Uuid;

use super::{ALL, Went, asks, code, run};
use crate::model::acts::{Act, COUNTRIES, Then};
use crate::model::paper::{Attempt, May, RefundState, Stage, Theirs};
use crate::model::play::Play;
use crate::model::sheet::Wanted;

impl Play {
    pub(super) async fn act_on_unsold(&mut self, act: &Act, twice: bool) -> Went {
        let done: Went = Some((Ok(()), Ok(())));
        match act {
            Act::Buy {
                buyer,
                units,
                code,
                country,
                then,
            } => {
                let buyer = usize::from(*buyer);
                self.buy(buyer, units, code.map(usize::from), usize::from(*country), *then, twice)
                    .await
            }
            Act::Pay { order, means } => {
                let order = self.order(*order)?;
                let (till, buyer, id) = (&self.world.state.till, self.buyer_of(order), self.order_id(order));
                let said = asks(twice, async |key| {
                    payments::pay(till, buyer, id, key, means.token()).await
                })
                .await;
                Some((self.paper.pay(order, *means), said))
            }
            Act::SecondStep { order } => {
                let order = self.order(*order)?;
                let payment = PaymentId(*self.ids.payments[order].last()?);
                let (till, buyer, id) = (&self.world.state.till, self.buyer_of(order), self.order_id(order));
                let said = asks(twice, async |key| {
                    payments::confirm(till, buyer, id, payment, key).await
                })
                .await;
                Some((self.paper.second_step(order), said))
            }
            Act::ProviderIsThrough => {
                self.provider_is_through().await;
                done
            }
            Act::Reconcile => {
                let said = self.reconcile().await;
                Some((Ok(()), said))
            }
            Act::Lapse { order } => {
                let order = self.order(*order)?;
                self.paper.orders[order].overdue = true;
                let sql = "update orders set expires_at = clock_timestamp() where id = any($1) and $2 = 0";
                run(&self.world.state.db, sql, &[self.ids.orders[order]], 0).await;
                done
            }
            Act::Expire => {
                let state = &self.world.state;
                let said = code(orders::expire(&state.db, &state.bus, ALL).await);
                self.paper.expire();
                Some((Ok(()), said))
            }
            Act::EndRegardless { order, cancelled } => {
                let order = self.order(*order)?;
                self.end_regardless(order, *cancelled).await
            }
            _ => None,
        }
    }

    /// A basket is checked out and placed, given up, or lapses.
    async fn buy(
        &mut self,
        buyer: usize,
        units: &[(u8, u8)],
        promo: Option<usize>,
        country: usize,
        then: Then,
        twice: bool,
    ) -> Went {
        let mut wanted: Vec<Wanted> = Vec::new();
        for &(variant, units) in units {
            let variant = usize::from(variant);
            let sold = self.paper.variants[variant];
            match wanted.iter_mut().find(|w| w.variant == variant) {
                Some(line) => line.units += i64::from(units),
                None => wanted.push(Wanted {
                    shop: sold.shop,
                    variant,
                    units: i64::from(units),
                    price: sold.price,
                }),
            }
        }
        let paper = self.paper.check_out(buyer, &wanted, promo, COUNTRIES[country].1);
        let (user, addresses) = &self.world.buyers[buyer];
        let line = |w: &Wanted| NewLine {
            variant_id: self.world.variants[w.variant],
            quantity: i32::try_from(w.units).expect("few"),
        };
        let new = NewCheckout {
            items: wanted.iter().map(line).collect(),
            cart: false,
            sellers: Vec::new(),
            reservations: Vec::new(),
            address_id: Some(addresses[country]),
            address: None,
            stream_id: None,
            discount_code: promo.map(|nth| self.world.codes[nth].clone()),
        };
        let (state, user) = (&self.world.state, *user);
        let (key, terms) = (RequestId(Uuid::now_v7()), state.config.terms());
        let checkout = match checkout::create(&state.db, &state.bus, terms, user, key, &new).await {
            Ok(answer) => answer.body,
            Err(error) => return Some((paper.map(drop), code::<()>(Err(error)))),
        };
        let order = match paper {
            Ok(order) => order,
            Err(refused) => return Some((Err(refused), Ok(()))),
        };
        let said = match then {
            Then::Placed => {
                let new = NewOrder {
                    checkout_id: checkout.id,
                };
                let (db, bus, settings) = (&state.db, &state.bus, &state.config.commerce);
                let said = asks(twice, async |key| {
                    orders::place(db, bus, settings, user, key, &new).await
                })
                .await;
                self.paper.place(order);
                said
            }
            Then::GivenUp => code(checkout::cancel(&state.db, &state.bus, user, checkout.id).await),
            Then::Lapsed => self.checkout_lapses(checkout.id).await,
        };
        Some((Ok(()), said))
    }

    async fn checkout_lapses(&self, id: CheckoutId) -> May {
        let state = &self.world.state;
        let sql = "update checkouts set expires_at = clock_timestamp() where id = any($1) and $2 = 0";
        run(&state.db, sql, &[id.0], 0).await;
        code(checkout::expire(&state.db, &state.bus, ALL).await)
    }

    /// The provider has had the time that it takes over whatever it has by now.
    async fn provider_is_through(&mut self) {
        let db = &self.world.state.db;
        let payments: Vec<Uuid> = self.ids.payments.concat();
        let sql = "update test_provider_intents set created_at = now() - interval '2 hours'
                    where payment_id = any($1) and $2 = 0";
        run(db, sql, &payments, 0).await;
        let transfers = [&self.ids.refunds[..], &self.ids.payouts].concat();
        let sql = "update test_provider_transfers set created_at = now() - interval '2 hours'
                    where our_id = any($1) and $2 = 0";
        run(db, sql, &transfers, 0).await;
        let sql = "update seller_payouts set updated_at = now() - interval '2 hours' where id = any($1) and $2 = 0";
        run(db, sql, &self.ids.payouts, 0).await;
        for attempt in self.paper.orders.iter_mut().flat_map(|o| &mut o.attempts) {
            attempt.through |= attempt.theirs == Theirs::Processing;
        }
        for refund in &mut self.paper.refunds {
            refund.through |= refund.theirs == Some(RefundState::Submitted);
        }
        for payout in &mut self.paper.payouts {
            payout.through |= payout.theirs.is_some();
        }
    }

    /// The platform asks about everything: payments one after the other, because two that
    /// come late may want the same goods, then refunds and payouts.
    async fn reconcile(&mut self) -> May {
        let till = self.world.state.till.clone();
        for order in 0..self.paper.orders.len() {
            if !self.paper.is_asked_about(order) {
                continue;
            }
            let open = self.paper.orders[order].attempts.iter().position(Attempt::is_open);
            let id = PaymentId(self.ids.payments[order][open.expect("it is asked about")]);
            let sql = "update payments set updated_at = now() - interval '1 day' where id = any($1) and $2 = 0";
            run(&till.db, sql, &[id.0], 0).await;
            code(payments::reconcile(&till, 1).await)?;
            self.paper.ask_about(order);
        }
        code(refunds::reconcile(&till, ALL).await)?;
        self.paper.ask_about_refunds();
        code(payouts::settle::reconcile(&till, ALL).await)?;
        self.paper.ask_about_payouts();
        Ok(())
    }

    /// An unpaid order that is being paid ends behind the service's back.
    async fn end_regardless(&mut self, order: usize, cancelled: bool) -> Went {
        let o = &self.paper.orders[order];
        if o.stage != Stage::Pending || !o.attempts.iter().any(Attempt::is_open) {
            return None;
        }
        let (id, db) = ([self.ids.orders[order]], &self.world.state.db);
        let sql = "update orders set status = case $2 when 1 then 'cancelled' else 'expired' end where id = any($1)";
        run(db, sql, &id, i32::from(cancelled)).await;
        let sql = "update product_variants v set reserved = reserved - i.quantity from order_items i
                    where i.variant_id = v.id and i.order_id = any($1) and $2 = 0";
        run(db, sql, &id, 0).await;
        self.paper
            .end(order, if cancelled { Stage::Cancelled } else { Stage::Expired });
        Some((Ok(()), Ok(())))
    }
}
