//! Commands of those who run the show: one at a time. Whether they are open to this
//! person is decided here, and again with all the rest in the command's transaction; when
//! that is committed, viewers hear. Pure, as a part of the core.

use std::collections::VecDeque;

use shared::error::{ErrorCode, Refusal};
use shared::protocol::RoomEvent;
use uuid::Uuid;

use super::core::{Core, Effect, Now};
use super::state::{Command, RoomState};
use super::store::host::{HostAct, HostDone};
use super::{Asker, Host};

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

impl Core {
    /// Takes a command, after those that wait.
    pub fn host(&mut self, host: Host) {
        let permitted = self.powers.permit(host.user, &host.command);
        if let Err(refusal) = permitted.and_then(|()| RoomState::check(&host.command)) {
            self.effect(Effect::Answer(host.asker, Err(refusal)));
        } else if self.hosts.waiting.len() >= WAITING {
            self.effect(Effect::Answer(host.asker, Err(ErrorCode::Overloaded.into())));
        } else {
            self.hosts.waiting.push_back(host);
            self.next_host();
        }
    }

    fn next_host(&mut self) {
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
        self.effect(Effect::CarryOut(host.asker, act));
    }

    /// What [`Effect::CarryOut`] came to.
    pub fn hosted(&mut self, asker: Asker, result: Result<HostDone, Refusal>, now: Now) {
        self.hosts.busy = false;
        let answer = result.map(|done| {
            for (outbox, event) in done.events {
                self.committed(outbox, event, now);
            }
            done.outcome
        });
        self.effect(Effect::Answer(asker, answer));
        // Rows that were passed over while it was under way, and what it left to read.
        self.effect(Effect::Look);
        self.next_host();
    }

    /// A host's command has caused this: told once, whether by its own answer or by its
    /// outbox row.
    pub(super) fn committed(&mut self, outbox: Uuid, event: RoomEvent, now: Now) {
        if !self.notices.begin(outbox) {
            return;
        }
        if let RoomEvent::SaleOpened { sale } = &event {
            self.effect(Effect::Watch(sale.clone(), None));
        }
        if let RoomEvent::SaleClosed { sale } = &event {
            self.pace.forget(*sale);
        }
        self.notices.done(outbox, self.next_seq(), now.at);
        self.happen(Command::Committed(event), Some(outbox), now);
    }
}
