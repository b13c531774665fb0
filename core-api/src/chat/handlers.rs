//! HTTP of chats.

use actix_web::{HttpResponse, delete, get, patch, post, web};
use shared::ids::{BlockedWordId, MessageId, ReportId, StreamId};
use shared::protocol::{ChatRules, HostCommand};

use super::model::{BlockedWord, NewWord, Report, ReportFilter, Review, ReviewFilter, RulesBody, Settled, WordChange};
use crate::http::{Admin, Body, Caller, Id, IdempotencyKey, List, OptionalKey, Page, Result, Shopkeeper};
use crate::idempotency::Answer;
use crate::state::State;
use crate::streams::handlers::{done, tell};
use crate::streams::model::Done;

/// The words that the caller's shop blocks in its chats, newest first.
#[utoipa::path(
    tag = "chat",
    security(("bearer" = [])),
    params(Page),
    responses((status = 200, description = "A page of them", body = List<BlockedWord>))
)]
#[get("/seller/blocked-words")]
pub async fn words(state: web::Data<State>, shop: Shopkeeper, page: Page) -> Result<List<BlockedWord>> {
    super::words(&state.db, &shop, &page).await
}

/// Blocks a word in the chats of the caller's shows, open ones within a second.
#[utoipa::path(
    tag = "chat",
    security(("bearer" = [])),
    params(IdempotencyKey),
    request_body = NewWord,
    responses((status = 201, description = "Blocked", body = BlockedWord))
)]
#[post("/seller/blocked-words")]
pub async fn block(
    state: web::Data<State>,
    shop: Shopkeeper,
    key: IdempotencyKey,
    body: Body<NewWord>,
) -> Result<Answer<BlockedWord>> {
    super::block(&state.db, &state.bus, &shop, key.0, &body.0).await
}

/// Changes what a blocked word leads to.
#[utoipa::path(
    tag = "chat",
    security(("bearer" = [])),
    request_body = WordChange,
    responses((status = 200, description = "As it is now", body = BlockedWord))
)]
#[patch("/seller/blocked-words/{id}")]
pub async fn change_word(
    state: web::Data<State>,
    shop: Shopkeeper,
    id: Id<BlockedWordId>,
    body: Body<WordChange>,
) -> Result<web::Json<BlockedWord>> {
    let word = super::change(&state.db, &state.bus, &shop, id.0, &body.0).await?;
    Ok(web::Json(word))
}

/// Allows a word again.
#[utoipa::path(
    tag = "chat",
    security(("bearer" = [])),
    responses((status = 204, description = "Allowed"))
)]
#[delete("/seller/blocked-words/{id}")]
pub async fn allow(state: web::Data<State>, shop: Shopkeeper, id: Id<BlockedWordId>) -> Result<HttpResponse> {
    super::allow(&state.db, &state.bus, &shop, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The rules of a show's chat.
#[utoipa::path(tag = "chat", responses((status = 200, description = "As they are now", body = ChatRules)))]
#[get("/streams/{id}/chat-rules")]
pub async fn rules(state: web::Data<State>, id: Id<StreamId>) -> Result<web::Json<ChatRules>> {
    Ok(web::Json(super::rules(&state.db, id.0).await?))
}

/// Changes them (right `chat_rules`); what is absent stays.
#[utoipa::path(
    tag = "chat",
    security(("bearer" = [])),
    params(OptionalKey),
    request_body = RulesBody,
    responses((status = 200, description = "As they are now", body = ChatRules))
)]
#[patch("/streams/{id}/chat-rules")]
pub async fn change_rules(
    state: web::Data<State>,
    caller: Caller,
    id: Id<StreamId>,
    key: OptionalKey,
    body: Body<RulesBody>,
) -> Result<web::Json<ChatRules>> {
    tell(&state, caller.id, id.0, key, HostCommand::ChatRules(body.0.0)).await?;
    Ok(web::Json(super::rules(&state.db, id.0).await?))
}

/// Deletes a message of a show's chat: one's own, or with the right `delete_messages` any.
#[utoipa::path(
    tag = "chat",
    security(("bearer" = [])),
    params(OptionalKey),
    responses((status = 204, description = "Gone for everybody"))
)]
#[delete("/streams/{id}/chat/{message}")]
pub async fn delete_message(
    state: web::Data<State>,
    caller: Caller,
    ids: Id<(StreamId, MessageId)>,
    key: OptionalKey,
) -> Result<HttpResponse> {
    state.rates.deletions.check(&caller.id)?;
    let (stream, message) = ids.0;
    tell(&state, caller.id, stream, key, HostCommand::DeleteMessage { message }).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Messages of a show that were held, newest first (right `review`).
#[utoipa::path(
    tag = "chat",
    security(("bearer" = [])),
    params(ReviewFilter, Page),
    responses((status = 200, description = "A page of them", body = List<Review>))
)]
#[get("/streams/{id}/reviews")]
pub async fn reviews(
    state: web::Data<State>,
    caller: Caller,
    id: Id<StreamId>,
    filter: web::Query<ReviewFilter>,
    page: Page,
) -> Result<List<Review>> {
    super::reviews(&state.db, caller.id, id.0, filter.waiting, &page).await
}

