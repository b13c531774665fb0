//! A market to buy in: a shop on air, buyers with addresses, and a look at what is true.
//! Its jobs are still, so that each test decides when time is up.

#![allow(dead_code, reason = "each test module uses its part")]

use std::time::Duration;

use core_api::checkout::model::Checkout;
use core_api::commerce::Commerce;
use core_api::flash::model::Hold;
use core_api::fulfilment::model::Shipment;
use core_api::orders::model::Order;
use core_api::payments::Till;
use core_api::payments::model::Payment;
use serde_json::{Value, json};
use shared::bus::MemoryBus;
use shared::ids::{AddressId, CheckoutId, OrderId, PaymentId, SaleId, VariantId};
use shared::live::RoomNotice;
use testkit::fixtures::{self, Shop};
use uuid::Uuid;

use crate::harness::{App, Reply, Session};

/// Where our books and the test provider's say different things.
const DISAGREEMENTS: &str = "
    select 'payment ' || coalesce(p.id, i.payment_id)
      from payments p full join test_provider_intents i on i.payment_id = p.id
     where (p.status = 'captured') is distinct from (i.status = 'succeeded')
           and not (i.id is null and p.status in ('created', 'cancelled'))
        or p.status = 'captured' and (p.amount_minor, p.currency) is distinct from (i.amount_minor, i.currency)
    union all
    select 'refund ' || coalesce(r.id, t.our_id)
      from refunds r full join (select * from test_provider_transfers where kind = 'refund') t on t.our_id = r.id
     where r.payment_id is not null
       and (r.status, r.amount_minor, r.currency) is distinct from (t.status, t.amount_minor, t.currency)
        or r.id is null
    union all
    select 'payout ' || coalesce(p.id, t.our_id)
      from seller_payouts p full join (select * from test_provider_transfers where kind = 'payout') t on t.our_id = p.id
     where (case p.status when 'paid' then 'succeeded' else p.status end, p.amount_minor, p.currency)
           is distinct from (t.status, t.amount_minor, t.currency)";

/// Which payments, refunds and payouts stand otherwise in the provider's books than in ours.
pub async fn disagreements(db: &sqlx::PgPool) -> Vec<String> {
    let differ = sqlx::query_scalar(DISAGREEMENTS).fetch_all(db).await;
    differ.expect("the query is right")
}

/// A shop on air and the service that sells for it.
pub struct Market {
    pub app: App,
    pub shop: Shop,
    pub commerce: Commerce,
}

/// Somebody with an address.
#[derive(Clone)]
pub struct Buyer {
    pub session: Session,
    pub address: AddressId,
}

/// Settings under which nothing happens by itself, and everything due is due at once.
pub fn still() -> Commerce {
    Commerce {
        job_interval: Duration::from_secs(86_400),
        reconcile_after: Duration::ZERO,
        provider_timeout: Duration::from_secs(10),
        test_provider_delay: Duration::from_secs(3_600),
        ..Commerce::default()
    }
}

impl Market {
    /// One product of `on_hand` units at `price_minor` euro cents, shipped free.
    pub async fn open(on_hand: i32, price_minor: i64) -> Self {
        Self::open_with(on_hand, price_minor, |_| {}).await
    }

    /// The same, configured otherwise.
    pub async fn open_with(on_hand: i32, price_minor: i64, change: impl FnOnce(&mut core_api::Config)) -> Self {
        let commerce = still();
        let app = App::start_with(|config| {
            config.commerce = commerce;
            change(config);
        })
        .await;
        let shop = fixtures::shop(&app.db.pool, on_hand, price_minor).await;
        Self { app, shop, commerce }
    }

    /// The same, and everything that the service asks of the database is counted.
    pub async fn open_counted(on_hand: i32, price_minor: i64) -> Self {
        let db = testkit::database().await;
        let count = "create extension pg_stat_statements;
            do $$ begin
                execute format('alter database %I set pg_stat_statements.track = ''all''', current_database());
            end $$";
        sqlx::raw_sql(count)
            .execute(&db.pool)
            .await
            .expect("statements can be counted");
        let commerce = still();
        let app = App::start_at(db, MemoryBus::shared(), |config| config.commerce = commerce).await;
        let shop = fixtures::shop(&app.db.pool, on_hand, price_minor).await;
        Self { app, shop, commerce }
    }

    /// Somebody new.
    pub async fn buyer(&self) -> Buyer {
        let user = fixtures::user(&self.app.db.pool, "Test Buyer").await;
        Buyer {
            session: self.app.session_of(user),
            address: fixtures::address(&self.app.db.pool, user).await,
        }
    }

