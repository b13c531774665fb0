//! Reviews: who may write one, and what it does to a product's rating.

use core_api::catalog::products::Product;
use core_api::catalog::reviews::model::WholeReview;
use core_api::orders::model::Order;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Reply, Session};
use crate::market::{Buyer, Market};

/// An order of the market's product that has arrived.
pub async fn delivered(market: &Market, buyer: &Buyer) -> Order {
    let order = buyer.order(market.shop.variant, 1).await;
    buyer.pay(order.id, "test_success").await;
    market.arrives(buyer, order.id).await;
    order
}

pub async fn item(market: &Market, order: &Order) -> Uuid {
    sqlx::query_scalar("select id from order_items where order_id = $1")
        .bind(order.id.0)
        .fetch_one(&market.app.db.pool)
        .await
        .expect("the line")
}

pub async fn write(market: &Market, by: &Session, item: Uuid, rating: i16) -> Reply {
    let body = json!({"order_item_id": item, "rating": rating, "body": "Holds tea."});
    by.post(&format!("/products/{}/reviews", market.shop.product), &body)
        .await
}

/// Count and sum of the product's rating, as everybody sees it.
async fn rating(market: &Market) -> (i32, i64) {
    let page: Product = market
        .app
        .get(&format!("/products/{}", market.shop.product))
        .send()
        .await
        .ok();
    (page.rating.count, page.rating.sum)
}

#[tokio::test]
async fn only_who_has_bought_and_received_it_reviews_it_and_once() {
    let market = Market::open(10, 1_500).await;
    let (buyer, other) = (market.buyer().await, market.buyer().await);
    let order = buyer.order(market.shop.variant, 1).await;
    let line = item(&market, &order).await;
    write(&market, &buyer.session, line, 5)
        .await
        .refused(409, "wrong_state");
    buyer.pay(order.id, "test_success").await;
    write(&market, &buyer.session, line, 5)
        .await
        .refused(409, "wrong_state");
    market.arrives(&buyer, order.id).await;
    write(&market, &other.session, line, 1).await.refused(404, "not_found");
    write(&market, &market.owner(), line, 5).await.refused(404, "not_found");
    for bad in [0, 6] {
        let problem = write(&market, &buyer.session, line, bad).await;
        assert_eq!(problem.refused(422, "invalid_body")["field"], "rating");
    }
    let (one, two) = tokio::join!(
        write(&market, &buyer.session, line, 4),
        write(&market, &buyer.session, line, 4)
    );
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    assert_eq!(rating(&market).await, (1, 4));
    let elsewhere = format!("/products/{}/reviews", Uuid::now_v7());
    let body = json!({"order_item_id": line, "rating": 5});
    buyer.session.post(&elsewhere, &body).await.refused(404, "not_found");
}

#[tokio::test]
async fn nobody_reviews_their_own_shop() {
    let market = Market::open(10, 1_500).await;
    let buyer = market.buyer().await;
    let order = delivered(&market, &buyer).await;
    let line = item(&market, &order).await;
    // Whoever bought it owns the shop by now.
    let hand_over = sqlx::query("update sellers set user_id = $2 where id = $1")
        .bind(market.shop.seller.0)
        .bind(buyer.session.id.0);
    hand_over.execute(&market.app.db.pool).await.expect("handed over");
    write(&market, &buyer.session, line, 5).await.refused(403, "own_shop");
}

#[tokio::test]
async fn a_rating_is_the_sum_of_the_reviews_that_are_shown() {
    let market = Market::open(10, 1_500).await;
    let admin = market.app.admin().await;
    let mut reviews: Vec<(Buyer, WholeReview)> = Vec::new();
    for stars in [5, 2] {
        let buyer = market.buyer().await;
        let order = delivered(&market, &buyer).await;
        let line = item(&market, &order).await;
        let review = write(&market, &buyer.session, line, stars).await.created();
        reviews.push((buyer, review));
    }
    assert_eq!(rating(&market).await, (2, 7));
    let (buyer, review) = &reviews[1];
    let path = format!("/reviews/{}", review.review.id);
    buyer.session.patch(&path, &json!({"rating": 3})).await.ok::<Value>();
    assert_eq!(rating(&market).await, (2, 8));
    let other = &reviews[0].0;
    other
        .session
        .patch(&path, &json!({"rating": 1}))
        .await
        .refused(404, "not_found");
    other.session.delete(&path).await.refused(404, "not_found");

    let admins = format!("/admin{path}");
    admin.post(&format!("{admins}/hide"), &json!({})).await.ok::<Value>();
    admin.post(&format!("{admins}/hide"), &json!({})).await.ok::<Value>();
    assert_eq!(rating(&market).await, (1, 5));
    let public = format!("/products/{}/reviews", market.shop.product);
    let shown: Value = market.app.get(&public).send().await.ok();
    assert_eq!(shown["items"].as_array().map(Vec::len), Some(1));
    buyer.session.patch(&path, &json!({"rating": 1})).await.ok::<Value>();
    assert_eq!(rating(&market).await, (1, 5), "what is hidden does not count");
    admin.post(&format!("{admins}/show"), &json!({})).await.ok::<Value>();
    assert_eq!(rating(&market).await, (2, 6));
    buyer.session.delete(&path).await.gone();
    assert_eq!(rating(&market).await, (1, 5));
    buyer
        .session
        .post(&format!("{admins}/hide"), &json!({}))
        .await
        .refused(403, "forbidden");

    market.verified().await;
}

