//! Shops: applying, deciding, being seen.

use core_api::identity::Me;
use core_api::sellers::Seller;
use serde_json::{Value, json};
use shared::status::SellerStatus;
use testkit::fixtures::{self, Shop};
use uuid::Uuid;

use crate::harness::{App, PASSWORD};

fn application(name: &str) -> Value {
    json!({"shop_name": name, "description": "Made by hand", "country": "DE", "currency": "EUR"})
}

async fn audited(app: &App, subject: Uuid) -> Vec<String> {
    sqlx::query_scalar("select action from audit_log where subject_id = $1 order by id")
        .bind(subject)
        .fetch_all(&app.db.pool)
        .await
        .expect("the log")
}

#[tokio::test]
async fn a_shop_is_applied_for_approved_stopped_and_goes_on() {
    let app = App::start().await;
    let (owner, admin) = (app.register("Owner").await, app.admin().await);
    let shop: Seller = owner
        .post("/sellers/apply", &application("Harbour Lane Ceramics"))
        .await
        .created();
    assert_eq!(
        (shop.status, shop.slug.as_str()),
        (SellerStatus::Pending, "harbour-lane-ceramics")
    );
    let public = format!("/sellers/{}", shop.id);
    let act = |verb: &str| format!("/admin/sellers/{}/{verb}", shop.id);
    let reason = json!({"reason": "as agreed"});

    app.get(&public).send().await.refused(404, "not_found");
    owner.get("/seller/products").await.refused(403, "forbidden");
    admin.post(&act("approve"), &json!({})).await.ok::<Value>();
    assert_eq!(
        app.get(&public).send().await.ok::<Seller>().shop_name,
        "Harbour Lane Ceramics"
    );
    owner.get("/seller/products").await.ok::<Value>();
    let me: Me = owner.get("/auth/me").await.ok();
    assert_eq!(me.seller.map(|s| s.status), Some(SellerStatus::Approved));

    admin
        .post(&act("approve"), &json!({}))
        .await
        .refused(409, "wrong_state");
    admin
        .post(&act("reinstate"), &json!({}))
        .await
        .refused(409, "wrong_state");
    let stopped: Value = admin.post(&act("suspend"), &reason).await.ok();
    assert_eq!(stopped["decision_reason"], "as agreed");
    app.get(&public).send().await.refused(404, "not_found");
    owner.get("/seller/products").await.refused(403, "forbidden");
    admin
        .post(&act("approve"), &json!({}))
        .await
        .refused(409, "wrong_state");
    admin.post(&act("reinstate"), &reason).await.ok::<Value>();
    owner.get("/seller/products").await.ok::<Value>();
    assert_eq!(
        audited(&app, shop.id.0).await,
        ["seller.apply", "seller.approve", "seller.suspend", "seller.reinstate"]
    );
}

#[tokio::test]
async fn a_person_has_one_shop_and_a_rejected_one_may_apply_again() {
    let app = App::start().await;
    let (owner, admin) = (app.register("Owner").await, app.admin().await);
    let (a, b) = (application("First Shop"), application("Second Shop"));
    let (a, b) = tokio::join!(owner.post("/sellers/apply", &a), owner.post("/sellers/apply", &b));
    let (won, lost) = if a.status == 201 { (a, b) } else { (b, a) };
    lost.refused(409, "conflict");
    let shop: Seller = won.created();

    let reject = format!("/admin/sellers/{}/reject", shop.id);
    admin
        .post(&reject, &json!({"reason": "no pictures"}))
        .await
        .ok::<Value>();
    let again: Seller = owner.post("/sellers/apply", &application("Third Shop")).await.created();
    assert_eq!((again.id, again.status), (shop.id, SellerStatus::Pending));
    assert_eq!(again.shop_name, "Third Shop");
    owner
        .post("/sellers/apply", &application("Fourth Shop"))
        .await
        .refused(409, "conflict");
}

#[tokio::test]
async fn two_shops_of_one_name_have_addresses_of_their_own() {
    let app = App::start().await;
    let mut slugs = Vec::new();
    for _ in 0..3 {
        let owner = app.register("Owner").await;
        let shop: Seller = owner.post("/sellers/apply", &application("Same Name")).await.created();
        slugs.push(shop.slug);
    }
    slugs.sort();
    slugs.dedup();
    assert_eq!(slugs.len(), 3);
    assert!(slugs.iter().all(|slug| slug.starts_with("same-name")), "{slugs:?}");
}

