//! What is not taken, and that it costs nothing.

use std::os::unix::fs::PermissionsExt as _;

use reqwest::Method;
use shared::ids::ProductId;

use super::Place;
use super::files::{GIF, bomb, jpeg, moving_webp, png, png_with, webp};

#[tokio::test]
async fn what_is_no_still_picture_is_refused_whatever_it_is_called() {
    let place = Place::open().await;
    let cut = |file: Vec<u8>| file[..file.len() * 2 / 3].to_vec();
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"/>";
    let html = b"<!doctype html><script>alert(1)</script>";
    let mut torn = png(64, 64);
    let middle = torn.len() - 40;
    torn[middle..middle + 20].fill(0x55);
    let files: [(&str, &[u8], u16, &str); 16] = [
        ("nothing", b"", 415, "unsupported_media_type"),
        ("an SVG", svg, 415, "unsupported_media_type"),
        ("a page", html, 415, "unsupported_media_type"),
        (
            "a page that begins as a GIF",
            b"GIF89a/*<script>alert(1)</script>*/",
            415,
            "unsupported_media_type",
        ),
        ("a GIF", GIF, 415, "unsupported_media_type"),
        ("a PDF", b"%PDF-1.7", 415, "unsupported_media_type"),
        (
            "a page that begins as a PNG",
            &[b"\x89PNG\r\n\x1a\n".as_slice(), html].concat(),
            422,
            "picture_unfit",
        ),
        (
            "a page that begins as a JPEG",
            &[b"\xff\xd8\xff".as_slice(), html].concat(),
            422,
            "picture_unfit",
        ),
        ("half a JPEG", &cut(jpeg(64, 64)), 422, "picture_unfit"),
        ("half a PNG", &cut(png(64, 64)), 422, "picture_unfit"),
        ("half a WebP", &cut(webp(64, 64)), 422, "picture_unfit"),
        ("a torn PNG", &torn, 422, "picture_unfit"),
        (
            "a PNG that moves",
            &png_with(b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0]),
            422,
            "picture_unfit",
        ),
        ("a WebP that moves", &moving_webp(), 422, "picture_unfit"),
        ("a bomb", &bomb(60_000, 60_000), 422, "picture_unfit"),
        ("a bomb within the sides", &bomb(16_000, 16_000), 422, "picture_unfit"),
    ];
    for (what, file, status, code) in files {
        let reply = place
            .owner
            .send_file(Method::POST, &place.images(), "image/png", file)
            .await;
        assert_eq!(reply.status.as_u16(), status, "{what}: {}", reply.text);
        reply.refused(status, code);
    }
    // Nothing was begun.
    assert_eq!(place.count("pending").await + place.count("shown").await, 0);
    assert_eq!(place.files().len(), 0);
}

#[tokio::test]
async fn a_body_that_calls_itself_something_else_is_refused_unread() {
    let place = Place::open().await;
    for media in ["text/html", "multipart/form-data; boundary=x", "application/json"] {
        let reply = place
            .owner
            .send_file(Method::PUT, &place.cover(), media, &png(10, 10))
            .await;
        reply.refused(415, "unsupported_media_type");
    }
}

#[tokio::test]
async fn a_file_has_so_many_bytes_and_a_picture_so_many_pixels() {
    let place = Place::with(|config| {
        config.media.file_max_bytes = 20_000;
        config.media.pixels_max = 10_000;
    })
    .await;
    let send = async |file: Vec<u8>| {
        let sent = place.owner.send_file(Method::PUT, "/users/avatar", "image/png", &file);
        sent.await
    };
    send(png(100, 100)).await.ok::<serde_json::Value>();
    send(png(101, 100)).await.refused(422, "picture_unfit");
    let mut long = png(100, 100);
    long.resize(20_001, 0);
    send(long).await.refused(413, "payload_too_large");
}

#[tokio::test]
async fn who_has_not_confirmed_their_address_uploads_nothing() {
    let place = Place::open().await;
    let viewer = place.app.register_unconfirmed("Viewer").await;
    let file = png(10, 10);
    let sent = viewer.send_file(Method::PUT, "/users/avatar", "image/png", &file);
    sent.await.refused(403, "email_unconfirmed");
    assert_eq!(place.files().len(), 0);
}

#[tokio::test]
async fn many_accounts_at_one_address_upload_only_so_often() {
    let place = Place::with(|config| config.media.uploads_per_hour = std::num::NonZeroU32::MIN).await;
    for nth in 0..5 {
        let viewer = place.app.register("Viewer").await;
        let sent = viewer
            .send_file(Method::PUT, "/users/avatar", "image/png", &png(10, 10))
            .await;
        if nth < 4 {
            sent.ok::<serde_json::Value>();
        } else {
            sent.refused(429, "rate_limited");
        }
    }
}

