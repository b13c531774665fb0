//! HTTP of dead letters.

use actix_web::{get, post, web};
use uuid::Uuid;

use super::model::{DeadLetter, DeadLetterFilter, Discard};
use crate::dead_letters;
use crate::http::{Admin, Body, Id, IdempotencyKey, List, Page, Result};
use crate::idempotency::Answer;
use crate::state::State;

/// What came to nothing however often it was tried, the youngest first: letters, and what
/// providers told. What they say is not shown.
#[utoipa::path(
    tag = "admin",
    params(DeadLetterFilter, Page),
    security(("bearer" = [])),
    responses((status = 200, description = "A page of them", body = List<DeadLetter>))
)]
#[get("/admin/dead-letters")]
pub async fn list(
    state: web::Data<State>,
    _admin: Admin,
    filter: web::Query<DeadLetterFilter>,
    page: Page,
) -> Result<List<DeadLetter>> {
    dead_letters::list(&state.db, *filter, &page).await
}

/// Has one tried anew, at once and as often as if it were new.
#[utoipa::path(
    tag = "admin",
    params(IdempotencyKey),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "As it was until now", body = DeadLetter),
        (status = 409, description = "`wrong_state`: it is not dead")
    )
)]
#[post("/admin/dead-letters/{id}/retry")]
pub async fn retry(
    state: web::Data<State>,
    who: Admin,
    id: Id<Uuid>,
    key: IdempotencyKey,
) -> Result<Answer<DeadLetter>> {
    dead_letters::retry((&state.db, &state.mailer), who.id, id.0, key.0).await
}

/// Discards one for good: nobody will try it again.
#[utoipa::path(
    tag = "admin",
    params(IdempotencyKey),
    request_body = Discard,
    security(("bearer" = [])),
    responses(
        (status = 200, description = "As it was until now", body = DeadLetter),
        (status = 409, description = "`wrong_state`: it is not dead")
    )
)]
#[post("/admin/dead-letters/{id}/discard")]
pub async fn discard(
    state: web::Data<State>,
    who: Admin,
    id: Id<Uuid>,
    key: IdempotencyKey,
    body: Body<Discard>,
) -> Result<Answer<DeadLetter>> {
    dead_letters::discard(&state.db, who.id, id.0, key.0, body.0.reason.trim()).await
}
