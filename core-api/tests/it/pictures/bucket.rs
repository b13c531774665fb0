//! Pictures in a bucket. The server here knows just what S3 must know for it; name another
//! with `S3_ENDPOINT` (and `S3_BUCKET`, which must exist) to try that one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::Method as ServerMethod;
use actix_web::{App, HttpRequest, HttpResponse, HttpResponseBuilder, HttpServer, web};
use core_api::media::{self, Bucket, Media, MediaConfig, Picture};
use futures_util::stream;
use reqwest::Method;
use shared::config::Secret;

use super::files::{glass, png};
use super::{Place, avatar};

type Objects = Arc<Mutex<BTreeMap<String, (String, web::Bytes)>>>;

/// Media types of objects that come slowly, and of such that never come whole.
const SLOW: &str = "test/slow";
const STALLED: &str = "test/stalled";
const PIECES: usize = 26;
/// How long the bucket may keep us waiting, for less than which there is a piece.
const WAIT: Duration = Duration::from_secs(2);

/// An object of which a piece comes every tenth of a second, the first so many.
fn in_pieces(response: &mut HttpResponseBuilder, body: web::Bytes, pieces: usize) -> HttpResponse {
    let turns = tokio::time::interval(Duration::from_millis(100));
    response.no_chunking(body.len() as u64);
    response.streaming(stream::unfold((turns, 0), move |(mut turns, nth)| {
        let length = body.len().div_ceil(PIECES);
        let piece = body.slice((nth * length).min(body.len())..((nth + 1) * length).min(body.len()));
        async move {
            turns.tick().await;
            if nth == pieces && pieces < PIECES {
                std::future::pending::<()>().await;
            }
            (nth < pieces).then(|| (Ok::<_, std::io::Error>(piece), (turns, nth + 1)))
        }
    }))
}

/// S3 as far as it goes: objects by path, for who signs with the key.
async fn serve(request: HttpRequest, body: web::Bytes, objects: web::Data<Objects>) -> HttpResponse {
    let header = |name: &str| {
        let value = request.headers().get(name);
        value.map_or("", |value| value.to_str().expect("text")).to_owned()
    };
    if !header("authorization").starts_with("AWS4-HMAC-SHA256 Credential=the-key/") {
        return HttpResponse::Forbidden().finish();
    }
    let (path, mut objects) = (request.path().to_owned(), objects.lock().expect("sound"));
    match *request.method() {
        ServerMethod::PUT => {
            objects.insert(path, (header("content-type"), body));
            HttpResponse::Ok().insert_header(("etag", "\"1\"")).finish()
        }
        ServerMethod::DELETE => {
            objects.remove(&path);
            HttpResponse::NoContent().finish()
        }
        _ => objects.get(&path).map_or_else(
            || HttpResponse::NotFound().finish(),
            |(media, body)| {
                let mut response = HttpResponse::Ok();
                let response = response.insert_header(("etag", "\"1\"")).content_type(media.as_str());
                response.insert_header(("last-modified", "Mon, 23 Nov 2026 12:00:00 GMT"));
                match media.as_str() {
                    SLOW => in_pieces(response, body.clone(), PIECES),
                    STALLED => in_pieces(response, body.clone(), 1),
                    _ => response.body(body.clone()),
                }
            },
        ),
    }
}

fn start(objects: &Objects) -> (String, ServerHandle) {
    let data = web::Data::new(objects.clone());
    let server = HttpServer::new(move || {
        let payload = web::PayloadConfig::new(64 << 20);
        App::new()
            .app_data(data.clone())
            .app_data(payload)
            .default_service(web::to(serve))
    });
    let server = server.workers(1).disable_signals().shutdown_timeout(1);
    let server = server.bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", server.addrs()[0]);
    let server = server.run();
    let handle = server.handle();
    tokio::spawn(server);
    (endpoint, handle)
}

