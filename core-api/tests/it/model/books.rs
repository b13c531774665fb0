//! How everything stands in the product's database and in the test provider's own books, read
//! by queries of its own and written down in the same lines as the paper's.

use std::collections::BTreeMap;

use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row as _};
use uuid::Uuid;

use super::sheet::Account;
use super::world::World;

/// Ids, in the order of the paper's rows.
#[derive(Clone, Default, Debug)]
pub struct Ids {
    /// Orders.
    pub orders: Vec<Uuid>,
    /// Their lines.
    pub items: Vec<Vec<Uuid>>,
    /// Their payments.
    pub payments: Vec<Vec<Uuid>>,
    /// Refunds.
    pub refunds: Vec<Uuid>,
    /// Disputes, by the provider's names.
    pub disputes: Vec<String>,
    /// Returns.
    pub returns: Vec<Uuid>,
    /// Payouts.
    pub payouts: Vec<Uuid>,
}

/// What the product and its provider have.
pub struct Books {
    /// In the paper's words.
    pub shown: Vec<String>,
    /// Which is which.
    pub ids: Ids,
}

const LINES: &str = "
    select o.id as order_id, o.status, o.total_minor, i.id as item_id,
           format('gross %s, seller off %s, goods %s, platform off %s, tax %s, shipping %s, its tax %s, commission %s; '
                  '%s units, %s cancelled, %s sent, %s arrived, %s returned, released %s; earned %s',
                  i.gross_minor, i.seller_discount_minor,
                  i.gross_minor - i.seller_discount_minor - i.platform_discount_minor, i.platform_discount_minor,
                  i.tax_minor, i.shipping_minor, i.shipping_tax_minor, i.commission_minor, i.quantity, i.cancelled,
                  i.shipped, i.delivered, i.returned, case when i.released_at is null then 'false' else 'true' end,
                  (select coalesce(sum(e.amount_minor), 0) from seller_earnings e where e.order_item_id = i.id)) as line
      from orders o join order_items i on i.order_id = o.id
     where o.user_id = any($1) order by o.id, i.id";

const PAYMENTS: &str = "
    select p.order_id, p.id, p.status, coalesce(t.status, 'nothing') as theirs, p.amount_minor
      from payments p join orders o on o.id = p.order_id
      left join test_provider_intents t on t.payment_id = p.id and t.amount_minor = p.amount_minor
     where o.user_id = any($1) order by p.id";

const REFUNDS: &str = "
    select r.order_id, r.id, r.amount_minor, r.status, r.kind, refund_is_owed(r) as owed, t.status as theirs
      from refunds r join orders o on o.id = r.order_id
      left join test_provider_transfers t on t.our_id = r.id and t.kind = 'refund' and t.amount_minor = r.amount_minor
     where o.user_id = any($1) order by r.id";

const DISPUTES: &str = "
    select d.id, p.order_id, d.amount_minor, d.covered_minor, d.status, d.provider_ref
      from disputes d join payments p on p.id = d.payment_id join orders o on o.id = p.order_id
     where o.user_id = any($1) order by d.id";

const RETURNS: &str = "
    select r.id, r.order_item_id, r.quantity, r.status
      from returns r join orders o on o.id = r.order_id where o.user_id = any($1) order by r.id";

const PAYOUTS: &str = "
    select p.id, p.seller_id, p.amount_minor, p.status, t.status as theirs
      from seller_payouts p
      left join test_provider_transfers t on t.our_id = p.id and t.kind = 'payout' and t.amount_minor = p.amount_minor
     where p.seller_id = any($1) order by p.id";

const STATES: &str = "
    select seller_id, state, sum(amount_minor)::bigint as amount
      from earning_states where seller_id = any($1) group by 1, 2";

const ACCOUNTS: &str = "
    select a.kind, a.seller_id, sum(e.amount_minor)::bigint as amount
      from (select t.id from ledger_transactions t join orders o on o.id = t.order_id where o.user_id = any($1)
            union
            select t.id from ledger_transactions t join seller_payouts p on p.id = t.subject_id
             where p.seller_id = any($2)
            union
            select t.id from ledger_transactions t join seller_earnings w on w.source_id = t.subject_id
             where w.seller_id = any($2) and w.kind = 'write_off') t
      join ledger_entries e on e.transaction_id = t.id join ledger_accounts a on a.id = e.account_id
     group by 1, 2";

/// A status as the paper writes it: `requires_action` is `RequiresAction`.
fn named(status: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    status.split('_').map(capital).collect()
}

impl Books {
    /// Reads them.
    pub async fn read(world: &World) -> sqlx::Result<Self> {
        let db = &world.state.db;
        let (buyers, sellers) = (world.buyer_ids(), world.seller_ids());
        let mut books = Self {
            shown: Vec::new(),
            ids: Ids::default(),
        };
        books.orders(db, &buyers).await?;
        books.refunds(db, &buyers).await?;
        books.disputes(db, &buyers).await?;
        books.returns(db, &buyers).await?;
        books.payouts(db, &sellers).await?;
        books.stock(world).await?;
        books.shops(db, &sellers).await?;
        books.accounts(db, &buyers, &sellers).await?;
        Ok(books)
    }

