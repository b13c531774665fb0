//! What is taken, what is made of it, and how it is shown.

use std::time::{Duration, Instant};

use core_api::media::Picture;
use image::{DynamicImage, GenericImageView as _, ImageFormat};
use reqwest::Method;
use serde_json::{Value, json};

use super::files::{glass, jpeg, photograph, png, png_with, webp};
use super::{Place, avatar};

fn is_red(picture: &DynamicImage, x: u32, y: u32) -> bool {
    let [r, _, b, _] = picture.get_pixel(x, y).0;
    r > 150 && b < 100
}

/// What an answer says of each size is what is there.
async fn check_sizes(place: &Place, picture: &Picture, expected: [(u32, u32); 3]) {
    let sizes = [&picture.small, &picture.medium, &picture.large];
    for (rendition, (width, height)) in sizes.into_iter().zip(expected) {
        assert_eq!((rendition.width, rendition.height), (width, height), "{rendition:?}");
        assert_eq!(place.shown(&rendition.url).await.dimensions(), (width, height));
    }
}

#[tokio::test]
async fn a_person_has_a_picture_in_three_sizes_cut_to_a_square() {
    let place = Place::open().await;
    let person = place.app.register("Viewer").await;
    let picture = avatar(&person, &png(1_200, 900)).await;
    check_sizes(&place, &picture, [(64, 64), (192, 192), (512, 512)]).await;
    let me: Value = person.get("/auth/me").await.ok();
    assert_eq!(me["avatar"], json!(picture));
    let handle = me["handle"].as_str().expect("a handle");
    let seen: Value = place.app.get(&format!("/profiles/{handle}")).send().await.ok();
    assert_eq!(seen["avatar"], json!(picture));

    person.delete("/users/avatar").await.gone();
    person.delete("/users/avatar").await.gone();
    let me: Value = person.get("/auth/me").await.ok();
    assert_eq!(me["avatar"], Value::Null);
    place.all_is_sound().await;
}

