//! Shipping that a show's cap spared stays spared: what is called off takes back no shipping
//! that others of the show were not charged for on its account.

use core_api::orders::model::Order;
use serde_json::{Value, json};
use shared::status::OrderStatus;
use uuid::Uuid;

use crate::market::Buyer;
use crate::shipping::Capped;

impl Capped {
    /// A paid order of one unit in the show.
    async fn order(&self, buyer: &Buyer) -> Order {
        let order = self.unpaid(buyer).await;
        buyer.pay(order.id, "test_success").await;
        buyer.order_now(order.id).await
    }

    async fn unpaid(&self, buyer: &Buyer) -> Order {
        let checkout = self.checkout(buyer).await;
        buyer.try_place(checkout.id).await.created()
    }

    /// Looks at what stays of orders that were called off, as the job does a minute later.
    async fn look(&self) -> u64 {
        let due = "update order_parts set shipping_check_at = now() where shipping_check_at is not null";
        sqlx::query(due).execute(&self.market.app.db.pool).await.expect("due");
        let looked = core_api::orders::give_kept_shipping_back(&self.market.till(), 100).await;
        looked.expect("looked")
    }
}

/// What has gone back of an order, and what its newest refund says that stays of its shipping.
async fn back(buyer: &Buyer, order: &Order) -> (i64, i64) {
    let order = buyer.order_now(order.id).await;
    let kept = order.refunds.last().and_then(|refund| refund.shipping_kept);
    (order.refunded.minor, kept.map_or(0, |kept| kept.minor))
}

#[tokio::test]
async fn shipping_that_others_were_spared_stays_paid_until_they_are_called_off_too() {
    let show = Capped::open().await;
    let (market, buyer) = (&show.market, show.market.buyer().await);
    let orders = [
        show.order(&buyer).await,
        show.order(&buyer).await,
        show.order(&buyer).await,
    ];
    assert_eq!(orders.each_ref().map(|order| order.shipping_total.minor), [500, 300, 0]);
    let [first, second, third] = &orders;

    // Without it the other two would have cost 800, of which 300 were charged.
    let cancelled: Order = buyer.try_cancel(first).await.ok();
    assert_eq!(cancelled.status, OrderStatus::Cancelled);
    assert_eq!(back(&buyer, first).await, (1_500, 500));
    market.verified().await;
    assert_eq!(show.look().await, 0, "there is nothing to look at");
    assert_eq!(
        show.checkout(&buyer).await.shipping_total.minor,
        0,
        "what stays counts towards the cap"
    );

    // The one that is left costs 500 alone: 300 were charged, 200 stay of the first.
    buyer.try_cancel(third).await.ok::<Order>();
    assert_eq!(
        (back(&buyer, third).await, back(&buyer, first).await),
        ((1_500, 0), (1_500, 500))
    );
    market.verified().await;
    assert_eq!((show.look().await, back(&buyer, first).await), (1, (1_800, 200)));
    market.verified().await;

    // Nothing will be sent: all of it goes back.
    buyer.try_cancel(second).await.ok::<Order>();
    assert_eq!(back(&buyer, second).await, (1_800, 0));
    let unasked =
        "update order_parts set shipping_check_at = null where order_id = $1 and shipping_check_at is not null";
    assert_eq!(market.sql(unasked, first.id.0).await, 1);
    assert_eq!(market.broken().await, ["kept_shipping"]);
    let asked = "update order_parts set shipping_check_at = now() where order_id = $1";
    market.sql(asked, first.id.0).await;
    assert_eq!((show.look().await, back(&buyer, first).await), (1, (2_000, 0)));
    assert_eq!(show.look().await, 0);
    for kind in ["provider_clearing", "seller_payable", "refunds_payable"] {
        assert_eq!(market.balance(kind).await, 0, "{kind}");
    }
    assert_eq!(show.checkout(&buyer).await.shipping_total.minor, 500);
    market.verified().await;
}

#[tokio::test]
async fn shipping_that_stays_for_an_order_that_is_never_paid_goes_back() {
    let show = Capped::open().await;
    let (market, buyer) = (&show.market, show.market.buyer().await);
    let (first, second) = (show.order(&buyer).await, show.unpaid(&buyer).await);
    assert_eq!(second.shipping_total.minor, 300);
    buyer.try_cancel(&first).await.ok::<Order>();
    assert_eq!(back(&buyer, &first).await, (1_800, 200));
    assert_eq!(show.look().await, 1);
    assert_eq!(back(&buyer, &first).await, (1_800, 200), "it may still be paid");
    market.verified().await;
    market.order_lapses(second.id).await;
    assert_eq!(market.expire_orders().await, 1);
    assert_eq!((show.look().await, back(&buyer, &first).await), (1, (2_000, 0)));
    assert_eq!(show.look().await, 0);
    market.verified().await;
}

#[tokio::test]
async fn of_orders_of_a_show_that_are_called_off_at_once_all_shipping_goes_back() {
    let show = Capped::open().await;
    let (market, buyer) = (&show.market, show.market.buyer().await);
    let orders = [
        show.order(&buyer).await,
        show.order(&buyer).await,
        show.order(&buyer).await,
    ];
    let [one, two, three] = &orders;
    tokio::join!(buyer.try_cancel(one), buyer.try_cancel(two), buyer.try_cancel(three));
    market.verified().await;
    while show.look().await > 0 {}
    let paid: i64 = orders.iter().map(|order| order.total.minor).sum();
    let mut refunded = 0;
    for order in &orders {
        refunded += back(&buyer, order).await.0;
    }
    assert_eq!((paid, refunded), (5_300, 5_300));
    market.verified().await;
}

#[tokio::test]
async fn an_admin_gives_shipping_back_whoever_was_spared_it() {
    let show = Capped::open().await;
    let (market, buyer, admin) = (&show.market, show.market.buyer().await, show.market.app.admin().await);
    let (first, second) = (show.order(&buyer).await, show.order(&buyer).await);
    let items = json!([{"order_item_id": first.items[0].id, "quantity": 1}]);
    let body = json!({"items": items, "shipping": true, "restock": true, "reason": "It was ours"});
    let path = format!("/admin/orders/{}/refunds", first.id);
    admin.post_once(&path, Uuid::now_v7(), &body).await.created::<Value>();
    assert_eq!(back(&buyer, &first).await, (2_000, 0));
    // By the shop it goes as by its buyer.
    let path = format!("/seller/orders/{}/items/{}/cancel", second.id, second.items[0].id);
    let shop = market.owner();
    shop.post_once(&path, Uuid::now_v7(), &json!({"quantity": 1}))
        .await
        .ok::<Value>();
    assert_eq!(back(&buyer, &second).await, (1_800, 0));
    market.verified().await;
}
