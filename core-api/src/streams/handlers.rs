//! HTTP of shows.

use actix_web::{HttpRequest, HttpResponse, delete, get, post, put, web};
use shared::ids::{SaleId, StreamId, UserId};
use shared::protocol::{HostCommand, Outcome};

use super::model::{
    ChatPage, Done, DoneWord, FeatureBody, LineUp, NewStream, NewTicket, OpenedSale, OrderBody, SaleBody, Stream,
    Ticket,
};
use crate::catalog::products::Product;
use crate::http::{
    Body, Created, Id, IdempotencyKey, List, MaybeCaller, OptionalKey, Owner, Page, Result, Shopkeeper, client_address,
};
use crate::state::State;

/// Schedules a show, or starts one at once.
#[utoipa::path(
    tag = "streams",
    security(("bearer" = [])),
    request_body = NewStream,
    responses((status = 201, description = "Scheduled or on air", body = Stream))
)]
#[post("/streams")]
pub async fn create(state: web::Data<State>, shop: Shopkeeper, body: Body<NewStream>) -> Result<Created<Stream>> {
    Ok(Created(super::create(&state.db, &state.bus, &shop, &body.0).await?))
}

/// Shows on air, the latest first.
#[utoipa::path(
    tag = "streams",
    params(Page),
    responses((status = 200, description = "A page of them", body = List<Stream>))
)]
#[get("/streams/live")]
pub async fn live(state: web::Data<State>, page: Page) -> Result<List<Stream>> {
    super::live(&state.db, &page).await
}

/// Shows to come, the next first.
#[utoipa::path(
    tag = "streams",
    params(Page),
    responses((status = 200, description = "A page of them", body = List<Stream>))
)]
#[get("/streams/upcoming")]
pub async fn upcoming(state: web::Data<State>, page: Page) -> Result<List<Stream>> {
    super::upcoming(&state.db, &page).await
}

/// The caller's shows, newest first.
#[utoipa::path(
    tag = "streams",
    security(("bearer" = [])),
    params(Page),
    responses((status = 200, description = "A page of them", body = List<Stream>))
)]
#[get("/seller/streams")]
pub async fn list_own(state: web::Data<State>, shop: Shopkeeper, page: Page) -> Result<List<Stream>> {
    super::of_seller(&state.db, shop.seller, &page).await
}

/// A show.
#[utoipa::path(tag = "streams", responses((status = 200, description = "As it is now", body = Stream)))]
#[get("/streams/{id}")]
pub async fn get(state: web::Data<State>, id: Id<StreamId>) -> Result<web::Json<Stream>> {
    Ok(web::Json(super::get(&state.db, id.0).await?))
}

/// A show's line-up, in order.
#[utoipa::path(tag = "streams", responses((status = 200, description = "All of it", body = List<Product>)))]
#[get("/streams/{id}/products")]
pub async fn line_up(state: web::Data<State>, id: Id<StreamId>) -> Result<List<Product>> {
    super::line_up(&state.db, id.0).await
}

/// Replaces the line-up of a show of the caller's.
#[utoipa::path(
    tag = "streams",
    security(("bearer" = [])),
    request_body = LineUp,
    responses((status = 200, description = "All of it", body = List<Product>))
)]
#[put("/streams/{id}/products")]
pub async fn set_line_up(
    state: web::Data<State>,
    shop: Shopkeeper,
    id: Id<StreamId>,
    body: Body<LineUp>,
) -> Result<List<Product>> {
    super::set_line_up(&state.db, &state.bus, &shop, id.0, &body.0.product_ids).await
}

/// Puts the line-up in another order, for all to see.
#[utoipa::path(
    tag = "streams",
    security(("bearer" = [])),
    params(OptionalKey),
    request_body = OrderBody,
    responses((status = 200, description = "It has that order", body = Done))
)]
#[put("/streams/{id}/products/order")]
pub async fn reorder(
    state: web::Data<State>,
    shop: Shopkeeper,
    id: Id<StreamId>,
    key: OptionalKey,
    body: Body<OrderBody>,
) -> Result<web::Json<Done>> {
    done(&state, shop.user, id.0, key, HostCommand::Reorder(body.0.0)).await
}

/// Calls a show to come off. Doing it twice is no error.
#[utoipa::path(
    tag = "streams",
    security(("bearer" = [])),
    responses((status = 200, description = "Cancelled", body = Stream))
)]
#[post("/streams/{id}/cancel")]
pub async fn cancel(state: web::Data<State>, shop: Shopkeeper, id: Id<StreamId>) -> Result<web::Json<Stream>> {
    Ok(web::Json(super::cancel(&state.db, &state.bus, &shop, id.0).await?))
}

/// Has the room carry out a command, which the engine or this process decides about.
pub(crate) async fn tell(
    state: &State,
    user: UserId,
    id: StreamId,
    key: impl Into<OptionalKey>,
    command: HostCommand,
) -> Result<Outcome> {
    super::command(&state.db, &state.bus, user, id, key.into().id(), command).await
}

