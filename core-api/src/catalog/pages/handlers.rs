//! Product pages over HTTP, with entity tags (RFC 9110, 8.8.3 and 13.1.2).

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, get, web};
use shared::ids::ProductId;

use super::cache::Page;
use crate::catalog::pages;
use crate::catalog::products::Product;
use crate::http::{Id, Result, is_known};
use crate::state::State;

/// Whoever keeps a copy asks whether it is still so before it is shown: prices must be.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("public, no-cache");

/// An active product. Send its `ETag` as `If-None-Match` to be told only whether it has
/// changed.
#[utoipa::path(
    tag = "catalog",
    params(("If-None-Match" = Option<String>, Header, description = "Entity tags of copies one has")),
    responses(
        (status = 200, description = "The product", body = Product,
            headers(("ETag" = String, description = "Another one for whatever changes"))),
        (status = 304, description = "It is as one of the copies")
    )
)]
#[get("/products/{id}")]
pub async fn get(state: web::Data<State>, id: Id<ProductId>, request: HttpRequest) -> Result<HttpResponse> {
    let page = pages::get(&state, id.0).await?;
    Ok(answer(&page, &request))
}

/// A page, or that it is as one of the copies that the client has.
pub(crate) fn answer(page: &Page, request: &HttpRequest) -> HttpResponse {
    let known = is_known(request, &page.etag);
    let mut response = if known {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    response
        .insert_header((header::ETAG, page.etag.as_str()))
        .insert_header((header::CACHE_CONTROL, CACHE_CONTROL));
    if known {
        return response.finish();
    }
    response.content_type("application/json").body(page.body.clone())
}
