//! What was sent, acknowledged, granted and paid in a show: the log that the audit
//! holds against the database. Counters are atomic, logs are behind short locks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use shared::error::ErrorCode;
use shared::ids::{MessageId, OrderId, RequestId, ReservationId, SaleId, UserId};
use shared::money::Money;
use shared::protocol::{Position, Reservation};

/// How many faults are written out; the rest are counted.
const REPORTED_FAULTS: usize = 50;
/// Locks that viewers share for latencies, so that they do not queue for one.
const SHARDS: usize = 16;
/// A latency above this is written as this.
const LONGEST_MICROS: u64 = 120_000_000;

/// A chat message that was acknowledged to its author.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    /// Its author.
    pub user: UserId,
    /// The author's name for it.
    pub request_id: RequestId,
    /// What was said.
    pub text: String,
    /// Its id.
    pub message: MessageId,
    /// Its number.
    pub at: Position,
}

/// A hold that was granted to its buyer.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The buyer.
    pub user: UserId,
    /// The buyer's name for it.
    pub request_id: RequestId,
    /// What was granted.
    pub hold: Reservation,
}

/// An order that its buyer was told is paid.
#[derive(Clone, Debug)]
pub struct Paid {
    /// The buyer.
    pub user: UserId,
    /// The order.
    pub order: OrderId,
    /// What it cost.
    pub total: Money,
    /// The hold it came from.
    pub reservation: ReservationId,
}

/// A flash sale of the show.
#[derive(Clone, Debug)]
pub struct SaleHeld {
    /// Its id.
    pub sale: SaleId,
    /// Units at the start.
    pub quantity: u32,
    /// The most that one buyer may have.
    pub per_buyer: u32,
}

#[derive(Default)]
struct Logs {
    acknowledged: Vec<Acknowledged>,
    granted: Vec<Granted>,
    paid: Vec<Paid>,
    sales: Vec<SaleHeld>,
    refused_buys: BTreeMap<&'static str, u64>,
    refused_chats: BTreeMap<&'static str, u64>,
    faults: Vec<String>,
}

/// The log of a show.
pub struct Tally {
    /// Chat messages written to a socket.
    pub sent: AtomicU64,
    /// Chat messages read from sockets, by all viewers together.
    pub delivered: AtomicU64,
    /// Numbered events read from sockets, by all viewers together.
    pub events: AtomicU64,
    /// Reactions sent and accepted.
    pub reactions_sent: AtomicU64,
    /// Reactions heard by the first viewer.
    pub reactions_heard: AtomicU64,
    /// Presses of buy.
    pub buys: AtomicU64,
    /// Buys sent again under the same request id.
    pub buys_again: AtomicU64,
    /// Connections that ended early and were made again.
    pub resumed: AtomicU64,
    fault_count: AtomicU64,
    logs: Mutex<Logs>,
    delivery: Vec<Mutex<Histogram<u64>>>,
    acknowledgement: Mutex<Histogram<u64>>,
    hold: Mutex<Histogram<u64>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_MICROS, 2).expect("constant bounds are valid")
}

fn micros(latency: Duration) -> u64 {
    u64::try_from(latency.as_micros())
        .unwrap_or(LONGEST_MICROS)
        .clamp(1, LONGEST_MICROS)
}

impl Tally {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            sent: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            events: AtomicU64::new(0),
            reactions_sent: AtomicU64::new(0),
            reactions_heard: AtomicU64::new(0),
            buys: AtomicU64::new(0),
            buys_again: AtomicU64::new(0),
            resumed: AtomicU64::new(0),
            fault_count: AtomicU64::new(0),
            logs: Mutex::default(),
            delivery: (0..SHARDS).map(|_| Mutex::new(histogram())).collect(),
            acknowledgement: Mutex::new(histogram()),
            hold: Mutex::new(histogram()),
        }
    }

    /// Something that must not happen has happened.
    pub fn fault(&self, line: String) {
        self.fault_count.fetch_add(1, Ordering::Relaxed);
        let mut logs = lock(&self.logs);
        if logs.faults.len() < REPORTED_FAULTS {
            logs.faults.push(line);
        }
    }

    /// Faults so far, the first of them in words.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = lock(&self.logs).faults.clone();
        let count = self.fault_count.load(Ordering::Relaxed);
        if count > faults.len() as u64 {
            faults.push(format!("and {} more of the kind", count - faults.len() as u64));
        }
        faults
    }

    /// A message came back from the room to its author as committed.
    pub fn acknowledge(&self, message: Acknowledged, latency: Duration) {
        lock(&self.acknowledgement).saturating_record(micros(latency));
        lock(&self.logs).acknowledged.push(message);
    }

    /// A chat message was refused.
    pub fn refuse_chat(&self, code: ErrorCode) {
        *lock(&self.logs).refused_chats.entry(code.as_str()).or_default() += 1;
    }

    /// A hold was granted.
    pub fn grant(&self, granted: Granted, latency: Duration) {
        lock(&self.hold).saturating_record(micros(latency));
        lock(&self.logs).granted.push(granted);
    }

    /// A buy was refused.
    pub fn refuse_buy(&self, code: ErrorCode, latency: Duration) {
        lock(&self.hold).saturating_record(micros(latency));
        *lock(&self.logs).refused_buys.entry(code.as_str()).or_default() += 1;
    }

    /// An order was paid.
    pub fn pay(&self, paid: Paid) {
        lock(&self.logs).paid.push(paid);
    }

    /// A sale was opened.
    pub fn sale(&self, sale: SaleHeld) {
        lock(&self.logs).sales.push(sale);
    }

    /// Chat messages reached the viewer with this index after so long.
    pub fn deliver(&self, index: usize, latencies: impl Iterator<Item = Duration>) {
        let mut histogram = lock(&self.delivery[index % SHARDS]);
        for latency in latencies {
            histogram.saturating_record(micros(latency));
        }
    }

    /// Every acknowledgement.
    pub fn acknowledged(&self) -> Vec<Acknowledged> {
        lock(&self.logs).acknowledged.clone()
    }

    /// Every grant.
    pub fn granted(&self) -> Vec<Granted> {
        lock(&self.logs).granted.clone()
    }

    /// How many holds were granted.
    pub fn granted_count(&self) -> usize {
        lock(&self.logs).granted.len()
    }

    /// Every paid order.
    pub fn paid(&self) -> Vec<Paid> {
        lock(&self.logs).paid.clone()
    }

    /// Every sale.
    pub fn sales(&self) -> Vec<SaleHeld> {
        lock(&self.logs).sales.clone()
    }

    /// Refused buys by code.
    pub fn refused_buys(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.logs).refused_buys.clone()
    }

    /// Refused chat messages by code.
    pub fn refused_chats(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.logs).refused_chats.clone()
    }

    /// Chat latency from the author's send to each viewer's receipt.
    pub fn delivery_latency(&self) -> Histogram<u64> {
        let mut all = histogram();
        for shard in &self.delivery {
            // The bounds are the same, so adding cannot fail.
            let _ = all.add(&*lock(shard));
        }
        all
    }

    /// Chat latency from the author's send to the acknowledgement.
    pub fn acknowledgement_latency(&self) -> Histogram<u64> {
        lock(&self.acknowledgement).clone()
    }

    /// Latency from the press of buy to its answer.
    pub fn hold_latency(&self) -> Histogram<u64> {
        lock(&self.hold).clone()
    }
}
