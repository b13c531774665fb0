//! What a show came to, once it is over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Millis;
use crate::ids::StreamId;

/// What a show came to: for its shop alone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ShowSummary {
    /// The show.
    pub stream: StreamId,
    /// When it began.
    pub started_at: Millis,
    /// When it ended.
    pub ended_at: Millis,
    /// Who watched and what they said.
    pub audience: Audience,
    /// What was sold.
    pub commerce: Commerce,
}

/// Who watched a show and what they said.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Audience {
    /// The most connections at once.
    pub peak_viewers: u64,
    /// Connections on average while it was on air.
    pub average_viewers: u64,
    /// Accounts that were there, each once.
    pub accounts: u64,
    /// Guests that were there, each once.
    pub guests: u64,
    /// Messages said and not deleted.
    pub chat_messages: u64,
    /// Accounts that said something.
    pub chatters: u64,
    /// Reactions by kind.
    pub reactions: BTreeMap<String, u64>,
}

/// What a show has sold of its shop's goods, by the rows as they are when it is asked
/// for: orders are still paid, and called off, after a show.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Commerce {
    /// Flash sales.
    pub sales: u64,
    /// Holds that were granted in them.
    pub holds: u64,
    /// Units that those holds promised.
    pub held_units: u64,
    /// Orders placed in the show.
    pub orders: u64,
    /// Of these, those that are paid.
    pub paid_orders: u64,
    /// Units in paid orders.
    pub sold_units: u64,
    /// What the goods in paid orders cost, discounts taken off, shipping left out: minor
    /// units by ISO 4217 code.
    pub revenue_minor: BTreeMap<String, i64>,
}
