//! The pages: the files of `web/`, inside the program, and the demo shop's pictures.
//!
//! Every answer carries an entity tag and is asked for again each time, so that a new
//! version is seen at once and costs nothing when there is none. Nothing is loaded from
//! elsewhere but pictures that sellers link to, and the policy in the header says so.

use std::hash::{DefaultHasher, Hash, Hasher};

use actix_web::http::header::{self, CacheDirective, EntityTag, Header, IfNoneMatch};
use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Resource};
use core_api::http::Result;
use rust_embed::RustEmbed;
use shared::error::ErrorCode;
use uuid::Uuid;

use crate::pictures;
use crate::seed::catalogue::picture_kind;

#[derive(RustEmbed)]
#[folder = "../web/assets/"]
struct Assets;

const INDEX: &str = include_str!("../../web/index.html");
const ACCOUNT: &str = include_str!("../../web/account.html");
/// Pictures of an id never change.
const PICTURE_SECONDS: u32 = 24 * 60 * 60;

/// Registers the pages.
pub fn all(config: &mut ServiceConfig) {
    config
        .service(readable("/", index))
        .service(readable("/live/{id}", index))
        .service(readable("/account", account))
        .service(readable("/assets/{path:.*}", asset))
        .service(readable("/pictures/{id}.svg", picture));
}

/// A resource for GET and HEAD.
fn readable<H, Args>(path: &str, handler: H) -> Resource
where
    H: actix_web::Handler<Args, Output = Result<HttpResponse>>,
    Args: actix_web::FromRequest + 'static,
{
    web::resource(path)
        .route(web::get().to(handler.clone()))
        .route(web::head().to(handler))
}

async fn index(request: HttpRequest, state: Data<core_api::State>) -> Result<HttpResponse> {
    Ok(page(&request, &state, INDEX))
}

/// Where mailed links lead.
async fn account(request: HttpRequest, state: Data<core_api::State>) -> Result<HttpResponse> {
    Ok(page(&request, &state, ACCOUNT))
}

fn page(request: &HttpRequest, state: &core_api::State, html: &str) -> HttpResponse {
    let policy = page_policy(&state.config.live_url);
    answer(
        request,
        html.as_bytes().to_vec(),
        "text/html; charset=utf-8",
        &policy,
        CacheDirective::NoCache,
    )
}

async fn asset(request: HttpRequest, path: Path<String>) -> Result<HttpResponse> {
    let file = Assets::get(&path).ok_or(ErrorCode::NotFound)?;
    let media = match mime_guess::from_path(path.as_str()).first_or_octet_stream() {
        media if media.type_() == "text" => format!("{media}; charset=utf-8"),
        media => media.to_string(),
    };
    let body = file.data.into_owned();
    Ok(answer(
        &request,
        body,
        &media,
        NO_CONTENT_POLICY,
        CacheDirective::NoCache,
    ))
}

async fn picture(request: HttpRequest, id: Path<Uuid>) -> Result<HttpResponse> {
    let kind = picture_kind(*id).ok_or(ErrorCode::NotFound)?;
    let body = pictures::draw(*id, kind).into_bytes();
    let keep = CacheDirective::MaxAge(PICTURE_SECONDS);
    Ok(answer(&request, body, "image/svg+xml", NO_CONTENT_POLICY, keep))
}

/// For what is no page: opened by itself, it may do nothing.
const NO_CONTENT_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// What the page may load and whom it may call: this server, and the engine's sockets.
fn page_policy(live_url: &str) -> String {
    let sockets = origin_of(live_url);
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; manifest-src 'self'; \
         img-src 'self' data: https:; connect-src 'self' {sockets}; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
}

/// Scheme, host and port of a URL.
fn origin_of(url: &str) -> &str {
    let host = url.find("://").map_or(0, |scheme| scheme + 3);
    let end = url[host..].find('/').map_or(url.len(), |slash| host + slash);
    &url[..end]
}

/// The body, or the word that the caller has it already.
fn answer(request: &HttpRequest, body: Vec<u8>, media: &str, policy: &str, cache: CacheDirective) -> HttpResponse {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    let tag = EntityTag::new_strong(format!("{:016x}", hasher.finish()));
    let known = IfNoneMatch::parse(request).is_ok_and(|known| match known {
        IfNoneMatch::Any => true,
        IfNoneMatch::Items(tags) => tags.iter().any(|known| known.weak_eq(&tag)),
    });
    let mut response = if known {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    response
        .insert_header(header::ETag(tag))
        .insert_header(header::CacheControl(vec![cache]))
        .insert_header((header::CONTENT_SECURITY_POLICY, policy))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "same-origin"));
    if known {
        return response.finish();
    }
    response.insert_header((header::CONTENT_TYPE, media)).body(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_this_server_and_the_sockets_and_nobody_else() {
        let policy = page_policy("wss://live.shop.example:8081/ws");
        assert!(
            policy.contains("connect-src 'self' wss://live.shop.example:8081;"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe") && !policy.contains('*'));
    }
}
