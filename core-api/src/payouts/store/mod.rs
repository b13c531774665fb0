//! SQL of `seller_payouts`, `seller_payout_items` and `payout_holds`.

pub mod accounts;

use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::ids::{PayoutAccountId, PayoutId, SellerId, UserId};
use shared::money::{Currency, Money};
use shared::status::{Machine as _, PayoutStatus, SellerStatus};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Claim;
use super::model::{AdminPayout, Payout, PayoutHold};
use super::provider::PayoutOrder;
use crate::http::Page;
use crate::sellers::SellerRef;

pub(super) fn currency(code: &str) -> sqlx::Result<Currency> {
    Currency::parse(code).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// A shop's status, which does not change, and whose hold is not made, before the transaction
/// ends.
pub async fn lock_shop(conn: &mut PgConnection, seller: SellerId) -> sqlx::Result<Option<SellerStatus>> {
    sqlx::query_scalar!(
        r#"select status as "status: SellerStatus" from sellers where id = $1 for share"#,
        seller.0
    )
    .fetch_optional(conn)
    .await
}

/// Waits for claims of a shop that are under way; false: there is no such shop.
pub async fn lock_shop_to_hold(conn: &mut PgConnection, seller: SellerId) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!("select id from sellers where id = $1 for no key update", seller.0)
        .fetch_optional(conn)
        .await?;
    Ok(found.is_some())
}

/// What holds a shop's payouts.
pub async fn hold_of(conn: &mut PgConnection, seller: SellerId) -> sqlx::Result<Option<PayoutHold>> {
    sqlx::query_as!(
        PayoutHold,
        r#"select id, seller_id as "seller_id: SellerId", reason, held_at
             from payout_holds where seller_id = $1 and released_at is null"#,
        seller.0
    )
    .fetch_optional(conn)
    .await
}

/// Holds them; `None`: they are held.
pub async fn insert_hold(
    conn: &mut PgConnection,
    seller: SellerId,
    by: UserId,
    reason: &str,
) -> sqlx::Result<Option<PayoutHold>> {
    sqlx::query_as!(
        PayoutHold,
        r#"insert into payout_holds (id, seller_id, reason, held_by) values ($1, $2, $3, $4)
           on conflict (seller_id) where released_at is null do nothing
           returning id, seller_id as "seller_id: SellerId", reason, held_at"#,
        Uuid::now_v7(),
        seller.0,
        reason,
        by.0
    )
    .fetch_optional(conn)
    .await
}

/// Lets them go on; the reason of the hold, `None`: there was none.
pub async fn release_hold(conn: &mut PgConnection, seller: SellerId, by: UserId) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        "update payout_holds set released_by = $2, released_at = clock_timestamp()
          where seller_id = $1 and released_at is null returning reason",
        seller.0,
        by.0
    )
    .fetch_optional(conn)
    .await
}

/// Where a shop's money of a currency goes; the account stays until the transaction ends.
pub async fn lock_account(
    conn: &mut PgConnection,
    seller: SellerId,
    currency: Currency,
) -> sqlx::Result<Option<PayoutAccountId>> {
    sqlx::query_scalar!(
        r#"select id as "id: PayoutAccountId" from payout_accounts
            where seller_id = $1 and currency = $2 and disabled_at is null for share"#,
        seller.0,
        currency.code()
    )
    .fetch_optional(conn)
    .await
}

/// What a claim found.
pub struct Taken {
    /// What may be paid out, in minor units; may be less than nothing.
    pub amount: i64,
    /// Whether it was taken.
    pub made: bool,
}

