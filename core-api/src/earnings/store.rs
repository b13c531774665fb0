//! SQL of earnings as their shops read them: `seller_earnings` and the views
//! `earning_states` and `unclaimed_states`, which say where each is.

use chrono::{DateTime, Utc};
use shared::ids::{EarningId, OrderId, OrderItemId, PayoutId, SellerId};
use shared::money::{Currency, Money};
use sqlx::PgConnection;
use uuid::Uuid;

use super::model::{Because, CurrencyBalance, Earning, EarningState, HeldBecause, HoldNote};
use crate::http::Page;

fn currency(code: &str) -> sqlx::Result<Currency> {
    Currency::parse(code).map_err(|error| sqlx::Error::Decode(error.into()))
}

struct Row {
    id: EarningId,
    because: Because,
    source_id: Uuid,
    order_id: Option<OrderId>,
    order_number: Option<i64>,
    order_item_id: Option<OrderItemId>,
    title: Option<String>,
    quantity: Option<i32>,
    base_minor: i64,
    shipping_minor: i64,
    tax_minor: i64,
    commission_minor: i64,
    commission_bps: Option<i32>,
    amount_minor: i64,
    currency: String,
    state: EarningState,
    held_because: Option<HeldBecause>,
    release_after: Option<DateTime<Utc>>,
    released_at: Option<DateTime<Utc>>,
    payout_id: Option<PayoutId>,
    created_at: DateTime<Utc>,
}

impl Row {
    fn view(self) -> sqlx::Result<Earning> {
        let currency = currency(&self.currency)?;
        Ok(Earning {
            id: self.id,
            because: self.because,
            source_id: self.source_id,
            order_id: self.order_id,
            order_number: self.order_number,
            order_item_id: self.order_item_id,
            title: self.title,
            quantity: self.quantity,
            base: Money::new(self.base_minor, currency),
            shipping: Money::new(self.shipping_minor, currency),
            tax: Money::new(self.tax_minor, currency),
            commission: Money::new(self.commission_minor, currency),
            commission_bps: self.commission_bps,
            amount: Money::new(self.amount_minor, currency),
            state: self.state,
            held_because: self.held_because,
            release_after: self.release_after,
            released_at: self.released_at,
            payout_id: self.payout_id,
            created_at: self.created_at,
        })
    }
}

/// A shop's earnings, newest first: of a state, or all.
pub async fn list(
    conn: &mut PgConnection,
    seller: SellerId,
    state: Option<EarningState>,
    page: &Page,
) -> sqlx::Result<Vec<Earning>> {
    let ids = match state {
        None => of_shop(conn, seller, page).await?,
        Some(state @ (EarningState::Held | EarningState::Disputed | EarningState::Available)) => {
            unclaimed(conn, seller, state, page).await?
        }
        Some(EarningState::OnItsWay) => on_their_way(conn, seller, page).await?,
        Some(EarningState::PaidOut) => paid_out(conn, seller, page).await?,
    };
    let rows = sqlx::query_as!(
        Row,
        r#"select id as "id!: EarningId", because as "because!: Because", source_id as "source_id!",
                  order_id as "order_id: OrderId", order_number, order_item_id as "order_item_id: OrderItemId", title,
                  quantity, base_minor as "base_minor!", shipping_minor as "shipping_minor!", tax_minor as "tax_minor!",
                  commission_minor as "commission_minor!", commission_bps, amount_minor as "amount_minor!",
                  currency as "currency!", state as "state!: EarningState", held_because as "held_because: HeldBecause",
                  release_after, released_at, payout_id as "payout_id: PayoutId", created_at as "created_at!"
             from earning_lines
            where id = any($1) order by id desc"#,
        &ids
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Row::view).collect()
}

async fn of_shop(conn: &mut PgConnection, seller: SellerId, page: &Page) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "select id from seller_earnings where seller_id = $1 and ($2::uuid is null or id < $2)
          order by id desc limit $3",
        seller.0,
        page.cursor,
        page.rows()
    )
    .fetch_all(conn)
    .await
}

/// Of what no payout has taken: it is kept apart, whatever the shop has ever earned beside it.
async fn unclaimed(
    conn: &mut PgConnection,
    seller: SellerId,
    state: EarningState,
    page: &Page,
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        r#"select id as "id!" from unclaimed_states
            where seller_id = $1 and state = $2 and ($3::uuid is null or id < $3)
            order by id desc limit $4"#,
        seller.0,
        state.as_str(),
        page.cursor,
        page.rows()
    )
    .fetch_all(conn)
    .await
}

