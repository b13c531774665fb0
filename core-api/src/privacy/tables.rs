//! Every column that refers to a person, and what is decided about it. Tables that the law
//! has kept (orders, payments, the ledger) stay whole; what others said or did to a person
//! stays without their name, because names are joined when they are read.

/// Whether the export tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// Under this name.
    As(&'static str),
    /// Not, and why.
    No(&'static str),
}

/// What becomes of it when the account is deleted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// The rows are deleted.
    Deleted,
    /// The rows stay, without what they say of the person.
    Masked,
    /// The rows stay as they are, and why.
    Stays(&'static str),
}

/// A column that refers to a person.
#[derive(Clone, Copy, Debug)]
pub struct Personal {
    /// The table.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// Whether the export tells it.
    pub told: Told,
    /// What becomes of it.
    pub fate: Fate,
}

const fn row(table: &'static str, column: &'static str, told: Told, fate: Fate) -> Personal {
    Personal {
        table,
        column,
        told,
        fate,
    }
}

/// Only an id, of an account that has no name any more.
const ID_ALONE: Fate = Fate::Stays("an id alone, of an account without a name");
/// What somebody did as a moderator, an admin or a shop is the record of it.
const RECORD: Told = Told::No("the record of an office, not of the person");

/// All of them.
pub const PERSONAL: &[Personal] = &[
    row("profiles", "user_id", Told::As("account"), Fate::Masked),
    row(
        "former_handles",
        "user_id",
        Told::No("a fingerprint"),
        Fate::Stays("a fingerprint, for 90 days"),
    ),
    row(
        "pictures",
        "owner_id",
        Told::As("pictures"),
        Fate::Stays(
            "deleted by a job within minutes; of goods that were sold they stay, for the orders that show them",
        ),
    ),
    row("addresses", "user_id", Told::As("addresses"), Fate::Masked),
    row("refresh_tokens", "user_id", Told::As("sessions"), Fate::Masked),
    row(
        "wished_addresses",
        "user_id",
        Told::As("wished_addresses"),
        Fate::Deleted,
    ),
    row("mailed_links", "user_id", Told::No("a secret under way"), Fate::Deleted),
    row("sellers", "user_id", Told::As("shop"), Fate::Masked),
    row("sellers", "decided_by", RECORD, ID_ALONE),
    row("follows", "user_id", Told::As("follows"), Fate::Deleted),
    row("notifications", "user_id", Told::As("notifications"), Fate::Deleted),
    row(
        "notification_preferences",
        "user_id",
        Told::As("notification_preferences"),
        Fate::Deleted,
    ),
    row("blocked_words", "created_by", RECORD, ID_ALONE),
    row("banned_viewers", "user_id", Told::As("bans"), ID_ALONE),
    row("banned_viewers", "banned_by", RECORD, ID_ALONE),
    row("inventory_movements", "actor_id", RECORD, ID_ALONE),
    row("moderators", "user_id", Told::As("moderates"), Fate::Deleted),
    row("moderators", "appointed_by", RECORD, ID_ALONE),
    row("muted_viewers", "user_id", Told::As("mutes"), ID_ALONE),
    row("muted_viewers", "muted_by", RECORD, ID_ALONE),
    row(
        "stream_chat_messages",
        "user_id",
        Told::As("chat_messages"),
        Fate::Stays("said in public, and part of the show; without a name"),
    ),
    row("stream_chat_messages", "deleted_by", RECORD, ID_ALONE),
    row("chat_reviews", "user_id", Told::As("held_messages"), Fate::Masked),
    row("chat_reviews", "decided_by", RECORD, ID_ALONE),
    row(
        "chat_reports",
        "author_id",
        Told::No("it would tell who reported"),
        Fate::Stays("said in public, and part of the show; without a name"),
    ),
    row("chat_reports", "reporter_id", Told::As("reports"), Fate::Masked),
    row("chat_reports", "settled_by", RECORD, ID_ALONE),
    row("reservations", "user_id", Told::As("flash_sale_holds"), ID_ALONE),
    row(
        "reservation_waitlist",
        "user_id",
        Told::As("flash_sale_places"),
        ID_ALONE,
    ),
    row("product_imports", "user_id", RECORD, ID_ALONE),
    row(
        "product_reviews",
        "user_id",
        Told::As("reviews"),
        Fate::Stays("said in public; without a name"),
    ),
    row("cart_items", "user_id", Told::As("cart"), Fate::Deleted),
    row("discount_codes", "created_by", RECORD, ID_ALONE),
    row("discount_uses", "user_id", Told::No("part of the orders"), ID_ALONE),
    row("commission_rules", "created_by", RECORD, ID_ALONE),
    row("refunds", "requested_by", Told::No("part of the orders"), ID_ALONE),
    row("payout_holds", "held_by", RECORD, ID_ALONE),
    row("payout_holds", "released_by", RECORD, ID_ALONE),
    row("seller_payouts", "requested_by", RECORD, ID_ALONE),
    row("checkouts", "user_id", Told::As("checkouts"), Fate::Masked),
    row(
        "orders",
        "user_id",
        Told::As("orders"),
        Fate::Stays("books of commerce: kept with the address that each was sent to"),
    ),
    row(
        "order_status_history",
        "actor_id",
        Told::No("part of the orders"),
        ID_ALONE,
    ),
    row(
        "idempotency_keys",
        "user_id",
        Told::No("answers that were given, for a day"),
        Fate::Deleted,
    ),
    row(
        "audit_log",
        "actor_id",
        RECORD,
        Fate::Stays("append-only; it holds ids and reasons"),
    ),
];
