//! Who keeps order in a shop's shows.

use serde_json::{Value, json};
use shared::ids::StreamId;
use uuid::Uuid;

use crate::harness::{App, Session};
use crate::market::Market;

async fn show(owner: &Session) -> StreamId {
    let stream: Value = owner.post("/streams", &json!({"title": "Bowls"})).await.created();
    stream["id"].as_str().expect("an id").parse().expect("an id")
}

async fn notices(app: &App, stream: StreamId) -> i64 {
    let count = "select count(*) from outbox where stream_id = $1 and topic = 'moderators_changed'";
    let count = sqlx::query_scalar(count).bind(stream.0).fetch_one(&app.db.pool).await;
    count.expect("the database answers")
}

#[tokio::test]
async fn an_owner_appoints_changes_and_dismisses_moderators() {
    let app = App::start().await;
    let (owner, _) = app.seller("Bowl Shop").await;
    let (first, second) = (show(&owner).await, show(&owner).await);
    let helper = app.register("Helper").await;

    let key = Uuid::now_v7();
    let body = json!({"user_id": helper.id, "rights": ["ban", "mute"]});
    let appointed: Value = owner.post_once("/seller/moderators", key, &body).await.created();
    assert_eq!(appointed["rights"], json!(["mute", "ban"]));
    assert_eq!(
        (&appointed["name"], &appointed["stream_id"]),
        (&json!("Helper"), &Value::Null)
    );
    let again: Value = owner.post_once("/seller/moderators", key, &body).await.created();
    assert_eq!(again, appointed, "a resend");
    let twice = owner.post_once("/seller/moderators", Uuid::now_v7(), &body).await;
    twice.refused(409, "conflict");
    assert_eq!((notices(&app, first).await, notices(&app, second).await), (1, 1));

    let of_first = format!("/streams/{first}/moderators");
    let body = json!({"user_id": helper.id, "rights": ["pin"]});
    let for_show: Value = owner.post_once(&of_first, Uuid::now_v7(), &body).await.created();
    assert_eq!(for_show["stream_id"], json!(first));
    assert_eq!((notices(&app, first).await, notices(&app, second).await), (2, 1));
    let all: Value = owner.get("/seller/moderators").await.ok();
    assert_eq!(all["items"], json!([for_show, appointed]));
    let page: Value = owner.get("/seller/moderators?limit=1").await.ok();
    let next = format!(
        "/seller/moderators?limit=1&cursor={}",
        page["next_cursor"].as_str().expect("more")
    );
    assert_eq!(owner.get(&next).await.ok::<Value>()["items"], json!([appointed]));
    let one: Value = owner.get(&of_first).await.ok();
    assert_eq!(one["items"], json!([for_show]));

    let path = format!("/seller/moderators/{}", for_show["id"].as_str().expect("an id"));
    let changed: Value = owner.patch(&path, &json!({"rights": ["announce"]})).await.ok();
    assert_eq!(changed["rights"], json!(["announce"]));
    owner.delete(&path).await.gone();
    owner.delete(&path).await.refused(404, "not_found");
    assert_eq!((notices(&app, first).await, notices(&app, second).await), (4, 1));
    let actions: Vec<String> = sqlx::query_scalar(
        "select action from audit_log where actor_id = $1 and action like 'moderator.%' order by id",
    )
    .bind(owner.id.0)
    .fetch_all(&app.db.pool)
    .await
    .expect("the database answers");
    assert_eq!(
        actions,
        [
            "moderator.appoint",
            "moderator.appoint",
            "moderator.change",
            "moderator.dismiss"
        ]
    );
}

