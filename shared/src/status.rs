//! Statuses: one enum for each state machine, and which steps it allows.
//!
//! The database keeps the same names as text under a check constraint. A step is made
//! by one guarded update, `… where id = $1 and status = any($2)`, whose second argument
//! comes from [`Machine::sources_of`], so that SQL and Rust cannot disagree.

use serde::{Deserialize, Serialize};

/// A state machine whose steps are all listed.
pub trait Machine: Copy + Eq + Sized + 'static {
    /// Every state.
    const ALL: &'static [Self];

    /// The states that may follow this one.
    fn next(self) -> &'static [Self];

    /// The state's name on the wire and in the database.
    fn as_str(self) -> &'static str;

    /// Whether the step is allowed.
    fn may_become(self, to: Self) -> bool {
        self.next().contains(&to)
    }

    /// Nothing follows.
    fn is_final(self) -> bool {
        self.next().is_empty()
    }

    /// The names of the states that `to` may follow.
    fn sources_of(to: Self) -> Vec<String> {
        Self::ALL
            .iter()
            .filter(|s| s.may_become(to))
            .map(|s| s.as_str().to_owned())
            .collect()
    }
}

macro_rules! machine {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal => [$($next:ident),*]),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        #[sqlx(type_name = "text", rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl Machine for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn next(self) -> &'static [Self] {
                match self { $(Self::$variant => &[$(Self::$next),*]),+ }
            }

            fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

machine! {
    /// A shop's standing. Only an approved one sells.
    SellerStatus {
        /// Applied, not yet decided.
        Pending = "pending" => [Approved, Rejected],
        /// May sell.
        Approved = "approved" => [Suspended],
        /// Turned down; may apply again.
        Rejected = "rejected" => [Pending],
        /// Stopped by an admin.
        Suspended = "suspended" => [Approved],
    }
}

machine! {
    /// A product's visibility.
    ProductStatus {
        /// Only its seller sees it.
        Draft = "draft" => [Active, Archived],
        /// On sale.
        Active = "active" => [Archived],
        /// Withdrawn; kept for the orders that name it.
        Archived = "archived" => [Active],
    }
}

machine! {
    /// A show's life.
    StreamStatus {
        /// Announced.
        Scheduled = "scheduled" => [Live, Cancelled],
        /// On air.
        Live = "live" => [Ended],
        /// Over.
        Ended = "ended" => [],
        /// Never went on air.
        Cancelled = "cancelled" => [],
    }
}

machine! {
    /// A flash sale's life. Whether an open one has begun or run out is for its times to say.
    SaleStatus {
        /// Units are set aside for it.
        Open = "open" => [Closed],
        /// What was left has gone back to the shop.
        Closed = "closed" => [],
    }
}

machine! {
    /// A hold's life.
    ReservationStatus {
        /// Promised until it expires.
        Held = "held" => [Paying, Expired, Released],
        /// A payment is under way: does not expire before its outcome.
        Paying = "paying" => [Converted, Held, Released],
        /// Bought.
        Converted = "converted" => [],
        /// Lapsed.
        Expired = "expired" => [],
        /// Given up, or its payment failed after its time.
        Released = "released" => [],
    }
}

machine! {
    /// A place in a sale's wait list.
    WaitStatus {
        /// In line.
        Waiting = "waiting" => [Offered, Left, Ended],
        /// Its turn came: the units are held for its owner.
        Offered = "offered" => [],
        /// Given up, or taken from one whom the shop does not serve any more.
        Left = "left" => [],
        /// The sale is over.
        Ended = "ended" => [],
    }
}

machine! {
    /// A checkout's life.
    CheckoutStatus {
        /// Priced, holding stock.
        Open = "open" => [Placed, Expired, Cancelled],
        /// Became an order.
        Placed = "placed" => [],
        /// Ran out; its stock is free again.
        Expired = "expired" => [],
        /// Given up by the buyer.
        Cancelled = "cancelled" => [],
    }
}

machine! {
    /// An order's status, derived from its items and payments and stored for lists.
    OrderStatus {
        /// Placed, unpaid.
        PendingPayment = "pending_payment" => [Paid, Cancelled, Expired],
        /// Captured in full.
        Paid = "paid" => [PartiallyShipped, Shipped, Cancelled],
        /// Some of it is on its way.
        PartiallyShipped = "partially_shipped" => [Shipped, Delivered],
        /// All of it is on its way.
        Shipped = "shipped" => [Delivered],
        /// All of it has arrived.
        Delivered = "delivered" => [Completed],
        /// Nothing can be returned any more.
        Completed = "completed" => [],
        /// Called off.
        Cancelled = "cancelled" => [],
        /// Not paid in time. A late payment may still retake every item.
        Expired = "expired" => [Paid],
    }
}

