//! What the engine counts. Hot paths add to plain cells of their own thread; once a second
//! a worker's sums go to the process's recorder, under its number. What is measured off
//! the workers' threads is rare enough to go there at once.
//!
//! Every metric is in [`table::METRICS`], with what it means; a label has few values.

pub mod table;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Histogram, SharedString};

use crate::room::rounds::Round;

/// What a worker adds up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sum {
    Accepted,
    Deliveries,
    Writes,
    WrittenBytes,
    Reads,
    ReadBytes,
    Commands,
    Lagging,
    ShedConnections,
    ShedTicks,
    ShedCommands,
}

/// Each sum with its metric, and for some what is shed.
const SUMS: [(Sum, &str, Option<&str>); 11] = [
    (Sum::Accepted, "engine_accepted_total", None),
    (Sum::Deliveries, "engine_deliveries_total", None),
    (Sum::Writes, "engine_writes_total", None),
    (Sum::WrittenBytes, "engine_written_bytes_total", None),
    (Sum::Reads, "engine_reads_total", None),
    (Sum::ReadBytes, "engine_read_bytes_total", None),
    (Sum::Commands, "engine_commands_received_total", None),
    (Sum::Lagging, "engine_lagging_total", None),
    (Sum::ShedConnections, "engine_shed_total", Some("connection")),
    (Sum::ShedTicks, "engine_shed_total", Some("tick")),
    (Sum::ShedCommands, "engine_shed_total", Some("command")),
];

/// How a connection came to its end, told by whoever began it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Parting {
    /// We closed it with this code.
    Code(u16),
    /// The client closed it.
    Client,
    /// Its request for the upgrade was refused.
    Refused,
    /// It said nothing for too long: no request, or no answer to a ping.
    Silent,
    /// Its socket took nothing for too long.
    Stalled,
    /// The socket ended without a word.
    Lost,
}

impl Parting {
    fn label(self) -> SharedString {
        match self {
            // The codes are ours: a client's own never comes here.
            Self::Code(code) => code.to_string().into(),
            Self::Client => "client".into(),
            Self::Refused => "refused".into(),
            Self::Silent => "silent".into(),
            Self::Stalled => "stalled".into(),
            Self::Lost => "lost".into(),
        }
    }
}

/// The cells of one worker.
struct Stats {
    sums: [Cell<u64>; SUMS.len()],
    closes: RefCell<BTreeMap<Parting, u64>>,
}

/// Where a worker's sums go.
struct Recorders {
    worker: SharedString,
    sums: [Counter; SUMS.len()],
    round: Histogram,
    sweep: Histogram,
    tick: Histogram,
}

thread_local! {
    static STATS: Stats = const {
        Stats {
            sums: [const { Cell::new(0) }; SUMS.len()],
            closes: RefCell::new(BTreeMap::new()),
        }
    };
    static RECORDERS: OnceCell<Recorders> = const { OnceCell::new() };
}

/// This thread is a worker's from now on.
pub fn begin(worker: u16) {
    let worker = SharedString::from(Arc::<str>::from(worker.to_string()));
    let sums = SUMS.map(|(_, name, what)| match what {
        None => metrics::counter!(name, "worker" => worker.clone()),
        Some(what) => metrics::counter!(name, "worker" => worker.clone(), "what" => what),
    });
    for parting in [
        Parting::Client,
        Parting::Refused,
        Parting::Silent,
        Parting::Stalled,
        Parting::Lost,
    ] {
        metrics::counter!("engine_closes_total", "worker" => worker.clone(), "code" => parting.label()).increment(0);
    }
    let recorders = Recorders {
        sums,
        round: metrics::histogram!("engine_round_seconds", "worker" => worker.clone()),
        sweep: metrics::histogram!("engine_sweep_seconds", "worker" => worker.clone()),
        tick: metrics::histogram!("engine_tick_seconds", "worker" => worker.clone()),
        worker,
    };
    RECORDERS.with(|known| {
        // A thread is one worker's for good.
        let _ = known.set(recorders);
    });
}

fn add(sum: Sum, n: u64) {
    STATS.with(|stats| {
        let cell = &stats.sums[sum as usize];
        cell.set(cell.get().wrapping_add(n));
    });
}

/// A connection came.
pub fn accepted() {
    add(Sum::Accepted, 1);
}

/// A connection comes to its end; once for each.
pub fn parting(parting: Parting) {
    STATS.with(|stats| *stats.closes.borrow_mut().entry(parting).or_default() += 1);
}

/// A socket was written to.
pub fn wrote(written: &io::Result<usize>) {
    add(Sum::Writes, 1);
    if let Ok(bytes) = written {
        add(Sum::WrittenBytes, *bytes as u64);
    }
}

/// A socket was read from.
pub fn read(read: &io::Result<usize>) {
    add(Sum::Reads, 1);
    if let Ok(bytes) = read {
        add(Sum::ReadBytes, *bytes as u64);
    }
}

/// Viewers were handed events: `events` times the viewers of a shard.
pub fn delivered(events: u64) {
    add(Sum::Deliveries, events);
}

/// A command came.
pub fn received() {
    add(Sum::Commands, 1);
}

/// A socket takes no more for now.
pub fn lagging() {
    add(Sum::Lagging, 1);
}

