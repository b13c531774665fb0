//! That `verify` complains: every invariant is broken by hand, here or where a feature's own
//! tests do it, and none is added without.

use std::collections::BTreeSet;

use shared::verify;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::market::Market;

/// Somebody in line before everybody who was granted anything.
const PLACE: &str =
    "insert into reservation_waitlist (id, sale_id, user_id, request_id, quantity, place, joined_version)
    select gen_random_uuid(), sale_id, user_id, gen_random_uuid(), 1, 1, 0 from reservations where status = 'held';";

/// A picture that is shown, and that nothing refers to.
const PICTURE: &str =
    "insert into pictures (id, owner_id, kind, status, format, width, height, source_hash, size_bytes)
    select gen_random_uuid(), user_id, 'avatar', 'shown', 'webp', 1, 1, decode(repeat('00', 32), 'hex'), 1
      from sellers;";

/// Whatever the schema itself refuses goes first, so that `verify` is the only one to notice.
const NOTHING_REFUSES: &str = "do $$ declare r record; begin
    for r in select conrelid::regclass as of, conname from pg_constraint
              where connamespace = 'public'::regnamespace and conrelid <> 0 and contype in ('c', 'u', 'x', 'f')
                and conislocal order by contype
    loop execute format('alter table %s drop constraint %I cascade', r.of, r.conname); end loop;
    for r in select indexrelid::regclass as of from pg_index i join pg_class c on c.oid = i.indexrelid
              where c.relnamespace = 'public'::regnamespace and i.indisunique and not i.indisprimary
    loop execute format('drop index %s', r.of); end loop;
end $$";