/// Takes all that may be paid out into a new payout, if it is enough. The shop's account in
/// the books is locked, so that nobody else takes any of it.
pub async fn take(
    conn: &mut PgConnection,
    id: PayoutId,
    account: PayoutAccountId,
    what: &Claim<'_>,
) -> sqlx::Result<Taken> {
    sqlx::query_as!(
        Taken,
        r#"with taken as materialized (
               select id, amount_minor from unclaimed_states
                where seller_id = $2 and currency = $4 and state = 'available'),
           total as (select coalesce(sum(amount_minor), 0)::bigint as amount from taken),
           payout as (
               insert into seller_payouts (id, seller_id, payout_account_id, amount_minor, currency, period, requested_by)
               select $1, $2, $3, amount, $4, $5, $6 from total where amount >= greatest($7::bigint, 1)
               on conflict (payout_account_id, period) where period is not null do nothing returning id),
           items as (
               insert into seller_payout_items (seller_payout_id, seller_earning_id, amount_minor)
               select p.id, t.id, t.amount_minor from payout p cross join taken t)
           select amount as "amount!", exists (select from payout) as "made!" from total"#,
        id.0,
        what.seller.0,
        account.0,
        what.currency.code(),
        what.period,
        what.by.map(|user| user.0),
        what.minimum_minor
    )
    .fetch_one(conn)
    .await
}

/// How a shop stands, in minor units; less than nothing: it owes that.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// What may be paid out.
    pub available: i64,
    /// That, and what is held or in dispute.
    pub owed: i64,
}

/// How a shop stands in a currency. Its account in the books is locked.
pub async fn standing(conn: &mut PgConnection, seller: SellerId, currency: Currency) -> sqlx::Result<Standing> {
    sqlx::query_as!(
        Standing,
        r#"select coalesce(sum(amount_minor) filter (where state = 'available'), 0)::bigint as "available!",
                  coalesce(sum(amount_minor), 0)::bigint as "owed!"
             from unclaimed_states where seller_id = $1 and currency = $2"#,
        seller.0,
        currency.code()
    )
    .fetch_one(conn)
    .await
}

/// Whether money of a shop's goods is on its way back, whose failure may give the shop
/// something again.
pub async fn has_unsettled_refunds(
    conn: &mut PgConnection,
    seller: SellerId,
    currency: Currency,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from refunds r join refund_items n on n.refund_id = r.id
                            join order_items i on i.id = n.order_item_id
                           where r.status in ('pending', 'submitted') and r.currency = $2 and i.seller_id = $1) as "e!""#,
        seller.0,
        currency.code()
    )
    .fetch_one(conn)
    .await
}

struct Row {
    id: PayoutId,
    status: PayoutStatus,
    amount_minor: i64,
    currency: String,
    account_id: PayoutAccountId,
    period: Option<String>,
    failure_code: Option<String>,
    created_at: DateTime<Utc>,
    settled_at: Option<DateTime<Utc>>,
    seller_id: SellerId,
    shop_name: String,
    provider_ref: Option<String>,
    requested_by: Option<UserId>,
}

impl Row {
    fn view(self) -> sqlx::Result<AdminPayout> {
        Ok(AdminPayout {
            payout: Payout {
                id: self.id,
                status: self.status,
                amount: Money::new(self.amount_minor, currency(&self.currency)?),
                account_id: self.account_id,
                period: self.period,
                failure_code: self.failure_code,
                created_at: self.created_at,
                settled_at: self.settled_at,
            },
            seller: SellerRef {
                id: self.seller_id,
                shop_name: self.shop_name,
            },
            provider_ref: self.provider_ref,
            requested_by: self.requested_by,
        })
    }
}

/// A payout, of a shop or of any.
pub async fn get(conn: &mut PgConnection, seller: Option<SellerId>, id: PayoutId) -> sqlx::Result<Option<AdminPayout>> {
    sqlx::query_as!(
        Row,
        r#"select p.id as "id: PayoutId", p.status as "status: PayoutStatus", p.amount_minor, p.currency,
                  p.payout_account_id as "account_id: PayoutAccountId", p.period, p.failure_code, p.created_at,
                  p.settled_at, p.seller_id as "seller_id: SellerId", s.shop_name, p.provider_ref,
                  p.requested_by as "requested_by: UserId"
             from seller_payouts p join sellers s on s.id = p.seller_id
            where p.id = $1 and ($2::uuid is null or p.seller_id = $2)"#,
        id.0,
        seller.map(|seller| seller.0)
    )
    .fetch_optional(conn)
    .await?
    .map(Row::view)
    .transpose()
}

