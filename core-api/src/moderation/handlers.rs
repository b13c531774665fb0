//! HTTP of moderation.

use actix_web::{HttpResponse, delete, get, patch, post, web};
use shared::ids::StreamId;
use uuid::Uuid;

use super::model::{BannedViewer, Moderator, NewBan, NewModerator, NewRights};
use crate::http::{Body, Id, IdempotencyKey, List, Owner, Page, Result, Shopkeeper};
use crate::idempotency::Answer;
use crate::state::State;

/// Who moderates the caller's shows, newest first: those of all shows and of single ones.
#[utoipa::path(
    tag = "moderation",
    security(("bearer" = [])),
    params(Page),
    responses((status = 200, description = "A page of them", body = List<Moderator>))
)]
#[get("/seller/moderators")]
pub async fn moderators(state: web::Data<State>, shop: Shopkeeper, page: Page) -> Result<List<Moderator>> {
    super::moderators(&state.db, &shop, None, &page).await
}

/// Appoints a moderator of all the caller's shows.
#[utoipa::path(
    tag = "moderation",
    security(("bearer" = [])),
    params(IdempotencyKey),
    request_body = NewModerator,
    responses((status = 201, description = "Appointed", body = Moderator))
)]
#[post("/seller/moderators")]
pub async fn appoint(
    state: web::Data<State>,
    shop: Shopkeeper,
    key: IdempotencyKey,
    body: Body<NewModerator>,
) -> Result<Answer<Moderator>> {
    super::appoint(&state.db, &state.bus, &shop, None, key.0, &body.0).await
}

/// Who was appointed for one show of the caller's alone, newest first.
#[utoipa::path(
    tag = "moderation",
    security(("bearer" = [])),
    params(Page),
    responses((status = 200, description = "A page of them", body = List<Moderator>))
)]
#[get("/streams/{id}/moderators")]
pub async fn moderators_of_show(
    state: web::Data<State>,
    shop: Shopkeeper,
    id: Id<StreamId>,
    page: Page,
) -> Result<List<Moderator>> {
    super::moderators(&state.db, &shop, Some(id.0), &page).await
}

/// Appoints a moderator of one show of the caller's.
#[utoipa::path(
    tag = "moderation",
    security(("bearer" = [])),
    params(IdempotencyKey),
    request_body = NewModerator,
    responses((status = 201, description = "Appointed", body = Moderator))
)]
#[post("/streams/{id}/moderators")]
pub async fn appoint_for_show(
    state: web::Data<State>,
    shop: Shopkeeper,
    id: Id<StreamId>,
    key: IdempotencyKey,
    body: Body<NewModerator>,
) -> Result<Answer<Moderator>> {
    super::appoint(&state.db, &state.bus, &shop, Some(id.0), key.0, &body.0).await
}

/// Gives a moderator other rights. They count in open rooms within a second.
#[utoipa::path(
    tag = "moderation",
    security(("bearer" = [])),
    request_body = NewRights,
    responses((status = 200, description = "As it is now", body = Moderator))
)]
#[patch("/seller/moderators/{id}")]
pub async fn change(
    state: web::Data<State>,
    shop: Shopkeeper,
    id: Id<Uuid>,
    body: Body<NewRights>,
) -> Result<web::Json<Moderator>> {
    let moderator = super::change(&state.db, &state.bus, &shop, id.0, body.0.rights).await?;
    Ok(web::Json(moderator))
}

/// Dismisses a moderator. They lose their rights in open rooms within a second.
#[utoipa::path(
    tag = "moderation",
    security(("bearer" = [])),
    responses((status = 204, description = "Dismissed"))
)]
#[delete("/seller/moderators/{id}")]
pub async fn dismiss(state: web::Data<State>, shop: Shopkeeper, id: Id<Uuid>) -> Result<HttpResponse> {
    super::dismiss(&state.db, &state.bus, &shop, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Who is banned from the caller's shop now, the latest first.
#[utoipa::path(
    tag = "moderation",
    security(("bearer" = [])),
    params(Page),
    responses((status = 200, description = "A page of them", body = List<BannedViewer>))
)]
#[get("/seller/bans")]
pub async fn banned(state: web::Data<State>, shop: Owner, page: Page) -> Result<List<BannedViewer>> {
    super::banned(&state.db, &shop, &page).await
}

/// Bans somebody from all shows of the caller's shop and from its checkout, or bans them
/// anew. Their sockets there are closed within a second.
#[utoipa::path(
    tag = "moderation",
    security(("bearer" = [])),
    params(IdempotencyKey),
    request_body = NewBan,
    responses((status = 201, description = "Banned", body = BannedViewer))
)]
#[post("/seller/bans")]
pub async fn ban(
    state: web::Data<State>,
    shop: Owner,
    key: IdempotencyKey,
    body: Body<NewBan>,
) -> Result<Answer<BannedViewer>> {
    super::ban(&state.db, &state.bus, &shop, key.0, &body.0).await
}

/// Lets somebody in again.
#[utoipa::path(
    tag = "moderation",
    security(("bearer" = [])),
    responses((status = 204, description = "Lifted"))
)]
#[delete("/seller/bans/{id}")]
pub async fn lift_ban(state: web::Data<State>, shop: Owner, id: Id<Uuid>) -> Result<HttpResponse> {
    super::lift(&state.db, &state.bus, &shop, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
