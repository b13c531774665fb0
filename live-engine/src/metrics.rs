//! What a worker counts. Hot paths add to plain cells of their own thread; once a second
//! the sums go to the process's recorder.

use std::cell::Cell;
use std::time::Duration;

/// The cells of one worker.
#[derive(Default)]
pub struct Stats {
    deliveries: Cell<u64>,
    written_bytes: Cell<u64>,
    received: Cell<u64>,
    lagging: Cell<u64>,
    closed_slow: Cell<u64>,
}

thread_local! {
    static STATS: Stats = Stats::default();
}

fn add(cell: impl FnOnce(&Stats) -> &Cell<u64>, n: u64) {
    STATS.with(|stats| {
        let cell = cell(stats);
        cell.set(cell.get().wrapping_add(n));
    });
}

/// A socket took bytes.
pub fn wrote(bytes: usize) {
    add(|s| &s.written_bytes, bytes as u64);
}

/// Viewers were handed events: `events` times the viewers of a shard.
pub fn delivered(events: u64) {
    add(|s| &s.deliveries, events);
}

/// A command came.
pub fn received() {
    add(|s| &s.received, 1);
}

/// A socket takes no more for now.
pub fn lagging() {
    add(|s| &s.lagging, 1);
}

/// A reader was too slow and is sent away.
pub fn closed_slow() {
    add(|s| &s.closed_slow, 1);
}

/// Hands this thread's sums to the recorder.
pub fn flush() {
    STATS.with(|stats| {
        metrics::counter!("engine_deliveries_total").increment(stats.deliveries.take());
        metrics::counter!("engine_written_bytes_total").increment(stats.written_bytes.take());
        metrics::counter!("engine_commands_received_total").increment(stats.received.take());
        metrics::counter!("engine_lagging_total").increment(stats.lagging.take());
        metrics::counter!("engine_closed_slow_total").increment(stats.closed_slow.take());
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

/// One sweep over a shard's viewers took this long.
pub fn sweep(took: Duration) {
    metrics::histogram!("engine_sweep_seconds").record(took.as_secs_f64());
}

/// A room speaks in ticks of this length.
pub fn tick(length: Duration) {
    metrics::histogram!("engine_tick_seconds").record(length.as_secs_f64());
}

/// Connections and rooms at present.
pub fn present(connections: usize, rooms: usize) {
    metrics::gauge!("engine_connections").set(connections as f64);
    metrics::gauge!("engine_rooms").set(rooms as f64);
}