#[tokio::test]
async fn an_appointment_is_the_owners_and_names_an_account_and_a_right() {
    let app = App::start().await;
    let (owner, _) = app.seller("Bowl Shop").await;
    let (other, _) = app.seller("Other Shop").await;
    let stream = show(&owner).await;
    let helper = app.register("Helper").await;
    let good = json!({"user_id": helper.id, "rights": ["ban"]});
    let appoint = async |who: &Session, path: &str, body: &Value| who.post_once(path, Uuid::now_v7(), body).await;

    appoint(&helper, "/seller/moderators", &good)
        .await
        .refused(403, "forbidden");
    let of_stream = format!("/streams/{stream}/moderators");
    appoint(&other, &of_stream, &good).await.refused(404, "not_found");
    other.get(&of_stream).await.refused(404, "not_found");
    owner
        .post("/seller/moderators", &good)
        .await
        .refused(400, "idempotency_key_missing");
    let nobody = json!({"user_id": Uuid::now_v7(), "rights": ["ban"]});
    appoint(&owner, "/seller/moderators", &nobody)
        .await
        .refused(404, "not_found");
    let herself = json!({"user_id": owner.id, "rights": ["ban"]});
    appoint(&owner, "/seller/moderators", &herself)
        .await
        .refused(409, "conflict");
    for rights in [json!([]), json!(["fly"])] {
        let body = json!({"user_id": helper.id, "rights": rights});
        appoint(&owner, "/seller/moderators", &body)
            .await
            .refused(422, "invalid_body");
    }
    let appointed: Value = appoint(&owner, "/seller/moderators", &good).await.created();
    let path = format!("/seller/moderators/{}", appointed["id"].as_str().expect("an id"));
    other.delete(&path).await.refused(404, "not_found");
    other
        .patch(&path, &json!({"rights": ["pin"]}))
        .await
        .refused(404, "not_found");
    helper.delete(&path).await.refused(403, "forbidden");
}

async fn ban(owner: &Session, body: &Value) -> crate::harness::Reply {
    owner.post_once("/seller/bans", Uuid::now_v7(), body).await
}

#[tokio::test]
async fn a_shop_bans_lists_and_lets_in_again() {
    let app = App::start().await;
    let (owner, _) = app.seller("Bowl Shop").await;
    let (other, _) = app.seller("Other Shop").await;
    let (first, second) = (app.register("First").await, app.register("Second").await);
    let key = Uuid::now_v7();
    let body = json!({"user": first.id, "reason": " insults "});
    let banned: Value = owner.post_once("/seller/bans", key, &body).await.created();
    assert_eq!(
        (&banned["user_id"], &banned["name"]),
        (&json!(first.id), &json!("First"))
    );
    assert_eq!((&banned["reason"], &banned["until"]), (&json!("insults"), &Value::Null));
    assert_eq!(banned["banned_by"], json!(owner.id));
    let again: Value = owner.post_once("/seller/bans", key, &body).await.created();
    assert_eq!(again, banned, "a resend");
    let for_a_day: Value = ban(&owner, &json!({"user": second.id, "seconds": 86_400}))
        .await
        .created();
    assert!(for_a_day["until"].is_string());
    let guest: Value = ban(&owner, &json!({"guest": Uuid::now_v7()})).await.created();
    assert!(guest["until"].is_string(), "a guest's ends with their tokens");

    let all: Value = owner.get("/seller/bans").await.ok();
    assert_eq!(all["items"], json!([guest, for_a_day, banned]));
    let page: Value = owner.get("/seller/bans?limit=2").await.ok();
    let next = format!(
        "/seller/bans?limit=2&cursor={}",
        page["next_cursor"].as_str().expect("more")
    );
    assert_eq!(owner.get(&next).await.ok::<Value>()["items"], json!([banned]));
    let none: Value = other.get("/seller/bans").await.ok();
    assert_eq!(none["items"], json!([]));

    let path = format!("/seller/bans/{}", banned["id"].as_str().expect("an id"));
    other.delete(&path).await.refused(404, "not_found");
    owner.delete(&path).await.gone();
    owner.delete(&path).await.refused(404, "not_found");
    let actions: Vec<String> =
        sqlx::query_scalar("select action from audit_log where actor_id = $1 and action like 'viewer.%' order by id")
            .bind(owner.id.0)
            .fetch_all(&app.db.pool)
            .await
            .expect("the database answers");
    assert_eq!(actions, ["viewer.ban", "viewer.ban", "viewer.ban", "viewer.unban"]);

    ban(&first, &body).await.refused(403, "forbidden");
    ban(&owner, &json!({"user": owner.id})).await.refused(403, "forbidden");
    ban(&owner, &json!({"user": Uuid::now_v7()}))
        .await
        .refused(404, "not_found");
    for wrong in [
        json!({"seconds": 5}),
        json!({"user": second.id, "seconds": 0}),
        json!({"user": second.id, "reason": "x".repeat(201)}),
    ] {
        ban(&owner, &wrong).await.refused(422, "invalid_body");
    }
}

