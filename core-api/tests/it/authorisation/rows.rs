//! The rows that a line of the matrix names.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};
use shared::ids::UserId;
use sqlx::PgPool;
use testkit::fixtures::{self, Shop};
use uuid::Uuid;

use crate::harness::{App, Session};
use crate::pictures::files::png;

/// The name that is no row, and nothing in a body: with it nobody's address is confirmed.
pub const UNCONFIRMED: &str = "unconfirmed";

/// A payout of 50 euros of a status, whose line is free again since then.
macro_rules! payout {
    ($status:literal, $freed:literal) => {
        concat!(
            "with a as (
                 insert into payout_accounts (id, seller_id, provider, provider_ref, currency)
                 values (gen_random_uuid(), $2, 'test', 'test_bank', 'EUR')
                 on conflict (seller_id, currency) where disabled_at is null do update set provider = 'test'
                 returning id),
             e as (
                 insert into seller_earnings (id, seller_id, kind, source_id, base_minor, shipping_minor,
                                              commission_minor, amount_minor, currency)
                 values (gen_random_uuid(), $2, 'write_off', gen_random_uuid(), 5000, 0, 0, 5000, 'EUR') returning id),
             p as (
                 insert into seller_payouts (id, seller_id, payout_account_id, status, amount_minor, currency)
                 select $1, $2, id, '",
            $status,
            "', 5000, 'EUR' from a returning id)
             insert into seller_payout_items (seller_payout_id, seller_earning_id, amount_minor, released_at)
             select p.id, e.id, 5000, ",
            $freed,
            " from p, e"
        )
    };
}

/// An open dispute of an order's payment.
const DISPUTE: &str =
    "insert into disputes (id, payment_id, provider_ref, amount_minor, covered_minor, currency, reason)
    select $1, id, 'dp_' || id, amount_minor, amount_minor, currency, 'general' from payments where order_id = $2";

/// Runs a statement whose parameters are these ids.
pub async fn run(pool: &PgPool, sql: &'static str, ids: &[Uuid]) {
    let query = ids.iter().fold(sqlx::query(sql), |query, id| query.bind(*id));
    let done = query.execute(pool).await;
    let done = done.unwrap_or_else(|error| panic!("{error}: {sql}"));
    assert_eq!(done.rows_affected(), 1, "{sql}");
}

/// The rows of one shop and of the buyer.
pub struct Rows<'a> {
    app: &'a App,
    shop: Shop,
    buyer: &'a Session,
    made: BTreeMap<String, String>,
}

impl<'a> Rows<'a> {
    pub fn of(app: &'a App, shop: Shop, buyer: &'a Session) -> Self {
        Self {
            app,
            shop,
            buyer,
            made: BTreeMap::new(),
        }
    }

    /// Makes each of these.
    pub async fn make(mut self, names: &[&str]) -> BTreeMap<String, String> {
        for name in names {
            if !self.made.contains_key(*name) {
                let row = self.row(name).await;
                self.made.insert((*name).to_owned(), row);
            }
        }
        self.made
    }

