//! Pictures as everybody sees them, over HTTP. What is at an address never changes, so
//! whoever has it needs not ask again; and a browser shows it as a picture or not at all.

use actix_web::body::SizedStream;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, get, web};
use futures_util::TryStreamExt as _;
use shared::error::ErrorCode;

use super::model::FileName;
use crate::http::{Result, is_known};
use crate::state::State;

const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// Opened by itself it may load and run nothing.
const POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox");
/// Pages of other origins may show it.
const RESOURCE_POLICY: HeaderValue = HeaderValue::from_static("cross-origin");

/// A picture that was uploaded, in one size, as answers name it.
#[utoipa::path(
    tag = "pictures",
    params(
        ("file" = String, Path, description = "As an answer named it", max_length = 60,
            example = "0191e2a4-9000-7000-8000-00000000000c-medium.jpg"),
        ("If-None-Match" = Option<String>, Header, description = "Entity tags of copies one has")
    ),
    responses(
        (status = 200, description = "The picture; it may be kept for good",
            content((super::model::PictureFile = "image/jpeg"), (super::model::PictureFile = "image/webp")),
            headers(("ETag" = String, description = "Its name"))),
        (status = 304, description = "One has it"),
        (status = 404, description = "There is none of this name, or none any more"),
        (status = 503, description = "`storage_unavailable`: the store does not answer")
    )
)]
#[get("/media/{file}")]
pub async fn get(state: web::Data<State>, file: web::Path<String>, request: HttpRequest) -> Result<HttpResponse> {
    let name: FileName = file.parse().map_err(|()| ErrorCode::NotFound)?;
    let etag = format!("\"{}\"", name.to_string().split('.').next().unwrap_or_default());
    let known = is_known(&request, &etag);
    let found = state.media.objects()?.get(&name, known).await?;
    let found = found.ok_or(ErrorCode::NotFound)?;
    let mut response = if known {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    response
        .insert_header((header::ETAG, etag))
        .insert_header((header::CACHE_CONTROL, CACHE_CONTROL));
    if known {
        return Ok(response.finish());
    }
    response
        .content_type(name.format.media_type())
        .insert_header((header::CONTENT_DISPOSITION, format!("inline; filename=\"{name}\"")))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::CROSS_ORIGIN_RESOURCE_POLICY, RESOURCE_POLICY));
    let bytes = found.bytes.map_err(|error| {
        // The head is sent: all that is left is to break off, which the client notices.
        tracing::warn!(%error, "a picture broke off");
        std::io::Error::other("the picture broke off")
    });
    Ok(response.body(SizedStream::new(found.size_bytes, bytes)))
}
