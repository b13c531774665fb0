//! What features refuse beyond what follows from what an operation takes, in the order of
//! the paths. A code that is said at the handler need not be here.

use shared::error::ErrorCode::{self, *};

/// What a room may answer to any command that is passed to it.
pub(super) const OF_A_ROOM: &[ErrorCode] = &[
    Forbidden,
    NotFound,
    Conflict,
    WrongState,
    RequestInFlight,
    ShowOver,
    StreamNotLive,
    InvalidBody,
    RequestIdReused,
    RoomUnavailable,
];

/// The operations that are commands to a room.
pub(super) const TO_A_ROOM: &[&str] = &[
    "POST /streams",
    "POST /streams/{id}/announcements",
    "POST /streams/{id}/bans",
    "DELETE /streams/{id}/bans/{user}",
    "PATCH /streams/{id}/chat-rules",
    "DELETE /streams/{id}/chat/{message}",
    "POST /streams/{id}/end",
    "POST /streams/{id}/feature",
    "DELETE /streams/{id}/feature",
    "POST /streams/{id}/mutes",
    "DELETE /streams/{id}/mutes/{user}",
    "POST /streams/{id}/pin",
    "DELETE /streams/{id}/pin",
    "PUT /streams/{id}/products/order",
    "POST /streams/{id}/reviews/{message}/approve",
    "POST /streams/{id}/reviews/{message}/reject",
    "POST /streams/{id}/sales",
    "POST /streams/{id}/sales/{sale}/close",
    "POST /streams/{id}/start",
    "POST /streams/{id}/timeouts",
];

/// An operation, and further codes of it.
pub(super) const FURTHER: &[(&str, &[ErrorCode])] = &[
    ("POST /admin/sellers/{id}/approve", &[WrongState]),
    ("POST /admin/sellers/{id}/reinstate", &[WrongState]),
    ("POST /admin/sellers/{id}/reject", &[WrongState]),
    ("POST /admin/sellers/{id}/suspend", &[WrongState]),
    ("POST /admin/users/{id}/reinstate", &[Conflict]),
    ("POST /admin/users/{id}/suspend", &[Conflict]),
    ("POST /auth/email", &[InvalidCredentials, WrongState]),
    (
        "POST /auth/email/confirm",
        &[InvalidCredentials, Forbidden, EmailTaken, LinkInvalid],
    ),
    ("POST /auth/email/verification", &[WrongState]),
    ("POST /auth/leave", &[InvalidCredentials, ObligationsOpen]),
    ("POST /auth/login", &[InvalidCredentials, Forbidden, AccountSuspended]),
    ("POST /auth/logout", &[Forbidden]),
    ("POST /auth/password", &[InvalidCredentials]),
    ("POST /auth/password/reset/confirm", &[LinkInvalid]),
    ("PATCH /auth/profile", &[HandleTaken]),
    ("POST /auth/refresh", &[Unauthenticated, Forbidden, AccountSuspended]),
    ("POST /auth/register", &[Forbidden, EmailTaken, HandleTaken]),
    (
        "POST /flash-sales/{id}/holds",
        &[
            OwnShop,
            Banned,
            SoldOut,
            NotEnoughLeft,
            PurchaseLimitReached,
            SaleNotOpen,
            SaleClosed,
        ],
    ),
    (
        "DELETE /flash-sales/{id}/holds/{reservation}",
        &[WrongState, HoldExpired],
    ),
    ("DELETE /flash-sales/{id}/place", &[WrongState]),
    (
        "POST /orders",
        &[Banned, NotFound, WrongState, HoldExpired, CheckoutExpired],
    ),
    (
        "POST /orders/checkout",
        &[
            OwnShop,
            Banned,
            NotFound,
            InsufficientStock,
            HoldExpired,
            CurrencyMismatch,
            NotShippedThere,
        ],
    ),
    ("DELETE /orders/checkout/{id}", &[WrongState]),
    (
        "POST /orders/{id}/cancel",
        &[WrongState, AlreadyPaid, PaymentInProgress],
    ),
    (
        "POST /orders/{id}/payments",
        &[WrongState, HoldExpired, OrderExpired, AlreadyPaid, PaymentInProgress],
    ),
    (
        "POST /orders/{id}/payments/{payment}/confirm",
        &[WrongState, AlreadyPaid, PaymentInProgress],
    ),
    ("GET /orders/{id}/receipt", &[WrongState]),
    ("POST /seller/bans", &[NotFound]),
    ("POST /seller/blocked-words", &[Conflict]),
    ("GET /seller/moderators", &[NotFound]),
    ("POST /seller/moderators", &[NotFound, Conflict]),
    ("GET /seller/streams/{id}/summary", &[WrongState]),
    ("POST /seller/variants/{id}/stock", &[InsufficientStock]),
    ("POST /sellers/apply", &[EmailUnconfirmed, Conflict]),
    ("POST /streams", &[Forbidden, NotFound]),
    ("POST /streams/{id}/cancel", &[Forbidden, WrongState]),
    ("DELETE /streams/{id}/cover", &[Forbidden]),
    ("PUT /streams/{id}/cover", &[Forbidden]),
    ("GET /streams/{id}/moderators", &[Forbidden]),
    ("POST /streams/{id}/moderators", &[Forbidden, Conflict]),
    ("PUT /streams/{id}/products", &[Forbidden, WrongState]),
    ("GET /streams/{id}/replay", &[WrongState]),
    (
        "POST /streams/{id}/sales",
        &[InsufficientStock, SaleNotOpen, SaleClosed],
    ),
    ("POST /streams/{id}/sales/{sale}/close", &[SaleClosed]),
    ("GET /streams/{id}/summary", &[WrongState]),
    (
        "POST /streams/{id}/ticket",
        &[Forbidden, Banned, WrongState, TooEarly, ShowOver],
    ),
    ("POST /users/addresses", &[Conflict]),
];