    async fn row(&self, name: &str) -> String {
        let shop = &self.shop;
        match name {
            UNCONFIRMED => String::new(),
            "provider" => "test".to_owned(),
            "shop" => shop.seller.0.to_string(),
            "product" => shop.product.to_string(),
            "variant" => shop.variant.to_string(),
            "in_cart" => {
                run(&self.app.db.pool, IN_CART, &[self.buyer.id.0, shop.variant.0]).await;
                shop.variant.to_string()
            }
            "stream" => shop.stream.to_string(),
            "user" => self.user("Viewer").await.to_string(),
            "unproven" => {
                let user = self.user("Viewer").await;
                let forget = "update users set email_verified_at = null where id = $1";
                run(&self.app.db.pool, forget, &[user.0]).await;
                user.to_string()
            }
            "shut_out" => {
                let user = self.user("Viewer").await;
                let suspend = "update users set suspended_at = now() where id = $1";
                run(&self.app.db.pool, suspend, &[user.0]).await;
                user.to_string()
            }
            "hidden" => {
                let review = self.bought("review").await;
                let hide = "update product_reviews set hidden_at = now() where id = $1";
                run(&self.app.db.pool, hide, &[review.parse().expect("an id")]).await;
                review
            }
            "email" => {
                self.text("select email from users where id = $1", self.buyer.id.0)
                    .await
            }
            "handle" => {
                let handle = "select handle from profiles where user_id = $1";
                self.text(handle, self.buyer.id.0).await
            }
            "new_email" => format!("{}@test.hawker.example", Uuid::now_v7().simple()),
            "shop_slug" => self.text("select slug from sellers where id = $1", shop.seller.0).await,
            "parcel_number" => format!("JD{}", Uuid::now_v7().simple()),
            "new_code" => format!("CODE-{}", &Uuid::now_v7().simple().to_string()[12..]),
            "slug" => format!("bowls-{}", Uuid::now_v7().simple()),
            "external_key" => {
                let key = Uuid::now_v7().to_string();
                let set = sqlx::query("update products set external_key = $2 where id = $1");
                let set = set.bind(shop.product.0).bind(&key).execute(&self.app.db.pool);
                set.await.expect("the key is set");
                key
            }
            "media" => self.uploaded(self.buyer, Method::PUT, "/users/avatar").await.1,
            "image" => {
                let path = format!("/seller/products/{}/images", shop.product);
                let owner = self.app.session_of(shop.owner);
                self.uploaded(&owner, Method::POST, &path).await.0
            }
            "payable" => {
                self.inserted("earning").await;
                self.inserted("bank").await;
                "EUR".to_owned()
            }
            "onhold" | "indebted" => {
                self.inserted(name).await;
                shop.seller.0.to_string()
            }
            "address" => fixtures::address(&self.app.db.pool, self.buyer.id).await.to_string(),
            "checkout" | "order" | "sent" | "sent_item" | "claim" | "parcel" | "delivered" | "payment" | "item"
            | "review" | "sale" | "hold" | "line" => self.bought(name).await,
            "paid" | "paid_item" | "refund" => self.paid(name).await,
            "dispute" => {
                let (order, id) = (self.paid("paid").await, Uuid::now_v7());
                run(&self.app.db.pool, DISPUTE, &[id, order.parse().expect("an id")]).await;
                id.to_string()
            }
            "arrived" | "arrived_item" | "return" | "approved" => self.arrived(name).await,
            _ => self.inserted(name).await,
        }
    }

    async fn user(&self, name: &str) -> UserId {
        fixtures::user(&self.app.db.pool, name).await
    }

    /// A picture's id, and the name of one of its files.
    async fn uploaded(&self, by: &Session, method: Method, path: &str) -> (String, String) {
        let reply = by.send_file(method, path, "image/png", &png(64, 64)).await;
        let picture: Value = reply.with(reply.status.as_u16());
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let file = text(&picture["medium"]["url"]).replace("/media/", "");
        (text(&picture["id"]), file)
    }

    async fn text(&self, sql: &'static str, id: Uuid) -> String {
        let text = sqlx::query_scalar(sql).bind(id).fetch_one(&self.app.db.pool).await;
        text.expect("the row is there")
    }

    async fn post(&self, path: &str, body: &Value) -> String {
        let made: Value = self.buyer.post_once(path, Uuid::now_v7(), body).await.created();
        let id = made.get("reservation").unwrap_or(&made["id"]);
        id.as_str().expect("an id").to_owned()
    }

