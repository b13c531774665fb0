//! HTTP of flash sales.

use actix_web::{HttpResponse, delete, get, post, web};
use shared::ids::{ReservationId, SaleId};

use super::model::{Hold, NewHold, Place};
use crate::http::{Body, Caller, Created, Id, IdempotencyKey, Problem, Result};
use crate::state::State;

/// Holds units of a flash sale for the caller.
#[utoipa::path(
    tag = "flash sales",
    security(("bearer" = [])),
    params(("id" = SaleId, Path, description = "The sale"), IdempotencyKey),
    request_body = NewHold,
    responses(
        (status = 201, description = "Held; or the hold that this request got before", body = Hold),
        (status = 404, description = "No such sale", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Sold out, closed, not open yet, or the buyer's limit", body = Problem, content_type = "application/problem+json")
    )
)]
#[post("/flash-sales/{id}/holds")]
pub async fn hold(
    state: web::Data<State>,
    caller: Caller,
    sale: Id<SaleId>,
    key: IdempotencyKey,
    body: Body<NewHold>,
) -> Result<Created<Hold>> {
    let hold = super::hold(&state.db, &state.bus, caller.id, sale.0, key.0, body.0.quantity).await?;
    Ok(Created(hold))
}

/// Gives a hold up. Doing it twice is no error.
#[utoipa::path(
    tag = "flash sales",
    security(("bearer" = [])),
    params(
        ("id" = SaleId, Path, description = "The sale"),
        ("reservation" = ReservationId, Path, description = "The hold")
    ),
    responses(
        (status = 204, description = "Given up"),
        (status = 404, description = "Not the caller's", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Expired, bought or being paid", body = Problem, content_type = "application/problem+json")
    )
)]
#[delete("/flash-sales/{id}/holds/{reservation}")]
pub async fn release(
    state: web::Data<State>,
    caller: Caller,
    ids: Id<(SaleId, ReservationId)>,
) -> Result<HttpResponse> {
    let (sale, reservation) = ids.0;
    super::release(&state.db, &state.bus, caller.id, sale, reservation).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The caller's place in the line before a sale that is sold out. One gets there over the
/// socket, with `wait`.
#[utoipa::path(
    tag = "flash sales",
    security(("bearer" = [])),
    params(("id" = SaleId, Path, description = "The sale")),
    responses(
        (status = 200, description = "The last one, as it is now", body = Place),
        (status = 404, description = "Never been in it", body = Problem, content_type = "application/problem+json")
    )
)]
#[get("/flash-sales/{id}/place")]
pub async fn place(state: web::Data<State>, caller: Caller, sale: Id<SaleId>) -> Result<web::Json<Place>> {
    Ok(web::Json(super::place(&state.db, caller.id, sale.0).await?))
}

/// Leaves the line, as `unwait` does over the socket.
#[utoipa::path(
    tag = "flash sales",
    security(("bearer" = [])),
    params(("id" = SaleId, Path, description = "The sale"), IdempotencyKey),
    responses(
        (status = 204, description = "Left, or over with the sale"),
        (status = 404, description = "Never been in it", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The turn has come: there is a hold to give up", body = Problem, content_type = "application/problem+json")
    )
)]
#[delete("/flash-sales/{id}/place")]
pub async fn unwait(
    state: web::Data<State>,
    caller: Caller,
    sale: Id<SaleId>,
    key: IdempotencyKey,
) -> Result<HttpResponse> {
    super::unwait(&state.db, &state.bus, caller.id, sale.0, key.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