/// Payouts of a shop or of all, newest first.
pub async fn list(
    conn: &mut PgConnection,
    seller: Option<SellerId>,
    status: Option<PayoutStatus>,
    page: &Page,
) -> sqlx::Result<Vec<AdminPayout>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select p.id as "id: PayoutId", p.status as "status: PayoutStatus", p.amount_minor, p.currency,
                  p.payout_account_id as "account_id: PayoutAccountId", p.period, p.failure_code, p.created_at,
                  p.settled_at, p.seller_id as "seller_id: SellerId", s.shop_name, p.provider_ref,
                  p.requested_by as "requested_by: UserId"
             from seller_payouts p join sellers s on s.id = p.seller_id
            where ($1::uuid is null or p.seller_id = $1) and ($2::text is null or p.status = $2)
              and ($3::uuid is null or p.id < $3)
            order by p.id desc limit $4"#,
        seller.map(|seller| seller.0),
        status.map(PayoutStatus::as_str),
        page.cursor,
        page.rows()
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Row::view).collect()
}

/// A payout as its steps need it.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub id: PayoutId,
    pub seller: SellerId,
    /// The shop's owner.
    pub owner: UserId,
    pub status: PayoutStatus,
    pub amount: Money,
}

struct OutgoingRow {
    id: PayoutId,
    seller: SellerId,
    owner: UserId,
    status: PayoutStatus,
    amount_minor: i64,
    currency: String,
}

impl OutgoingRow {
    fn outgoing(self) -> sqlx::Result<Outgoing> {
        Ok(Outgoing {
            id: self.id,
            seller: self.seller,
            owner: self.owner,
            status: self.status,
            amount: Money::new(self.amount_minor, currency(&self.currency)?),
        })
    }
}

/// How far a payout is; `None`: there is none.
pub async fn status(conn: &mut PgConnection, id: PayoutId) -> sqlx::Result<Option<PayoutStatus>> {
    sqlx::query_scalar!(
        r#"select status as "status: PayoutStatus" from seller_payouts where id = $1"#,
        id.0
    )
    .fetch_optional(conn)
    .await
}

/// Locks a payout before its outcome is written.
pub async fn lock(conn: &mut PgConnection, id: PayoutId) -> sqlx::Result<Outgoing> {
    sqlx::query_as!(
        OutgoingRow,
        r#"select p.id as "id: PayoutId", p.seller_id as "seller: SellerId", s.user_id as "owner: UserId",
                  p.status as "status: PayoutStatus", p.amount_minor, p.currency
             from seller_payouts p join sellers s on s.id = p.seller_id where p.id = $1 for no key update of p"#,
        id.0
    )
    .fetch_one(conn)
    .await?
    .outgoing()
}

/// One step of a payout, of a shop or of any; `None`: its status does not allow it, or it is
/// somebody else's.
pub async fn step(
    conn: &mut PgConnection,
    id: PayoutId,
    seller: Option<SellerId>,
    to: PayoutStatus,
    reference: Option<&str>,
    failure_code: Option<&str>,
) -> sqlx::Result<Option<Outgoing>> {
    sqlx::query_as!(
        OutgoingRow,
        r#"update seller_payouts p
              set status = $3, provider_ref = coalesce($5, provider_ref), failure_code = coalesce($6, failure_code),
                  updated_at = clock_timestamp(), settled_at = clock_timestamp()
             from sellers s
            where p.id = $1 and s.id = p.seller_id and ($2::uuid is null or p.seller_id = $2) and p.status = any($4)
           returning p.id as "id: PayoutId", p.seller_id as "seller: SellerId", s.user_id as "owner: UserId",
                     p.status as "status: PayoutStatus", p.amount_minor, p.currency"#,
        id.0,
        seller.map(|seller| seller.0),
        to.as_str(),
        &PayoutStatus::sources_of(to),
        reference,
        failure_code
    )
    .fetch_optional(conn)
    .await?
    .map(OutgoingRow::outgoing)
    .transpose()
}