#[tokio::test]
async fn all_pictures_together_take_only_so_much() {
    let place = Place::with(|config| config.media.total_bytes = 20_000).await;
    let mut kept = 0;
    let refused = loop {
        let file = png(10 + kept, 10);
        let sent = place
            .owner
            .send_file(Method::PUT, "/users/avatar", "image/png", &file)
            .await;
        if sent.status != 200 {
            break sent;
        }
        kept += 1;
        assert!(kept < 100, "it has no end");
    };
    let refused = refused.refused(503, "storage_unavailable");
    assert!(
        kept > 1 && refused["retry_after_ms"].as_u64() > Some(60_000),
        "{kept} {refused}"
    );
    let bytes = "select sum(size_bytes)::bigint from pictures";
    let bytes: i64 = sqlx::query_scalar(bytes)
        .fetch_one(&place.app.db.pool)
        .await
        .expect("a sum");
    assert!(bytes <= 20_000, "{bytes}");
    assert_eq!(place.count("pending").await, 0, "nothing was begun");
}

#[tokio::test]
async fn an_account_uploads_so_often_and_has_so_many() {
    let place = Place::with(|config| {
        config.media.uploads_per_hour = std::num::NonZeroU32::new(4).expect("four");
        config.media.pictures_per_account = 2;
    })
    .await;
    let send = async |side| {
        let file = png(side, side);
        place
            .owner
            .send_file(Method::POST, &place.images(), "image/png", &file)
            .await
    };
    for side in [1, 2] {
        assert_eq!(send(side).await.status, 201);
    }
    send(3).await.refused(409, "conflict");
    send(4).await.refused(409, "conflict");
    let reply = send(5).await;
    reply.refused(429, "rate_limited");
    assert!(!reply.header("retry-after").is_empty());
}

#[tokio::test]
async fn a_server_without_a_store_says_so() {
    let place = Place::with(|config| config.media.folder = None).await;
    let reply = place
        .owner
        .send_file(Method::PUT, "/users/avatar", "image/png", &png(10, 10))
        .await;
    reply.refused(503, "storage_unavailable");
}

#[tokio::test]
async fn what_is_not_ones_own_is_not_there() {
    let place = Place::open().await;
    let (stranger, _) = place.app.seller("Other Shop").await;
    let picture = place.add(&png(10, 10)).await;
    for path in [place.images(), format!("/seller/products/{}/images", ProductId::new())] {
        let reply = stranger.send_file(Method::POST, &path, "image/png", &png(10, 10)).await;
        reply.refused(404, "not_found");
    }
    let theirs = format!("{}/{}", place.images(), picture.id);
    stranger.delete(&theirs).await.refused(404, "not_found");
    let reply = stranger
        .send_file(Method::PUT, &place.cover(), "image/png", &png(10, 10))
        .await;
    reply.refused(404, "not_found");
    assert_eq!(place.count("shown").await, 1);
    assert_eq!(place.files().len(), 3);
}

#[tokio::test]
async fn no_name_leads_out_of_the_folder() {
    let place = Place::open().await;
    let picture = place.add(&png(10, 10)).await;
    std::fs::write(place.app.media.path().join("secret.jpg"), "secret").expect("written");
    let id = picture.id;
    let root = place.app.media.path().join("files");
    let mode = std::fs::metadata(&root).expect("the folder").permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "only its owner looks into it");
    for name in [
        "secret.jpg",
        "..%2fsecret.jpg",
        "%2e%2e%2fsecret.jpg",
        "..%5csecret.jpg",
        "..%252fsecret.jpg",
        "%2fetc%2fpasswd",
        "../secret.jpg",
        &format!("{id}-large.jpg%00"),
        &format!("{id}-large.jpg%2f..%2f..%2fsecret.jpg"),
        &format!("{id}-LARGE.jpg"),
        &format!("{id}-large.webp"),
        &format!("{}-large.jpg", id.to_string().to_uppercase()),
        &format!("{}-large.jpg", id.0.simple()),
        &format!("{}-large.jpg", uuid::Uuid::now_v7()),
    ] {
        let (status, _, body) = place.app.get(&format!("/media/{name}")).fetch().await;
        assert_eq!(status, 404, "{name}");
        assert!(
            !body.windows(6).any(|bytes| bytes == b"secret") || body.starts_with(b"{"),
            "{name}"
        );
    }
}
