//! An open room in numbers, for an operator: how far it is, who is there, what it sells.
//! Holds nothing that anybody has said, and no names.

use std::time::Duration;

use serde::Serialize;
use shared::ids::{SaleId, UserId};
use shared::protocol::Millis;
use shared::status::StreamStatus;

use super::{Core, Now};

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Facts {
    /// The show's status.
    pub state: StreamStatus,
    /// Whether it closes.
    pub closing: bool,
    /// Raised with every owner.
    pub epoch: i64,
    /// The number of the last event.
    pub head_seq: u64,
    /// Everything up to here is stored, or refused for good.
    pub committed_seq: u64,
    /// How many events are not stored yet.
    pub persister_lag: u64,
    /// Of those, the ones that the persister has had no room for.
    pub unoffered: usize,
    /// Connections, for each worker.
    pub viewers: Vec<u64>,
    /// People.
    pub people: u64,
    /// Whose show it is.
    pub host: UserId,
    /// Whether the host is connected, as the host.
    pub host_present: bool,
    /// The length of its tick, while it is busy.
    pub tick_ms: u64,
    /// And of a round through its viewers.
    pub round_ms: u64,
    /// What it keeps of its recent frames.
    pub log_bytes: usize,
    /// Whether everything that was said before it was opened is known here. Until then each
    /// new message is looked up in the database before it is said.
    pub earlier_known: bool,
    /// Sales that are open or about to.
    pub sales: Vec<SaleFacts>,
}

/// A sale in numbers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SaleFacts {
    /// It.
    pub sale: SaleId,
    /// Whether it has begun.
    pub state: Stage,
    /// Units set aside.
    pub quantity: u32,
    /// Units neither held nor sold.
    pub remaining: u32,
    /// When it ends.
    pub ends_at: Millis,
}

/// Where a sale is, by its times. One that is over is closed soon.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It has not begun.
    Announced,
    /// It has begun.
    Open,
    /// Its time is up.
    Over,
}

impl Stage {
    const fn of(opens_at: Millis, ends_at: Millis, now: Millis) -> Self {
        if now < opens_at {
            Self::Announced
        } else if now < ends_at {
            Self::Open
        } else {
            Self::Over
        }
    }
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Core {
    /// The room in numbers.
    #[must_use]
    pub fn facts(&self, closing: bool, now: Now) -> Facts {
        let counted = self.load.presence.counted();
        let (tempo, sweep) = (self.load.tempo(), self.load.sweep());
        let head_seq = self.next_seq - 1;
        let sales = self.state.sales().map(|sale| SaleFacts {
            sale: sale.id,
            state: Stage::of(sale.opens_at, sale.ends_at, now.ms),
            quantity: sale.quantity,
            remaining: sale.remaining,
            ends_at: sale.ends_at,
        });
        Facts {
            sales: sales.collect(),
            state: self.state.status(),
            closing,
            epoch: self.epoch,
            head_seq,
            committed_seq: self.committed,
            persister_lag: head_seq.saturating_sub(self.committed),
            unoffered: self.unoffered.len(),
            viewers: self.load.viewers_by_worker(),
            people: counted.people,
            host: self.state.host(),
            host_present: counted.has_host,
            tick_ms: whole_ms(tempo.tick(sweep)),
            round_ms: whole_ms(tempo.round(sweep)),
            log_bytes: self.speech.log().kept_bytes(),
            earlier_known: self.chat.said.knows_earlier(),
        }
    }
}