fn bucket(endpoint: &str) -> Bucket {
    Bucket {
        name: std::env::var("S3_BUCKET").unwrap_or_else(|_| "pictures".to_owned()),
        endpoint: Some(std::env::var("S3_ENDPOINT").unwrap_or_else(|_| endpoint.to_owned())),
        region: "us-east-1".to_owned(),
        access_key: Some("the-key".to_owned()),
        secret_key: Some(Secret::new("the-secret".to_owned())),
        wait: WAIT,
        virtual_host: false,
    }
}

#[tokio::test]
async fn a_picture_takes_as_long_as_it_takes_and_a_bucket_that_stalls_is_given_up() {
    let objects = Objects::default();
    let (endpoint, _server) = start(&objects);
    let mut here = bucket(&endpoint);
    here.endpoint = Some(endpoint);
    let place = Place::with(|config| config.media.bucket = Some(here)).await;
    let person = place.app.register("Viewer").await;
    let picture = avatar(&person, &png(600, 600)).await;
    let get = async |media: &str| {
        for (path, (stored_as, _)) in objects.lock().expect("sound").iter_mut() {
            if path.contains("-large.") {
                media.clone_into(stored_as);
            }
        }
        let url = format!("{}{}", place.app.origin(), picture.large.url);
        let answer = reqwest::get(url).await.expect("an answer");
        (answer.content_length(), answer.bytes().await)
    };
    let (length, whole) = get(SLOW).await;
    assert_eq!(Some(whole.expect("all of it").len() as u64), length);
    let (_, broken_off) = get(STALLED).await;
    assert!(broken_off.is_err());
}

#[tokio::test]
async fn a_bucket_keeps_pictures_as_a_folder_does() {
    let objects = Objects::default();
    let (endpoint, _server) = start(&objects);
    let place = Place::with(|config| config.media.bucket = Some(bucket(&endpoint))).await;
    let person = place.app.register("Viewer").await;
    let picture = avatar(&person, &png(300, 300)).await;
    assert_eq!(place.shown(&picture.medium.url).await.width(), 192);
    let second = avatar(&person, &glass(40, 40)).await;
    let (status, headers, _) = place.app.get(&second.large.url).fetch().await;
    assert_eq!(status, 200);
    assert_eq!(headers["content-type"], "image/webp");
    let etag = headers["etag"].to_str().expect("text");
    let known = place.app.get(&second.large.url).header("if-none-match", etag);
    assert_eq!(known.fetch().await.0, 304);
    assert_eq!(place.files().len(), 0, "the folder is not used");

    place.let_time_pass().await;
    let config = MediaConfig {
        bucket: Some(bucket(&endpoint)),
        ..MediaConfig::default()
    };
    let media = Media::open(&config).expect("the settings go together");
    media::sweep(&place.app.db.pool, &media, 100).await.expect("swept");
    let gone = place.app.get(&picture.medium.url).send().await;
    gone.refused(404, "not_found");
    assert_eq!(place.app.get(&second.large.url).fetch().await.0, 200);
    place.all_is_sound().await;
}

#[tokio::test]
async fn a_bucket_that_is_away_refuses_and_leaves_nothing_that_is_not_found_again() {
    let objects = Objects::default();
    let (endpoint, server) = start(&objects);
    let mut away = bucket(&endpoint);
    away.endpoint = Some(endpoint);
    let place = Place::with(|config| config.media.bucket = Some(away)).await;
    let person = place.app.register("Viewer").await;
    let picture: Picture = avatar(&person, &png(30, 30)).await;
    // In order: one that is told to be gone at once may answer for a moment yet.
    server.stop(true).await;
    let set = person
        .send_file(Method::PUT, "/users/avatar", "image/png", &png(31, 31))
        .await;
    let refused = set.refused(503, "storage_unavailable");
    assert!(refused["retry_after_ms"].as_u64() > Some(0));
    let seen = place.app.get(&picture.small.url).send().await;
    seen.refused(503, "storage_unavailable");
    assert_eq!((place.count("shown").await, place.count("pending").await), (1, 1));
    place.all_is_sound().await;
}
