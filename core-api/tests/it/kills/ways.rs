//! The ways of money, each up to the act that is going to be interrupted.

use serde_json::{Value, json};
use shared::ids::SellerId;
use testkit::fixtures::{self, Shop};
use uuid::Uuid;

use super::lane::{Act, Asker, Lane};
use crate::market::Buyer;
use crate::payouts::RELEASE;

/// What one unit costs.
pub const PRICE: i64 = 5_000;
/// What of it is the shop's.
pub const EARNED: i64 = 4_500;

/// A way of money.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// A checkout is placed as an order.
    Place,
    /// An order is paid.
    Pay,
    /// A card is declined.
    Decline,
    /// The provider's answer is lost.
    Lose,
    /// Nobody asks any more, but the reconciler.
    Reconcile,
    /// The second step is taken.
    SecondStep,
    /// The order's time is over while the provider takes its time.
    CallOff,
    /// The order's time is over, and nobody ever paid.
    Expire,
    /// The money comes when the goods are gone.
    TooLate,
    /// An unpaid order is cancelled.
    CancelUnpaid,
    /// A paid order is cancelled.
    CancelPaid,
    /// A unit of a paid order is called off.
    CancelItem,
    /// An admin gives money back.
    Refund,
    /// The provider takes its time over a refund.
    RefundLate,
    /// A refund fails.
    RefundFails,
    /// A refund that failed is decided anew.
    RefundRetry,
    /// A shop asks for its money.
    Payout,
    /// The provider's answer about a payout is lost.
    PayoutLost,
    /// A shop's bank does not take it.
    PayoutRefused,
    /// A payout that failed is made anew.
    PayoutRetry,
    /// A shop is paid by its schedule.
    PayoutScheduled,
    /// A carrier tells that a parcel has arrived.
    Carrier,
}

/// What it comes to, whatever happens meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    /// The order's status.
    pub status: &'static str,
    /// What was captured of it, in minor units.
    pub captured: i64,
    /// What went back of it.
    pub refunded: i64,
    /// What its shop was paid.
    pub paid_out: i64,
}

impl End {
    const fn paid() -> Self {
        Self {
            status: "paid",
            captured: PRICE,
            refunded: 0,
            paid_out: 0,
        }
    }

    const fn unpaid(status: &'static str) -> Self {
        Self {
            status,
            captured: 0,
            ..Self::paid()
        }
    }

    const fn refunded(status: &'static str) -> Self {
        Self {
            status,
            refunded: PRICE,
            ..Self::paid()
        }
    }

    const fn paid_out() -> Self {
        Self {
            status: "completed",
            paid_out: EARNED,
            ..Self::paid()
        }
    }
}

/// A way that is ready to be gone.
pub struct Ready {
    pub buyer: Buyer,
    pub shop: Shop,
    /// What is asked for; none: the jobs do it.
    pub act: Option<Act>,
    /// What lets the jobs begin.
    pub due: Option<(&'static str, Uuid)>,
    pub end: End,
}

/// A buyer and a shop that nobody else has to do with.
struct Scene<'a> {
    lane: &'a Lane,
    shop: Shop,
    buyer: Buyer,
}

fn payment(answered: &Value) -> Option<String> {
    let (order, id) = (answered["order_id"].as_str()?, answered["id"].as_str()?);
    Some(format!("/orders/{order}/payments/{id}"))
}

fn order(answered: &Value) -> Option<String> {
    Some(format!("/orders/{}", answered["id"].as_str()?))
}

fn payout(answered: &Value) -> Option<String> {
    Some(format!("/seller/payouts/{}", answered["id"].as_str()?))
}

const fn nowhere(_: &Value) -> Option<String> {
    None
}

