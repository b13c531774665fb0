//! What becomes of pictures: of two at once, of those that are replaced, deleted, begun
//! and left, of a person's who leaves; and those that orders show.

use std::collections::BTreeSet;

use core_api::media::Picture;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::fixtures;
use uuid::Uuid;

use super::files::png;
use super::{Place, avatar};
use crate::harness::PASSWORD;

#[tokio::test]
async fn of_two_pictures_at_once_one_stays_and_the_other_goes() {
    let place = Place::open().await;
    let person = place.app.register("Viewer").await;
    for round in 0..4 {
        let files = [png(100 + round, 100), png(100, 101 + round)];
        let (one, other) = tokio::join!(avatar(&person, &files[0]), avatar(&person, &files[1]));
        let me: Value = person.get("/auth/me").await.ok();
        assert!(me["avatar"] == json!(one) || me["avatar"] == json!(other), "{me}");
        assert_eq!(place.count("shown").await, 1);
        place.all_is_sound().await;
    }
    place.let_time_pass().await;
    place.sweep().await;
    let me: Value = person.get("/auth/me").await.ok();
    let left: BTreeSet<_> = { place.files().into_iter() }
        .map(|file| file.file_name().expect("a name").to_string_lossy().into_owned())
        .collect();
    let sizes = ["small", "medium", "large"].map(|size| me["avatar"][size]["url"].as_str().expect("a url"));
    let named: BTreeSet<_> = sizes.iter().map(|url| url.replace("/media/", "")).collect();
    assert_eq!(left, named, "nothing else is in the folder");
    assert_eq!(place.count("dropped").await, 0);
}

#[tokio::test]
async fn the_same_file_twice_at_once_is_one_picture_of_a_product() {
    let place = Place::open().await;
    let (file, path) = (png(70, 70), place.images());
    let send = || place.owner.send_file(Method::POST, &path, "image/png", &file);
    let (one, other) = tokio::join!(send(), send());
    let statuses = BTreeSet::from([one.status.as_u16(), other.status.as_u16()]);
    assert_eq!(statuses, BTreeSet::from([200, 201]));
    assert_eq!(one.value(), other.value());
    place.let_time_pass().await;
    place.sweep().await;
    assert_eq!(place.files().len(), 3);
    place.all_is_sound().await;
}

#[tokio::test]
async fn what_was_begun_and_left_is_found_and_can_be_shown_no_more() {
    let place = Place::open().await;
    let person = place.app.register("Viewer").await;
    // Its files are written, and it waits to be shown: here a process may die.
    let mut tx = place.app.db.pool.begin().await.expect("begun");
    let lock = sqlx::query("select 1 from users where id = $1 for no key update").bind(person.id.0);
    lock.execute(&mut *tx).await.expect("locked");
    let sending = tokio::spawn({
        let person = person.clone();
        async move {
            let file = png(80, 80);
            person.send_file(Method::PUT, "/users/avatar", "image/png", &file).await
        }
    });
    place.app.somebody_waits().await;
    assert_eq!((place.count("pending").await, place.files().len()), (1, 3));
    // While it may still be under way it is left alone.
    place.sweep().await;
    assert_eq!((place.count("pending").await, place.files().len()), (1, 3));
    place.let_time_pass().await;
    place.sweep().await;
    assert_eq!((place.count("pending").await, place.files().len()), (0, 0));
    // Should it come back after all, nothing refers to files that are gone.
    tx.rollback().await.expect("rolled back");
    sending.await.expect("answered").refused(408, "request_timeout");
    let me: Value = person.get("/auth/me").await.ok();
    assert_eq!(me["avatar"], Value::Null);
    place.all_is_sound().await;
}