#[tokio::test]
async fn a_shop_has_a_picture() {
    let place = Place::open().await;
    let set = place
        .owner
        .send_file(Method::PUT, "/seller/picture", "image/webp", &webp(300, 700))
        .await;
    let picture: Picture = set.ok();
    check_sizes(&place, &picture, [(64, 64), (192, 192), (300, 300)]).await;
    let path = format!("/sellers/{}", place.shop.seller);
    let shop: Value = place.app.get(&path).send().await.ok();
    assert_eq!(shop["picture"], json!(picture));
    place.owner.delete("/seller/picture").await.gone();
    // A shop's page is read once a second at most.
    let began = Instant::now();
    while place.app.get(&path).send().await.ok::<Value>()["picture"] != Value::Null {
        assert!(began.elapsed() < Duration::from_secs(20), "the picture stays");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_show_has_a_cover() {
    let place = Place::open().await;
    let path = format!("/streams/{}", place.shop.stream);
    let set = place
        .owner
        .send_file(Method::PUT, &place.cover(), "image/jpeg", &jpeg(2_000, 1_000))
        .await;
    let picture: Picture = set.ok();
    check_sizes(&place, &picture, [(320, 160), (960, 480), (1_920, 960)]).await;
    let show: Value = place.app.get(&path).send().await.ok();
    assert_eq!(show["cover"], json!(picture));
    assert_eq!(show["cover_url"], json!(picture.large.url));
    place.owner.delete(&place.cover()).await.gone();
    let show: Value = place.app.get(&path).send().await.ok();
    assert_eq!((&show["cover"], &show["cover_url"]), (&Value::Null, &json!("")));

    place.run("update streams set status = 'ended', ended_at = now()").await;
    let late = place
        .owner
        .send_file(Method::PUT, &place.cover(), "image/png", &png(10, 10))
        .await;
    late.refused(409, "wrong_state");
    place.owner.delete(&place.cover()).await.refused(409, "wrong_state");
    place.all_is_sound().await;
}

#[tokio::test]
async fn a_product_has_pictures_in_an_order_and_the_first_stands_for_it() {
    let place = Place::open().await;
    let path = format!("/products/{}", place.shop.product);
    let product = async || place.app.get(&path).send().await.ok::<Value>();
    let version = product().await["version"].as_i64().expect("a version");
    let first = place.add(&png(2_000, 1_500)).await;
    check_sizes(&place, &first, [(160, 120), (640, 480), (1_600, 1_200)]).await;
    let second = place.add(&png(30, 60)).await;
    let shown = product().await;
    assert_eq!(shown["images"], json!([first, second]));
    assert_eq!(shown["image_url"], json!(first.medium.url));
    assert!(
        shown["version"].as_i64() > Some(version),
        "copies of the page are old now"
    );

    let order = format!("{}/order", place.images());
    let body = json!({"images": [second.id, first.id]});
    let answer: Value = place.owner.put(&order, &body).await.ok();
    assert_eq!(answer["images"], json!([second, first]));
    assert_eq!(product().await["image_url"], json!(second.medium.url));
    for wrong in [
        json!([first.id]),
        json!([first.id, first.id]),
        json!([first.id, second.id, uuid::Uuid::now_v7()]),
    ] {
        let refused = place.owner.put(&order, &json!({"images": wrong})).await;
        refused.refused(422, "invalid_body");
    }
    let own: Value = place
        .owner
        .get(&format!("/seller/products/{}", place.shop.product))
        .await
        .ok();
    assert_eq!(own["images"], json!([second, first]));
    let list: Value = place.app.get("/products").send().await.ok();
    assert_eq!(list["items"][0]["images"], json!([second, first]));

    place
        .owner
        .delete(&format!("{}/{}", place.images(), second.id))
        .await
        .gone();
    let again = place.owner.delete(&format!("{}/{}", place.images(), second.id)).await;
    again.refused(404, "not_found");
    assert_eq!(product().await["images"], json!([first]));
    place
        .owner
        .delete(&format!("{}/{}", place.images(), first.id))
        .await
        .gone();
    let shown = product().await;
    assert_eq!((&shown["images"], &shown["image_url"]), (&json!([]), &json!("")));
    place.all_is_sound().await;
}

#[tokio::test]
async fn a_product_has_ten_pictures_at_most_and_an_archived_one_gets_none() {
    let place = Place::open().await;
    let mut last = None;
    for side in 1..=10 {
        last = Some(place.add(&png(side, side)).await);
    }
    let send = async |side| {
        let file = png(side, side);
        place
            .owner
            .send_file(Method::POST, &place.images(), "image/png", &file)
            .await
    };
    send(11).await.refused(409, "conflict");
    place.run("update products set status = 'archived'").await;
    send(12).await.refused(409, "wrong_state");
    let last = last.expect("the tenth").id;
    let gone = place.owner.delete(&format!("{}/{last}", place.images())).await;
    gone.refused(409, "wrong_state");
}

#[tokio::test]
async fn the_same_file_again_changes_nothing() {
    let place = Place::open().await;
    let file = png(50, 50);
    let first = place.add(&file).await;
    let again = place
        .owner
        .send_file(Method::POST, &place.images(), "image/png", &file)
        .await;
    assert_eq!(again.ok::<Picture>(), first);
    let person = place.app.register("Viewer").await;
    let avatars = [avatar(&person, &file).await, avatar(&person, &file).await];
    assert_eq!(avatars[0], avatars[1]);
    assert_eq!(place.count("shown").await, 2);
    assert_eq!(place.files().len(), 6);
}

#[tokio::test]
async fn what_a_camera_noted_is_gone_and_the_picture_stands_upright() {
    let place = Place::open().await;
    // Held so that the picture's top is on the left of what the sensor saw (6: turn it
    // clockwise), upside down, and mirrored.
    for (orientation, sides, top) in [
        (6, (60, 80), (50, 40)),
        (3, (80, 60), (40, 50)),
        (1, (80, 60), (40, 10)),
    ] {
        let file = photograph(80, 60, orientation, "53.5461 N, 9.9937 E");
        assert!(file.windows(7).any(|bytes| bytes == b"53.5461"));
        let picture = place.add(&file).await;
        assert_eq!((picture.large.width, picture.large.height), sides, "{orientation}");
        for rendition in [&picture.small, &picture.medium, &picture.large] {
            let (_, _, body) = place.app.get(&rendition.url).fetch().await;
            assert!(!body.windows(4).any(|bytes| bytes == b"Exif"), "{orientation}");
            assert!(!body.windows(7).any(|bytes| bytes == b"53.5461"), "{orientation}");
        }
        let large = place.shown(&picture.large.url).await;
        assert!(
            is_red(&large, top.0, top.1),
            "{orientation}: the sky is not where it was"
        );
    }
}

#[tokio::test]
async fn what_a_file_has_besides_its_pixels_is_gone() {
    let place = Place::open().await;
    let script = b"<script>alert(1)</script>";
    let text = [b"Comment\0".as_slice(), script].concat();
    let after = [jpeg(40, 40).as_slice(), script].concat();
    for file in [png_with(b"tEXt", &text), after] {
        let picture = place.add(&file).await;
        let (_, headers, body) = place.app.get(&picture.large.url).fetch().await;
        assert_eq!(headers["content-type"], "image/jpeg");
        assert!(!body.windows(script.len()).any(|bytes| bytes == script));
    }
}

#[tokio::test]
async fn what_something_shines_through_keeps_that() {
    let place = Place::open().await;
    let picture = place.add(&glass(200, 100)).await;
    assert!(picture.medium.url.ends_with("-medium.webp"), "{}", picture.medium.url);
    let (_, headers, body) = place.app.get(&picture.medium.url).fetch().await;
    assert_eq!(headers["content-type"], "image/webp");
    assert_eq!(image::guess_format(&body).expect("known"), ImageFormat::WebP);
    let shown = place.shown(&picture.medium.url).await;
    assert!(shown.get_pixel(100, 10).0[3] < 150 && shown.get_pixel(100, 90).0[3] == 255);
}

#[tokio::test]
async fn the_content_decides_what_it_is_and_not_what_it_is_called() {
    let place = Place::open().await;
    for media in [
        "image/png",
        "image/svg+xml",
        "application/octet-stream",
        "IMAGE/JPEG; x=y",
    ] {
        let person = place.app.register("Viewer").await;
        let set = person
            .send_file(Method::PUT, "/users/avatar", media, &jpeg(20, 20))
            .await;
        let picture: Picture = set.ok();
        let (_, headers, body) = place.app.get(&picture.large.url).fetch().await;
        assert_eq!(headers["content-type"], "image/jpeg", "{media}");
        assert_eq!(image::guess_format(&body).expect("known"), ImageFormat::Jpeg);
    }
}

#[tokio::test]
async fn a_picture_may_be_kept_for_good_and_runs_nothing() {
    let place = Place::open().await;
    let picture = place.add(&png(100, 100)).await;
    let url = picture.medium.url.as_str();
    let (status, headers, body) = place.app.get(url).fetch().await;
    assert_eq!(status, 200);
    let header = |name: &str| headers[name].to_str().expect("text").to_owned();
    assert_eq!(header("content-type"), "image/jpeg");
    assert_eq!(header("content-length"), body.len().to_string());
    assert_eq!(header("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("cross-origin-resource-policy"), "cross-origin");
    assert!(header("content-security-policy").starts_with("default-src 'none'"));
    assert!(header("content-disposition").starts_with("inline; filename="));
    let etag = header("etag");
    let again = |tags: String| place.app.get(url).header("if-none-match", &tags).fetch();
    for tags in [etag.clone(), format!("\"x\", W/{etag}"), "*".to_owned()] {
        let (status, headers, body) = again(tags).await;
        assert_eq!((status.as_u16(), body.len()), (304, 0));
        assert_eq!(headers["etag"].to_str().expect("text"), etag);
        assert_eq!(headers["cache-control"], "public, max-age=31536000, immutable");
    }
    assert_eq!(again("\"x\"".to_owned()).await.0, 200);
    let (status, headers, body) = place.app.method(Method::HEAD, url).fetch().await;
    assert_eq!((status.as_u16(), body.len()), (200, 0));
    assert_eq!(headers["etag"].to_str().expect("text"), etag);
    // The other sizes have tags of their own.
    let (_, headers, _) = place.app.get(&picture.small.url).fetch().await;
    assert_ne!(headers["etag"].to_str().expect("text"), etag);
}

#[tokio::test]
async fn what_stands_for_a_product_is_one_of_its_pictures_whatever_is_said() {
    let place = Place::open().await;
    let (first, second) = (place.add(&png(20, 20)).await, place.add(&png(30, 30)).await);
    let delete = async |picture: &Picture| {
        let path = format!("{}/{}", place.images(), picture.id);
        place.owner.delete(&path).await.gone();
    };
    let product = format!("/seller/products/{}", place.shop.product);
    let say = async |url: &str| -> String {
        let own: Value = place.owner.patch(&product, &json!({"image_url": url})).await.ok();
        own["image_url"].as_str().expect("text").to_owned()
    };
    delete(&first).await;
    let elsewhere = "https://cdn.example/a.png";
    assert_eq!(say(&first.medium.url).await, second.medium.url);
    assert_eq!(say(elsewhere).await, second.medium.url);
    delete(&second).await;
    assert_eq!(say(&first.medium.url).await, "");
    assert_eq!(say(elsewhere).await, elsewhere);
}