#[tokio::test]
async fn racing_reviews_all_count() {
    let market = Market::open(20, 1_500).await;
    let mut writers = Vec::new();
    for _ in 0..8 {
        let buyer = market.buyer().await;
        let order = delivered(&market, &buyer).await;
        writers.push((item(&market, &order).await, buyer));
    }
    let writing = writers
        .iter()
        .map(|(line, buyer)| write(&market, &buyer.session, *line, 3));
    for reply in futures_util::future::join_all(writing).await {
        reply.created::<WholeReview>();
    }
    assert_eq!(rating(&market).await, (8, 24));
    let public = format!("/products/{}/reviews?limit=5", market.shop.product);
    let first: Value = market.app.get(&public).send().await.ok();
    let cursor = first["next_cursor"].as_str().expect("more");
    let last: Value = market.app.get(&format!("{public}&cursor={cursor}")).send().await.ok();
    assert_eq!(last["items"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn the_shop_answers_and_nobody_else_does() {
    let market = Market::open(10, 1_500).await;
    let buyer = market.buyer().await;
    let order = delivered(&market, &buyer).await;
    let line = item(&market, &order).await;
    let review: WholeReview = write(&market, &buyer.session, line, 4).await.created();
    let path = format!("/seller/reviews/{}/answer", review.review.id);
    let owner = market.owner();
    let answered: WholeReview = owner.put(&path, &json!({"text": "Thank you."})).await.ok();
    assert_eq!(
        answered.review.answer.map(|answer| answer.text).as_deref(),
        Some("Thank you.")
    );
    let (other, _) = market.app.seller("Another Shop").await;
    other
        .put(&path, &json!({"text": "Mine"}))
        .await
        .refused(404, "not_found");
    buyer
        .session
        .put(&path, &json!({"text": "Mine"}))
        .await
        .refused(403, "forbidden");
    let blank = owner.put(&path, &json!({"text": "  "})).await;
    assert_eq!(blank.refused(422, "invalid_body")["field"], "text");
    let public = format!("/products/{}/reviews", market.shop.product);
    let shown: Value = market.app.get(&public).send().await.ok();
    assert_eq!(shown["items"][0]["answer"]["text"], "Thank you.");
    assert!(
        shown["items"][0].get("order_item_id").is_none(),
        "the author's own business"
    );
    owner.delete(&path).await.ok::<Value>();
    let shown: Value = market.app.get(&public).send().await.ok();
    assert_eq!(shown["items"][0]["answer"], Value::Null);
    let theirs: Value = buyer.session.get("/users/reviews").await.ok();
    assert_eq!(theirs["items"][0]["order_item_id"], json!(line));
    let shops: Value = owner.get("/seller/reviews").await.ok();
    assert_eq!(shops["items"][0]["rating"], 4);
}

#[tokio::test]
async fn who_deletes_a_review_and_writes_it_anew_sheds_neither_its_hiding_nor_its_answer() {
    let market = Market::open(10, 1_500).await;
    let buyer = market.buyer().await;
    let order = delivered(&market, &buyer).await;
    let line = item(&market, &order).await;
    let review: WholeReview = write(&market, &buyer.session, line, 1).await.created();
    let (path, id) = (format!("/reviews/{}", review.review.id), review.review.id);
    let (admin, owner) = (market.app.admin().await, market.owner());
    admin
        .post(&format!("/admin{path}/hide"), &json!({}))
        .await
        .ok::<Value>();
    let answer = json!({"text": "It was never ordered."});
    owner.put(&format!("/seller{path}/answer"), &answer).await.ok::<Value>();

    buyer.session.delete(&path).await.gone();
    let text: String = sqlx::query_scalar("select body from product_reviews where id = $1")
        .bind(id.0)
        .fetch_one(&market.app.db.pool)
        .await
        .expect("the row stays");
    assert_eq!(text, "", "what its author takes back is gone");
    let theirs: Value = buyer.session.get("/users/reviews").await.ok();
    let shops: Value = owner.get("/seller/reviews").await.ok();
    let admins: Value = admin.get("/admin/reviews").await.ok();
    assert_eq!(
        [&theirs["items"], &shops["items"], &admins["items"]],
        [&json!([]), &json!([]), &json!([])]
    );
    buyer.session.delete(&path).await.refused(404, "not_found");
    let change = buyer.session.patch(&path, &json!({"rating": 1})).await;
    change.refused(404, "not_found");
    let show = admin.post(&format!("/admin{path}/show"), &json!({})).await;
    show.refused(404, "not_found");

    let again: WholeReview = write(&market, &buyer.session, line, 1).await.created();
    assert_eq!((again.review.id, again.hidden), (id, true));
    assert_eq!(
        again.review.answer.map(|answer| answer.text).as_deref(),
        Some("It was never ordered.")
    );
    assert_eq!(rating(&market).await, (0, 0), "what an admin has hidden stays hidden");
    write(&market, &buyer.session, line, 1).await.refused(409, "conflict");
    admin
        .post(&format!("/admin{path}/show"), &json!({}))
        .await
        .ok::<Value>();
    assert_eq!(rating(&market).await, (1, 1));
}