    /// What comes of buying, over the API.
    async fn bought(&self, name: &str) -> String {
        match name {
            "sale" => {
                let sale = Uuid::now_v7();
                let (stream, seller, variant) = (self.shop.stream.0, self.shop.seller.0, self.shop.variant.0);
                let open = "select open_flash_sale($1, $2, $3, $4, 5, 500, 2, 600, now(), now() + interval '1 hour')";
                run(&self.app.db.pool, open, &[sale, stream, seller, variant]).await;
                sale.to_string()
            }
            "line" => {
                let sale = Box::pin(self.bought("sale")).await;
                let ids = [Uuid::now_v7(), sale.parse().expect("an id"), self.buyer.id.0];
                run(&self.app.db.pool, PLACE_IN_LINE, &ids).await;
                sale
            }
            "hold" => {
                let path = format!("/flash-sales/{}/holds", self.made["sale"]);
                self.post(&path, &json!({"quantity": 1})).await
            }
            "checkout" => {
                let address = fixtures::address(&self.app.db.pool, self.buyer.id).await;
                // Two, so that more than one return or claim of an order can be there at once.
                let items = json!([{"variant_id": self.shop.variant, "quantity": 2}]);
                let body = json!({"address_id": address, "items": items});
                self.post("/orders/checkout", &body).await
            }
            "order" => {
                let checkout = Box::pin(self.bought("checkout")).await;
                self.post("/orders", &json!({"checkout_id": checkout})).await
            }
            "sent" => {
                let order = Box::pin(self.paid("paid")).await;
                let path = format!("/seller/orders/{order}/shipments");
                let owner = self.app.session_of(self.shop.owner);
                let sent = owner
                    .post_once(&path, Uuid::now_v7(), &json!({"carrier": "post"}))
                    .await;
                sent.created::<Value>();
                order
            }
            "sent_item" => {
                let item = "select id::text from order_items where order_id = $1";
                self.text(item, self.made["sent"].parse().expect("an id")).await
            }
            "claim" => {
                let order = match self.made.get("sent") {
                    Some(order) => order.clone(),
                    None => Box::pin(self.bought("sent")).await,
                };
                let item = "select id::text from order_items where order_id = $1";
                let item = self.text(item, order.parse().expect("an id")).await;
                let body = json!({"order_item_id": item, "quantity": 1, "reason": "Nothing came"});
                self.post(&format!("/orders/{order}/claims"), &body).await
            }
            "parcel" => {
                let order = match self.made.get("sent") {
                    Some(order) => order.clone(),
                    None => Box::pin(self.bought("sent")).await,
                };
                let parcel = "select id::text from shipments where order_id = $1";
                self.text(parcel, order.parse().expect("an id")).await
            }
            "payment" => {
                let path = format!("/orders/{}/payments", self.made["order"]);
                self.post(&path, &json!({"token": "test_second_step"})).await
            }
            _ => {
                let order: Uuid = Box::pin(self.bought("order")).await.parse().expect("an id");
                let deliver = "update orders set status = 'delivered', paid_at = now() where id = $1";
                run(&self.app.db.pool, deliver, &[order]).await;
                let arrive = "update order_items set shipped = quantity, delivered = quantity where order_id = $1";
                run(&self.app.db.pool, arrive, &[order]).await;
                if name == "delivered" {
                    return order.to_string();
                }
                let item = self
                    .text("select id::text from order_items where order_id = $1", order)
                    .await;
                if name == "item" {
                    return item;
                }
                let path = format!("/products/{}/reviews", self.shop.product);
                self.post(&path, &json!({"order_item_id": item, "rating": 5})).await
            }
        }
    }

    /// What comes of having paid. The refund has failed.
    async fn paid(&self, name: &str) -> String {
        if name == "paid_item" {
            let order = self.made["paid"].parse().expect("an id");
            let item = "select id::text from order_items where order_id = $1";
            return self.text(item, order).await;
        }
        let order = self.bought("order").await;
        let path = format!("/orders/{order}/payments");
        self.post(&path, &json!({"token": "test_success_refund_fails"})).await;
        if name == "paid" {
            return order;
        }
        let path = format!("/orders/{order}/cancel");
        self.buyer.post(&path, &json!({})).await.ok::<Value>();
        let refund = "select id::text from refunds where order_id = $1";
        self.text(refund, order.parse().expect("an id")).await
    }

    /// What comes of having received what was paid. A return is of the line's order, where
    /// there is one.
    async fn arrived(&self, name: &str) -> String {
        let item = "select id::text from order_items where order_id = $1";
        if name == "arrived_item" {
            return self.text(item, self.made["arrived"].parse().expect("an id")).await;
        }
        let order = match self.made.get("arrived") {
            Some(order) => order.clone(),
            None => {
                let order = self.paid("paid").await;
                run(&self.app.db.pool, ARRIVED, &[order.parse().expect("an id")]).await;
                order
            }
        };
        if name == "arrived" {
            return order;
        }
        let item = self.text(item, order.parse().expect("an id")).await;
        let path = format!("/orders/{order}/returns");
        let id = self
            .post(
                &path,
                &json!({"order_item_id": item, "quantity": 1, "reason": "Too small"}),
            )
            .await;
        if name == "approved" {
            let approve = "update returns set status = 'approved', answered_at = now() where id = $1";
            run(&self.app.db.pool, approve, &[id.parse().expect("an id")]).await;
        }
        id
    }

