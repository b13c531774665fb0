//! The one table of refusals: a stable name, the HTTP status, whether trying again
//! helps, and whether a WebSocket stays open. REST answers a [`Refusal`] as RFC 9457
//! problem details, the socket as an `error` message; they cannot drift.
//!
//! A refusal tells the caller what they can do. A fault of ours is logged with its
//! cause and answered as `internal`, without it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// Whether the same request may succeed later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retry {
    /// Not unless something about it changes.
    No,
    /// Yes, as it is, after a while.
    Later,
}

macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:literal, $retry:ident, $close:expr, $title:literal;)+) => {
        /// What was refused, by its stable name.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum ErrorCode {
            $(#[doc = $title] $variant,)+
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable name, in snake case.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The HTTP status (RFC 9110).
            #[must_use]
            pub const fn http_status(self) -> u16 {
                match self { $(Self::$variant => $status),+ }
            }

            /// Whether trying again, as it is, may help.
            #[must_use]
            pub const fn retry(self) -> Retry {
                match self { $(Self::$variant => Retry::$retry),+ }
            }

            /// With which code a WebSocket is closed (RFC 6455 and docs/protocol.md);
            /// `None`: it stays open.
            #[must_use]
            pub const fn close_code(self) -> Option<u16> {
                match self { $(Self::$variant => $close),+ }
            }

            /// The code in a few words, the same for every occurrence.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }

            /// The code with this name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.as_str() == name)
            }
        }
    };
}

