//! Telling a room what its host wants. The room decides; here is only the way to it.

use std::time::Duration;

use shared::bus::{BusError, SharedBus};
use shared::error::{ErrorCode, Refusal};
use shared::live::{ROOM_REQUESTS, RoomReply, RoomRequest};
use shared::protocol::Outcome;

use crate::http::Result;

/// How long a room may take. What was asked may be done all the same: the same request
/// again gets its outcome.
const ROOM_DEADLINE: Duration = Duration::from_secs(5);
/// When to ask again.
const RETRY_MS: u64 = 1_000;

/// Asks the stream's room.
///
/// # Errors
/// The room's refusal, or `room_unavailable` when it does not answer.
pub async fn ask(bus: &SharedBus, request: &RoomRequest) -> Result<Outcome> {
    let message = serde_json::to_vec(request).map_err(anyhow::Error::new)?;
    let reply = match bus.request(ROOM_REQUESTS, message.into(), ROOM_DEADLINE).await {
        Ok(reply) => reply,
        Err(error) => return Err(unavailable(error).into()),
    };
    let reply: RoomReply = serde_json::from_slice(&reply).map_err(anyhow::Error::new)?;
    Ok(reply?)
}

fn unavailable(error: BusError) -> Refusal {
    let code = match error {
        BusError::Overloaded => ErrorCode::Overloaded,
        BusError::TooLarge => ErrorCode::PayloadTooLarge,
        BusError::NoServer | BusError::Timeout | BusError::Unreachable => ErrorCode::RoomUnavailable,
    };
    tracing::warn!(%error, "a room did not answer");
    Refusal::from(code).retry_after_ms(RETRY_MS)
}