    /// The shop's owner.
    pub fn owner(&self) -> Session {
        self.app.session_of(self.shop.owner)
    }

    /// What it takes to be paid, for calling its steps.
    pub fn till(&self) -> Till {
        Till::new(self.app.db.pool.clone(), self.app.bus.clone(), &self.commerce)
    }

    /// Changes rows behind the service's back.
    pub async fn sql(&self, text: &'static str, id: Uuid) -> u64 {
        let done = sqlx::query(text).bind(id).execute(&self.app.db.pool).await;
        done.expect("the statement is right").rows_affected()
    }

    /// One number.
    pub async fn number(&self, text: &'static str) -> i64 {
        let number = sqlx::query_scalar(text).fetch_one(&self.app.db.pool).await;
        number.expect("the query is right")
    }

    /// `on_hand` and `reserved` of a variant.
    pub async fn stock(&self, variant: VariantId) -> (i32, i32) {
        let row = sqlx::query_as("select on_hand, reserved from product_variants where id = $1").bind(variant.0);
        row.fetch_one(&self.app.db.pool).await.expect("the variant")
    }

    /// Another product of the shop.
    pub async fn product(&self, on_hand: i32, price_minor: i64) -> VariantId {
        let (_, variant) = fixtures::product(&self.app.db.pool, self.shop.seller, on_hand, price_minor).await;
        variant
    }

    /// A flash sale of the shop's variant, open now.
    pub async fn sale(&self, quantity: i32, price_minor: i64, per_buyer: i32) -> SaleId {
        self.sale_of(self.shop.variant, quantity, price_minor, per_buyer).await
    }

    /// A flash sale of a variant, open now.
    pub async fn sale_of(&self, variant: VariantId, quantity: i32, price_minor: i64, per_buyer: i32) -> SaleId {
        let sale = self.try_sale_of(variant, quantity, price_minor, per_buyer).await;
        sale.expect("the units are there")
    }

    /// The same; `None`: there are not that many units.
    pub async fn try_sale_of(
        &self,
        variant: VariantId,
        quantity: i32,
        price_minor: i64,
        per_buyer: i32,
    ) -> Option<SaleId> {
        let sale = SaleId::new();
        let opened: bool = sqlx::query_scalar(
            "select open_flash_sale($1, $2, $3, $4, $5, $6, $7, 600, now(), now() + interval '1 hour')",
        )
        .bind(sale.0)
        .bind(self.shop.stream.0)
        .bind(self.shop.seller.0)
        .bind(variant.0)
        .bind(quantity)
        .bind(price_minor)
        .bind(per_buyer)
        .fetch_one(&self.app.db.pool)
        .await
        .expect("opened");
        opened.then_some(sale)
    }

    /// The time of a hold is over.
    pub async fn hold_lapses(&self, hold: &Hold) {
        let text = "update reservations set expires_at = clock_timestamp() where id = $1";
        assert_eq!(self.sql(text, hold.reservation.0).await, 1);
    }

    /// The time to pay an order is over.
    pub async fn order_lapses(&self, order: OrderId) {
        let text = "update orders set expires_at = clock_timestamp() where id = $1";
        assert_eq!(self.sql(text, order.0).await, 1);
    }

    /// The test provider has had the time that it takes.
    pub async fn provider_is_through(&self, payment: PaymentId) {
        let text = "update test_provider_intents set created_at = now() - interval '2 hours' where payment_id = $1";
        assert_eq!(self.sql(text, payment.0).await, 1);
    }

    /// Asks the provider about everything unsettled.
    pub async fn reconcile(&self) -> u64 {
        core_api::payments::reconcile(&self.till(), 100)
            .await
            .expect("reconciled")
    }

    /// Expires orders whose time is over.
    pub async fn expire_orders(&self) -> u64 {
        let (db, bus) = (&self.app.db.pool, &self.app.bus);
        core_api::orders::expire(db, bus, 100).await.expect("expired")
    }

    /// Expires checkouts whose time is over.
    pub async fn expire_checkouts(&self) -> u64 {
        let (db, bus) = (&self.app.db.pool, &self.app.bus);
        core_api::checkout::expire(db, bus, 100).await.expect("expired")
    }

    /// What the show's room is to hear of, in order.
    pub async fn notices(&self) -> Vec<RoomNotice> {
        let rows: Vec<Value> =
            sqlx::query_scalar("select payload from outbox where stream_id = $1 order by created_at, id")
                .bind(self.shop.stream.0)
                .fetch_all(&self.app.db.pool)
                .await
                .expect("the outbox");
        rows.into_iter()
            .map(|row| serde_json::from_value(row).expect("a notice"))
            .collect()
    }

