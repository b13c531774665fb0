//! What people are told of outside of a room: the kinds, and the word that a shop's followers
//! are to be told of a show, which both services write with what it tells of. Telling them
//! is a job's business, a batch at a time.

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::ids::StreamId;

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        /// What a notification tells of. The database has the same names, with the channels
        /// of each, in the view `notification_kinds`.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        #[sqlx(type_name = "text", rename_all = "snake_case")]
        pub enum NotificationKind { $($(#[$doc])* $variant),+ }

        impl NotificationKind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its name on the wire and in the database.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

kinds! {
    /// A shop that one follows has scheduled a show.
    ShowScheduled = "show_scheduled",
    /// A shop that one follows is on air.
    ShowStarted = "show_started",
    /// One's application for a shop was granted.
    ShopApproved = "shop_approved",
    /// One's application for a shop was turned down.
    ShopRejected = "shop_rejected",
    /// One's shop was suspended.
    ShopSuspended = "shop_suspended",
    /// One's shop may go on.
    ShopReinstated = "shop_reinstated",
    /// One's turn in a flash sale's wait list has come: units are held for a short time.
    WaitlistOffer = "waitlist_offer",
    /// A shop has answered one's review.
    ReviewAnswered = "review_answered",
    /// An order with goods of one's shop was paid.
    OrderPaid = "order_paid",
    /// A parcel of one's order is on its way.
    OrderShipped = "order_shipped",
    /// A parcel of one's order has arrived; the shop that sent it is told as well.
    OrderDelivered = "order_delivered",
    /// Units of one's order, or that one's shop has sold, were called off by another.
    OrderCancelled = "order_cancelled",
    /// Money of one's order has gone back.
    RefundPaid = "refund_paid",
    /// One's shop is asked to take units back.
    ReturnRequested = "return_requested",
    /// A shop has said whether it takes units back.
    ReturnAnswered = "return_answered",
    /// What one's shop has agreed to take back is on its way.
    ReturnSent = "return_sent",
    /// A shop has not said in time what becomes of a return: an admin will. Both sides are told.
    ReturnWaits = "return_waits",
    /// A return was not sent in time, and is over. Both sides are told.
    ReturnLapsed = "return_lapsed",
    /// The buyer says that something of one's shop did not come.
    ClaimOpened = "claim_opened",
    /// A shop has said what it knows of something that did not come.
    ClaimAnswered = "claim_answered",
    /// An admin has decided about something that did not come.
    ClaimDecided = "claim_decided",
    /// Money of one's shop has arrived at its bank.
    PayoutPaid = "payout_paid",
    /// Money of one's shop did not arrive, or came back.
    PayoutFailed = "payout_failed",
    /// The bank of an order's buyer has called its payment into question.
    DisputeOpened = "dispute_opened",
    /// It was decided for the shop: the money is back.
    DisputeWon = "dispute_won",
    /// It was decided for the buyer, who keeps the money.
    DisputeLost = "dispute_lost",
}

/// What a shop's followers are told of a show, once each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Announcement {
    /// It is to come.
    Scheduled,
    /// It is on air.
    Started,
}

impl Announcement {
    /// What they are told.
    #[must_use]
    pub const fn kind(self) -> NotificationKind {
        match self {
            Self::Scheduled => NotificationKind::ShowScheduled,
            Self::Started => NotificationKind::ShowStarted,
        }
    }
}

/// Has the followers of a show's shop told, after the commit. Saying it twice is no error.
///
/// # Errors
/// When the database fails.
pub async fn announce(conn: &mut PgConnection, stream: StreamId, what: Announcement) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into announcements (id, kind, stream_id, seller_id)
         select $1, $2, id, seller_id from streams where id = $3
         on conflict on constraint announcements_once_key do nothing",
        Uuid::now_v7(),
        what.kind().as_str(),
        stream.0
    )
    .execute(conn)
    .await?;
    Ok(())
}
