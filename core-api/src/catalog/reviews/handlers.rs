//! Reviews over HTTP.

use actix_web::{HttpResponse, delete, get, patch, post, put, web};
use shared::ids::{ProductId, ReviewId};

use super::model::{AdminFilter, NewAnswer, NewReview, Review, ReviewChange, WholeReview};
use crate::catalog::reviews;
use crate::http::{Admin, Body, Caller, Created, Id, List, Page, Result, Shopkeeper};
use crate::state::State;

/// Reviews of a product, newest first.
#[utoipa::path(
    tag = "catalog",
    params(Page),
    responses((status = 200, description = "A page of them", body = List<Review>))
)]
#[get("/products/{id}/reviews")]
pub async fn list(state: web::Data<State>, id: Id<ProductId>, page: Page) -> Result<List<Review>> {
    reviews::list(&state.db, id.0, &page).await
}

/// Reviews what one has bought, once it has arrived: one review for each line of an order.
/// Who has deleted it may write it anew; it is then as hidden as it was, and keeps the
/// shop's answer.
#[utoipa::path(
    tag = "catalog",
    request_body = NewReview,
    security(("bearer" = [])),
    responses(
        (status = 201, description = "Written", body = WholeReview),
        (status = 403, description = "`own_shop`"),
        (status = 409, description = "`wrong_state`: it has not arrived yet. `conflict`: the line has a review")
    )
)]
#[post("/products/{id}/reviews")]
pub async fn write(
    state: web::Data<State>,
    caller: Caller,
    id: Id<ProductId>,
    body: Body<NewReview>,
) -> Result<Created<WholeReview>> {
    Ok(Created(reviews::write(&state, caller.id, id.0, body.0).await?))
}

/// One's own reviews, newest first.
#[utoipa::path(
    tag = "catalog",
    params(Page),
    security(("bearer" = [])),
    responses((status = 200, description = "A page of them", body = List<WholeReview>))
)]
#[get("/users/reviews")]
pub async fn list_own(state: web::Data<State>, caller: Caller, page: Page) -> Result<List<WholeReview>> {
    reviews::list_own(&state.db, caller.id, &page).await
}

/// Changes one's own review; what is absent stays.
#[utoipa::path(
    tag = "catalog",
    request_body = ReviewChange,
    security(("bearer" = [])),
    responses((status = 200, description = "Changed", body = WholeReview))
)]
#[patch("/reviews/{id}")]
pub async fn change(
    state: web::Data<State>,
    caller: Caller,
    id: Id<ReviewId>,
    body: Body<ReviewChange>,
) -> Result<web::Json<WholeReview>> {
    Ok(web::Json(reviews::change(&state, caller.id, id.0, body.0).await?))
}

/// Deletes one's own review.
#[utoipa::path(tag = "catalog", security(("bearer" = [])), responses((status = 204, description = "Deleted")))]
#[delete("/reviews/{id}")]
pub async fn delete(state: web::Data<State>, caller: Caller, id: Id<ReviewId>) -> Result<HttpResponse> {
    reviews::delete(&state, caller.id, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Reviews of the shop's products, newest first.
#[utoipa::path(
    tag = "catalog",
    params(Page),
    security(("bearer" = [])),
    responses((status = 200, description = "A page of them", body = List<WholeReview>))
)]
#[get("/seller/reviews")]
pub async fn list_of_shop(state: web::Data<State>, shop: Shopkeeper, page: Page) -> Result<List<WholeReview>> {
    reviews::list_of_shop(&state.db, &shop, &page).await
}

/// Answers a review of the shop's product, or answers it otherwise.
#[utoipa::path(
    tag = "catalog",
    request_body = NewAnswer,
    security(("bearer" = [])),
    responses((status = 200, description = "Answered", body = WholeReview))
)]
#[put("/seller/reviews/{id}/answer")]
pub async fn answer(
    state: web::Data<State>,
    shop: Shopkeeper,
    id: Id<ReviewId>,
    body: Body<NewAnswer>,
) -> Result<web::Json<WholeReview>> {
    Ok(web::Json(reviews::answer(&state, &shop, id.0, Some(body.0)).await?))
}

/// Takes the shop's answer back.
#[utoipa::path(
    tag = "catalog",
    security(("bearer" = [])),
    responses((status = 200, description = "The review without an answer", body = WholeReview))
)]
#[delete("/seller/reviews/{id}/answer")]
pub async fn take_answer_back(
    state: web::Data<State>,
    shop: Shopkeeper,
    id: Id<ReviewId>,
) -> Result<web::Json<WholeReview>> {
    Ok(web::Json(reviews::answer(&state, &shop, id.0, None).await?))
}

/// All reviews, newest first.
#[utoipa::path(
    tag = "admin",
    params(AdminFilter, Page),
    security(("bearer" = [])),
    responses((status = 200, description = "A page of them", body = List<WholeReview>))
)]
#[get("/admin/reviews")]
pub async fn list_all(
    state: web::Data<State>,
    _admin: Admin,
    filter: web::Query<AdminFilter>,
    page: Page,
) -> Result<List<WholeReview>> {
    reviews::list_all(&state.db, *filter, &page).await
}

/// Hides a review from everybody but its author and the shop; it counts for no rating then.
#[utoipa::path(
    tag = "admin",
    security(("bearer" = [])),
    responses((status = 200, description = "Hidden", body = WholeReview))
)]
#[post("/admin/reviews/{id}/hide")]
pub async fn hide(state: web::Data<State>, admin: Admin, id: Id<ReviewId>) -> Result<web::Json<WholeReview>> {
    Ok(web::Json(reviews::hide(&state, admin.id, id.0, true).await?))
}

/// Shows a hidden review again.
#[utoipa::path(
    tag = "admin",
    security(("bearer" = [])),
    responses((status = 200, description = "Shown", body = WholeReview))
)]
#[post("/admin/reviews/{id}/show")]
pub async fn show(state: web::Data<State>, admin: Admin, id: Id<ReviewId>) -> Result<web::Json<WholeReview>> {
    Ok(web::Json(reviews::hide(&state, admin.id, id.0, false).await?))
}