/// What breaks an invariant, in a world with paid orders, one that is being paid for and one
/// that nobody pays for, an open checkout, and a sale with holds of all kinds.
const BREAKS: &[(&str, &str, &str)] = &[
    ("no_oversell", "", "update flash_sales set returned = quantity"),
    ("holds_match_counters", "", "update flash_sales set held = held + 1"),
    ("holds_match_counters", "", "update flash_sales set sold = sold + 1"),
    ("purchase_limits", "", "update flash_sales set per_buyer = 0"),
    ("sold_out_sales_are_over", "", "update flash_sales set sold = quantity"),
    (
        "hold_times",
        "",
        "update reservations set expires_at = created_at + interval '1 day'",
    ),
    (
        "holds_ordered_once",
        "",
        "update order_items set reservation_id = (select id from reservations where status = 'converted')",
    ),
    ("wait_list_counts", "", "update flash_sales set waiting = waiting + 1"),
    (
        "wait_list_has_what_is_free",
        PLACE,
        "update flash_sales set quantity = quantity + 1",
    ),
    (
        "wait_list_in_order",
        PLACE,
        "update reservation_waitlist set joined_version = 1; insert into reservation_waitlist (id, sale_id,
         user_id, request_id, quantity, place, joined_version, status, ended_version) select
         gen_random_uuid(), sale_id, user_id, gen_random_uuid(), 1, 2, 1, 'offered', 2 from
         reservation_waitlist",
    ),
    ("wait_list_not_overtaken", PLACE, ""),
    (
        "wait_list_offers",
        PLACE,
        "update reservation_waitlist set status = 'offered', ended_version = 9",
    ),
    ("wait_list_offers", "", "update reservations set origin = 'line'"),
    (
        "reserved_stock",
        "",
        "update product_variants set reserved = reserved + 1",
    ),
    (
        "stock_movements",
        "",
        "update product_variants set on_hand = on_hand + 1",
    ),
    (
        "search_columns",
        "",
        "update products set price_from_minor = price_from_minor - 1",
    ),
    ("search_columns", "", "update products set in_stock = not in_stock"),
    ("ratings", "", "update products set rating_count = rating_count + 1"),
    (
        "sold_units_left_stock",
        "",
        "delete from inventory_movements where reason = 'sold'",
    ),
    ("sold_units_left_stock", "", "update orders set paid_at = null"),
    ("holds_bought_once", "", "update order_items set reservation_id = null"),
    (
        "holds_bought_once",
        "",
        "update order_items set unit_price_minor = unit_price_minor + 1",
    ),
    (
        "paid_lines_converted",
        "",
        "update reservations set status = 'released' where status = 'converted'",
    ),
    ("order_sums", "", "update orders set items_minor = items_minor + 1"),
    ("order_has_lines", "", "delete from order_items"),
    (
        "one_capture",
        "",
        "update payments set status = 'failed' where status = 'captured'",
    ),
    (
        "one_capture",
        "",
        "update payments set amount_minor = amount_minor - 1 where status = 'captured'",
    ),
    ("order_status", "", "update orders set paid_at = null"),
    ("order_status", "", "update orders set paid_at = now()"),
    (
        "orders_expire",
        "",
        "update orders set expires_at = now() - interval '11 minutes'",
    ),
    (
        "ledger_balances",
        "",
        "update ledger_entries set amount_minor = amount_minor + 1 where amount_minor > 0",
    ),
    ("ledger_currencies", "", "update ledger_entries set currency = 'JPY'"),
    ("captures_in_ledger", "", "delete from ledger_entries"),
    (
        "captures_in_ledger",
        "",
        "update ledger_transactions set kind = 'refund' where kind = 'capture'",
    ),
    (
        "only_captures_in_ledger",
        "",
        "update payments set status = 'failed' where status = 'captured'",
    ),
    (
        "provider_agrees",
        "",
        "update test_provider_intents set amount_minor = amount_minor + 1",
    ),
    (
        "provider_agrees",
        "",
        "update payments set status = 'failed' where status = 'captured'",
    ),
    ("earnings_per_line", "", "delete from seller_earnings"),
    (
        "earnings_per_line",
        "",
        "update seller_earnings set commission_minor = commission_minor + 1",
    ),
    (
        "commission_rounding",
        "",
        "update order_items set commission_minor = commission_minor + 1",
    ),
    (
        "checkout_sums",
        "",
        "update checkouts set items_minor = items_minor + 1 where status = 'open'",
    ),
    (
        "placed_checkouts",
        "",
        "update checkouts set status = 'open' where status = 'placed'",
    ),
    ("placed_checkouts", "", "update orders set user_id = gen_random_uuid()"),
    (
        "paying_holds_have_a_payment",
        "",
        "update payments set status = 'failed' where status <> 'captured'",
    ),
    (
        "event_log_without_gaps",
        "",
        "insert into stream_events (stream_id, epoch, seq, kind, payload, created_at) select id, 1, 2,
         'unfeatured', '{}', now() from streams",
    ),
    (
        "epochs_were_leased",
        "",
        "insert into stream_events (stream_id, epoch, seq, kind, payload, created_at) select id, 1, 1,
         'unfeatured', '{}', now() from streams",
    ),
    (
        "chat_said_once",
        "",
        "insert into stream_chat_messages (id, stream_id, epoch, seq, user_id, request_id, body_hash, text,
         created_at) select gen_random_uuid(), s.id, 1, n, r.user_id, r.request_id, 1, 'twice', now() from
         streams s, reservations r, generate_series(1, 2) n where r.status = 'held'",
    ),
    (
        "category_tree",
        "",
        "with a (id) as (select gen_random_uuid()) insert into categories (id, parent_id, name, slug) select
         id, id, 'Its own', 'its-own' from a",
    ),
    ("pictures_are_shown_once", PICTURE, ""),
    (
        "pictures_go",
        PICTURE,
        "update pictures set status = 'dropped', delete_after = now() - interval '25 hours'",
    ),
    (
        "pictures_go",
        PICTURE,
        "update pictures set status = 'pending', created_at = now() - interval '26 hours'",
    ),
    (
        "deleted_accounts_hold_nothing",
        "",
        "update users set deleted_at = now()",
    ),
    (
        "claims_are_of_what_was_sent",
        "",
        "insert into claims (id, order_id, order_item_id, seller_id, quantity, status, reason, decided_at)
         select gen_random_uuid(), order_id, id, seller_id, 1, 'upheld', 'never came', now() from order_items",
    ),
];

