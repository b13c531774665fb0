//! What an operator may look at: whether the engine is ready, and its rooms as they are.
//! Reads and changes nothing; what people say, who they are and anybody's secrets are not
//! among it.
//!
//! A room is asked in its own turn and may be busy: one that does not answer in time is
//! listed as such, so that the page never waits for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use async_trait::async_trait;
use serde_json::{Value, json};
use shared::admin::{Page, Probe, Query, Standing};
use shared::ids::StreamId;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::db::Purpose;
use crate::engine::Shared;
use crate::room::{Look, Room};

/// How long rooms may take to answer, all together.
const ROOM_DEADLINE: Duration = Duration::from_millis(500);
/// Rooms on one page, unless the request says how many; and at most.
const PAGE: usize = 50;
const MAX_PAGE: usize = 200;

/// The engine as an operator sees it. Cheap to clone; does not keep the engine running.
#[derive(Clone)]
pub struct Operations {
    shared: Arc<Shared>,
    stopping: CancellationToken,
}

#[async_trait]
impl Probe for Operations {
    fn name(&self) -> &'static str {
        "live-engine"
    }

    async fn standing(&self) -> Standing {
        let ping = async move |pool: sqlx::PgPool| {
            let mut conn = pool.acquire().await?;
            Ok(sqlx::Connection::ping(&mut *conn).await?)
        };
        let answers = self.stopping.is_cancelled() || self.shared.db.call(Purpose::Command, None, ping).await.is_ok();
        // It may have been told to stop while it asked.
        let is_draining = self.stopping.is_cancelled();
        Standing {
            is_draining,
            // One that stops takes its database down last.
            has_database: is_draining || answers,
            has_bus: self.shared.bus.is_up(),
        }
    }
}

impl Operations {
    pub(crate) const fn new(shared: Arc<Shared>, stopping: CancellationToken) -> Self {
        Self { shared, stopping }
    }

    /// Its pages on the private listener.
    #[must_use]
    pub fn pages(&self) -> BTreeMap<&'static str, Page> {
        let operations = self.clone();
        let rooms = Page::new(move |query| {
            let operations = operations.clone();
            async move { operations.rooms(&query).await }
        });
        BTreeMap::from([("/debug/rooms", rooms)])
    }

    /// The open rooms in the order of their ids: `limit` of them after the room `after`.
    ///
    /// # Errors
    /// What is wrong with the query.
    pub async fn rooms(&self, query: &Query) -> Result<Value, String> {
        let limit = match query.get("limit").map(|limit| limit.parse()) {
            None => PAGE,
            Some(Ok(limit)) if (1..=MAX_PAGE).contains(&limit) => limit,
            Some(_) => return Err(format!("limit must be from 1 to {MAX_PAGE}")),
        };
        let after = query.get("after").map(|after| after.parse().map(StreamId));
        let after = after
            .transpose()
            .map_err(|_| "after must be a stream's id".to_owned())?;
        let shared = &self.shared;
        let mut open = shared.router.open_rooms();
        open.sort_unstable_by_key(|(stream, _)| *stream);
        let (count, from) = (open.len(), open.partition_point(|(stream, _)| Some(*stream) <= after));
        let page = &open[from..count.min(from + limit)];
        let next = (from + page.len() < count).then(|| page.last().map(|(stream, _)| *stream));
        let by = Instant::now() + ROOM_DEADLINE;
        let rooms = page.iter().map(|(stream, room)| self.room(*stream, room, by));
        let rooms = futures_util::future::join_all(rooms).await;
        let backlog = shared.backlog();
        Ok(json!({
            "node": shared.node,
            "workers": shared.router.workers(),
            "draining": self.stopping.is_cancelled(),
            "connections": shared.guards.connections(),
            "persister": { "rows": backlog.rows, "bytes": backlog.bytes },
            "open": count,
            "rooms": rooms,
            "next": next.flatten(),
        }))
    }

    /// One room; one that does not answer is no more than its id.
    async fn room(&self, stream: StreamId, room: &Addr<Room>, by: Instant) -> Value {
        let (sender, facts) = oneshot::channel();
        let silent = || json!({ "stream": stream, "answered": false });
        if room.try_send(Look(sender)).is_err() {
            return silent();
        }
        match tokio::time::timeout_at(by, facts).await {
            Ok(Ok(facts)) => {
                let left = self.shared.leases.left(stream);
                json!({
                    "stream": stream,
                    "answered": true,
                    "home": self.shared.router.home(stream),
                    "lease": left.map(|left| json!({ "left_ms": left.as_millis() as u64 })),
                    "room": facts,
                })
            }
            Ok(Err(_)) | Err(_) => silent(),
        }
    }
}
