//! What clients do: come and go, say things, do things again, and read at their own pace.

use shared::error::{ErrorCode, Refusal};
use shared::ids::{ProductId, RequestId, SaleId, VariantId};
use shared::protocol::{Feature, HostCommand, Outcome, Private, SaleOpen, SalePrice};
use uuid::Uuid;

use super::checks::shown;
use super::client::{Act, Heard, Place, Waiting, What};
use super::database::REFUSED;
use super::node::ToRoom;
use super::world::{Task, World, trace};
use crate::room::{Host, Say};
use crate::types::ConnId;

/// How long reactions are summed up before they go to the room.
const REACTIONS_EVERY_US: u64 = 100_000;

impl World {
    pub fn client_acts(&mut self, client: usize) {
        let every = if self.is_troubled() {
            self.climate.act_every_us
        } else {
            200_000
        };
        let next = self.chance.within(every / 4 + 1, every * 2);
        self.after(next, Task::Act(client));
        let Some(place) = self.clients[client].place else {
            let node = self.clients[client].next_node % self.nodes.len();
            self.clients[client].next_node += 1;
            self.join(client, node);
            return;
        };
        if !self.is_troubled() || !self.clients[client].is_in() || self.is_busy(place) {
            return;
        }
        match self.chance.below(100) {
            0..=44 => self.say_something(client, place),
            45..=64 => self.do_again(client, place),
            65..=79 => self.react(client, place),
            80..=84 => self.hang_up(client),
            85..=89 => {
                let pace = self.chance.below(60_000);
                self.clients[client].rest_us = pace;
            }
            90..=93 => self.delete(client, place),
            _ if self.clients[client].is_host => self.command(client, place),
            _ => self.say_something(client, place),
        }
    }

    /// Whether the worker does not even read now.
    fn is_busy(&self, place: Place) -> bool {
        self.nodes[place.node].workers[place.worker].stuck_until_us > self.us()
    }

    fn say_something(&mut self, client: usize, place: Place) {
        let text = match self.chance.below(40) {
            0 => REFUSED.to_owned(),
            1 => "x".repeat(500),
            n => format!("message {n} of {client}"),
        };
        let act = self.begin(client, What::Say(text));
        self.send(client, place, act, false);
    }

    fn command(&mut self, client: usize, place: Place) {
        let command = match self.chance.below(4) {
            0 => HostCommand::Feature(Feature {
                product: ProductId(Uuid::from_u128(7)),
                variant: None,
            }),
            1 => HostCommand::Unfeature,
            2 => HostCommand::SaleOpen(SaleOpen {
                variant: VariantId(Uuid::from_u128(8)),
                quantity: 5,
                price: SalePrice::PriceMinor(900),
                per_buyer: 2,
                hold_seconds: 3,
                ends_in_seconds: 60,
                opens_in_seconds: None,
            }),
            _ => {
                let Some(sale) = self.a_sale(client) else { return };
                HostCommand::SaleClose { sale }
            }
        };
        let act = self.begin(client, What::Host(command));
        self.send(client, place, act, false);
    }

    /// Deletes a message that it can see: its own, or as the host anybody's.
    fn delete(&mut self, client: usize, place: Place) {
        let seen = self.clients[client].view.as_ref();
        let seen: Vec<_> = seen.into_iter().flat_map(|view| shown(view).chat).collect();
        let one = self.chance.index(seen.len());
        if let Some(message) = seen.get(one).map(|message| message.id) {
            let act = self.begin(client, What::Host(HostCommand::DeleteMessage { message }));
            self.send(client, place, act, false);
        }
    }

    /// One of the sales that this client has opened.
    fn a_sale(&mut self, client: usize) -> Option<SaleId> {
        let acts = self.clients[client].acts.iter();
        let opened: Vec<_> = acts
            .filter_map(|act| match act.outcome {
                Some(Outcome::SaleOpened { sale }) => Some(sale),
                _ => None,
            })
            .collect();
        let one = self.chance.index(opened.len());
        opened.get(one).copied()
    }

    fn begin(&mut self, client: usize, what: What) -> usize {
        let request = RequestId(self.chance.uuid());
        let acts = &mut self.clients[client].acts;
        acts.push(Act {
            request,
            what,
            outcome: None,
            is_blurred: false,
        });
        acts.len() - 1
    }

    /// Does something again under its name, rarely something else under the same name.
    fn do_again(&mut self, client: usize, place: Place) {
        let acts = self.clients[client].acts.len();
        if acts > 0 {
            let recent = acts - self.chance.index(acts.min(12)) - 1;
            let altered = self.chance.percent(5);
            self.send(client, place, recent, altered);
        }
    }

