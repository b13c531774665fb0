//! A person's data over HTTP: taking it along, and leaving.

use actix_web::http::header;
use actix_web::{HttpResponse, get, post, web};

use super::model::{Export, Leave};
use crate::http::{Body, Caller, Result};
use crate::privacy;
use crate::state::State;

/// All that the service knows of the caller, as one JSON object that is written while it is
/// sent. Three an hour.
#[utoipa::path(
    tag = "identity",
    security(("bearer" = [])),
    responses((status = 200, description = "All of it", body = Export))
)]
#[get("/auth/export")]
pub async fn export(state: web::Data<State>, caller: Caller) -> Result<HttpResponse> {
    state.rates.exports.check(&caller.id)?;
    let bytes = privacy::export(state.db.clone(), caller.id);
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"hawker-export.json\"",
        ))
        .streaming(Box::pin(bytes)))
}

/// Deletes the caller's account: name, address, profile and addresses are gone at once,
/// every session and live socket ends. Orders stay in the books.
///
/// Whoever still owes somebody something is refused, with the reasons.
#[utoipa::path(
    tag = "identity",
    request_body = Leave,
    security(("bearer" = [])),
    responses((status = 204, description = "Gone"))
)]
#[post("/auth/leave")]
pub async fn leave(state: web::Data<State>, caller: Caller, body: Body<Leave>) -> Result<HttpResponse> {
    privacy::erase(&state, caller.id, body.0.password).await?;
    Ok(HttpResponse::NoContent().finish())
}