    async fn orders(&mut self, db: &PgPool, buyers: &[Uuid]) -> sqlx::Result<()> {
        let payments = sqlx::query(PAYMENTS).bind(buyers).fetch_all(db).await?;
        let rows = sqlx::query(LINES).bind(buyers).fetch_all(db).await?;
        for of_order in rows.chunk_by(|one, next| one.get::<Uuid, _>("order_id") == next.get::<Uuid, _>("order_id")) {
            let (order, id) = (self.ids.orders.len(), of_order[0].get::<Uuid, _>("order_id"));
            let (status, total): (String, i64) = (of_order[0].get("status"), of_order[0].get("total_minor"));
            self.shown.push(format!("order {order} costs {total} and is {status}"));
            for (at, row) in of_order.iter().enumerate() {
                let line: String = row.get("line");
                self.shown.push(format!("line {order}.{at}: {line}"));
            }
            let mut ids = Vec::new();
            for row in payments.iter().filter(|row| row.get::<Uuid, _>("order_id") == id) {
                let (ours, theirs) = (named(row.get("status")), named(row.get("theirs")));
                let amount: i64 = row.get("amount_minor");
                self.shown.push(format!(
                    "order {order} has a payment, {ours} here and {theirs} with the provider, of {amount}"
                ));
                ids.push(row.get("id"));
            }
            self.ids.orders.push(id);
            self.ids
                .items
                .push(of_order.iter().map(|row| row.get("item_id")).collect());
            self.ids.payments.push(ids);
        }
        Ok(())
    }

    /// The number of the order that a row is of.
    fn order_of(&self, row: &PgRow) -> usize {
        let id: Uuid = row.get("order_id");
        let nth = self.ids.orders.iter().position(|order| *order == id);
        nth.expect("orders were read before")
    }

    async fn refunds(&mut self, db: &PgPool, buyers: &[Uuid]) -> sqlx::Result<()> {
        let rows = sqlx::query(REFUNDS).bind(buyers).fetch_all(db).await?;
        for (nth, row) in rows.iter().enumerate() {
            let order = self.order_of(row);
            let (amount, ours): (i64, String) = (row.get("amount_minor"), row.get("status"));
            let theirs = match row.get::<Option<String>, _>("theirs").as_deref() {
                None => "nothing".to_owned(),
                Some("processing") => "Submitted".to_owned(),
                Some(other) => named(other),
            };
            let (ours, owed) = (named(&ours), if row.get("owed") { ", and owed" } else { "" });
            let why = match row.get("kind") {
                "cancellation" => "CalledOff",
                "return" => "CameBack",
                "goodwill" => "Goodwill",
                "late_payment" => "Late",
                other => other,
            };
            self.shown.push(format!(
                "refund {nth} of order {order} is of {amount}, {why}, {ours} here and {theirs} with the provider{owed}"
            ));
            self.ids.refunds.push(row.get("id"));
        }
        Ok(())
    }

    async fn disputes(&mut self, db: &PgPool, buyers: &[Uuid]) -> sqlx::Result<()> {
        let rows = sqlx::query(DISPUTES).bind(buyers).fetch_all(db).await?;
        for (nth, row) in rows.iter().enumerate() {
            let order = self.order_of(row);
            let (amount, covered): (i64, i64) = (row.get("amount_minor"), row.get("covered_minor"));
            let state = named(row.get("status"));
            self.shown.push(format!(
                "dispute {nth} of order {order} is of {amount}, {covered} of it covered, {state}"
            ));
            self.ids.disputes.push(row.get("provider_ref"));
        }
        Ok(())
    }

    async fn returns(&mut self, db: &PgPool, buyers: &[Uuid]) -> sqlx::Result<()> {
        let rows = sqlx::query(RETURNS).bind(buyers).fetch_all(db).await?;
        for (nth, row) in rows.iter().enumerate() {
            let (item, units): (Uuid, i32) = (row.get("order_item_id"), row.get("quantity"));
            let find = |items: &Vec<Uuid>| items.iter().position(|id| *id == item);
            let place = self
                .ids
                .items
                .iter()
                .enumerate()
                .find_map(|(order, items)| Some((order, find(items)?)));
            let (order, line) = place.unwrap_or_default();
            let state = named(row.get("status"));
            self.shown
                .push(format!("return {nth} of {units} of line {order}.{line} is {state}"));
            self.ids.returns.push(row.get("id"));
        }
        Ok(())
    }

