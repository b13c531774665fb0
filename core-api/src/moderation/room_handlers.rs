//! HTTP of keeping order in a show: for its host and its moderators, by their rights. Each
//! of these is a command to the room, which decides; the socket offers the same.

use actix_web::{HttpResponse, delete, post, web};
use shared::ids::{StreamId, UserId};
use shared::protocol::{HostCommand, Person, Unban};

use super::model::{Announcement, BanBody, MuteBody, Pin};
use crate::http::{Body, Caller, Id, IdempotencyKey, OptionalKey, Result};
use crate::state::State;
use crate::streams::handlers::{done, tell};
use crate::streams::model::Done;

/// Keeps somebody from chatting in the show for a while (right `mute`). Only they are told.
#[utoipa::path(
    tag = "moderation",
    security(("bearer" = [])),
    params(IdempotencyKey),
    request_body = MuteBody,
    responses((status = 200, description = "Muted", body = Done))
)]
#[post("/streams/{id}/mutes")]
pub async fn mute(
    state: web::Data<State>,
    caller: Caller,
    id: Id<StreamId>,
    key: IdempotencyKey,
    body: Body<MuteBody>,
) -> Result<web::Json<Done>> {
    done(&state, caller.id, id.0, Some(key), HostCommand::Mute(body.0.0)).await
}

/// The same, and takes what they have said so far out of everybody's view (right `mute`).
#[utoipa::path(
    tag = "moderation",
    security(("bearer" = [])),
    params(IdempotencyKey),
    request_body = MuteBody,
    responses((status = 200, description = "Muted, and out of view", body = Done))
)]
#[post("/streams/{id}/timeouts")]
pub async fn timeout(
    state: web::Data<State>,
    caller: Caller,
    id: Id<StreamId>,
    key: IdempotencyKey,
    body: Body<MuteBody>,
) -> Result<web::Json<Done>> {
    done(&state, caller.id, id.0, Some(key), HostCommand::Timeout(body.0.0)).await
}

/// Lets somebody chat again, after a mute or a timeout (right `mute`).
#[utoipa::path(
    tag = "moderation",
    security(("bearer" = [])),
    params(OptionalKey),
    responses((status = 204, description = "They may chat"))
)]
#[delete("/streams/{id}/mutes/{user}")]
pub async fn unmute(
    state: web::Data<State>,
    caller: Caller,
    ids: Id<(StreamId, UserId)>,
    key: OptionalKey,
) -> Result<HttpResponse> {
    let (stream, user) = ids.0;
    tell(&state, caller.id, stream, key, HostCommand::Unmute { user }).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Bans somebody from all shows of the show's shop (right `ban`).
#[utoipa::path(
    tag = "moderation",
    security(("bearer" = [])),
    params(IdempotencyKey),
    request_body = BanBody,
    responses((status = 200, description = "Banned", body = Done))
)]
#[post("/streams/{id}/bans")]
pub async fn ban(
    state: web::Data<State>,
    caller: Caller,
    id: Id<StreamId>,
    key: IdempotencyKey,
    body: Body<BanBody>,
) -> Result<web::Json<Done>> {
    done(&state, caller.id, id.0, Some(key), HostCommand::Ban(body.0.0)).await
}

/// Lets an account in again (right `ban`).
#[utoipa::path(
    tag = "moderation",
    security(("bearer" = [])),
    params(OptionalKey),
    responses((status = 204, description = "They may come in"))
)]
#[delete("/streams/{id}/bans/{user}")]
pub async fn unban(
    state: web::Data<State>,
    caller: Caller,
    ids: Id<(StreamId, UserId)>,
    key: OptionalKey,
) -> Result<HttpResponse> {
    let (stream, user) = ids.0;
    let unban = Unban {
        who: Person::User(user),
    };
    tell(&state, caller.id, stream, key, HostCommand::Unban(unban)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Pins a message above the chat, in the place of any other (right `pin`).
#[utoipa::path(
    tag = "moderation",
    security(("bearer" = [])),
    params(OptionalKey),
    request_body = Pin,
    responses((status = 200, description = "Pinned", body = Done))
)]
#[post("/streams/{id}/pin")]
pub async fn pin(
    state: web::Data<State>,
    caller: Caller,
    id: Id<StreamId>,
    key: OptionalKey,
    body: Body<Pin>,
) -> Result<web::Json<Done>> {
    let message = body.0.message;
    done(&state, caller.id, id.0, key, HostCommand::PinMessage { message }).await
}

/// Pins none any more (right `pin`).
#[utoipa::path(
    tag = "moderation",
    security(("bearer" = [])),
    params(OptionalKey),
    responses((status = 204, description = "None is pinned"))
)]
#[delete("/streams/{id}/pin")]
pub async fn unpin(
    state: web::Data<State>,
    caller: Caller,
    id: Id<StreamId>,
    key: OptionalKey,
) -> Result<HttpResponse> {
    tell(&state, caller.id, id.0, key, HostCommand::UnpinMessage).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Tells everybody in the show something (right `announce`).
#[utoipa::path(
    tag = "moderation",
    security(("bearer" = [])),
    params(IdempotencyKey),
    request_body = Announcement,
    responses((status = 200, description = "Told", body = Done))
)]
#[post("/streams/{id}/announcements")]
pub async fn announce(
    state: web::Data<State>,
    caller: Caller,
    id: Id<StreamId>,
    key: IdempotencyKey,
    body: Body<Announcement>,
) -> Result<web::Json<Done>> {
    let text = body.0.text;
    done(&state, caller.id, id.0, Some(key), HostCommand::Announce { text }).await
}
