//! Commands to rooms that come over the bus. Any engine takes one; the room's owner
//! carries it out. Who that is says the lease in the database, so that two engines never
//! answer for one room; the room itself checks again who may command it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shared::bus::{BusError, Request, Requests, SharedBus};
use shared::error::{ErrorCode, Refusal};
use shared::ids::{NodeId, StreamId, UserId};
use shared::live::{ROOM_REQUESTS, RoomReply, RoomRequest, requests_of};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::db::{Db, Purpose, Spawner};
use crate::engine::Shared;
use crate::room::store::lease;
use crate::router::Router;

/// Requests of either kind under way at once.
const REQUESTS: usize = 256;
/// How long another owner may take. Less than core-api waits, so that it hears of it.
const OWNER_DEADLINE: Duration = Duration::from_secs(4);

/// How requests get to their rooms.
#[derive(Clone)]
struct Way {
    node: NodeId,
    router: Arc<Router>,
    db: Db,
    bus: SharedBus,
}

/// Answers requests until `stopping` is cancelled.
///
/// # Errors
/// When the bus has ended.
pub async fn serve(shared: &Shared, stopping: &CancellationToken) -> Result<(), BusError> {
    let bus = shared.bus.clone();
    let anybodys = bus.serve(ROOM_REQUESTS).await?;
    let ours = bus.serve(&requests_of(shared.node)).await?;
    let way = Way {
        node: shared.node,
        router: shared.router.clone(),
        db: shared.db.clone(),
        bus,
    };
    for (requests, is_ours) in [(anybodys, false), (ours, true)] {
        shared.db.spawn(take(way.clone(), requests, is_ours, stopping.clone()));
    }
    Ok(())
}

async fn take(way: Way, mut requests: Requests, is_ours: bool, stopping: CancellationToken) {
    let spawner: Spawner = way.db.spawner();
    // Each kind has its own: two nodes that pass on to each other never wait in a circle.
    let slots = Arc::new(Semaphore::new(REQUESTS));
    loop {
        // Never closed, so it is always got; what waits for a slot waits in the bus.
        let slot = slots.clone().acquire_owned().await;
        let request = tokio::select! {
            request = requests.next() => request,
            () = stopping.cancelled() => return,
        };
        let Some(request) = request else { return };
        let way = way.clone();
        spawner.spawn(async move {
            way.answer(request, is_ours).await;
            drop(slot);
        });
    }
}

impl Way {
    async fn answer(&self, request: Request, is_ours: bool) {
        let reply = match serde_json::from_slice::<RoomRequest>(&request.message) {
            Ok(asked) if is_ours || self.router.has(asked.stream) => self.router.ask(asked).await,
            Ok(asked) => match self.elsewhere(asked.stream, asked.user).await {
                Ok(None) => self.router.ask(asked).await,
                Ok(Some(owner)) => match self.pass_on(owner, request.message.clone()).await {
                    Ok(answer) => return request.reply(answer),
                    // It has died: the room is ours as soon as its lease has run out.
                    Err(BusError::NoServer) => self.router.ask(asked).await,
                    Err(error) => Err(unanswered(owner, error)),
                },
                Err(refusal) => Err(refusal),
            },
            Err(error) => {
                tracing::error!(%error, "a request from the bus cannot be read");
                Err(Refusal::from(ErrorCode::InvalidBody))
            }
        };
        self::reply(request, &reply);
    }

    /// The other node that owns a room.
    async fn elsewhere(&self, stream: StreamId, user: UserId) -> Result<Option<NodeId>, Refusal> {
        let owner = self
            .db
            .call(Purpose::Command, Some(user.0), async move |pool: sqlx::PgPool| {
                let mut conn = pool.acquire().await?;
                Ok(lease::owner(&mut conn, stream).await?)
            });
        Ok(owner.await?.filter(|owner| *owner != self.node))
    }

    async fn pass_on(&self, owner: NodeId, message: Bytes) -> Result<Bytes, BusError> {
        self.bus.request(&requests_of(owner), message, OWNER_DEADLINE).await
    }
}

fn reply(request: Request, reply: &RoomReply) {
    match serde_json::to_vec(reply) {
        Ok(bytes) => request.reply(Bytes::from(bytes)),
        Err(error) => tracing::error!(%error, "a reply to the bus cannot be written"),
    }
}

/// What an owner that does not answer means: the same request again has the outcome.
fn unanswered(owner: NodeId, error: BusError) -> Refusal {
    tracing::warn!(%owner, %error, "a room's owner did not answer");
    match error {
        BusError::Overloaded => ErrorCode::Overloaded.into(),
        BusError::TooLarge => ErrorCode::PayloadTooLarge.into(),
        BusError::NoServer | BusError::Timeout | BusError::Unreachable => ErrorCode::RoomUnavailable.into(),
    }
}