    async fn payouts(&mut self, db: &PgPool, sellers: &[Uuid]) -> sqlx::Result<()> {
        let rows = sqlx::query(PAYOUTS).bind(sellers).fetch_all(db).await?;
        for (nth, row) in rows.iter().enumerate() {
            let shop = shop_of(sellers, row.get("seller_id"));
            let (amount, ours): (i64, String) = (row.get("amount_minor"), named(row.get("status")));
            let theirs = match row.get::<Option<String>, _>("theirs").as_deref() {
                None => "nothing".to_owned(),
                Some("succeeded") => "Paid".to_owned(),
                Some(other) => named(other),
            };
            self.shown.push(format!(
                "payout {nth} to shop {shop} is of {amount}, {ours} here and {theirs} with the provider"
            ));
            self.ids.payouts.push(row.get("id"));
        }
        Ok(())
    }

    async fn stock(&mut self, world: &World) -> sqlx::Result<()> {
        let ids: Vec<Uuid> = world.variants.iter().map(|id| id.0).collect();
        let rows: Vec<(Uuid, i32, i32)> =
            sqlx::query_as("select id, on_hand, reserved from product_variants where id = any($1)")
                .bind(&ids)
                .fetch_all(&world.state.db)
                .await?;
        for (nth, id) in ids.iter().enumerate() {
            let (_, on_hand, reserved) = rows.iter().find(|row| row.0 == *id).copied().unwrap_or_default();
            self.shown
                .push(format!("variant {nth} has {on_hand} on hand, {reserved} reserved"));
        }
        Ok(())
    }

    async fn shops(&mut self, db: &PgPool, sellers: &[Uuid]) -> sqlx::Result<()> {
        let rows: Vec<(Uuid, String, i64)> = sqlx::query_as(STATES).bind(sellers).fetch_all(db).await?;
        for (shop, id) in sellers.iter().enumerate() {
            let sums = ["held", "disputed", "available", "on_its_way", "paid_out"].map(|state| {
                let row = rows.iter().find(|row| row.0 == *id && row.1 == state);
                row.map_or(0, |row| row.2)
            });
            self.shown.push(format!(
                "shop {shop} has {sums:?} held, disputed, available, on its way, paid out"
            ));
        }
        Ok(())
    }

    async fn accounts(&mut self, db: &PgPool, buyers: &[Uuid], sellers: &[Uuid]) -> sqlx::Result<()> {
        let rows = sqlx::query(ACCOUNTS).bind(buyers).bind(sellers).fetch_all(db).await?;
        let mut accounts: BTreeMap<Account, i64> = BTreeMap::new();
        for row in rows {
            let seller: Option<Uuid> = row.get("seller_id");
            let account = match (row.get::<&str, _>("kind"), seller) {
                ("provider_clearing", None) => Account::Clearing,
                ("seller_payable", Some(id)) => Account::Owed(shop_of(sellers, id)),
                ("platform_commission", None) => Account::Commission,
                ("platform_discounts", None) => Account::Discounts,
                ("tax_payable", None) => Account::Tax,
                ("refunds_payable", None) => Account::RefundsDue,
                ("payouts_payable", None) => Account::PayoutsDue,
                ("provider_fees", None) => Account::Fees,
                ("disputed", None) => Account::Disputed,
                ("dispute_losses", None) => Account::DisputeLosses,
                ("write_offs", None) => Account::WriteOffs,
                ("paid_outside", None) => Account::PaidOutside,
                (other, _) => {
                    self.shown
                        .push(format!("an account {other:?} that the paper does not know"));
                    continue;
                }
            };
            accounts.insert(account, row.get("amount"));
        }
        let not_empty = accounts.iter().filter(|(_, cents)| **cents != 0);
        self.shown
            .extend(not_empty.map(|(account, cents)| format!("account {account:?} has {cents}")));
        Ok(())
    }
}

/// What the provider has of a market's money, by its own books.
pub async fn with_the_provider(world: &World) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "select (coalesce((select sum(t.amount_minor - t.fee_minor) from test_provider_intents t
                             join payments p on p.id = t.payment_id join orders o on o.id = p.order_id
                            where o.user_id = any($1) and t.status = 'succeeded'), 0)
                 - coalesce((select sum(t.amount_minor) from test_provider_transfers t
                               join refunds r on r.id = t.our_id join orders o on o.id = r.order_id
                              where o.user_id = any($1) and t.status = 'succeeded'), 0)
                 - coalesce((select sum(d.amount_minor) from test_provider_disputes d
                               join payments p on p.id = d.payment_id join orders o on o.id = p.order_id
                              where o.user_id = any($1) and d.status <> 'won'), 0)
                 - coalesce((select sum(t.amount_minor) from test_provider_transfers t
                               join seller_payouts p on p.id = t.our_id
                              where p.seller_id = any($2) and t.status = 'succeeded'), 0))::bigint",
    )
    .bind(world.buyer_ids())
    .bind(world.seller_ids())
    .fetch_one(&world.state.db)
    .await
}

fn shop_of(sellers: &[Uuid], id: Uuid) -> usize {
    sellers.iter().position(|seller| *seller == id).unwrap_or(usize::MAX)
}