/// Those that are broken beside what they are about: in the tests of disputes, fees, refunds,
/// returns, parcels, payouts, discounts and carts, and in those of live-engine.
const BROKEN_ELSEWHERE: &[&str] = &[
    "accounts_of_kinds",
    "lines_in_ledger",
    "provider_clearing",
    "paid_outside",
    "outcomes_come",
    "holds_lapse",
    "sales_end",
    "sale_entries",
    "epochs_in_turn",
    "rooms_are_told",
    "ended_shows_feature_nothing",
    "held_messages_said_once",
    "disputes_in_ledger",
    "disputed_is_what_is_open",
    "lost_disputes_are_taken_back",
    "disputes_take_earnings_back",
    "disputes_within_lines",
    "nothing_is_paid_while_disputed",
    "fees_in_ledger",
    "provider_has_what_is_left",
    "provider_agrees_on_disputes",
    "parcels_match_lines",
    "parcels_have_contents",
    "order_follows_its_units",
    "parts_follow_their_units",
    "release_is_known",
    "released_in_time",
    "sellers_are_owed_their_earnings",
    "unclaimed_earnings_are_known",
    "payout_sums",
    "earnings_are_paid_once",
    "nothing_is_paid_before_its_release",
    "payouts_in_ledger",
    "payouts_payable",
    "provider_agrees_on_payouts",
    "write_offs_in_ledger",
    "tax_is_its_rate",
    "discounts_are_their_codes",
    "discount_uses_are_orders",
    "discount_uses_count",
    "discount_limits",
    "cart_limits",
    "refund_sums",
    "refunds_within_captures",
    "refunds_within_lines",
    "refunds_owed",
    "refunds_in_ledger",
    "refunds_payable",
    "refunds_take_earnings_back",
    "units_refunded",
    "kept_shipping",
    "late_payments_go_back",
    "provider_agrees_on_refunds",
    "units_come_back_once",
    "returned_units",
];

#[test]
fn every_invariant_is_broken_by_a_test() {
    let all: BTreeSet<_> = verify::names().collect();
    let here = BREAKS.iter().map(|(name, ..)| *name);
    let broken: BTreeSet<_> = here.chain(BROKEN_ELSEWHERE.iter().copied()).collect();
    assert_eq!(all, broken);
}

async fn is_broken(conn: &mut PgConnection, name: &str) -> bool {
    let check = verify::run_one(conn, name).await.expect("verified");
    check.expect("an invariant").broken > 0
}

#[tokio::test]
async fn what_is_wrong_about_sales_stock_orders_and_rooms_is_noticed() {
    let market = Market::open(20, 1_000).await;
    let (paid, paying, idle) = (market.buyer().await, market.buyer().await, market.buyer().await);
    paid.paid(&market, 1, "test_success").await;
    let sale = market.sale(4, 500, 2).await;
    for (buyer, token) in [(&paid, "test_success"), (&paying, "test_timeout")] {
        let hold = buyer.hold(sale, 1).await;
        let order = buyer.order_hold(&hold).await;
        buyer.pay(order.id, token).await;
    }
    idle.hold(sale, 1).await;
    idle.order(market.shop.variant, 1).await;
    idle.checkout(market.shop.variant, 1).await;
    market.verified().await;

    let mut conn = market.app.db.pool.acquire().await.expect("a connection");
    sqlx::raw_sql(NOTHING_REFUSES)
        .execute(&mut *conn)
        .await
        .expect("dropped");
    for (name, first, sql) in BREAKS {
        assert!(!is_broken(&mut conn, name).await, "before {name} is broken");
        let broken = format!("begin; set local session_replication_role = replica; {first} {sql}");
        sqlx::raw_sql(AssertSqlSafe(broken))
            .execute(&mut *conn)
            .await
            .expect(sql);
        assert!(is_broken(&mut conn, name).await, "{name}: {sql}");
        sqlx::raw_sql("rollback").execute(&mut *conn).await.expect("put back");
    }
}