#[tokio::test]
async fn what_is_replaced_stays_for_a_while_and_what_is_deleted_goes_soon() {
    let place = Place::open().await;
    let person = place.app.register("Viewer").await;
    let (first, second) = (avatar(&person, &png(20, 20)).await, avatar(&person, &png(21, 21)).await);
    person.delete("/users/avatar").await.gone();
    let wait = async |picture: &Picture| -> f64 {
        let wait = "select extract(epoch from delete_after - now())::float8 from pictures where id = $1";
        let wait = sqlx::query_scalar(wait).bind(picture.id.0);
        wait.fetch_one(&place.app.db.pool).await.expect("a time")
    };
    let (first_wait, second_wait) = (wait(&first).await, wait(&second).await);
    assert!((80_000.0..86_500.0).contains(&first_wait), "{first_wait}");
    assert!((0.0..61.0).contains(&second_wait), "{second_wait}");
    place.sweep().await;
    assert_eq!(place.app.get(&first.small.url).fetch().await.0, 200);
    place.let_time_pass().await;
    place.sweep().await;
    for url in [&first.small.url, &second.large.url] {
        let reply = place.app.get(url).send().await;
        reply.refused(404, "not_found");
    }
    assert_eq!(place.files().len(), 0);
}

#[tokio::test]
async fn an_order_keeps_the_picture_that_it_shows() {
    let place = Place::open().await;
    let (sold, unsold) = (place.add(&png(90, 90)).await, place.add(&png(91, 91)).await);
    let buyer = place.app.register("Test Buyer").await;
    let address = fixtures::address(&place.app.db.pool, buyer.id).await;
    let items = json!([{"variant_id": place.shop.variant, "quantity": 1}]);
    let body = json!({"address_id": address, "items": items});
    let checkout: Value = buyer
        .post_once("/orders/checkout", Uuid::now_v7(), &body)
        .await
        .created();
    let place_it = json!({"checkout_id": checkout["id"]});
    let order: Value = buyer.post_once("/orders", Uuid::now_v7(), &place_it).await.created();
    let image = order["items"][0]["image_url"].as_str().expect("a url").to_owned();
    assert_eq!(image, sold.medium.url);
    for picture in [&sold, &unsold] {
        place
            .owner
            .delete(&format!("{}/{}", place.images(), picture.id))
            .await
            .gone();
    }
    place.let_time_pass().await;
    place.sweep().await;
    assert_eq!(place.app.get(&image).fetch().await.0, 200);
    assert_eq!(place.app.get(&unsold.medium.url).fetch().await.0, 404);
    assert_eq!((place.count("kept").await, place.count("dropped").await), (1, 0));
    place.all_is_sound().await;
}

#[tokio::test]
async fn who_leaves_takes_their_pictures_along_and_leaves_none_behind() {
    let place = Place::open().await;
    let (person, _) = place.app.seller("Short-lived Shop").await;
    avatar(&person, &png(25, 25)).await;
    let set = person
        .send_file(Method::PUT, "/seller/picture", "image/png", &png(26, 26))
        .await;
    set.ok::<Picture>();
    let new = json!({"title": "Mug", "variants": [{"sku": "MUG", "price_minor": 100, "on_hand": 0}]});
    let product: Value = person.post("/seller/products", &new).await.created();
    let path = format!("/seller/products/{}/images", product["id"].as_str().expect("an id"));
    let added = person.send_file(Method::POST, &path, "image/png", &png(27, 27)).await;
    let added: Picture = added.created();
    assert_eq!(place.files().len(), 9);

    let export: Value = person.get("/auth/export").await.ok();
    let kinds: Vec<_> = { export["pictures"].as_array().expect("pictures").iter() }
        .map(|picture| picture["kind"].as_str().expect("a kind"))
        .collect();
    assert_eq!(kinds, ["avatar", "shop", "product"]);
    assert_eq!(export["pictures"][2]["url"], json!(added.large.url));

    person.post("/auth/leave", &json!({"password": PASSWORD})).await.gone();
    // Without waiting: what is a person's goes at once.
    place.sweep().await;
    assert_eq!(place.files().len(), 0);
    let left: i64 = sqlx::query_scalar("select count(*) from pictures where owner_id = $1")
        .bind(person.id.0)
        .fetch_one(&place.app.db.pool)
        .await
        .expect("a count");
    assert_eq!(left, 0);
    place.all_is_sound().await;
}
