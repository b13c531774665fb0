//! HTTP of what shows leave behind.

use actix_web::{get, web};
use shared::ids::StreamId;
use shared::protocol::ShowSummary;

use super::model::{AfterSeq, EventsPage, From, PublicSummary, ReplayPage};
use crate::http::{Id, Result, Shopkeeper};
use crate::state::State;

/// Numbered events of a show's room, chat included, with the word up to where they are
/// complete: what is older than a room can replay.
#[utoipa::path(
    tag = "streams",
    params(AfterSeq),
    responses((status = 200, description = "A page of one epoch", body = EventsPage))
)]
#[get("/streams/{id}/events")]
pub async fn events(
    state: web::Data<State>,
    id: Id<StreamId>,
    wish: web::Query<AfterSeq>,
) -> Result<web::Json<EventsPage>> {
    Ok(web::Json(super::events(&state.db, id.0, &wish).await?))
}

/// Everything that happened in a show, by the time since it began: chat, what was shown
/// and sold, and reactions by the minute.
#[utoipa::path(
    tag = "streams",
    params(From),
    responses((status = 200, description = "A page of it", body = ReplayPage))
)]
#[get("/streams/{id}/replay")]
pub async fn replay(
    state: web::Data<State>,
    id: Id<StreamId>,
    wish: web::Query<From>,
) -> Result<web::Json<ReplayPage>> {
    Ok(web::Json(super::replay(&state.db, id.0, &wish).await?))
}

/// What everybody may know of a show that is over.
#[utoipa::path(
    tag = "streams",
    responses((status = 200, description = "What it came to", body = PublicSummary))
)]
#[get("/streams/{id}/summary")]
pub async fn public_summary(state: web::Data<State>, id: Id<StreamId>) -> Result<web::Json<PublicSummary>> {
    Ok(web::Json(super::public_summary(&state.db, id.0).await?))
}

/// What a show of the caller's came to.
#[utoipa::path(
    tag = "streams",
    security(("bearer" = [])),
    responses((status = 200, description = "What it came to", body = ShowSummary))
)]
#[get("/seller/streams/{id}/summary")]
pub async fn summary(state: web::Data<State>, shop: Shopkeeper, id: Id<StreamId>) -> Result<web::Json<ShowSummary>> {
    Ok(web::Json(super::summary(&state.db, shop.seller, id.0).await?))
}