/// A connection was closed unheard: there are too many.
pub fn shed_connection() {
    add(Sum::ShedConnections, 1);
}

/// A viewer lags and misses what a tick may be missed of.
pub fn shed_tick() {
    add(Sum::ShedTicks, 1);
}

/// A command was refused because there are too many.
pub fn shed_command() {
    add(Sum::ShedCommands, 1);
}

/// Hands this worker's sums to the recorder.
pub fn flush() {
    RECORDERS.with(|recorders| {
        let Some(recorders) = recorders.get() else { return };
        STATS.with(|stats| {
            for (cell, counter) in stats.sums.iter().zip(&recorders.sums) {
                counter.increment(cell.take());
            }
            for (parting, count) in stats.closes.take() {
                let worker = recorders.worker.clone();
                metrics::counter!("engine_closes_total", "worker" => worker, "code" => parting.label())
                    .increment(count);
            }
        });
    });
}

/// What a worker has at present.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Present {
    /// Connections.
    pub connections: usize,
    /// Of them, those whose socket takes no more for now.
    pub lagging: usize,
    /// Rooms that live here.
    pub rooms: usize,
    /// Rooms that are watched here.
    pub shards: usize,
}

/// Says what this worker has.
pub fn present(present: Present) {
    RECORDERS.with(|recorders| {
        let Some(recorders) = recorders.get() else { return };
        let set = |name: &'static str, count: usize| {
            metrics::gauge!(name, "worker" => recorders.worker.clone()).set(count as f64);
        };
        set("engine_connections", present.connections);
        set("engine_connections_lagging", present.lagging);
        set("engine_rooms", present.rooms);
        set("engine_shards", present.shards);
    });
}

/// A shard has gone round all its viewers.
pub fn round(round: Round) {
    RECORDERS.with(|recorders| {
        if let Some(recorders) = recorders.get() {
            recorders.round.record(round.took.as_secs_f64());
            recorders.sweep.record(round.sweep.as_secs_f64());
        }
    });
}

/// A room speaks in ticks of this length.
pub fn tick(length: Duration) {
    RECORDERS.with(|recorders| {
        if let Some(recorders) = recorders.get() {
            recorders.tick.record(length.as_secs_f64());
        }
    });
}

/// How a command ended.
pub fn command(kind: &'static str, refused: bool) {
    let outcome = if refused { "refused" } else { "done" };
    metrics::counter!("engine_commands_total", "command" => kind, "outcome" => outcome).increment(1);
}

/// What so many people have open was read at once.
pub fn own_batch(people: usize) {
    metrics::histogram!("engine_own_batch_size").record(people as f64);
}

/// So many people who are connected are told of something.
pub fn notified(count: usize) {
    metrics::counter!("engine_notifications_total").increment(count as u64);
}

/// What waits at the database, all workers together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Backlog {
    /// Events to store, and about their bytes.
    pub rows: usize,
    /// About their bytes.
    pub bytes: usize,
    /// Buyers in line for the database.
    pub asking: usize,
    /// Buyers in the wait lists of the sales of rooms that are here.
    pub waiting: u64,
}

/// Says what waits.
pub fn backlog(backlog: Backlog) {
    metrics::gauge!("engine_persist_backlog_rows").set(backlog.rows as f64);
    metrics::gauge!("engine_persist_backlog_bytes").set(backlog.bytes as f64);
    metrics::gauge!("engine_holds_asking").set(backlog.asking as f64);
    metrics::gauge!("engine_wait_list_people").set(backlog.waiting as f64);
}

/// A batch of events was stored in one transaction that took so long.
pub fn persisted(took: Duration) {
    metrics::histogram!("engine_persist_commit_seconds").record(took.as_secs_f64());
}

/// A chat message was stored this long after it was said.
pub fn chat_stored(after: Duration) {
    metrics::histogram!("engine_chat_commit_seconds").record(after.as_secs_f64());
}

/// A message's name had to be looked up before it was said.
pub fn chat_looked_up() {
    metrics::counter!("engine_chat_lookups_total").increment(1);
}

/// A batch left the persister's queue for good.
pub fn persist_batch(rows: usize) {
    metrics::histogram!("engine_persist_batch_rows").record(rows as f64);
}

/// The database refused an event for good.
pub fn rejected() {
    metrics::counter!("engine_persist_rejected_total").increment(1);
}

/// A room's events were not stored: another engine has the room.
pub fn fenced() {
    metrics::counter!("engine_persist_fenced_total").increment(1);
}

/// A batch of buyers was asked about in one call that took so long.
pub fn holds_granted(took: Duration) {
    metrics::histogram!("engine_hold_commit_seconds").record(took.as_secs_f64());
}

/// So many buyers were asked about at once.
pub fn hold_batch(buyers: usize) {
    metrics::histogram!("engine_hold_batch_size").record(buyers as f64);
}

/// The engine stops, or does not.
pub fn draining(is_draining: bool) {
    metrics::gauge!("engine_draining").set(if is_draining { 1.0 } else { 0.0 });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sum_has_its_own_place() {
        for (place, (sum, name, _)) in SUMS.into_iter().enumerate() {
            assert_eq!(sum as usize, place, "{name}");
            assert!(table::METRICS.iter().any(|metric| metric.name == name), "{name}");
        }
    }
}