#[tokio::test]
async fn whoever_is_banned_gets_no_ticket_no_checkout_and_no_hold_of_the_shop() {
    let market = Market::open(10, 1_900).await;
    let buyer = market.buyer().await;
    let shop = market.shop;
    let sale = market.sale(5, 900, 2).await;
    let ticket = format!("/streams/{}/ticket", shop.stream);
    let order = json!({
        "address_id": buyer.address,
        "items": [{"variant_id": shop.variant, "quantity": 1}],
    });
    let early: Value = buyer
        .session
        .post_once("/orders/checkout", Uuid::now_v7(), &order)
        .await
        .created();
    let ban =
        "insert into banned_viewers (id, seller_id, user_id, reason, banned_by) values ($1, $2, $3, 'enough', $4)";
    sqlx::query(ban)
        .bind(Uuid::now_v7())
        .bind(shop.seller.0)
        .bind(buyer.session.id.0)
        .bind(shop.owner.0)
        .execute(&market.app.db.pool)
        .await
        .expect("banned");
    let refusal = buyer.session.post(&ticket, &json!({})).await.refused(403, "banned");
    assert_eq!(refusal["detail"], "enough");
    let create = buyer
        .session
        .post_once("/orders/checkout", Uuid::now_v7(), &order)
        .await;
    create.refused(403, "banned");
    let place = json!({"checkout_id": early["id"]});
    let placed = buyer.session.post_once("/orders", Uuid::now_v7(), &place).await;
    placed.refused(403, "banned");
    let hold = format!("/flash-sales/{sale}/holds");
    let held = buyer
        .session
        .post_once(&hold, Uuid::now_v7(), &json!({"quantity": 1}))
        .await;
    held.refused(403, "banned");
    market
        .sql(
            "update banned_viewers set until = now() where seller_id = $1",
            shop.seller.0,
        )
        .await;
    buyer.session.post(&ticket, &json!({})).await.ok::<Value>();
    let placed = buyer.session.post_once("/orders", Uuid::now_v7(), &place).await;
    placed.created::<Value>();
}

#[tokio::test]
async fn an_admin_suspends_an_account_and_lifts_that() {
    let app = App::start().await;
    let (admin, viewer) = (app.admin().await, app.register("Viewer").await);
    let act = |what: &str| format!("/admin/users/{}/{what}", viewer.id);
    for _ in 0..2 {
        let reason = json!({"reason": "fraud"});
        let account: Value = admin.post(&act("suspend"), &reason).await.ok();
        assert!(account["suspended_at"].is_string());
    }
    viewer.get("/auth/me").await.refused(403, "account_suspended");
    let account: Value = admin.post(&act("reinstate"), &json!({})).await.ok();
    assert_eq!(account["suspended_at"], Value::Null);
    viewer.get("/auth/me").await.ok::<Value>();
    let actions: Vec<String> =
        sqlx::query_scalar("select action from audit_log where subject_id = $1 and action like 'user.%' order by id")
            .bind(viewer.id.0)
            .fetch_all(&app.db.pool)
            .await
            .expect("the database answers");
    assert_eq!(actions, ["user.suspend", "user.reinstate"]);
    viewer.post(&act("suspend"), &json!({})).await.refused(403, "forbidden");
    let own = format!("/admin/users/{}/suspend", admin.id);
    admin.post(&own, &json!({})).await.refused(409, "conflict");
    let nobody = format!("/admin/users/{}/suspend", Uuid::now_v7());
    admin.post(&nobody, &json!({})).await.refused(404, "not_found");
}
