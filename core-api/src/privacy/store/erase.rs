//! SQL of deleting an account.

use shared::ids::UserId;
use sqlx::PgConnection;

/// Holds the person's shop as it is: whoever places an order there waits.
pub(in crate::privacy) async fn lock_shop(tx: &mut PgConnection, user: UserId) -> Result<(), sqlx::Error> {
    sqlx::query_scalar!("select id from sellers where user_id = $1 for update", user.0)
        .fetch_optional(tx)
        .await?;
    Ok(())
}

/// What keeps a person from leaving.
pub(in crate::privacy) struct Obligations {
    pub unpaid_orders: i64,
    pub holds: i64,
    pub shows: i64,
    pub sold_orders: i64,
    pub returns: i64,
    pub disputes: i64,
    pub refunds: i64,
    pub balances: i64,
    pub last_admin: bool,
}

pub(in crate::privacy) async fn obligations(tx: &mut PgConnection, user: UserId) -> Result<Obligations, sqlx::Error> {
    sqlx::query_as!(
        Obligations,
        r#"select
             (select count(*) from orders where user_id = $1 and status = 'pending_payment') as "unpaid_orders!",
             (select count(*) from reservations where user_id = $1 and status in ('held', 'paying'))
             + (select count(*) from reservation_waitlist where user_id = $1 and status = 'waiting') as "holds!",
             (select count(*) from streams s join sellers o on o.id = s.seller_id
               where o.user_id = $1 and s.status in ('scheduled', 'live')) as "shows!",
             (select count(distinct i.order_id) from order_items i
                join sellers o on o.id = i.seller_id join orders r on r.id = i.order_id
               where o.user_id = $1
                 and r.status in ('pending_payment', 'paid', 'partially_shipped', 'shipped')) as "sold_orders!",
             (select count(*) from returns r join orders o on o.id = r.order_id join sellers s on s.id = r.seller_id
               where $1 in (o.user_id, s.user_id) and r.status in ('requested', 'approved', 'received'))
             + (select count(*) from claims c join orders o on o.id = c.order_id join sellers s on s.id = c.seller_id
                 where $1 in (o.user_id, s.user_id) and c.status in ('open', 'answered')) as "returns!",
             (select count(*) from disputes d
                join payments p on p.id = d.payment_id join orders o on o.id = p.order_id
               where d.status = 'open'
                 and (o.user_id = $1
                      or exists (select from order_items i join sellers s on s.id = i.seller_id
                                  where i.order_id = o.id and s.user_id = $1))) as "disputes!",
             (select count(*) from refunds r join orders o on o.id = r.order_id
               where o.user_id = $1 and r.status = 'failed' and refund_is_owed(r)) as "refunds!",
             (select count(*) from (
                  select 1 from ledger_entries e
                    join ledger_accounts a on a.id = e.account_id and a.kind = 'seller_payable'
                    join sellers o on o.id = a.seller_id
                   where o.user_id = $1 group by a.id having sum(e.amount_minor) <> 0) b)
             + (select count(*) from seller_payouts p join sellers o on o.id = p.seller_id
                 where o.user_id = $1 and p.status in ('creating', 'processing')) as "balances!",
             (exists (select 1 from users where id = $1 and role = 'admin')
              and not exists (select 1 from users
                               where role = 'admin' and id <> $1 and suspended_at is null)) as "last_admin!""#,
        user.0
    )
    .fetch_one(tx)
    .await
}

/// The address of somebody who is there.
pub(in crate::privacy) struct Address {
    pub email: String,
    /// Its owner has shown that they read its mail.
    pub is_confirmed: bool,
}

pub(in crate::privacy) async fn address(tx: &mut PgConnection, user: UserId) -> Result<Address, sqlx::Error> {
    sqlx::query_as!(
        Address,
        r#"select email, email_verified_at is not null as "is_confirmed!" from users where id = $1"#,
        user.0
    )
    .fetch_one(tx)
    .await
}

