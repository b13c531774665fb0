//! A host's commands: one at a time. Whether they are open to this person is decided
//! here, the rest in the command's transaction; when that is committed, viewers hear.

use std::collections::VecDeque;

use actix::{ActorFutureExt as _, AsyncContext as _, Context};
use shared::error::{ErrorCode, Refusal};
use shared::protocol::RoomEvent;

use super::live::Live;
use super::state::Command;
use super::store::host::{self, HostAct, HostDone};
use super::{Asker, Host, Room, answer};

/// Commands that may wait for their turn.
const WAITING: usize = 64;

/// The host's commands that wait, and whether one is under way.
#[derive(Default)]
pub(super) struct HostQueue {
    waiting: VecDeque<Host>,
    busy: bool,
}

impl HostQueue {
    /// Whether one is under way: its outbox row may be met before its answer.
    pub(super) const fn is_busy(&self) -> bool {
        self.busy
    }

    /// The room closes: all who still wait.
    pub(super) fn give_up(&mut self) -> Vec<Asker> {
        self.waiting.drain(..).map(|host| host.asker).collect()
    }
}

impl Live {
    /// Takes a command, after those that wait.
    pub(super) fn host(&mut self, host: Host, ctx: &mut Context<Room>) {
        if let Err(refusal) = self.state.authorise(host.user, &host.command) {
            answer(&self.shared, host.asker, Err(refusal));
        } else if self.hosts.waiting.len() >= WAITING {
            answer(&self.shared, host.asker, Err(ErrorCode::Overloaded.into()));
        } else {
            self.hosts.waiting.push_back(host);
            self.next_host(ctx);
        }
    }

    fn next_host(&mut self, ctx: &mut Context<Room>) {
        if self.hosts.busy {
            return;
        }
        let Some(host) = self.hosts.waiting.pop_front() else {
            return;
        };
        self.hosts.busy = true;
        let act = HostAct {
            stream: self.stream,
            user: host.user,
            request_id: host.request_id,
            command: host.command,
        };
        let (db, asker) = (self.shared.db.clone(), host.asker);
        let carried_out = async move {
            db.call(async move |pool: sqlx::PgPool| host::carry_out(&pool, &act).await)
                .await
        };
        let carried_out = actix::fut::wrap_future::<_, Room>(carried_out);
        ctx.spawn(carried_out.map(move |result, room: &mut Room, ctx| match room.live() {
            Some(live) => live.hosted(asker, result, ctx),
            // Committed or not: whoever owns the room next finds the outbox row.
            None => answer(&room.shared, asker, Err(ErrorCode::RoomUnavailable.into())),
        }));
    }

    fn hosted(&mut self, asker: Asker, result: Result<HostDone, Refusal>, ctx: &mut Context<Room>) {
        self.hosts.busy = false;
        match result {
            Ok(done) => {
                for (outbox, event) in done.events {
                    self.committed(outbox, event, ctx);
                }
                answer(&self.shared, asker, Ok(done.outcome));
            }
            Err(refusal) => answer(&self.shared, asker, Err(refusal)),
        }
        // Rows that were passed over while it was under way, and what it left to read.
        self.shared.feed.look();
        self.next_host(ctx);
    }

    /// A host's command has caused this: told once, whether by its own answer or by its
    /// outbox row.
    pub(super) fn committed(&mut self, outbox: uuid::Uuid, event: RoomEvent, ctx: &mut Context<Room>) {
        if !self.notices.begin(outbox) {
            return;
        }
        if let RoomEvent::SaleOpened { sale } = &event {
            self.shared.desk.watch(self.stream, sale, None);
        }
        if let RoomEvent::SaleClosed { sale } = &event {
            self.pace.forget(*sale);
        }
        self.notices.done(outbox, self.next_seq());
        self.happen(Command::Committed(event), Some(outbox), ctx);
    }
}