machine! {
    /// One attempt to pay.
    PaymentStatus {
        /// Written, the provider not yet asked.
        Created = "created" => [Processing, Cancelled],
        /// With the provider; a timeout leaves it here until a reconciler has asked.
        Processing = "processing" => [RequiresAction, Captured, Failed, Cancelled],
        /// The buyer owes a second step.
        RequiresAction = "requires_action" => [Processing, Captured, Failed, Cancelled],
        /// The money is ours.
        Captured = "captured" => [],
        /// Declined.
        Failed = "failed" => [],
        /// Called off before money moved.
        Cancelled = "cancelled" => [],
    }
}

machine! {
    /// Money on its way back to a buyer. A provider that does not answer leaves it
    /// submitted: a timeout is not a failure.
    RefundStatus {
        /// Written, the provider not yet asked.
        Pending = "pending" => [Submitted, Succeeded, Failed],
        /// With the provider.
        Submitted = "submitted" => [Succeeded, Failed],
        /// The buyer has it, as far as the provider knows: their bank may send it back.
        Succeeded = "succeeded" => [Failed],
        /// The provider could not: what is still owed is decided anew as another refund.
        Failed = "failed" => [],
    }
}

machine! {
    /// Units that a buyer wants to send back.
    ReturnStatus {
        /// Asked for.
        Requested = "requested" => [Approved, Rejected, Withdrawn],
        /// The shop takes it back.
        Approved = "approved" => [Received, Withdrawn],
        /// The shop does not take it back.
        Rejected = "rejected" => [],
        /// The buyer keeps it after all, or has not sent it in time.
        Withdrawn = "withdrawn" => [],
        /// The shop has it; the money is on its way.
        Received = "received" => [Refunded],
        /// The buyer has the money.
        Refunded = "refunded" => [],
    }
}

machine! {
    /// Units that a shop has sent and their buyer says did not come.
    ClaimStatus {
        /// Said by the buyer; what the line earned is held from now on.
        Open = "open" => [Answered, Withdrawn, Rejected, Upheld],
        /// The shop has said what proves the delivery.
        Answered = "answered" => [Withdrawn, Rejected, Upheld],
        /// They have come after all.
        Withdrawn = "withdrawn" => [],
        /// An admin has decided for the shop.
        Rejected = "rejected" => [],
        /// An admin has decided for the buyer: the money goes back.
        Upheld = "upheld" => [],
    }
}

machine! {
    /// A capture that the buyer's bank has called into question. What was decided is sometimes
    /// decided otherwise later.
    DisputeStatus {
        /// The bank holds the money, and what was earned by it is frozen.
        Open = "open" => [Won, Lost],
        /// The money came back. Should the bank take it anew, that is another dispute.
        Won = "won" => [],
        /// The buyer keeps it.
        Lost = "lost" => [Won],
    }
}

machine! {
    /// Money on its way to a shop.
    PayoutStatus {
        /// Written, the provider not yet asked.
        Creating = "creating" => [Processing, Paid, Failed, Cancelled],
        /// With the provider.
        Processing = "processing" => [Paid, Failed],
        /// The shop's bank has it.
        Paid = "paid" => [Returned],
        /// The provider could not; what it was made of waits again.
        Failed = "failed" => [],
        /// Called off before the provider was asked.
        Cancelled = "cancelled" => [],
        /// The shop's bank sent it back.
        Returned = "returned" => [],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_agree<M: Machine + Serialize + std::fmt::Debug>() {
        for state in M::ALL {
            assert_eq!(
                serde_json::to_value(state).expect("a status is text"),
                state.as_str(),
                "{state:?}"
            );
            assert!(!state.may_become(*state), "{state:?} must not follow itself");
        }
    }

    #[test]
    fn every_status_has_one_name() {
        names_agree::<SellerStatus>();
        names_agree::<ProductStatus>();
        names_agree::<StreamStatus>();
        names_agree::<SaleStatus>();
        names_agree::<ReservationStatus>();
        names_agree::<WaitStatus>();
        names_agree::<CheckoutStatus>();
        names_agree::<OrderStatus>();
        names_agree::<PaymentStatus>();
        names_agree::<RefundStatus>();
        names_agree::<ReturnStatus>();
        names_agree::<ClaimStatus>();
        names_agree::<DisputeStatus>();
        names_agree::<PayoutStatus>();
    }

    #[test]
    fn money_that_was_captured_stays_captured() {
        assert!(PaymentStatus::Captured.is_final());
        assert_eq!(
            PaymentStatus::sources_of(PaymentStatus::Captured),
            ["processing", "requires_action"]
        );
    }

    #[test]
    fn a_hold_that_is_paying_never_expires() {
        assert!(!ReservationStatus::Paying.may_become(ReservationStatus::Expired));
        assert_eq!(ReservationStatus::sources_of(ReservationStatus::Converted), ["paying"]);
    }
}