    /// What a statement makes: a new row, or the secret of a new one.
    async fn inserted(&self, name: &str) -> String {
        let id = Uuid::now_v7();
        let (seller, owner, stream) = (self.shop.seller.0, self.shop.owner.0, self.shop.stream.0);
        let buyer = self.buyer.id.0;
        let (sql, ids): (&'static str, Vec<Uuid>) = match name {
            "session" | "refresh" => (REFRESH_TOKEN, vec![id, buyer]),
            "email_link" => (EMAIL_LINK, vec![id, buyer]),
            "password_link" => (PASSWORD_LINK, vec![id, self.user("Reader").await.0]),
            "applicant" => (PENDING_SHOP, vec![id, self.user("Applicant").await.0]),
            "suspended" => (SUSPENDED_SHOP, vec![id, self.user("Suspended").await.0]),
            "category" => (CATEGORY, vec![id]),
            "sized" => (SIZED_PRODUCT, vec![id, seller]),
            "import" => (IMPORT, vec![id, seller, owner]),
            "code" => (DISCOUNT_CODE, vec![id, seller, owner]),
            "platform_code" => (PLATFORM_CODE, vec![id, owner]),
            "profile" => (SHIPPING_PROFILE, vec![id, seller]),
            "scheduled" => (SCHEDULED_SHOW, vec![id, seller]),
            "ended" => (ENDED_SHOW, vec![id, seller]),
            "ban" => (BAN, vec![id, seller, self.user("Banned").await.0, owner]),
            "notification" => (NOTIFICATION, vec![id, buyer, seller, stream]),
            "word" => (WORD, vec![id, seller, owner]),
            "moderator" => (MODERATOR, vec![id, seller, self.user("Helper").await.0, owner]),
            "message" => (MESSAGE, vec![id, stream, buyer]),
            "held" => (HELD_MESSAGE, vec![id, stream, buyer]),
            "earning" => (EARNING, vec![id, seller]),
            "indebted" => (DEBT, vec![id, seller]),
            "bank" => (PAYOUT_ACCOUNT, vec![id, seller]),
            "onhold" => (PAYOUT_HOLD, vec![id, seller, owner]),
            "payout" => (payout!("paid", "null"), vec![id, seller]),
            "claimed" => (payout!("creating", "null"), vec![id, seller]),
            "refused" => (payout!("failed", "now()"), vec![id, seller]),
            "dead" => (DEAD_LETTER, vec![id]),
            "report" => (REPORT, vec![id, stream, buyer, owner]),
            _ => panic!("what is ${name}?"),
        };
        run(&self.app.db.pool, sql, &ids).await;
        id.to_string()
    }
}

const ARRIVED: &str = "with line as (
        update order_items set shipped = quantity, delivered = quantity where order_id = $1
        returning id, order_id, seller_id, quantity),
    parcel as (
        insert into shipments (id, order_id, seller_id, carrier, delivered_at, delivered_by)
        select gen_random_uuid(), order_id, seller_id, 'post', now(), 'buyer' from line returning id),
    sent as (
        insert into shipment_items (shipment_id, order_item_id, quantity)
        select parcel.id, line.id, line.quantity from parcel, line)
    update orders set status = 'delivered' where id = $1";
const EARNING: &str = "insert into seller_earnings (id, seller_id, kind, source_id, base_minor, shipping_minor,
                             commission_minor, amount_minor, currency)
    values ($1, $2, 'write_off', $1, 5000, 0, 0, 5000, 'EUR')";
const DEBT: &str = "insert into seller_earnings (id, seller_id, kind, source_id, base_minor, shipping_minor,
                             commission_minor, amount_minor, currency)
    values ($1, $2, 'write_off', $1, -5000, 0, 0, -5000, 'EUR')";
// A shop has one of each currency: the one that a payout of its rows went to is over then.
const PAYOUT_ACCOUNT: &str = "with old as (
        update payout_accounts set disabled_at = now()
         where seller_id = $2 and currency = 'EUR' and disabled_at is null returning id)
    insert into payout_accounts (id, seller_id, provider, provider_ref, currency)
    select $1, $2, 'test', 'test_bank', 'EUR' from (select count(*) from old) n";
const PAYOUT_HOLD: &str = "insert into payout_holds (id, seller_id, reason, held_by) values ($1, $2, 'returns', $3)";
const REFRESH_TOKEN: &str = "insert into refresh_tokens (id, family_id, user_id, token_hash, expires_at)
    values ($1, $1, $2, sha256(convert_to($1::text, 'UTF8')), now() + interval '1 day')";
const EMAIL_LINK: &str = "with w as (
        insert into wished_addresses (user_id, email) select id, email from users where id = $2
            on conflict (user_id) do update set email = excluded.email returning user_id, email)
    insert into mailed_links (user_id, purpose, email, token_hash, expires_at)
    select user_id, 'email', email, sha256(convert_to($1::text, 'UTF8')), now() + interval '1 day' from w";
