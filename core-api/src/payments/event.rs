//! What a payment provider tells us without being asked. It is a hint and never a fact:
//! whoever works it off asks the provider how the thing stands, and brings us there. So what
//! comes twice, shuffled, late or with another amount does no harm. Nothing of a message but
//! this is kept.

use serde::{Deserialize, Serialize};
use shared::ids::{PaymentId, PayoutId, RefundId};

use crate::webhooks::signature::Unsigned;

/// An event's own name and kind, in characters at most.
pub const NAME_MAX: usize = 255;

/// A message that is believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// The provider's own name for it, the same whenever it is sent again: from 1 to
    /// [`NAME_MAX`] characters.
    pub id: String,
    /// What happened, as the provider calls it.
    pub kind: String,
    /// To what.
    pub about: About,
}

/// What an event is about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// A payment of ours, by its id, or of somebody else's.
    Payment(PaymentId),
    /// A refund, likewise.
    Refund(RefundId),
    /// A payout, likewise.
    Payout(PayoutId),
    /// A dispute, by the provider's own name for it.
    Dispute {
        /// That name.
        reference: String,
    },
    /// Nothing that anything follows from.
    Nothing,
}

/// Why a message is not taken for an event of the provider's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unbelieved {
    /// No secret is configured: nobody is listened to.
    NobodyListens,
    /// Its signature is not good.
    Unsigned {
        /// The header that it stands in.
        header: &'static str,
        /// What is wrong with it.
        why: Unsigned,
    },
    /// It is signed, and is no event.
    Unreadable,
}
