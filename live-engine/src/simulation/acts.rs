//! What clients do: come and go, say things, do things again, and read at their own pace.

use shared::error::{ErrorCode, Refusal};
use shared::ids::{ProductId, RequestId, ReservationId, SaleId, VariantId};
use shared::protocol::{Feature, HostCommand, Outcome, Private, SaleOpen, SalePrice};
use uuid::Uuid;

use super::chance::Chance;
use super::checks::shown;
use super::client::{Act, Heard, Place, Waiting, What};
use super::database::REFUSED;
use super::desk::Give;
use super::node::ToRoom;
use super::shelf::REFUSED_QUANTITY;
use super::world::{Task, World, trace};
use crate::room::{Host, Say};
use crate::sale::HoldRequest;
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
        if self.clients[client].is_host && self.db.shelf.open_count() == 0 && self.chance.percent(self.climate.rush) {
            self.open_sale(client, place);
            return;
        }
        if self.chance.percent(self.climate.rush) && self.trade(client, place) {
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
            2 => return self.open_sale(client, place),
            _ => {
                let Some(sale) = self.a_sale(client) else { return };
                HostCommand::SaleClose { sale }
            }
        };
        let act = self.begin(client, What::Host(command));
        self.send(client, place, act, false);
    }

    /// Does something about one of the last sales; false if there is none.
    fn trade(&mut self, client: usize, place: Place) -> bool {
        let sales = self.db.shelf.ids();
        let recent = self.chance.index(sales.len().min(2));
        let Some(sale) = sales.iter().rev().nth(recent).copied() else {
            return false;
        };
        let quantity = match self.chance.below(20) {
            0..=13 => 1,
            14..=18 => 2,
            _ => REFUSED_QUANTITY,
        };
        let what = match self.chance.below(100) {
            0..=44 => What::Buy(sale, quantity, false),
            45..=64 => What::Buy(sale, quantity, true),
            65..=79 => match self.a_hold(client) {
                Some(hold) => What::Release(hold),
                None => return false,
            },
            80..=84 => What::Unwait(sale),
            85..=91 => {
                // Somebody pays, over REST.
                let ms = self.db_ms();
                self.db.pay(&mut self.chance, ms);
                return true;
            }
            _ => {
                self.do_again(client, place);
                return true;
            }
        };
        let act = self.begin(client, what);
        self.send(client, place, act, false);
        true
    }

    /// One of the holds that this client was given.
    fn a_hold(&mut self, client: usize) -> Option<ReservationId> {
        let acts = self.clients[client].acts.iter();
        let holds: Vec<_> = acts
            .filter_map(|act| match &act.outcome {
                Some(Outcome::Held(hold)) => Some(hold.reservation),
                _ => None,
            })
            .collect();
        let one = self.chance.index(holds.len().min(3));
        holds.iter().rev().nth(one).copied()
    }

    fn open_sale(&mut self, client: usize, place: Place) {
        let few = |chance: &mut Chance, most| u32::try_from(chance.within(1, most)).unwrap_or(1);
        let (quantity, per_buyer) = (few(&mut self.chance, 6), few(&mut self.chance, 4));
        let hold_seconds = few(&mut self.chance, 4);
        // Half of them are still open in the end, when everybody must see what is left.
        let ends_in_seconds = if self.chance.percent(50) {
            few(&mut self.chance, 30)
        } else {
            600
        };
        let later = self.chance.percent(20).then(|| few(&mut self.chance, 3));
        let command = HostCommand::SaleOpen(SaleOpen {
            variant: VariantId(Uuid::from_u128(8)),
            quantity,
            price: SalePrice::PriceMinor(900),
            per_buyer,
            hold_seconds,
            ends_in_seconds,
            opens_in_seconds: later,
        });
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

    /// Asks once more for what a client still wants to know.
    pub fn ask_again(&mut self, client: usize, request: RequestId) {
        let Some(place) = self.clients[client].place else {
            return;
        };
        let acts = self.clients[client].acts.iter();
        let act = acts.rev().take(50).position(|act| act.request == request);
        if let Some(back) = act.filter(|_| self.clients[client].is_in() && !self.is_busy(place)) {
            let act = self.clients[client].acts.len() - 1 - back;
            self.send(client, place, act, false);
        }
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
                // Nobody is banned here.
                since: u64::MAX,
            }),
            What::Buy(sale, quantity, waits) => {
                let request = HoldRequest {
                    conn,
                    id,
                    stream: self.db.stream,
                    sale,
                    user,
                    request_id: request,
                    quantity,
                    waits,
                };
                if let Err(refusal) = self.press(place.node, &request) {
                    self.refuse(place, conn, id, refusal);
                }
                return;
            }
            What::Release(hold) => return self.give_up(place.node, conn, id, user, Give::Hold(hold)),
            What::Unwait(sale) => return self.give_up(place.node, conn, id, user, Give::Place(sale, request)),
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
            (What::Buy(..), Ok(Outcome::Held(hold))) => {
                let is_held = self.db.shelf.has_held(user, &hold);
                assert!(is_held, "{hold:?} is acknowledged and not held");
            }
            (What::Buy(_, _, true), Ok(Outcome::Waiting(place))) => {
                let is_in_line = self.db.shelf.has_waited(user, &place);
                assert!(is_in_line, "{place:?} is acknowledged and not in line");
            }
            (What::Buy(..), Ok(other)) => panic!("{other:?} for a hold"),
            (What::Release(hold), Ok(_)) => {
                assert!(self.db.shelf.is_free(*hold), "{hold:?} is given up and still held");
            }
            (What::Unwait(_), Ok(_)) => {}
            (What::Buy(..), Err(refusal)) if refusal.code == ErrorCode::DatabaseUnavailable => {
                // Whoever is left in the dark asks again before long.
                let (soon, request) = (self.chance.within(20_000, 1_500_000), act.request);
                self.after(soon, Task::AskAgain(client, request));
            }
            (What::Host(_), Ok(_)) => assert!(
                self.db.has_done(user, act.request),
                "{act:?} is acknowledged and not done"
            ),
            (_, Err(_)) => {}
        }
    }
}