struct OrderRow {
    id: PayoutId,
    destination: String,
    amount_minor: i64,
    currency: String,
    provider: String,
    is_old: bool,
}

impl OrderRow {
    fn order(self) -> sqlx::Result<PayoutOrder> {
        Ok(PayoutOrder {
            payout: self.id,
            destination: self.destination,
            amount: Money::new(self.amount_minor, currency(&self.currency)?),
            provider: self.provider,
            is_old: self.is_old,
        })
    }
}

/// The provider is about to be asked for a payout that was claimed; `None`: it was asked
/// before, the payout has ended, or its shop is suspended or held by now.
pub async fn start(conn: &mut PgConnection, id: PayoutId) -> sqlx::Result<Option<PayoutOrder>> {
    sqlx::query_as!(
        OrderRow,
        r#"update seller_payouts p
              set status = 'processing', asked_at = clock_timestamp(), updated_at = clock_timestamp()
             from payout_accounts a, sellers s
            where p.id = $1 and p.status = 'creating' and a.id = p.payout_account_id and s.id = p.seller_id
              and s.status = 'approved'
              and not exists (select from payout_holds h where h.seller_id = s.id and h.released_at is null)
           returning p.id as "id: PayoutId", a.provider_ref as destination, p.amount_minor, p.currency,
                     a.provider, false as "is_old!""#,
        id.0
    )
    .fetch_optional(conn)
    .await?
    .map(OrderRow::order)
    .transpose()
}

/// What the provider is asked for.
pub async fn order(conn: &mut PgConnection, id: PayoutId) -> sqlx::Result<PayoutOrder> {
    sqlx::query_as!(
        OrderRow,
        r#"select p.id as "id: PayoutId", a.provider_ref as destination, p.amount_minor, p.currency, a.provider,
                  coalesce(p.asked_at, p.created_at) < clock_timestamp() - interval '23 hours' as "is_old!"
             from seller_payouts p join payout_accounts a on a.id = p.payout_account_id where p.id = $1"#,
        id.0
    )
    .fetch_one(conn)
    .await?
    .order()
}

/// Whether a payout may be sent now: its shop is neither suspended nor held.
pub async fn may_be_sent(conn: &mut PgConnection, id: PayoutId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select s.status = 'approved'
                  and not exists (select from payout_holds h where h.seller_id = s.id and h.released_at is null)
                  as "may!"
             from seller_payouts p join sellers s on s.id = p.seller_id where p.id = $1"#,
        id.0
    )
    .fetch_one(conn)
    .await
}

/// What a payout was made of waits again.
pub async fn free_items(conn: &mut PgConnection, id: PayoutId) -> sqlx::Result<()> {
    sqlx::query!(
        "update seller_payout_items set released_at = clock_timestamp()
          where seller_payout_id = $1 and released_at is null",
        id.0
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes payouts that have rested to ask the provider: those without an outcome, and once an
/// hour those that arrived within a week, which a bank may still send back. They rest again
/// from now on, whoever else looks.
pub async fn take_unsettled(
    conn: &mut PgConnection,
    after: Duration,
    limit: i64,
) -> sqlx::Result<Vec<(PayoutId, PayoutStatus)>> {
    let rows = sqlx::query!(
        r#"with unsettled as materialized (
               select id from seller_payouts
                where status in ('creating', 'processing')
                  and updated_at <= clock_timestamp() - make_interval(secs => $1)
                order by updated_at limit $2 for no key update skip locked),
           watched as materialized (
               select id from seller_payouts
                where status = 'paid' and settled_at > clock_timestamp() - interval '7 days'
                  and updated_at <= clock_timestamp() - interval '1 hour'
                order by settled_at limit $2 for no key update skip locked),
           due as (select id from unsettled union all select id from watched)
           update seller_payouts p set updated_at = clock_timestamp() from due where p.id = due.id
           returning p.id as "id: PayoutId", p.status as "status: PayoutStatus""#,
        after.as_secs_f64(),
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.status)).collect())
}