/// Letters under way to the address, and those that came to nothing: there is nobody to write
/// to any more.
pub(in crate::privacy) async fn forget_mail(tx: &mut PgConnection, email: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from outbox where topic = 'mail' and stream_id is null and delivered_at is null and dead_at is null
            and (payload ->> 'email' = $1 or payload ->> 'to' = $1)",
        email
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "delete from outbox where dead_at is not null and (payload ->> 'email' = $1 or payload ->> 'to' = $1)",
        email
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Rows that are the person's alone.
pub(in crate::privacy) async fn delete_rows(tx: &mut PgConnection, user: UserId) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from follows where user_id = $1", user.0)
        .execute(&mut *tx)
        .await?;
    sqlx::query!("delete from notifications where user_id = $1", user.0)
        .execute(&mut *tx)
        .await?;
    sqlx::query!("delete from notification_preferences where user_id = $1", user.0)
        .execute(&mut *tx)
        .await?;
    sqlx::query!("delete from moderators where user_id = $1", user.0)
        .execute(&mut *tx)
        .await?;
    sqlx::query!("delete from cart_items where user_id = $1", user.0)
        .execute(&mut *tx)
        .await?;
    sqlx::query!("delete from mailed_links where user_id = $1", user.0)
        .execute(&mut *tx)
        .await?;
    sqlx::query!("delete from wished_addresses where user_id = $1", user.0)
        .execute(&mut *tx)
        .await?;
    sqlx::query!("delete from idempotency_keys where user_id = $1", user.0)
        .execute(tx)
        .await?;
    Ok(())
}

/// What only moderators have seen, or the shop that it was for: held messages that nobody let
/// pass, what the person wrote in reports, and why they called something off or sent it back. A message that waits is rejected by its author's leaving.
pub(in crate::privacy) async fn mask_words(tx: &mut PgConnection, user: UserId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update chat_reviews
            set text = '', detail = '', status = 'rejected', decided_by = coalesce(decided_by, user_id),
                decided_at = coalesce(decided_at, clock_timestamp())
          where user_id = $1 and status <> 'approved'",
        user.0
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update chat_reports set note = '' where reporter_id = $1 and note <> ''",
        user.0
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update returns r set reason = '-' from orders o where o.id = r.order_id and o.user_id = $1",
        user.0
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update refunds r set reason = '' from orders o
          where o.id = r.order_id and o.user_id = $1 and r.requested_by = $1",
        user.0
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Checkouts refer to addresses, so their rows stay, and have copies, which go too, whatever
/// became of them; orders have a copy of their own.
pub(in crate::privacy) async fn mask_addresses(tx: &mut PgConnection, user: UserId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update addresses
            set recipient = '-', line1 = '-', line2 = '', city = '-', region = '', postal_code = '-', phone = '',
                is_default_shipping = false, is_default_billing = false,
                deleted_at = coalesce(deleted_at, clock_timestamp())
          where user_id = $1",
        user.0
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update checkouts
            set address = jsonb_build_object('recipient', '-', 'line1', '-', 'line2', '', 'city', '-', 'region', '',
                                             'postal_code', '-', 'country', address ->> 'country', 'phone', '')
          where user_id = $1",
        user.0
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Nothing refers to the person's pictures any more, and their files go at once; those that
/// orders show are found when it comes to that, and stay.
pub(in crate::privacy) async fn drop_pictures(tx: &mut PgConnection, user: UserId) -> Result<(), sqlx::Error> {
    sqlx::query!("update profiles set avatar_id = null where user_id = $1", user.0)
        .execute(&mut *tx)
        .await?;
    sqlx::query!("update sellers set picture_id = null where user_id = $1", user.0)
        .execute(&mut *tx)
        .await?;
    sqlx::query!(
        "update streams set cover_id = null, cover_url = ''
          where cover_id is not null and seller_id in (select id from sellers where user_id = $1)",
        user.0
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "with gone as (
             delete from product_pictures where picture_id in (select id from pictures where owner_id = $1)
             returning product_id)
         update products set image_url = '' where id in (select product_id from gone)",
        user.0
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update pictures set status = 'dropped', delete_after = clock_timestamp()
          where owner_id = $1 and status in ('shown', 'dropped')",
        user.0
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The person's shop: closed, with nothing on sale, without its name. What it sold keeps
/// its titles and prices in the orders.
pub(in crate::privacy) async fn close_shop(tx: &mut PgConnection, user: UserId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update products set status = 'archived', version = version + 1, updated_at = clock_timestamp()
          where status <> 'archived' and seller_id in (select id from sellers where user_id = $1)",
        user.0
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update sellers
            set shop_name = 'Closed shop', slug = 'closed-' || replace(id::text, '-', ''), description = '',
                status = 'suspended', decision_reason = 'closed by its owner', decided_by = user_id,
                decided_at = clock_timestamp()
          where user_id = $1",
        user.0
    )
    .execute(tx)
    .await?;
    Ok(())
}