/// Lets a held message be said (right `review`).
#[utoipa::path(
    tag = "chat",
    security(("bearer" = [])),
    params(OptionalKey),
    responses((status = 200, description = "It is said", body = Done))
)]
#[post("/streams/{id}/reviews/{message}/approve")]
pub async fn approve(
    state: web::Data<State>,
    caller: Caller,
    ids: Id<(StreamId, MessageId)>,
    key: OptionalKey,
) -> Result<web::Json<Done>> {
    let (stream, message) = ids.0;
    let command = HostCommand::Review { message, approve: true };
    done(&state, caller.id, stream, key, command).await
}

/// Keeps a held message from being said (right `review`).
#[utoipa::path(
    tag = "chat",
    security(("bearer" = [])),
    params(OptionalKey),
    responses((status = 200, description = "It is not said", body = Done))
)]
#[post("/streams/{id}/reviews/{message}/reject")]
pub async fn reject(
    state: web::Data<State>,
    caller: Caller,
    ids: Id<(StreamId, MessageId)>,
    key: OptionalKey,
) -> Result<web::Json<Done>> {
    let (stream, message) = ids.0;
    let command = HostCommand::Review {
        message,
        approve: false,
    };
    done(&state, caller.id, stream, key, command).await
}

/// Reports of a show's messages, newest first (right `delete_messages` or `review`).
#[utoipa::path(
    tag = "chat",
    security(("bearer" = [])),
    params(ReportFilter, Page),
    responses((status = 200, description = "A page of them", body = List<Report>))
)]
#[get("/streams/{id}/reports")]
pub async fn reports_of_show(
    state: web::Data<State>,
    caller: Caller,
    id: Id<StreamId>,
    filter: web::Query<ReportFilter>,
    page: Page,
) -> Result<List<Report>> {
    super::reports_of_show(&state.db, caller.id, id.0, filter.settled, &page).await
}

/// Marks a report of a show's message as settled (right `delete_messages` or `review`).
/// Doing it twice is no error.
#[utoipa::path(
    tag = "chat",
    security(("bearer" = [])),
    responses((status = 200, description = "Settled", body = Settled))
)]
#[post("/streams/{id}/reports/{report}/settle")]
pub async fn settle_of_show(
    state: web::Data<State>,
    caller: Caller,
    ids: Id<(StreamId, ReportId)>,
) -> Result<web::Json<Settled>> {
    let (stream, report) = ids.0;
    Ok(web::Json(
        super::settle_of_show(&state.db, caller.id, stream, report).await?,
    ))
}

/// Reports of messages in the caller's shows, newest first.
#[utoipa::path(
    tag = "chat",
    security(("bearer" = [])),
    params(ReportFilter, Page),
    responses((status = 200, description = "A page of them", body = List<Report>))
)]
#[get("/seller/reports")]
pub async fn reports(
    state: web::Data<State>,
    shop: Shopkeeper,
    filter: web::Query<ReportFilter>,
    page: Page,
) -> Result<List<Report>> {
    super::reports(&state.db, Some(shop.seller), filter.settled, &page).await
}

/// Marks a report as settled. Doing it twice is no error.
#[utoipa::path(
    tag = "chat",
    security(("bearer" = [])),
    responses((status = 200, description = "Settled", body = Settled))
)]
#[post("/seller/reports/{id}/settle")]
pub async fn settle(state: web::Data<State>, shop: Shopkeeper, id: Id<ReportId>) -> Result<web::Json<Settled>> {
    Ok(web::Json(
        super::settle(&state.db, shop.user, Some(shop.seller), id.0).await?,
    ))
}

/// Reports of messages in all shows, newest first.
#[utoipa::path(
    tag = "admin",
    security(("bearer" = [])),
    params(ReportFilter, Page),
    responses((status = 200, description = "A page of them", body = List<Report>))
)]
#[get("/admin/reports")]
pub async fn all_reports(
    state: web::Data<State>,
    _admin: Admin,
    filter: web::Query<ReportFilter>,
    page: Page,
) -> Result<List<Report>> {
    super::reports(&state.db, None, filter.settled, &page).await
}

/// Marks any report as settled. Doing it twice is no error.
#[utoipa::path(
    tag = "admin",
    security(("bearer" = [])),
    responses((status = 200, description = "Settled", body = Settled))
)]
#[post("/admin/reports/{id}/settle")]
pub async fn settle_any(state: web::Data<State>, admin: Admin, id: Id<ReportId>) -> Result<web::Json<Settled>> {
    Ok(web::Json(super::settle(&state.db, admin.id, None, id.0).await?))
}
