//! What an act may come to, and when two answers to it are the same.

use serde::Serialize;
use shared::ids::{
    CheckoutId, MessageId, OrderId, PaymentId, ProductId, ReservationId, SaleId, StreamId, UserId, VariantId,
};
use shared::protocol::Position;
use shared::status::PaymentStatus;

/// What somebody was told is done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// A message was said.
    Said {
        /// The show.
        stream: StreamId,
        /// Its id.
        message: MessageId,
        /// What.
        text: String,
        /// Its number.
        at: Position,
    },
    /// Units are held.
    Held {
        /// The hold.
        reservation: ReservationId,
        /// The sale.
        sale: SaleId,
        /// Units.
        quantity: u32,
    },
    /// A place in line for units, which may become a hold.
    Waits {
        /// The sale.
        sale: SaleId,
        /// Units.
        quantity: u32,
    },
    /// A place in line was left, or there was none to leave any more.
    Left {
        /// The sale.
        sale: SaleId,
    },
    /// A hold was given up.
    Released {
        /// Which.
        reservation: ReservationId,
    },
    /// A purchase was priced.
    CheckedOut {
        /// It.
        checkout: CheckoutId,
        /// What it costs.
        total_minor: i64,
    },
    /// An order was placed.
    Ordered {
        /// It.
        order: OrderId,
        /// What it was placed from.
        checkout: CheckoutId,
        /// What it costs.
        total_minor: i64,
    },
    /// An attempt to pay has an answer.
    Paid {
        /// The attempt.
        payment: PaymentId,
        /// What for.
        order: OrderId,
        /// How much.
        amount_minor: i64,
        /// What became of it, when it was answered.
        status: PaymentStatus,
    },
    /// A flash sale was opened.
    Opened {
        /// It.
        sale: SaleId,
        /// Units.
        quantity: u32,
    },
    /// A flash sale was closed.
    Closed {
        /// It.
        sale: SaleId,
    },
    /// A product was shown; nothing: no product is.
    Featured {
        /// Which.
        product: Option<ProductId>,
    },
    /// The chat's longest message was set.
    Ruled {
        /// In characters.
        max_chars: u32,
    },
    /// A message was pinned; none: taken down.
    Pinned {
        /// Which.
        message: Option<MessageId>,
    },
    /// A message was deleted.
    Deleted {
        /// Which.
        message: MessageId,
    },
    /// Somebody may not chat, or may again.
    Muted {
        /// Who.
        user: UserId,
        /// Whether they may not.
        is_muted: bool,
    },
    /// Somebody may not come in, or may again.
    Banned {
        /// Who.
        user: UserId,
        /// Whether they may not.
        is_banned: bool,
    },
    /// A show went on air.
    Started {
        /// Which.
        stream: StreamId,
    },
    /// A show ended.
    Ended {
        /// Which.
        stream: StreamId,
    },
    /// A price was set.
    Priced {
        /// Whose.
        variant: VariantId,
        /// What it is now.
        price_minor: i64,
    },
    /// Stock was adjusted.
    Adjusted {
        /// Whose.
        variant: VariantId,
        /// By how much.
        delta: i32,
    },
}

impl Done {
    /// Its kind, for counting.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Said { .. } => "messages said",
            Self::Held { .. } => "holds granted",
            Self::Waits { .. } => "places in line",
            Self::Left { .. } => "places left",
            Self::Started { .. } => "shows begun",
            Self::Ended { .. } => "shows ended",
            Self::Released { .. } => "holds released",
            Self::CheckedOut { .. } => "checkouts",
            Self::Ordered { .. } => "orders",
            Self::Paid { .. } => "payments answered",
            Self::Opened { .. } => "sales opened",
            Self::Closed { .. } => "sales closed",
            Self::Featured { .. } => "products shown",
            Self::Ruled { .. } => "chat rules set",
            Self::Pinned { .. } => "messages pinned or taken down",
            Self::Deleted { .. } => "messages deleted",
            Self::Muted { .. } => "mutes made or lifted",
            Self::Banned { .. } => "bans made or lifted",
            Self::Priced { .. } => "prices set",
            Self::Adjusted { .. } => "stock adjusted",
        }
    }

    /// Whether core-api answered it, rather than the engine.
    #[must_use]
    pub const fn is_rest(&self) -> bool {
        matches!(
            self,
            Self::CheckedOut { .. }
                | Self::Ordered { .. }
                | Self::Paid { .. }
                | Self::Priced { .. }
                | Self::Adjusted { .. }
        )
    }
}

/// Whether a payment's answer stays what it is.
pub const fn is_final(status: PaymentStatus) -> bool {
    matches!(
        status,
        PaymentStatus::Captured | PaymentStatus::Failed | PaymentStatus::Cancelled
    )
}

/// Whether two answers to one act are the same, apart from what time may change.
pub(super) fn is_same(first: &Done, second: &Done) -> bool {
    match (first, second) {
        (
            Done::Paid {
                payment,
                amount_minor,
                status,
                ..
            },
            Done::Paid {
                payment: other,
                amount_minor: other_amount,
                status: later,
                ..
            },
        ) => (payment, amount_minor) == (other, other_amount) && (!is_final(*status) || status == later),
        // The turn has come.
        (
            Done::Waits { sale, quantity },
            Done::Held {
                sale: of,
                quantity: units,
                ..
            },
        ) => (sale, quantity) == (of, units),
        _ => first == second,
    }
}
