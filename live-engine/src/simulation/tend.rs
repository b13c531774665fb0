//! The shell that keeps the time of sales whose room is here, as `sale/tend.rs` is: sweeps
//! them when something is due, and tells those in line how it moves.

use std::time::Duration;

use shared::ids::SaleId;
use shared::protocol::SaleCard;
use shared::status::SaleStatus;
use tokio::time::Instant;

use super::node::Tended;
use super::store::{Ask, Reply};
use super::world::{Task, World, trace};
use crate::sale::line::Line;
use crate::sale::store::SaleState;

/// How often a sale is looked at when nothing is due, and how soon again at most.
const AT_LEAST_EVERY: Duration = Duration::from_secs(15);
const AT_MOST_EVERY: Duration = Duration::from_millis(5);
/// The pauses after a failed sweep, and after the line could not be read.
const PAUSE: Duration = Duration::from_millis(250);
const LONG_PAUSE: Duration = Duration::from_secs(5);
/// How often sales that nobody sweeps are looked for, at least and at most.
const STRAYS_AT_LEAST: Duration = Duration::from_secs(10);
const STRAYS_AT_MOST: Duration = Duration::from_millis(500);

impl World {
    /// A room wants a sale's time kept.
    pub fn watch(&mut self, node: usize, card: &SaleCard, next_expiry: Option<shared::Timestamp>) {
        let (sale, ms) = (card.id, self.schedule.now().ms);
        let now = self.instant();
        match self.nodes[node].tended.get(&sale) {
            Some(known) if card.version > known.line.version() => self.wake_in(node, sale, Duration::ZERO),
            Some(_) => {
                if let Some(expiry) = next_expiry {
                    // By the node's clock, which may be off.
                    let left = u64::try_from(expiry.timestamp_millis() - ms).unwrap_or(0);
                    self.wake_in(node, sale, Duration::from_millis(left));
                }
            }
            None => {
                self.nodes[node].tended.insert(sale, Tended::new(Line::new(now), now));
                self.wake_in(node, sale, Duration::ZERO);
            }
        }
    }

    /// Has a sale swept in so long, unless it is swept earlier.
    fn wake_in(&mut self, node: usize, sale: SaleId, left: Duration) {
        let (at, now) = (self.at(node), self.instant());
        let due = now + left + Duration::from_millis(1);
        if let Some(tended) = self.nodes[node].tended.get_mut(&sale) {
            tended.due = tended.due.min(due);
            let due = tended.due.max(now);
            self.at_time(due.into_std(), Task::Tend(at, sale));
        }
    }

    /// What was learnt of a sale somewhere.
    pub fn sale_learnt(&mut self, node: usize, state: &SaleState) {
        let (at, sale) = (self.at(node), state.progress.sale);
        let Some(tended) = self.nodes[node].tended.get_mut(&sale) else {
            return;
        };
        tended.line.heard(state.progress.version, state.waiting);
        if let Some(due) = tended.line.due() {
            self.at_time(due.into_std(), Task::TellLine(at, sale));
        }
        if let Some(left) = state.next_expiry_in {
            self.wake_in(node, sale, left);
        }
    }

    /// A sale's time may have come.
    pub fn tend(&mut self, node: usize, sale: SaleId) {
        let now = self.instant();
        let tended = self.nodes[node].tended.get_mut(&sale);
        let due = tended.filter(|tended| !tended.is_asking && tended.due <= now);
        if let Some(tended) = due {
            tended.is_asking = true;
            self.ask(node, Ask::Sweep(sale, now));
        }
    }

    pub fn swept(&mut self, node: usize, sale: SaleId, asked: Instant, reply: Reply) {
        let (at, now) = (self.at(node), self.instant());
        let wait = match reply {
            Reply::Swept(None) => {
                self.nodes[node].tended.remove(&sale);
                return;
            }
            Reply::Swept(Some((changed, state, ends_in))) => {
                trace!(self, "node {node} has swept a sale: {:?}", state.progress);
                self.learn(node, &state, asked);
                self.pass_on(node, &state);
                self.holds_changed(node, &changed);
                let is_closed = state.progress.status == SaleStatus::Closed;
                let Some(tended) = self.nodes[node].tended.get_mut(&sale) else {
                    return;
                };
                if is_closed && !std::mem::replace(&mut tended.is_closed, true) {
                    self.ask(node, Ask::Ended(sale));
                }
                if is_closed && state.progress.next_expiry.is_none() {
                    self.nodes[node].tended.remove(&sale);
                    return;
                }
                let ends_in = (!is_closed).then_some(ends_in);
                let times = [state.next_expiry_in, state.opens_in, ends_in];
                let next = times.into_iter().flatten().min().unwrap_or(AT_LEAST_EVERY);
                (next + Duration::from_millis(1)).clamp(AT_MOST_EVERY, AT_LEAST_EVERY)
            }
            _ => PAUSE,
        };
        if let Some(tended) = self.nodes[node].tended.get_mut(&sale) {
            tended.is_asking = false;
            tended.due = now + wait;
            self.at_time((now + wait).into_std(), Task::Tend(at, sale));
        }
    }

    /// Sales that nobody swept are swept, wherever their rooms are.
    pub fn strays_found(&mut self, node: usize, reply: Reply) {
        let (at, now) = (self.at(node), self.instant());
        let next = match reply {
            Reply::Overdue(late, next) => {
                for sale in late {
                    self.ask(node, Ask::Sweep(sale, now));
                }
                next
            }
            _ => None,
        };
        let wait = next.unwrap_or(STRAYS_AT_LEAST).clamp(STRAYS_AT_MOST, STRAYS_AT_LEAST);
        self.at_time((now + wait).into_std(), Task::Strays(at));
    }

    /// Those in line may have to be told that it has moved.
    pub fn tell_line(&mut self, node: usize, sale: SaleId) {
        let now = self.instant();
        let tended = self.nodes[node].tended.get_mut(&sale);
        let Some(tended) = tended.filter(|tended| !tended.is_telling) else {
            return;
        };
        if tended.line.due().is_some_and(|due| due <= now) {
            tended.is_telling = true;
            let version = tended.line.version();
            self.ask(node, Ask::Places(sale, version));
        }
    }

    pub fn line_read(&mut self, node: usize, sale: SaleId, version: i64, reply: Reply) {
        let (at, now) = (self.at(node), self.instant());
        let Some(tended) = self.nodes[node].tended.get_mut(&sale) else {
            return;
        };
        tended.is_telling = false;
        let news = match reply {
            Reply::Places(places) => tended.line.news(places, version, now),
            _ => {
                tended.line.put_off(now + LONG_PAUSE);
                Vec::new()
            }
        };
        if let Some(due) = tended.line.due() {
            self.at_time(due.into_std(), Task::TellLine(at, sale));
        }
        self.places_changed(node, &news);
    }
}
