//! The acts that are more than one call of the product: a purchase, asking the provider, and
//! what tests do behind the service's back, such as letting time pass.

use core_api::checkout::{self, model::NewCheckout, model::NewLine};
use core_api::orders::model::NewOrder;
use core_api::{disputes, orders, payments, payouts, refunds};
use shared::ids::{CheckoutId, PaymentId, RequestId};
use shared::money::Money;
use uuid::Uuid;

use super::acts::{COUNTRIES, Then};
use super::paper::{Bank, DisputeState, May, Ours, RefundState, Stage, Theirs};
use super::play::{ALL, Play, Went, asks, code, run};
use super::sheet::Wanted;
use super::world::euro;

impl Play {
    /// A basket is checked out and placed, given up, or lapses.
    pub(super) async fn buy(
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
    pub(super) async fn provider_is_through(&mut self) {
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
    pub(super) async fn reconcile(&mut self) -> May {
        let till = self.world.state.till.clone();
        for order in 0..self.paper.orders.len() {
            if !self.paper.is_asked_about(order) {
                continue;
            }
            let open = self.paper.orders[order]
                .attempts
                .iter()
                .position(super::paper::Attempt::is_open);
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
    pub(super) async fn end_regardless(&mut self, order: usize, cancelled: bool) -> Went {
        let o = &self.paper.orders[order];
        if o.stage != Stage::Pending || !o.attempts.iter().any(super::paper::Attempt::is_open) {
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

    /// A bank disputes so many quarters of what was paid for an order, and the platform hears of
    /// it. `None`: it was not paid for.
    pub(super) async fn dispute(&mut self, order: usize, quarters: i64) -> Went {
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
    pub(super) async fn judge(&mut self, nth: usize, won: bool) -> Went {
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

    /// Time passes for parcels, returns and releases.
    pub(super) async fn days(&self, days: i32) {
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

    /// A shop's money goes there from now on.
    pub(super) async fn name(&mut self, shop: usize, bank: Bank) {
        let (db, seller) = (&self.world.state.db, self.world.shops[shop].seller);
        let sql = "update payout_accounts set disabled_at = clock_timestamp()
                    where seller_id = any($1) and disabled_at is null and $2 = 0";
        run(db, sql, &[seller.0], 0).await;
        let sql = "insert into payout_accounts (id, seller_id, provider, provider_ref, currency)
                   values (gen_random_uuid(), $1, 'test', $2, 'EUR')";
        let insert = sqlx::query(sql).bind(seller.0).bind(bank.destination());
        insert.execute(db).await.expect("the account is new");
        self.paper.shops[shop].bank = Some(bank);
    }
}