impl Scene<'_> {
    /// The buyer asks for something.
    fn buyer_asks(&self, path: String, body: Value, stands_at: fn(&Value) -> Option<String>) -> Act {
        Act {
            by: Asker::Account(self.buyer.session.id),
            path,
            body,
            key: Some(Uuid::now_v7()),
            stands_at,
        }
    }

    async fn admin_asks(&self, path: String, body: Value) -> Act {
        Act {
            by: Asker::Account(fixtures::admin(&self.lane.db.pool).await),
            path,
            body,
            key: Some(Uuid::now_v7()),
            stands_at: nowhere,
        }
    }

    fn owner_asks(&self) -> Act {
        Act {
            by: Asker::Account(self.shop.owner),
            path: "/seller/payouts".into(),
            body: json!({}),
            key: Some(Uuid::now_v7()),
            stands_at: payout,
        }
    }

    async fn unpaid(&self) -> Uuid {
        self.buyer.order(self.shop.variant, 1).await.id.0
    }

    async fn paid(&self, token: &str) -> Uuid {
        let order = self.buyer.order(self.shop.variant, 1).await.id;
        self.buyer.pay(order, token).await;
        order.0
    }

    /// The only line of an order.
    async fn line(&self, order: Uuid) -> Uuid {
        let line = sqlx::query_scalar("select id from order_items where order_id = $1");
        line.bind(order).fetch_one(&self.lane.db.pool).await.expect("a line")
    }

    fn pays(&self, order: Uuid, token: &str) -> Act {
        self.buyer_asks(format!("/orders/{order}/payments"), json!({"token": token}), payment)
    }

    async fn refunds(&self, order: Uuid) -> Act {
        let items = json!([{"order_item_id": self.line(order).await, "quantity": 1}]);
        let body = json!({"items": items, "reason": "goodwill"});
        self.admin_asks(format!("/admin/orders/{order}/refunds"), body).await
    }

    /// The shop has earned something, which goes to this account.
    async fn earned(&self, destination: &str) -> Uuid {
        let order = self.paid("test_success").await;
        sqlx::query(RELEASE)
            .bind(order)
            .execute(&self.lane.db.pool)
            .await
            .expect("released");
        self.account(destination).await
    }

    async fn account(&self, destination: &str) -> Uuid {
        let owner = self.lane.by(self.shop.owner);
        let body = json!({"destination": destination});
        let account: Value = owner.post("/seller/payout-accounts", &body).await.created();
        account["id"].as_str().expect("an id").parse().expect("an id")
    }

    fn ready(self, act: Option<Act>, end: End) -> Ready {
        Ready {
            buyer: self.buyer,
            shop: self.shop,
            act,
            due: None,
            end,
        }
    }

    async fn payment_way(self, way: Way) -> Ready {
        match way {
            Way::Place => {
                let checkout = self.buyer.checkout(self.shop.variant, 1).await.id;
                let act = self.buyer_asks("/orders".into(), json!({"checkout_id": checkout}), nowhere);
                self.ready(Some(act), End::paid())
            }
            Way::Pay | Way::Decline | Way::Lose => {
                let token = match way {
                    Way::Pay => "test_success",
                    Way::Decline => "test_decline",
                    _ => "test_timeout",
                };
                let act = self.pays(self.unpaid().await, token);
                self.ready(Some(act), End::paid())
            }
            Way::SecondStep => {
                let order = self.buyer.order(self.shop.variant, 1).await.id;
                let payment = self.buyer.pay(order, "test_second_step").await.id;
                let path = format!("/orders/{order}/payments/{payment}/confirm");
                let act = self.buyer_asks(path, json!({}), self::payment);
                self.ready(Some(act), End::paid())
            }
            Way::Reconcile => {
                self.paid("test_timeout").await;
                self.ready(None, End::paid())
            }
            Way::CallOff => {
                let order = self.paid("test_late_success").await;
                self.over(order, End::unpaid("expired"))
            }
            Way::Expire => {
                let order = self.unpaid().await;
                self.over(order, End::unpaid("expired"))
            }
            _ => {
                let order = self.paid("test_timeout").await;
                let ends = "with o as (update orders set status = 'cancelled' where id = $1)
                            update product_variants v set reserved = reserved - i.quantity
                              from order_items i where i.variant_id = v.id and i.order_id = $1";
                self.lane.sql(ends, order).await;
                self.ready(None, End::refunded("cancelled"))
            }
        }
    }

    /// The time to pay an order is over as soon as it matters.
    fn over(self, order: Uuid, end: End) -> Ready {
        let lapses = "update orders set expires_at = clock_timestamp() where id = $1";
        Ready {
            due: Some((lapses, order)),
            ..self.ready(None, end)
        }
    }

    async fn refund_way(self, way: Way) -> Ready {
        match way {
            Way::CancelUnpaid | Way::CancelPaid => {
                let (order, end) = if way == Way::CancelPaid {
                    (self.paid("test_success").await, End::refunded("cancelled"))
                } else {
                    (self.unpaid().await, End::unpaid("cancelled"))
                };
                let act = Act {
                    key: None,
                    ..self.buyer_asks(format!("/orders/{order}/cancel"), json!({}), self::order)
                };
                self.ready(Some(act), end)
            }
            Way::CancelItem => {
                let order = self.paid("test_success").await;
                let path = format!("/orders/{order}/items/{}/cancel", self.line(order).await);
                let body = json!({"quantity": 1, "reason": "changed my mind"});
                let act = self.buyer_asks(path, body, nowhere);
                self.ready(Some(act), End::refunded("cancelled"))
            }
            Way::Refund | Way::RefundLate => {
                let token = if way == Way::Refund {
                    "test_success"
                } else {
                    "test_success_refund_late"
                };
                let order = self.paid(token).await;
                let act = self.refunds(order).await;
                self.ready(Some(act), End::refunded("paid"))
            }
            Way::RefundFails => {
                let order = self.paid("test_success_refund_fails").await;
                let act = self.refunds(order).await;
                self.ready(Some(act), End::paid())
            }
            _ => {
                let order = self.paid("test_success_refund_fails").await;
                let decided = self.refunds(order).await.ask(self.lane).await.expect("answered");
                let id = decided.created::<Value>()["id"].clone();
                let path = format!("/admin/refunds/{}/retry", id.as_str().expect("an id"));
                let act = self.admin_asks(path, json!({})).await;
                self.ready(Some(act), End::refunded("paid"))
            }
        }
    }

    async fn payout_way(self, way: Way) -> Ready {
        let owner = self.lane.by(self.shop.owner);
        match way {
            Way::PayoutScheduled => {
                let account = self.earned("test_bank").await;
                let path = format!("/seller/payout-accounts/{account}");
                owner.patch(&path, &json!({"schedule": "daily"})).await.ok::<Value>();
                let due = "update payout_accounts set next_at = now() where id = $1";
                Ready {
                    due: Some((due, account)),
                    ..self.ready(None, End::paid_out())
                }
            }
            Way::PayoutRetry => {
                let closed = self.earned("test_bank_refuses").await;
                let failed = self.owner_asks().ask(self.lane).await.expect("answered");
                let failed: Value = failed.created();
                let path = format!("/seller/payout-accounts/{closed}");
                owner.delete(&path).await.gone();
                self.account("test_bank").await;
                let path = format!("/admin/payouts/{}/retry", failed["id"].as_str().expect("an id"));
                let act = self.admin_asks(path, json!({})).await;
                self.ready(Some(act), End::paid_out())
            }
            Way::PayoutRefused => {
                self.earned("test_bank_refuses").await;
                let act = self.owner_asks();
                let end = End {
                    paid_out: 0,
                    ..End::paid_out()
                };
                self.ready(Some(act), end)
            }
            _ => {
                let lost = way == Way::PayoutLost;
                self.earned(if lost { "test_bank_timeout" } else { "test_bank" }).await;
                let act = self.owner_asks();
                self.ready(Some(act), End::paid_out())
            }
        }
    }

    async fn carrier_way(self) -> Ready {
        let (order, owner) = (self.paid("test_success").await, self.lane.by(self.shop.owner));
        let tracking = Uuid::now_v7().simple().to_string();
        let body = json!({"carrier": "dhl", "tracking": tracking});
        let path = format!("/seller/orders/{order}/shipments");
        owner.post_once(&path, Uuid::now_v7(), &body).await.created::<Value>();
        let act = Act {
            by: Asker::Carrier,
            path: "/webhooks/carrier".into(),
            body: json!({"id": tracking, "type": "delivered", "carrier": "dhl", "tracking": tracking}),
            key: None,
            stands_at: nowhere,
        };
        let end = End {
            status: "delivered",
            ..End::paid()
        };
        self.ready(Some(act), end)
    }
}