    /// Which payments, refunds and payouts stand otherwise in the provider's books than in ours.
    pub async fn disagreements(&self) -> Vec<String> {
        disagreements(&self.app.db.pool).await
    }

    /// The names of the invariants that do not hold.
    pub async fn broken(&self) -> Vec<&'static str> {
        let report = shared::verify::run(&self.app.db.pool).await.expect("verified");
        report.broken().map(|finding| finding.name).collect()
    }

    /// The shop sends all that is left of an order.
    pub async fn ships(&self, order: OrderId) -> Shipment {
        let body = json!({"carrier": "Post"});
        let path = format!("/seller/orders/{order}/shipments");
        self.owner().post_once(&path, Uuid::now_v7(), &body).await.created()
    }

    /// The shop sends all that is left of an order, and its buyer has it.
    pub async fn arrives(&self, buyer: &Buyer, order: OrderId) {
        self.ships(order).await;
        let path = format!("/orders/{order}/confirm");
        buyer.session.post(&path, &json!({})).await.ok::<Order>();
    }

    /// Every invariant holds.
    #[track_caller]
    pub fn verified(&self) -> impl Future<Output = ()> {
        let pool = self.app.db.pool.clone();
        async move {
            let report = shared::verify::run(&pool).await.expect("verified");
            let broken: Vec<_> = report.broken().collect();
            assert!(broken.is_empty(), "{broken:#?}");
        }
    }
}

impl Buyer {
    /// The body of a checkout.
    pub fn basket(&self, items: &[(VariantId, i32)], holds: &[&Hold]) -> Value {
        let items: Vec<Value> = items
            .iter()
            .map(|(variant, quantity)| json!({"variant_id": variant, "quantity": quantity}))
            .collect();
        let holds: Vec<_> = holds.iter().map(|hold| hold.reservation).collect();
        json!({"items": items, "reservations": holds, "address_id": self.address})
    }

    /// Asks for a checkout.
    pub async fn try_checkout(&self, body: &Value) -> Reply {
        self.session.post_once("/orders/checkout", Uuid::now_v7(), body).await
    }

    /// A checkout of so many units of one variant.
    pub async fn checkout(&self, variant: VariantId, quantity: i32) -> Checkout {
        self.try_checkout(&self.basket(&[(variant, quantity)], &[]))
            .await
            .created()
    }

    /// Asks for an order.
    pub async fn try_place(&self, checkout: CheckoutId) -> Reply {
        let body = json!({"checkout_id": checkout});
        self.session.post_once("/orders", Uuid::now_v7(), &body).await
    }

    /// An order of so many units of one variant.
    pub async fn order(&self, variant: VariantId, quantity: i32) -> Order {
        let checkout = self.checkout(variant, quantity).await;
        self.try_place(checkout.id).await.created()
    }

    /// An order of a flash hold.
    pub async fn order_hold(&self, hold: &Hold) -> Order {
        let checkout: Checkout = self.try_checkout(&self.basket(&[], &[hold])).await.created();
        self.try_place(checkout.id).await.created()
    }

    /// Pays under a key.
    pub async fn pay_once(&self, order: OrderId, token: &str, key: Uuid) -> Reply {
        let path = format!("/orders/{order}/payments");
        self.session.post_once(&path, key, &json!({"token": token})).await
    }

    /// Pays.
    pub async fn pay(&self, order: OrderId, token: &str) -> Payment {
        self.pay_once(order, token, Uuid::now_v7()).await.created()
    }

    /// Asks for a hold under a key.
    pub async fn hold_once(&self, sale: SaleId, quantity: i32, key: Uuid) -> Reply {
        let path = format!("/flash-sales/{sale}/holds");
        self.session.post_once(&path, key, &json!({"quantity": quantity})).await
    }

    /// A hold.
    pub async fn hold(&self, sale: SaleId, quantity: i32) -> Hold {
        self.hold_once(sale, quantity, Uuid::now_v7()).await.created()
    }

    /// An order as it is now.
    pub async fn order_now(&self, order: OrderId) -> Order {
        self.session.get(&format!("/orders/{order}")).await.ok()
    }

    /// A payment as it is now.
    pub async fn payment_now(&self, payment: &Payment) -> Payment {
        let path = format!("/orders/{}/payments/{}", payment.order_id, payment.id);
        self.session.get(&path).await.ok()
    }
}