    /// Sends a command the way a connection's worker passes it on.
    fn send(&mut self, client: usize, place: Place, act: usize, altered: bool) {
        let from = &mut self.clients[client];
        from.last_id += 1;
        let (id, user) = (from.last_id, from.user);
        let Act {
            request, what, outcome, ..
        } = from.acts[act].clone();
        // What was never acknowledged may be said otherwise.
        let altered = altered && matches!(what, What::Say(_)) && outcome.is_some();
        from.acts[act].is_blurred |= altered;
        from.waiting.insert(id, Waiting { act, altered });
        trace!(self, "client {client} sends {id}: {what:?} as {}", request.0);
        let conn = ConnId {
            worker: u16::try_from(place.worker).unwrap_or(0),
            slot: place.slot,
            generation: place.generation,
        };
        let worker = &self.nodes[place.node].workers[place.worker];
        let joined = worker.conns.get(&place.slot).is_some_and(|conn| conn.joined) && worker.mirror().is_some();
        if !joined {
            self.refuse(place, conn, id, ErrorCode::NotJoined.into());
            return;
        }
        let message = match what {
            What::Say(text) => ToRoom::Say(Say {
                conn,
                id,
                user,
                name: "Somebody".into(),
                request_id: request,
                text: if altered { "something else".into() } else { text },
                reply_to: None,
            }),
            What::Host(command) => ToRoom::Host(Host::from_socket(conn, id, user, request, command)),
        };
        if !self.nodes[place.node].send(message) {
            self.refuse(place, conn, id, ErrorCode::Overloaded.into());
        }
    }

    fn refuse(&mut self, place: Place, conn: ConnId, id: u64, refusal: Refusal) {
        let answer = Private::Error { id: Some(id), refusal };
        self.send_to(place.node, place.worker, conn, &answer);
    }

    fn react(&mut self, client: usize, place: Place) {
        let count = self.chance.within(1, 9);
        let kind = ["heart", "fire"][self.chance.index(2)];
        let at = self.at(place.node);
        let reactions = &mut self.nodes[place.node].workers[place.worker].reactions;
        let is_first = reactions.is_empty();
        *reactions.entry(kind).or_insert(0) += count;
        trace!(self, "client {client} reacts {count} times");
        if is_first {
            self.after(REACTIONS_EVERY_US, Task::Reactions(at, place.worker));
        }
    }

    /// A client's connection is gone without a word.
    pub fn hang_up(&mut self, client: usize) {
        let Some(place) = self.clients[client].place else {
            return;
        };
        trace!(self, "client {client} hangs up");
        self.lost_connection(client);
        self.forget_conn(place);
    }

    fn forget_conn(&mut self, place: Place) {
        if self.nodes[place.node].life == place.life {
            let worker = &mut self.nodes[place.node].workers[place.worker];
            worker.conns.remove(&place.slot);
            self.count(place.node, place.worker);
        }
    }

    pub fn lost_connection(&mut self, client: usize) {
        self.clients[client].disconnect();
    }

    /// A client takes what is on its line, at its pace.
    pub fn client_reads(&mut self, client: usize, place: Place) {
        self.clients[client].is_reading = false;
        if self.clients[client].place != Some(place) {
            return;
        }
        if !self.is_troubled() {
            let client = &mut self.clients[client];
            (client.bite, client.rest_us) = (usize::MAX, 500);
        }
        let bite = self.clients[client].bite;
        let worker = &mut self.nodes[place.node].workers[place.worker];
        let Some(conn) = worker.conns.get_mut(&place.slot) else {
            return;
        };
        let taken: Vec<u8> = conn.line.drain(..bite.min(conn.line.len())).collect();
        let is_over = conn.parted && conn.line.is_empty();
        if !taken.is_empty() {
            // The socket is writable again.
            worker.with(place.slot, |conn, mirror| conn.pump(mirror, None));
            let rest = self.clients[client].rest_us;
            self.read_after(client, place, rest);
        }
        for heard in self.clients[client].hear(&taken) {
            self.heard(client, heard);
        }
        if is_over && self.clients[client].place == Some(place) {
            self.lost_connection(client);
        }
        if self.clients[client].place.is_none() {
            self.forget_conn(place);
        }
    }

    fn heard(&mut self, client: usize, heard: Heard) {
        match heard {
            Heard::Numbered(epoch, seq, event) => {
                let told = self.told.get(&(epoch, seq));
                assert_eq!(
                    told,
                    Some(&event),
                    "client {client} hears another {seq} of epoch {epoch}"
                );
            }
            Heard::Said(id, outcome) => self.answered(client, id, Ok(outcome)),
            Heard::Refused(id, refusal) => self.answered(client, id, Err(refusal)),
            Heard::Unavailable | Heard::Closed => {
                trace!(self, "client {client} hears {heard:?}");
                self.lost_connection(client);
            }
        }
    }

    fn answered(&mut self, client: usize, id: u64, result: Result<Outcome, Refusal>) {
        trace!(self, "client {client} is answered {id}: {result:?}");
        let user = self.clients[client].user;
        let Some((act, result)) = self.clients[client].answered(id, result) else {
            panic!("client {client} is answered {id}, which it did not ask");
        };
        match (&act.what, result) {
            (What::Say(_), Ok(Outcome::Said { message, epoch, seq })) => {
                let stored = self.db.has_said(message, (epoch, seq));
                assert!(stored, "number {seq} of epoch {epoch} is acknowledged and not stored");
            }
            (What::Say(_), Ok(Outcome::HeldForReview { message })) => {
                assert!(self.db.has_held(user, act.request, message), "{message:?} is not held");
            }
            (What::Say(_), Ok(other)) => panic!("{other:?} for a message"),
            (What::Host(_), Ok(_)) => assert!(
                self.db.has_done(user, act.request),
                "{act:?} is acknowledged and not done"
            ),
            (_, Err(_)) => {}
        }
    }
}