impl Way {
    /// Goes it up to the act.
    pub async fn ready(self, lane: &Lane) -> Ready {
        let pool = &lane.db.pool;
        let user = fixtures::user(pool, "Test Buyer").await;
        let scene = Scene {
            lane,
            shop: fixtures::shop(pool, 5, PRICE).await,
            buyer: Buyer {
                session: lane.by(user),
                address: fixtures::address(pool, user).await,
            },
        };
        match self {
            Self::CancelUnpaid
            | Self::CancelPaid
            | Self::CancelItem
            | Self::Refund
            | Self::RefundLate
            | Self::RefundFails
            | Self::RefundRetry => scene.refund_way(self).await,
            Self::Payout | Self::PayoutLost | Self::PayoutRefused | Self::PayoutRetry | Self::PayoutScheduled => {
                scene.payout_way(self).await
            }
            Self::Carrier => scene.carrier_way().await,
            _ => scene.payment_way(self).await,
        }
    }
}

impl Ready {
    /// What it has come to.
    pub async fn came_to(&self, lane: &Lane) -> End {
        let (status, captured, refunded): (String, i64, i64) = sqlx::query_as(
            "select o.status,
                    coalesce((select sum(amount_minor) from payments
                               where order_id = o.id and status = 'captured'), 0)::bigint,
                    coalesce((select sum(amount_minor) from refunds
                               where order_id = o.id and status = 'succeeded'), 0)::bigint
               from orders o where user_id = $1",
        )
        .bind(self.buyer.session.id.0)
        .fetch_one(&lane.db.pool)
        .await
        .expect("exactly one order");
        let SellerId(shop) = self.shop.seller;
        let paid_out = "select coalesce(sum(amount_minor), 0)::bigint from seller_payouts
                         where seller_id = $1 and status = 'paid'";
        let known = ["paid", "expired", "cancelled", "completed", "delivered"];
        End {
            status: known.into_iter().find(|known| *known == status).unwrap_or("another"),
            captured,
            refunded,
            paid_out: lane.number(paid_out, shop).await,
        }
    }
}
