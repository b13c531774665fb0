//! Notifications over HTTP: everybody their own.

use actix_web::{HttpResponse, get, post, put, web};
use shared::ids::NotificationId;

use super::model::{Filter, MarkRead, NewPreferences, Notification, Preferences, Unread};
use crate::http::{Body, Caller, Id, List, Page, Result};
use crate::notifications;
use crate::state::State;

/// What the caller was told, newest first. Kept for 90 days.
#[utoipa::path(
    tag = "notifications",
    params(Filter, Page),
    security(("bearer" = [])),
    responses((status = 200, description = "A page of them", body = List<Notification>))
)]
#[get("/notifications")]
pub async fn list(
    state: web::Data<State>,
    caller: Caller,
    filter: web::Query<Filter>,
    page: Page,
) -> Result<List<Notification>> {
    notifications::list(&state.db, caller.id, *filter, &page).await
}

/// How many notifications the caller has not read.
#[utoipa::path(
    tag = "notifications",
    security(("bearer" = [])),
    responses((status = 200, description = "So many, 1000 at most", body = Unread))
)]
#[get("/notifications/unread")]
pub async fn unread(state: web::Data<State>, caller: Caller) -> Result<web::Json<Unread>> {
    Ok(web::Json(notifications::unread(&state.db, caller.id).await?))
}

/// Marks all of the caller's notifications as read, or those up to one that was seen. Doing
/// it twice is no error.
#[utoipa::path(
    tag = "notifications",
    request_body = MarkRead,
    security(("bearer" = [])),
    responses((status = 200, description = "What is unread now", body = Unread))
)]
#[post("/notifications/read")]
pub async fn mark_all(state: web::Data<State>, caller: Caller, body: Body<MarkRead>) -> Result<web::Json<Unread>> {
    Ok(web::Json(notifications::mark_all(&state.db, caller.id, &body.0).await?))
}

/// Marks one of the caller's notifications as read. Doing it twice is no error.
#[utoipa::path(
    tag = "notifications",
    security(("bearer" = [])),
    responses((status = 204, description = "It is read"))
)]
#[post("/notifications/{id}/read")]
pub async fn mark(state: web::Data<State>, caller: Caller, id: Id<NotificationId>) -> Result<HttpResponse> {
    notifications::mark(&state.db, caller.id, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// What the caller wants to be told of, and over which channels.
#[utoipa::path(
    tag = "notifications",
    security(("bearer" = [])),
    responses((status = 200, description = "Every kind", body = Preferences))
)]
#[get("/notifications/preferences")]
pub async fn preferences(state: web::Data<State>, caller: Caller) -> Result<web::Json<Preferences>> {
    Ok(web::Json(notifications::preferences(&state.db, caller.id).await?))
}

/// Sets what the caller wants to be told of; a kind that is not named has its defaults.
#[utoipa::path(
    tag = "notifications",
    request_body = NewPreferences,
    security(("bearer" = [])),
    responses((status = 200, description = "Every kind as it is now", body = Preferences))
)]
#[put("/notifications/preferences")]
pub async fn set_preferences(
    state: web::Data<State>,
    caller: Caller,
    body: Body<NewPreferences>,
) -> Result<web::Json<Preferences>> {
    let set = notifications::set_preferences(&state.db, caller.id, &body.0).await?;
    Ok(web::Json(set))
}