error_codes! {
    Malformed = "malformed", 400, No, Some(1007), "The message cannot be read";
    InvalidParameter = "invalid_parameter", 400, No, None, "A parameter is not valid";
    UnknownCommand = "unknown_command", 400, No, None, "There is no such command";
    IdempotencyKeyMissing = "idempotency_key_missing", 400, No, None, "The request needs an Idempotency-Key";
    SignatureInvalid = "signature_invalid", 400, No, None, "The signature is not valid";
    Unauthenticated = "unauthenticated", 401, No, None, "Sign in first";
    InvalidCredentials = "invalid_credentials", 401, No, None, "E-mail or password is wrong";
    TokenExpired = "token_expired", 401, No, None, "The token has expired";
    TicketInvalid = "ticket_invalid", 401, No, Some(4503), "The ticket is not valid or was used before";
    Forbidden = "forbidden", 403, No, None, "Not allowed";
    OwnShop = "own_shop", 403, No, None, "Nobody buys from their own shop";
    MessageRefused = "message_refused", 403, No, None, "The message is not wanted in this chat";
    ChatRestricted = "chat_restricted", 403, No, None, "Only some may chat here";
    EmailUnconfirmed = "email_unconfirmed", 403, No, None, "Confirm the account's e-mail address first";
    AccountSuspended = "account_suspended", 403, No, Some(4504), "The account is suspended";
    Banned = "banned", 403, No, Some(4501), "Banned from this shop's shows";
    Muted = "muted", 403, Later, None, "May not chat for a while";
    NotFound = "not_found", 404, No, None, "Not found";
    MethodNotAllowed = "method_not_allowed", 405, No, None, "The method is not allowed here";
    RequestTimeout = "request_timeout", 408, Later, None, "The request took too long to arrive";
    Conflict = "conflict", 409, No, None, "The request conflicts with what is there";
    InUse = "in_use", 409, No, None, "Something still refers to it";
    CategoryCycle = "category_cycle", 409, No, None, "A category cannot stand below itself";
    WrongState = "wrong_state", 409, No, None, "Its state does not allow this";
    EmailTaken = "email_taken", 409, No, None, "The e-mail address has an account already";
    ObligationsOpen = "obligations_open", 409, No, None, "Something is still owed";
    HandleTaken = "handle_taken", 409, No, None, "The handle is somebody else's";
    RequestInFlight = "request_in_flight", 409, Later, None, "The same request is being worked on";
    InsufficientStock = "insufficient_stock", 409, No, None, "There are not that many in stock";
    SoldOut = "sold_out", 409, Later, None, "Sold out";
    NotEnoughLeft = "not_enough_left", 409, No, None, "Fewer are left than asked for";
    PurchaseLimitReached = "purchase_limit_reached", 409, No, None, "The limit per buyer is reached";
    AlreadyWaiting = "already_waiting", 409, No, None, "Already in the sale's wait list";
    WaitlistFull = "waitlist_full", 409, Later, None, "The wait list is full";
    SaleNotOpen = "sale_not_open", 409, Later, None, "The sale has not opened yet";
    SaleClosed = "sale_closed", 409, No, None, "The sale is closed";
    DiscountOver = "discount_over", 409, No, None, "The discount code is not good at this time";
    DiscountUsedUp = "discount_used_up", 409, No, None, "The discount code is used up";
    HoldExpired = "hold_expired", 409, No, None, "The hold has expired";
    CheckoutExpired = "checkout_expired", 409, No, None, "The checkout has expired";
    OrderExpired = "order_expired", 409, No, None, "The order was not paid in time";
    AlreadyPaid = "already_paid", 409, No, None, "The order is paid";
    PaymentInProgress = "payment_in_progress", 409, Later, None, "Another payment of the order is under way";
    RefundTooLarge = "refund_too_large", 409, No, None, "More than is left to be refunded";
    PaymentDisputed = "payment_disputed", 409, No, None, "The buyer's bank has called the payment into question";
    PayoutsHeld = "payouts_held", 409, No, None, "Payouts of this shop are held";
    PayoutTooSmall = "payout_too_small", 409, Later, None, "Too little may be paid out";
    TooEarly = "too_early", 409, Later, None, "The doors are not open yet";
    ShowOver = "show_over", 409, No, Some(4502), "The show is over";
    StreamNotLive = "stream_not_live", 409, No, None, "The stream is not on air";
    NotJoined = "not_joined", 409, No, None, "Join a room first";
    AlreadyJoined = "already_joined", 409, No, None, "This connection is in a room already";
    PayloadTooLarge = "payload_too_large", 413, No, Some(1009), "The message is too large";
    UnsupportedMediaType = "unsupported_media_type", 415, No, None, "The body is of a type that is not taken here";
    InvalidBody = "invalid_body", 422, No, None, "The body is not valid";
    PictureUnfit = "picture_unfit", 422, No, None, "The picture cannot be used";
    LinkInvalid = "link_invalid", 422, No, None, "The link is good no more";
    CurrencyMismatch = "currency_mismatch", 422, No, None, "One checkout has one currency";
    DiscountUnknown = "discount_unknown", 422, No, None, "There is no such discount code";
    DiscountNotForThese = "discount_not_for_these", 422, No, None, "The discount code is for none of these goods";
    DiscountMinimum = "discount_minimum", 422, No, None, "The goods are not worth enough for the discount code";
    NotShippedThere = "not_shipped_there", 422, No, None, "The shop does not ship to this address";
    RequestIdReused = "request_id_reused", 422, No, None, "The request id stands for another request";
    RateLimited = "rate_limited", 429, Later, None, "Too many requests";
    TooSlow = "too_slow", 408, Later, Some(4008), "The connection reads too slowly";
    Internal = "internal", 500, Later, None, "Something went wrong on our side";
    Overloaded = "overloaded", 503, Later, None, "Too busy right now";
    StorageUnavailable = "storage_unavailable", 503, Later, None, "Pictures cannot be kept or shown right now";
    RoomUnavailable = "room_unavailable", 503, Later, None, "The room does not answer";
    DatabaseUnavailable = "database_unavailable", 503, Later, None, "The database does not answer";
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal as it crosses every boundary.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Refusal {
    /// The stable name.
    pub code: ErrorCode,
    /// This occurrence in words, for the caller; never a cause of ours.
    pub detail: Cow<'static, str>,
    /// The field at fault, as the caller wrote it, with dots: `items.0.quantity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<Cow<'static, str>>,
    /// After how many milliseconds to try again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl Refusal {
    /// `code` with words for this occurrence.
    #[must_use]
    pub fn new(code: ErrorCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            field: None,
            retry_after_ms: None,
        }
    }

    /// Names the field at fault.
    #[must_use]
    pub fn at(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after_ms(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self::new(code, code.title())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_one_name_and_an_error_status() {
        let mut names: Vec<_> = ErrorCode::ALL.iter().map(|c| c.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ErrorCode::ALL.len());
        for code in ErrorCode::ALL {
            assert_eq!(serde_json::to_value(code).expect("a code is text"), code.as_str());
            assert_eq!(ErrorCode::from_name(code.as_str()), Some(*code));
            assert!((400..600).contains(&code.http_status()), "{code}");
        }
    }
}
