//! Uploads over HTTP: the body is the file itself. Whose it is, and whether they may, is
//! settled before a byte of it is read.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, delete, post, put, web};
use shared::error::{ErrorCode, Refusal};
use shared::ids::{PictureId, ProductId, StreamId};
use utoipa::IntoResponses;

use super::model::{Picture, PictureFile, PictureOrder, Pictures};
use crate::catalog::products;
use crate::http::{Body, Caller, Confirmed, Id, Result, Shopkeeper, client_address};
use crate::state::State;
use crate::{identity, sellers, streams};

/// Why a picture is not taken, whosever it is. It describes answers, and is none.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "it describes answers")]
enum NotTaken {
    /// `malformed`: the body broke off
    #[response(status = 400)]
    BrokeOff,
    /// `payload_too_large`
    #[response(status = 413)]
    TooLarge,
    /// `unsupported_media_type`: the content is none of the three, whatever it is called
    #[response(status = 415)]
    OtherContent,
    /// `picture_unfit`: broken, cut off, moving, or of too many pixels
    #[response(status = 422)]
    Unfit,
    /// `storage_unavailable`, `overloaded`
    #[response(status = 503)]
    NotNow,
}

/// Counts an upload for the address that it comes from, because accounts cost nothing, and
/// looks at what it calls itself: what a file is is read from the file, but a body that says
/// that it is something else than a picture (a form, JSON) was made for another route.
///
/// # Errors
/// `UnsupportedMediaType`, `RateLimited`.
fn admit(request: &HttpRequest, state: &State) -> Result<()> {
    state.rates.uploads_from.check(client_address(request, &state.config))?;
    let Some(media) = request.headers().get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let media = media.to_str().unwrap_or_default().to_ascii_lowercase();
    if media.starts_with("image/") || media.starts_with("application/octet-stream") {
        return Ok(());
    }
    let detail = "Send the picture itself as the body: image/jpeg, image/png or image/webp";
    Err(Refusal::new(ErrorCode::UnsupportedMediaType, detail).into())
}

/// Sets the caller's picture: JPEG, PNG or WebP, cut to a square from its middle. The same
/// file again changes nothing.
#[utoipa::path(
    tag = "pictures",
    request_body(content((PictureFile = "image/jpeg"), (PictureFile = "image/png"), (PictureFile = "image/webp"))),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Set", body = Picture),
        (status = 409, description = "`conflict`: the account has as many pictures as one may have"),
        NotTaken
    )
)]
#[put("/users/avatar")]
pub async fn set_avatar(
    state: web::Data<State>,
    caller: Confirmed,
    request: HttpRequest,
    body: web::Payload,
) -> Result<web::Json<Picture>> {
    admit(&request, &state)?;
    Ok(web::Json(identity::avatar::set(&state, caller.id, body).await?))
}

/// Deletes the caller's picture. That there is none is no error.
#[utoipa::path(
    tag = "pictures",
    security(("bearer" = [])),
    responses((status = 204, description = "Deleted"))
)]
#[delete("/users/avatar")]
pub async fn delete_avatar(state: web::Data<State>, caller: Caller) -> Result<HttpResponse> {
    identity::avatar::delete(&state, caller.id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Sets the shop's picture: JPEG, PNG or WebP, cut to a square from its middle. The same
/// file again changes nothing.
#[utoipa::path(
    tag = "pictures",
    request_body(content((PictureFile = "image/jpeg"), (PictureFile = "image/png"), (PictureFile = "image/webp"))),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Set", body = Picture),
        (status = 409, description = "`conflict`: the account has as many pictures as one may have"),
        NotTaken
    )
)]
#[put("/seller/picture")]
pub async fn set_shop_picture(
    state: web::Data<State>,
    shop: Shopkeeper,
    request: HttpRequest,
    body: web::Payload,
) -> Result<web::Json<Picture>> {
    admit(&request, &state)?;
    Ok(web::Json(sellers::picture::set(&state, &shop, body).await?))
}