/// Of the few payouts without an outcome.
async fn on_their_way(conn: &mut PgConnection, seller: SellerId, page: &Page) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "select t.seller_earning_id
           from seller_payouts p join seller_payout_items t on t.seller_payout_id = p.id and t.released_at is null
          where p.seller_id = $1 and p.status in ('creating', 'processing')
            and ($2::uuid is null or t.seller_earning_id < $2)
          order by t.seller_earning_id desc limit $3",
        seller.0,
        page.cursor,
        page.rows()
    )
    .fetch_all(conn)
    .await
}

/// All but the newest, as a rule: from the newest on, the page is full soon.
async fn paid_out(conn: &mut PgConnection, seller: SellerId, page: &Page) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "select e.id from seller_earnings e
          where e.seller_id = $1 and ($2::uuid is null or e.id < $2)
            and exists (select from seller_payout_items t join seller_payouts p on p.id = t.seller_payout_id
                         where t.seller_earning_id = e.id and t.released_at is null and p.status = 'paid')
          order by e.id desc limit $3",
        seller.0,
        page.cursor,
        page.rows()
    )
    .fetch_all(conn)
    .await
}

/// What a payout was made of, newest first, whether it counts or not.
pub async fn of_payout(conn: &mut PgConnection, payout: PayoutId, page: &Page) -> sqlx::Result<Vec<Earning>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id as "id!: EarningId", because as "because!: Because", source_id as "source_id!",
                  order_id as "order_id: OrderId", order_number, order_item_id as "order_item_id: OrderItemId", title,
                  quantity, base_minor as "base_minor!", shipping_minor as "shipping_minor!", tax_minor as "tax_minor!",
                  commission_minor as "commission_minor!", commission_bps, amount_minor as "amount_minor!",
                  currency as "currency!", state as "state!: EarningState", held_because as "held_because: HeldBecause",
                  release_after, released_at, payout_id as "payout_id: PayoutId", created_at as "created_at!"
             from earning_lines
            where id in (select seller_earning_id from seller_payout_items
                          where seller_payout_id = $1 and ($2::uuid is null or seller_earning_id < $2)
                          order by seller_earning_id desc limit $3)
            order by id desc"#,
        payout.0,
        page.cursor,
        page.rows()
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Row::view).collect()
}

/// What a shop has, by currency.
pub async fn balances(conn: &mut PgConnection, seller: SellerId) -> sqlx::Result<Vec<CurrencyBalance>> {
    let rows = sqlx::query!(
        r#"with sums as (
               select currency, state, sum(amount_minor)::bigint as amount
                 from unclaimed_states where seller_id = $1 group by 1, 2
               union all
               select currency, case status when 'paid' then 'paid_out' else 'on_its_way' end, sum(amount_minor)::bigint
                 from seller_payouts where seller_id = $1 and status in ('creating', 'processing', 'paid')
                group by 1, 2)
           select currency as "currency!",
                  coalesce(sum(amount) filter (where state = 'held'), 0)::bigint as "held!",
                  coalesce(sum(amount) filter (where state = 'disputed'), 0)::bigint as "disputed!",
                  coalesce(sum(amount) filter (where state = 'available'), 0)::bigint as "available!",
                  coalesce(sum(amount) filter (where state = 'on_its_way'), 0)::bigint as "on_its_way!",
                  coalesce(sum(amount) filter (where state = 'paid_out'), 0)::bigint as "paid_out!",
                  coalesce(sum(amount) filter (where state in ('held', 'disputed', 'available')), 0)::bigint as "owed!"
             from sums group by currency order by currency"#,
        seller.0
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(CurrencyBalance {
                currency: currency(&row.currency)?,
                held_minor: row.held,
                disputed_minor: row.disputed,
                available_minor: row.available,
                on_its_way_minor: row.on_its_way,
                paid_out_minor: row.paid_out,
                owed_minor: row.owed,
            })
        })
        .collect()
}

/// Why nothing is paid out to a shop.
pub async fn hold(conn: &mut PgConnection, seller: SellerId) -> sqlx::Result<Option<HoldNote>> {
    sqlx::query_as!(
        HoldNote,
        "select reason, held_at from payout_holds where seller_id = $1 and released_at is null",
        seller.0
    )
    .fetch_optional(conn)
    .await
}
