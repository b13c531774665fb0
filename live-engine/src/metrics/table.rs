//! The engine's metrics, one line each: what `/metrics` shows, and what the operator's
//! documentation says of it.

use metrics::Unit::{Bytes, Count, Seconds};
use shared::metric::Metric;

const WORKER: &[&str] = &["worker"];

/// All of them. Totals are sums over the label.
#[rustfmt::skip]
pub const METRICS: &[Metric] = &[
    Metric::gauge("engine_connections", Count, WORKER, "connections at present"),
    Metric::gauge("engine_connections_lagging", Count, WORKER, "of them, those whose socket takes no more for now"),
    Metric::counter("engine_accepted_total", Count, WORKER, "connections taken in"),
    Metric::counter("engine_closes_total", Count, &["worker", "code"], "connections that came to their end, by close code; `client`: the client closed; `refused`: no upgrade; `silent`: nothing heard; `stalled`: the socket took nothing; `lost`: it ended without a word"),
    Metric::counter("engine_lagging_total", Count, WORKER, "times that a socket took no more for now"),
    Metric::counter("engine_shed_total", Count, &["worker", "what"], "what was left out because it was too much: `connection` (closed at once), `tick` (a lagging viewer missed what may be missed), `command` (refused as `rate_limited` or `overloaded`)"),
    Metric::gauge("engine_rooms", Count, WORKER, "open rooms that live on the worker"),
    Metric::gauge("engine_shards", Count, WORKER, "rooms with viewers on the worker"),
    Metric::counter("engine_deliveries_total", Count, WORKER, "numbered events times the viewers that they were written or kept for"),
    Metric::counter("engine_writes_total", Count, WORKER, "write calls on sockets"),
    Metric::counter("engine_written_bytes_total", Bytes, WORKER, "bytes that sockets took"),
    Metric::counter("engine_reads_total", Count, WORKER, "read calls on sockets"),
    Metric::counter("engine_read_bytes_total", Bytes, WORKER, "bytes that came"),
    Metric::histogram("engine_round_seconds", Seconds, WORKER, "how long it took to go round a busy room's viewers, rests included"),
    Metric::histogram("engine_sweep_seconds", Seconds, WORKER, "what writing to all of a room's viewers costs the worker"),
    Metric::histogram("engine_tick_seconds", Seconds, WORKER, "the length of the tick in which a room spoke"),
    Metric::counter("engine_commands_received_total", Count, WORKER, "commands that came"),
    Metric::counter("engine_commands_total", Count, &["command", "outcome"], "commands by kind, and whether they were `done` or `refused`; one that a room decides counts as done when the room has it"),
    Metric::histogram("engine_hold_batch_size", Count, &[], "buyers in one call for holds"),
    Metric::histogram("engine_hold_commit_seconds", Seconds, &[], "how long such a call took, commit included"),
    Metric::counter("engine_holds_refused_from_memory_total", Count, &[], "buyers refused without asking the database"),
    Metric::gauge("engine_holds_asking", Count, &[], "buyers whose turn at the database has not come"),
    Metric::gauge("engine_wait_list_people", Count, &[], "people in the wait lists of rooms that are here"),
    Metric::histogram("engine_persist_batch_rows", Count, &[], "events stored together"),
    Metric::histogram("engine_persist_commit_seconds", Seconds, &[], "how long a transaction that stores events took"),
    Metric::histogram("engine_chat_commit_seconds", Seconds, &[], "from a chat message's number to its commit"),
    Metric::counter("engine_chat_lookups_total", Count, &[], "chat messages that may have been said before, as far as memory tells, and were looked up first"),
    Metric::gauge("engine_persist_backlog_rows", Count, &[], "events that wait to be stored, those on their way included"),
    Metric::gauge("engine_persist_backlog_bytes", Bytes, &[], "about what they take; chat is refused at 56 MiB"),
    Metric::counter("engine_persist_rejected_total", Count, &[], "events that the database refused for good: see `persist_rejects`"),
    Metric::counter("engine_persist_fenced_total", Count, &[], "batches of a room that another engine has taken over"),
    Metric::histogram("engine_own_batch_size", Count, &[], "people whose holds and orders were read in one query"),
    Metric::counter("engine_notifications_total", Count, &[], "notifications for accounts that were connected here"),
    Metric::counter("engine_moderation_hook_total", Count, &["outcome"], "messages that the moderation service was asked about").each(&["allow", "change", "deny", "timeout", "error", "open", "full"]),
    Metric::histogram("engine_moderation_hook_seconds", Seconds, &[], "how long its answers took"),
    Metric::gauge("engine_draining", Count, &[], "1 while the engine stops"),
];