/// Deletes the shop's picture. That there is none is no error.
#[utoipa::path(
    tag = "pictures",
    security(("bearer" = [])),
    responses((status = 204, description = "Deleted"))
)]
#[delete("/seller/picture")]
pub async fn delete_shop_picture(state: web::Data<State>, shop: Shopkeeper) -> Result<HttpResponse> {
    sellers::picture::delete(&state, &shop).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Adds a picture to a product, after the others: JPEG, PNG or WebP. A product has ten at
/// most, and the first one stands for it: it is the product's `image_url` from then on. A
/// file that the product has already is not added again; its picture is the answer.
#[utoipa::path(
    tag = "pictures",
    request_body(content((PictureFile = "image/jpeg"), (PictureFile = "image/png"), (PictureFile = "image/webp"))),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The product had it already", body = Picture),
        (status = 201, description = "Added", body = Picture),
        (status = 409, description = "`wrong_state`: the product is archived. `conflict`: it has ten pictures, or the \
                                      account as many as one may have"),
        NotTaken
    )
)]
#[post("/seller/products/{id}/images")]
pub async fn add_product_picture(
    state: web::Data<State>,
    shop: Shopkeeper,
    id: Id<ProductId>,
    request: HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse> {
    admit(&request, &state)?;
    let added = products::pictures::add(&state, &shop, id.0, body).await?;
    let mut response = if added.is_new {
        HttpResponse::Created()
    } else {
        HttpResponse::Ok()
    };
    Ok(response.json(added.picture))
}

/// Puts a product's pictures in another order. The first one stands for it.
#[utoipa::path(
    tag = "pictures",
    request_body = PictureOrder,
    security(("bearer" = [])),
    responses(
        (status = 200, description = "In this order", body = Pictures),
        (status = 409, description = "`wrong_state`: the product is archived"),
        (status = 422, description = "`invalid_body`: not each of its pictures, once")
    )
)]
#[put("/seller/products/{id}/images/order")]
pub async fn order_product_pictures(
    state: web::Data<State>,
    shop: Shopkeeper,
    id: Id<ProductId>,
    body: Body<PictureOrder>,
) -> Result<web::Json<Pictures>> {
    let images = products::pictures::reorder(&state, &shop, id.0, &body.0.images).await?;
    Ok(web::Json(Pictures { images }))
}

/// Deletes a picture of a product. Orders that show it keep it.
#[utoipa::path(
    tag = "pictures",
    security(("bearer" = [])),
    responses(
        (status = 204, description = "Deleted"),
        (status = 409, description = "`wrong_state`: the product is archived")
    )
)]
#[delete("/seller/products/{id}/images/{image}")]
pub async fn delete_product_picture(
    state: web::Data<State>,
    shop: Shopkeeper,
    ids: Id<(ProductId, PictureId)>,
) -> Result<HttpResponse> {
    let (product, picture) = ids.0;
    products::pictures::delete(&state, &shop, product, picture).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Sets the cover of a show that is not over: JPEG, PNG or WebP. It is the show's
/// `cover_url` from then on. The same file again changes nothing.
#[utoipa::path(
    tag = "pictures",
    request_body(content((PictureFile = "image/jpeg"), (PictureFile = "image/png"), (PictureFile = "image/webp"))),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Set", body = Picture),
        (status = 409, description = "`wrong_state`: the show is over. `conflict`: the account has as many pictures as \
                                      one may have"),
        NotTaken
    )
)]
#[put("/streams/{id}/cover")]
pub async fn set_cover(
    state: web::Data<State>,
    shop: Shopkeeper,
    id: Id<StreamId>,
    request: HttpRequest,
    body: web::Payload,
) -> Result<web::Json<Picture>> {
    admit(&request, &state)?;
    Ok(web::Json(streams::cover::set(&state, &shop, id.0, body).await?))
}

/// Deletes the cover that was uploaded for a show that is not over. That there is none is
/// no error.
#[utoipa::path(
    tag = "pictures",
    security(("bearer" = [])),
    responses(
        (status = 204, description = "Deleted"),
        (status = 409, description = "`wrong_state`: the show is over")
    )
)]
#[delete("/streams/{id}/cover")]
pub async fn delete_cover(state: web::Data<State>, shop: Shopkeeper, id: Id<StreamId>) -> Result<HttpResponse> {
    streams::cover::delete(&state, &shop, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