#[tokio::test]
async fn only_an_admin_decides_and_lists() {
    let app = App::start().await;
    let (owner, shop) = app.seller("Some Shop").await;
    let suspend = format!("/admin/sellers/{shop}/suspend");
    app.post(&suspend).send().await.refused(401, "unauthenticated");
    owner.post(&suspend, &json!({})).await.refused(403, "forbidden");
    owner.get("/admin/sellers").await.refused(403, "forbidden");

    let admin = app.admin().await;
    let unknown = format!("/admin/sellers/{}/suspend", Uuid::now_v7());
    admin.post(&unknown, &json!({})).await.refused(404, "not_found");
    app.register("Owner")
        .await
        .post("/sellers/apply", &application("Waiting"))
        .await
        .created::<Value>();
    let waiting: Value = admin.get("/admin/sellers?status=pending").await.ok();
    assert_eq!(waiting["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(waiting["items"][0]["shop_name"], "Waiting");
    let all: Value = admin.get("/admin/sellers").await.ok();
    assert_eq!(all["items"].as_array().map(Vec::len), Some(2));
    admin
        .get("/admin/sellers?status=odd")
        .await
        .refused(400, "invalid_parameter");

    // A role that is taken away counts at once.
    sqlx::query("update users set role = 'user' where id = $1")
        .bind(admin.id.0)
        .execute(&app.db.pool)
        .await
        .expect("changed");
    admin.get("/admin/sellers").await.refused(403, "forbidden");
}

#[tokio::test]
async fn an_application_names_the_field_at_fault() {
    let app = App::start().await;
    let owner = app.register("Owner").await;
    for (field, value) in [("shop_name", "x"), ("country", "Germany"), ("currency", "Euro")] {
        let mut body = application("A Shop");
        body[field] = json!(value);
        let problem = owner.post("/sellers/apply", &body).await.refused(422, "invalid_body");
        assert_eq!(problem["field"], field);
    }
}

/// A shop's standing and its show's.
async fn standing(app: &App, shop: &Shop) -> (String, String) {
    sqlx::query_as("select s.status, t.status from sellers s join streams t on t.seller_id = s.id where t.id = $1")
        .bind(shop.stream.0)
        .fetch_one(&app.db.pool)
        .await
        .expect("the show")
}

#[tokio::test]
async fn the_suspension_of_an_account_takes_its_shop_along_and_lifting_it_opens_no_shop() {
    let app = App::start().await;
    let shop = fixtures::shop(&app.db.pool, 5, 1_000).await;
    let (admin, owner) = (app.admin().await, app.session_of(shop.owner));
    let product = format!("/products/{}", shop.product);
    app.get(&product).send().await.ok::<Value>();
    let user = |verb: &str| format!("/admin/users/{}/{verb}", shop.owner);
    let of_shop = |verb: &str| format!("/admin/sellers/{}/{verb}", shop.seller);
    let fraud = json!({"reason": "fraud"});

    admin.post(&user("suspend"), &fraud).await.ok::<Value>();
    assert_eq!(standing(&app, &shop).await, ("suspended".into(), "ended".into()));
    app.get(&product).send().await.refused(404, "not_found");
    let ended: Value = sqlx::query_scalar("select payload -> 'event' from outbox where topic = 'happened'")
        .fetch_one(&app.db.pool)
        .await
        .expect("the room is told");
    assert_eq!(ended, json!({"type": "stream_status", "status": "ended"}));
    assert_eq!(audited(&app, shop.seller.0).await, ["seller.suspend"]);
    let detail = admin.post(&of_shop("reinstate"), &json!({})).await;
    detail.refused(409, "wrong_state");

    admin.post(&user("reinstate"), &json!({})).await.ok::<Value>();
    owner.get("/seller/products").await.refused(403, "forbidden");
    assert_eq!(standing(&app, &shop).await.0, "suspended");
    admin.post(&of_shop("reinstate"), &json!({})).await.ok::<Value>();
    owner.get("/seller/products").await.ok::<Value>();
    app.get(&product).send().await.ok::<Value>();
}

#[tokio::test]
async fn no_shop_is_approved_beside_the_suspension_of_its_owner() {
    let app = App::start().await;
    let (owner, admin) = (app.register("Owner").await, app.admin().await);
    let shop: Seller = owner.post("/sellers/apply", &application("Waiting")).await.created();
    // As a suspension does that is under way.
    let mut suspending = app.db.pool.begin().await.expect("begun");
    sqlx::query("update users set suspended_at = now() where id = $1")
        .bind(owner.id.0)
        .execute(&mut *suspending)
        .await
        .expect("suspended");
    let approve = format!("/admin/sellers/{}/approve", shop.id);
    let body = json!({});
    let (approved, ()) = tokio::join!(admin.post(&approve, &body), async {
        app.somebody_waits().await;
        suspending.commit().await.expect("committed");
    });
    approved.refused(409, "wrong_state");
}

#[tokio::test]
async fn the_shop_of_a_deleted_account_stays_closed() {
    let app = App::start().await;
    let (owner, shop) = app.seller("Some Shop").await;
    let admin = app.admin().await;
    owner.post("/auth/leave", &json!({"password": PASSWORD})).await.gone();
    for verb in ["reinstate", "approve"] {
        let act = format!("/admin/sellers/{shop}/{verb}");
        admin.post(&act, &json!({})).await.refused(409, "wrong_state");
    }
    app.get(&format!("/sellers/{shop}"))
        .send()
        .await
        .refused(404, "not_found");
}
