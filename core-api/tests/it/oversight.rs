//! What admins see of money and of who did what, and the rules they make.

use core_api::audit::model::AuditEntry;
use core_api::books::model::{LedgerAccount, LedgerTransaction};
use core_api::commission::model::CommissionRule;
use core_api::orders::admin::{AdminOrder, AdminOrderView};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::Session;
use crate::market::Market;

async fn items<T: DeserializeOwned>(admin: &Session, path: &str) -> Vec<T> {
    let list: Value = admin.get(path).await.ok();
    serde_json::from_value(list["items"].clone()).expect("the items")
}

#[tokio::test]
async fn a_commission_rule_counts_for_what_is_placed_from_then_on() {
    let market = Market::open(10, 5_000).await;
    let (buyer, admin) = (market.buyer().await, market.app.admin().await);
    let shop = market.shop.seller;
    let before = buyer.order(market.shop.variant, 1).await;
    let body = json!({"seller_id": shop, "rate_bps": 500});
    let key = Uuid::now_v7();
    let add = async |key: Uuid, body: &Value| admin.post_once("/admin/commission-rules", key, body).await;
    let rule: CommissionRule = add(key, &body).await.created();
    for _ in 0..2 {
        let again = add(key, &body).await;
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!(again.created::<CommissionRule>(), rule);
    }
    add(key, &json!({"seller_id": shop, "rate_bps": 501}))
        .await
        .refused(422, "request_id_reused");
    admin
        .post("/admin/commission-rules", &body)
        .await
        .refused(400, "idempotency_key_missing");
    assert_eq!((rule.seller_id, rule.rate_bps), (Some(shop), 500));
    let after = market.buyer().await.order(market.shop.variant, 1).await;
    for (order, bps) in [(before.id, 1_000), (after.id, 500)] {
        let rate = "select count(*) from order_items where order_id = $1 and commission_bps = $2";
        let found: i64 = sqlx::query_scalar(rate)
            .bind(order.0)
            .bind(bps)
            .fetch_one(&market.app.db.pool)
            .await
            .expect("a count");
        assert_eq!(found, 1, "{bps}");
    }
    let rules: Vec<CommissionRule> = items(&admin, &format!("/admin/commission-rules?seller_id={shop}")).await;
    assert_eq!(rules, [rule]);
    let add = async |body: Value| add(Uuid::now_v7(), &body).await;
    let category = Uuid::now_v7();
    add(json!({"seller_id": shop, "category_id": category, "rate_bps": 1}))
        .await
        .refused(422, "invalid_body");
    add(json!({"rate_bps": 10_001})).await.refused(422, "invalid_body");
    add(json!({"rate_bps": 1, "valid_from": "2020-01-01T00:00:00Z"}))
        .await
        .refused(422, "invalid_body");
    add(json!({"category_id": category, "rate_bps": 1}))
        .await
        .refused(404, "not_found");
    for change in [
        "update commission_rules set rate_bps = 0",
        "update commission_rules set valid_from = now()",
        "delete from commission_rules",
    ] {
        let refused = sqlx::query(change).execute(&market.app.db.pool).await;
        assert!(refused.is_err(), "{change}");
    }
    market.verified().await;
}

#[tokio::test]
async fn the_books_the_orders_and_the_audit_log_are_looked_up() {
    let market = Market::open(10, 5_000).await;
    let (buyer, admin) = (market.buyer().await, market.app.admin().await);
    let order = buyer.order(market.shop.variant, 1).await;
    let payment = buyer.pay(order.id, "test_success").await;
    let accounts: Vec<LedgerAccount> = items(&admin, "/admin/ledger/accounts").await;
    let balance = |kind: &str| {
        let found = accounts.iter().find(|account| account.kind == kind);
        found.map(|account| account.balance.minor)
    };
    assert_eq!(
        (
            balance("provider_clearing"),
            balance("seller_payable"),
            balance("platform_commission")
        ),
        (Some(5_000), Some(-4_500), Some(-500))
    );
    let path = format!("/admin/ledger/transactions?order_id={}&kind=capture", order.id);
    let booked: Vec<LedgerTransaction> = items(&admin, &path).await;
    assert_eq!((booked.len(), booked[0].subject_id), (1, payment.id.0));
    assert_eq!(booked[0].entries.len(), 3);
    assert_eq!(booked[0].entries.iter().map(|entry| entry.amount.minor).sum::<i64>(), 0);
    let payable = accounts
        .iter()
        .find(|account| account.seller_id == Some(market.shop.seller));
    let path = format!(
        "/admin/ledger/transactions?account_id={}",
        payable.expect("the shop's").id
    );
    assert_eq!(items::<LedgerTransaction>(&admin, &path).await, booked);
    assert_eq!(
        items::<Value>(&admin, "/admin/ledger/transactions?kind=payout")
            .await
            .len(),
        0
    );
    admin
        .get("/admin/ledger/transactions?kind=a%00b")
        .await
        .refused(400, "invalid_parameter");

    let path = format!(
        "/admin/orders?status=paid&buyer_id={}&number={}",
        buyer.session.id, order.number
    );
    let orders: Vec<AdminOrder> = items(&admin, &path).await;
    assert_eq!(
        (orders.len(), orders[0].id, orders[0].total.minor),
        (1, order.id, 5_000)
    );
    let view: AdminOrderView = admin.get(&format!("/admin/orders/{}", order.id)).await.ok();
    assert_eq!((view.buyer_id, view.order.id), (buyer.session.id, order.id));

    let path = format!("/admin/audit?subject_id={}&actor_id={}", payment.id, buyer.session.id);
    let audited: Vec<AuditEntry> = items(&admin, &path).await;
    assert_eq!((audited.len(), audited[0].action.as_str()), (1, "payment.created"));
    let by_action: Vec<AuditEntry> = items(&admin, "/admin/audit?action=payment.created&limit=1").await;
    assert_eq!(by_action, audited);
    admin
        .get("/admin/audit?action=A%20B")
        .await
        .refused(400, "invalid_parameter");
}