/// The same, of a command that has nothing to tell but that it is done.
pub(crate) async fn done(
    state: &State,
    user: UserId,
    id: StreamId,
    key: impl Into<OptionalKey>,
    command: HostCommand,
) -> Result<web::Json<Done>> {
    tell(state, user, id, key, command).await?;
    Ok(web::Json(Done { result: DoneWord::Done }))
}

/// Puts a show on air.
#[utoipa::path(
    tag = "streams",
    security(("bearer" = [])),
    params(IdempotencyKey),
    responses((status = 200, description = "On air", body = Stream))
)]
#[post("/streams/{id}/start")]
pub async fn start(
    state: web::Data<State>,
    shop: Shopkeeper,
    id: Id<StreamId>,
    key: IdempotencyKey,
) -> Result<web::Json<Stream>> {
    tell(&state, shop.user, id.0, Some(key), HostCommand::Start).await?;
    Ok(web::Json(super::get(&state.db, id.0).await?))
}

/// Ends a show. A shop that was suspended meanwhile may still do so.
#[utoipa::path(
    tag = "streams",
    security(("bearer" = [])),
    params(IdempotencyKey),
    responses((status = 200, description = "Over", body = Stream))
)]
#[post("/streams/{id}/end")]
pub async fn end(
    state: web::Data<State>,
    owner: Owner,
    id: Id<StreamId>,
    key: IdempotencyKey,
) -> Result<web::Json<Stream>> {
    tell(&state, owner.user, id.0, Some(key), HostCommand::End).await?;
    Ok(web::Json(super::get(&state.db, id.0).await?))
}

/// Shows a product of the line-up to everybody.
#[utoipa::path(
    tag = "streams",
    security(("bearer" = [])),
    params(OptionalKey),
    request_body = FeatureBody,
    responses((status = 200, description = "It is shown", body = Done))
)]
#[post("/streams/{id}/feature")]
pub async fn feature(
    state: web::Data<State>,
    shop: Shopkeeper,
    id: Id<StreamId>,
    key: OptionalKey,
    body: Body<FeatureBody>,
) -> Result<web::Json<Done>> {
    done(&state, shop.user, id.0, key, HostCommand::Feature(body.0.0)).await
}

/// Stops showing one.
#[utoipa::path(
    tag = "streams",
    security(("bearer" = [])),
    params(OptionalKey),
    responses((status = 204, description = "Nothing is shown"))
)]
#[delete("/streams/{id}/feature")]
pub async fn unfeature(
    state: web::Data<State>,
    owner: Owner,
    id: Id<StreamId>,
    key: OptionalKey,
) -> Result<HttpResponse> {
    tell(&state, owner.user, id.0, key, HostCommand::Unfeature).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Opens a flash sale in a show.
#[utoipa::path(
    tag = "streams",
    security(("bearer" = [])),
    params(IdempotencyKey),
    request_body = SaleBody,
    responses((status = 201, description = "Its units are set aside", body = OpenedSale))
)]
#[post("/streams/{id}/sales")]
pub async fn open_sale(
    state: web::Data<State>,
    shop: Shopkeeper,
    id: Id<StreamId>,
    key: IdempotencyKey,
    body: Body<SaleBody>,
) -> Result<Created<OpenedSale>> {
    match tell(&state, shop.user, id.0, Some(key), HostCommand::SaleOpen(body.0.0)).await? {
        Outcome::SaleOpened { sale } => Ok(Created(OpenedSale { sale })),
        other => Err(anyhow::anyhow!("a room answers the opening of a sale with {other:?}").into()),
    }
}

/// Closes a flash sale: what is neither sold nor held goes back to the shop.
#[utoipa::path(
    tag = "streams",
    security(("bearer" = [])),
    params(OptionalKey),
    responses((status = 200, description = "Closed", body = Done))
)]
#[post("/streams/{id}/sales/{sale}/close")]
pub async fn close_sale(
    state: web::Data<State>,
    owner: Owner,
    ids: Id<(StreamId, SaleId)>,
    key: OptionalKey,
) -> Result<web::Json<Done>> {
    let (stream, sale) = ids.0;
    done(&state, owner.user, stream, key, HostCommand::SaleClose { sale }).await
}

/// A way into a show's room, for an account or a guest.
#[utoipa::path(
    tag = "streams",
    security((), ("bearer" = [])),
    request_body = NewTicket,
    responses((status = 200, description = "Good once, for 30 seconds", body = Ticket))
)]
#[post("/streams/{id}/ticket")]
pub async fn ticket(
    state: web::Data<State>,
    request: HttpRequest,
    caller: MaybeCaller,
    id: Id<StreamId>,
    body: Body<NewTicket>,
) -> Result<web::Json<Ticket>> {
    state.rates.tickets.check(client_address(&request, &state.config))?;
    let ticket = super::ticket(&state.db, &state.config, caller.0, id.0, body.0.part).await?;
    Ok(web::Json(ticket))
}

/// Committed messages of a show's chat, newest first.
#[utoipa::path(
    tag = "streams",
    params(Page),
    responses((status = 200, description = "A page of them", body = ChatPage))
)]
#[get("/streams/{id}/chat")]
pub async fn chat(state: web::Data<State>, id: Id<StreamId>, page: Page) -> Result<web::Json<ChatPage>> {
    Ok(web::Json(super::chat(&state.db, id.0, &page).await?))
}
