//! Commands of those who run the show: one at a time. Whether they are open to this
//! person is decided here, and again with all the rest in the command's transaction; when
//! that is committed, viewers hear. Pure, as a part of the core.

use std::collections::VecDeque;
use std::sync::Arc;

use super::core::{Core, Effect, Now};
use super::state::{Command, RoomState};
use super::store::host::{HostAct, HostDone, Whom};
use super::{Asker, Host};
use shared::error::{ErrorCode, Refusal};
use shared::ids::UserId;
use shared::outbox::Happened;
use shared::protocol::{HostCommand, Muted, Private, RoomEvent};

/// Commands that may wait for their turn.
const WAITING: usize = 64;

/// The host's commands that wait, and whether one is under way.
#[derive(Default)]
pub(super) struct HostQueue {
    waiting: VecDeque<Host>,
    /// Of people who do it for themselves: after all others, so that many of them never
    /// keep those who run the show waiting.
    authors: VecDeque<Host>,
    /// Those that concern a message which is not stored yet, with its number.
    parked: Vec<(u64, Host)>,
    busy: bool,
}

impl HostQueue {
    /// Whether one is under way: its outbox row may be met before its answer.
    pub(super) const fn is_busy(&self) -> bool {
        self.busy
    }

    /// The room closes: all who still wait.
    pub(super) fn give_up(&mut self) -> Vec<Asker> {
        let parked = self.parked.drain(..).map(|(_, host)| host);
        let waiting = self.waiting.drain(..).chain(self.authors.drain(..)).chain(parked);
        waiting.map(|host| host.asker).collect()
    }
}

impl Core {
    /// Takes a command, after those that wait.
    pub fn host(&mut self, host: Host, now: Now) {
        let permitted = self.powers.permit(host.user, &host.command, now.ms);
        if let Err(refusal) = permitted.and_then(|()| RoomState::check(&host.command)) {
            self.effect(Effect::Answer(host.asker, Err(refusal)));
            return;
        }
        if let Err(refusal) = self.has_room_for(&host) {
            self.effect(Effect::Answer(host.asker, Err(refusal)));
            return;
        }
        let unstored = match host.command {
            HostCommand::DeleteMessage { message } | HostCommand::PinMessage { message } => self.unstored(message),
            _ => None,
        };
        match unstored {
            Some(seq) => self.hosts.parked.push((seq, host)),
            None => self.queue_up(host),
        }
    }

    /// Whether somebody does this for themselves, and not because they run the show.
    fn is_authors(&self, host: &Host) -> bool {
        host.command.is_open_to_authors() && !self.powers.runs_the_show(host.user)
    }

    /// Whether a command may wait: those of authors keep nobody from running the show,
    /// and nothing waits for what is known to be refused or is asked for already.
    fn has_room_for(&self, host: &Host) -> Result<(), Refusal> {
        let is_author = self.is_authors(host);
        let parked = || self.hosts.parked.iter().map(|(_, parked)| parked);
        if is_author && let HostCommand::DeleteMessage { message } = host.command {
            if self.author_of(message).is_some_and(|author| author != host.user) {
                return Err(Refusal::new(ErrorCode::Forbidden, "it is somebody else's message"));
            }
            if parked().any(|parked| parked.user == host.user && parked.command == host.command) {
                return Err(ErrorCode::RequestInFlight.into());
            }
        }
        let waiting = match is_author {
            true => self.hosts.authors.len(),
            false => self.hosts.waiting.len(),
        };
        if waiting + parked().filter(|parked| self.is_authors(parked) == is_author).count() >= WAITING {
            return Err(ErrorCode::Overloaded.into());
        }
        Ok(())
    }

    fn queue_up(&mut self, host: Host) {
        if self.is_authors(&host) {
            self.hosts.authors.push_back(host);
        } else {
            self.hosts.waiting.push_back(host);
        }
        self.next_host();
    }

    /// Everything up to this number is stored.
    pub(super) fn release(&mut self, committed: u64) {
        while let Some(index) = self.hosts.parked.iter().position(|(seq, _)| *seq <= committed) {
            let (_, host) = self.hosts.parked.remove(index);
            self.queue_up(host);
        }
    }

    fn next_host(&mut self) {
        if self.hosts.busy {
            return;
        }
        let next = self.hosts.waiting.pop_front();
        let Some(host) = next.or_else(|| self.hosts.authors.pop_front()) else {
            return;
        };
        self.hosts.busy = true;
        let act = HostAct {
            stream: self.stream,
            user: host.user,
            request_id: host.request_id,
            command: host.command,
        };
        self.effect(Effect::CarryOut(host.asker, act, host.span));
    }

    /// What [`Effect::CarryOut`] came to.
    pub fn hosted(&mut self, asker: Asker, result: Result<HostDone, Refusal>, now: Now) {
        self.hosts.busy = false;
        let answer = result.map(|done| {
            if let Some(change) = done.muted {
                self.mute(change.user, change.mute, now);
                // Its row may have been met already, and then it is being read.
                if self.notices.begin(change.row) {
                    self.nothing_more([change.row], now);
                }
            }
            if done.banned {
                self.effect(Effect::TurnOut);
            }
            if let Some(user) = done.turned_out {
                self.turn_out(user);
            }
            for happened in done.events {
                self.committed(happened, now);
            }
            for (whom, message) in done.told {
                match whom {
                    Whom::Person(user) => self.effect(Effect::Tell(user, message)),
                    Whom::Moderators(right) => self.tell_moderators(&[right], &message),
                }
            }
            done.outcome
        });
        self.effect(Effect::Answer(asker, answer));
        // Rows that were passed over while it was under way, and what it left to read.
        self.effect(Effect::Look);
        self.next_host();
    }

    /// Somebody may not chat for a while, or may again: they are told.
    pub(super) fn mute(&mut self, user: UserId, mute: Option<Muted>, now: Now) {
        self.mutes_made += 1;
        if self.powers.muted(user, now.ms) == mute.as_ref() {
            return;
        }
        Arc::make_mut(&mut self.powers).mute(user, mute, now.ms);
        self.powers_changed(&[user], now);
    }

    /// Workers and the people concerned are told.
    pub(super) fn powers_changed(&mut self, people: &[UserId], now: Now) {
        self.effect(Effect::Powers(self.powers.clone()));
        for user in people {
            let standing = self.powers.standing(*user, now.ms);
            self.effect(Effect::Tell(*user, Private::Standing(standing)));
        }
    }

    /// A host's command has caused this: told once, whether by its own answer or by its
    /// outbox row.
    pub(super) fn committed(&mut self, happened: Happened, now: Now) {
        let Happened { row, no, event } = happened;
        if !self.notices.begin(row) {
            return;
        }
        if !self.newest.admits(no, &event, &self.state) {
            // The answer was late, and a later command has been faster.
            return self.nothing_more([row], now);
        }
        if let RoomEvent::SaleOpened { sale } = &event {
            self.effect(Effect::Watch(sale.clone(), None));
        }
        if let RoomEvent::SaleClosed { sale } = &event {
            self.pace.forget(*sale);
        }
        let shown = match &event {
            RoomEvent::Featured { product } => Some(product.id),
            _ => None,
        };
        let Some(event) = self.unstruck(event) else {
            return self.nothing_more([row], now);
        };
        if self.happen(Command::Committed(event.clone()), Some(row), now) {
            self.newest.told(no, &event);
        }
        if let Some(product) = shown {
            // The card is as old as its commit, and a change of the product may have been met since.
            self.product_changed(product);
        }
    }
}