const PASSWORD_LINK: &str = "insert into mailed_links (user_id, purpose, email, token_hash, expires_at)
    select id, 'password', email, sha256(convert_to($1::text, 'UTF8')), now() + interval '1 day'
      from users where id = $2";
const PENDING_SHOP: &str = "insert into sellers (id, user_id, shop_name, slug, country, currency)
    values ($1, $2, 'New Shop', 'shop-' || $1, 'DE', 'EUR')";
const SUSPENDED_SHOP: &str = "insert into sellers (id, user_id, shop_name, slug, country, currency, status, decided_at)
    values ($1, $2, 'Old Shop', 'shop-' || $1, 'DE', 'EUR', 'suspended', now())";
const CATEGORY: &str = "insert into categories (id, name, slug) values ($1, 'Bowls', 'bowls-' || $1)";
const SIZED_PRODUCT: &str = "with p as (
        insert into products (id, seller_id, title, currency, status, option_axes)
        values ($1, $2, 'Shirt', 'EUR', 'active', '{Size}') returning id)
    insert into product_variants (id, product_id, sku, options, price_minor, on_hand)
    select gen_random_uuid(), id, 'SHIRT-S', '{\"Size\": \"S\"}', 1000, 0 from p";
const IMPORT: &str =
    "insert into product_imports (id, seller_id, user_id, status, total_lines, done_lines, created, finished_at)
    values ($1, $2, $3, 'done', 1, 1, 1, now())";
const SHIPPING_PROFILE: &str = "insert into shipping_profiles (id, seller_id, name, base_minor, currency)
    values ($1, $2, 'Parcel', 499, 'EUR')";
const IN_CART: &str = "insert into cart_items (user_id, variant_id, quantity, seen_price_minor)
    select $1, id, 1, price_minor from product_variants where id = $2";
const DISCOUNT_CODE: &str = "insert into discount_codes (id, code, seller_id, percent_bps, currency, created_by)
    values ($1, upper('C' || right($1::text, 12)), $2, 1000, 'EUR', $3)";
const PLATFORM_CODE: &str = "insert into discount_codes (id, code, percent_bps, created_by)
    values ($1, upper('P' || right($1::text, 12)), 1000, $2)";
const SCHEDULED_SHOW: &str = "insert into streams (id, seller_id, title, scheduled_at)
    values ($1, $2, 'Next Show', now() + interval '1 hour')";
const ENDED_SHOW: &str = "with s as (
        insert into streams (id, seller_id, title, status, scheduled_at, started_at, ended_at, summarised)
        values ($1, $2, 'Past Show', 'ended', now(), now(), now(), true) returning id)
    insert into stream_summaries
    select id, 1, 1, 1, 0, 0, 0, '{}' from s";
const BAN: &str = "insert into banned_viewers (id, seller_id, user_id, banned_by) values ($1, $2, $3, $4)";
const NOTIFICATION: &str = "insert into notifications (id, user_id, kind, subject_id, seller_id, stream_id)
    values ($1, $2, 'show_started', $4, $3, $4)";
const WORD: &str = "insert into blocked_words (id, seller_id, word, folded, matching, action, created_by)
    values ($1, $2, 'fake', 'fake', 'word', 'hold', $3)";
const MODERATOR: &str = "insert into moderators (id, seller_id, user_id, rights, appointed_by)
    values ($1, $2, $3, '{mute}', $4)";
const MESSAGE: &str = "insert into stream_chat_messages (id, stream_id, epoch, seq, user_id, text, created_at)
    values ($1, $2, 1, 1, $3, 'hello', now())";
const HELD_MESSAGE: &str =
    "insert into chat_reviews (message_id, stream_id, user_id, request_id, body_hash, text, cause)
    values ($1, $2, $3, $1, 1, 'fake', 'word')";
const PLACE_IN_LINE: &str = "with s as (update flash_sales set waiting = 1, line_last = 1, version = 2 where id = $2)
    insert into reservation_waitlist (id, sale_id, user_id, request_id, quantity, place, joined_version)
    values ($1, $2, $3, $1, 1, 1, 2)";
const DEAD_LETTER: &str = "insert into outbox (id, topic, payload, attempts, last_error, dead_at)
    values ($1, 'mail', '{\"letter\": \"email_changed\", \"to\": \"somebody@shop.example\"}', 33,
            'the server said 451', now())";
const REPORT: &str = "insert into chat_reports (id, stream_id, message_id, author_id, reporter_id, reason, text)
    values ($1, $2, $1, $3, $4, 'scam', 'send me your card')";
