//! Holds of flash sales over REST.

use std::time::Duration;

use core_api::flash::model::{Hold, Place};
use serde_json::{Value, json};
use shared::live::{OUTBOX_HINTS, RoomNotice};
use shared::status::{ReservationStatus, WaitStatus};
use testkit::fixtures;
use uuid::Uuid;

use crate::market::{Buyer, Market};

#[tokio::test]
async fn a_resent_hold_is_the_first_one() {
    let market = Market::open(10, 1_000).await;
    let (sale, buyer) = (market.sale(5, 500, 3).await, market.buyer().await);
    let key = Uuid::now_v7();
    let first: Hold = buyer.hold_once(sale, 2, key).await.created();
    assert_eq!((first.quantity, first.status), (2, ReservationStatus::Held));
    let again: Hold = buyer.hold_once(sale, 2, key).await.created();
    assert_eq!(first, again);
    buyer.hold_once(sale, 1, key).await.refused(422, "request_id_reused");
    assert_eq!(market.number("select held::bigint from flash_sales").await, 2);
    market.verified().await;
}

#[tokio::test]
async fn concurrent_resends_are_one_hold() {
    let market = Market::open(10, 1_000).await;
    let (sale, buyer) = (market.sale(5, 500, 3).await, market.buyer().await);
    let key = Uuid::now_v7();
    let sends = (0..8).map(|_| buyer.hold_once(sale, 1, key));
    let holds: Vec<Hold> = futures_util::future::join_all(sends)
        .await
        .iter()
        .map(crate::harness::Reply::created)
        .collect();
    assert!(holds.iter().all(|hold| hold.reservation == holds[0].reservation));
    assert_eq!(market.number("select held::bigint from flash_sales").await, 1);
}

#[tokio::test]
async fn the_sale_refuses_in_its_own_words() {
    let market = Market::open(10, 1_000).await;
    let (sale, buyer) = (market.sale(3, 500, 2).await, market.buyer().await);
    let key = Uuid::now_v7;
    buyer
        .hold_once(sale, 3, key())
        .await
        .refused(409, "purchase_limit_reached");
    buyer.hold(sale, 2).await;
    let other = market.buyer().await;
    other.hold_once(sale, 2, key()).await.refused(409, "not_enough_left");
    other.hold(sale, 1).await;
    market
        .buyer()
        .await
        .hold_once(sale, 1, key())
        .await
        .refused(409, "sold_out");
    let path = format!("/flash-sales/{sale}/holds");
    let owner = market.owner();
    let one = serde_json::json!({"quantity": 1});
    owner.post_once(&path, key(), &one).await.refused(403, "own_shop");
    other
        .hold_once(shared::ids::SaleId::new(), 1, key())
        .await
        .refused(404, "not_found");
    other.hold_once(sale, 0, key()).await.refused(422, "invalid_body");
    other
        .session
        .post(&path, &one)
        .await
        .refused(400, "idempotency_key_missing");
    market.sql("select close_flash_sale($1)", sale.0).await;
    market
        .buyer()
        .await
        .hold_once(sale, 1, key())
        .await
        .refused(409, "sale_closed");
    market.verified().await;
}

#[tokio::test]
async fn two_buyers_race_for_the_last_unit_and_one_wins() {
    let market = Market::open(10, 1_000).await;
    let sale = market.sale(1, 500, 1).await;
    let (a, b) = (market.buyer().await, market.buyer().await);
    let (a, b) = tokio::join!(
        a.hold_once(sale, 1, Uuid::now_v7()),
        b.hold_once(sale, 1, Uuid::now_v7())
    );
    let mut statuses = [a.status.as_u16(), b.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    market.verified().await;
}

#[tokio::test]
async fn a_hold_is_given_up_by_its_owner_alone() {
    let market = Market::open(10, 1_000).await;
    let (sale, buyer) = (market.sale(1, 500, 1).await, market.buyer().await);
    let hold = buyer.hold(sale, 1).await;
    let path = format!("/flash-sales/{sale}/holds/{}", hold.reservation);
    market
        .buyer()
        .await
        .session
        .delete(&path)
        .await
        .refused(404, "not_found");
    buyer.session.delete(&path).await.gone();
    buyer.session.delete(&path).await.gone();
    // Its unit is for sale again.
    let other = market.buyer().await;
    let hold = other.hold(sale, 1).await;
    market.hold_lapses(&hold).await;
    assert_eq!(
        core_api::flash::sweep(&market.app.db.pool, &market.app.bus, 10)
            .await
            .ok(),
        Some(0)
    );
    market
        .sql(
            "update reservations set expires_at = now() - interval '1 minute' where id = $1",
            hold.reservation.0,
        )
        .await;
    assert_eq!(
        core_api::flash::sweep(&market.app.db.pool, &market.app.bus, 10)
            .await
            .ok(),
        Some(1)
    );
    let path = format!("/flash-sales/{sale}/holds/{}", hold.reservation);
    other.session.delete(&path).await.refused(409, "hold_expired");
    market.verified().await;
}

#[tokio::test]
async fn the_room_hears_of_holds_made_over_rest() {
    let market = Market::open(10, 1_000).await;
    let (sale, buyer) = (market.sale(1, 500, 1).await, market.buyer().await);
    let mut hints = market
        .app
        .bus
        .subscribe(shared::live::OUTBOX_HINTS)
        .await
        .expect("subscribed");
    let key = Uuid::now_v7();
    let hold: Hold = buyer.hold_once(sale, 1, key).await.created();
    buyer.hold_once(sale, 1, key).await.created::<Hold>();
    let hint = tokio::time::timeout(std::time::Duration::from_secs(5), hints.next()).await;
    assert!(hint.is_ok(), "a hint follows the commit");
    let expected = [
        RoomNotice::SaleChanged { sale },
        RoomNotice::ReservationsChanged {
            user: buyer.session.id,
            reservations: vec![hold.reservation],
        },
    ];
    assert_eq!(market.notices().await, expected, "once, however often it is resent");
}

#[tokio::test]
async fn a_suspended_shops_sale_holds_nothing_more() {
    let market = Market::open(10, 1_000).await;
    let (sale, buyer, key) = (market.sale(5, 500, 3).await, market.buyer().await, Uuid::now_v7());
    let before: Hold = buyer.hold_once(sale, 1, key).await.created();
    let suspend = "update sellers set status = 'suspended' where id = $1";
    market.sql(suspend, market.shop.seller.0).await;
    buyer
        .hold_once(sale, 1, Uuid::now_v7())
        .await
        .refused(409, "sale_closed");
    assert_eq!(buyer.hold_once(sale, 1, key).await.created::<Hold>(), before);
    assert_eq!(market.number("select held::bigint from flash_sales").await, 1);
    market.verified().await;
}

#[tokio::test]
async fn a_sale_that_cannot_be_swept_is_not_in_the_way_of_others() {
    let market = Market::open(10, 1_000).await;
    let (broken, other) = (market.sale(2, 500, 1).await, market.sale(3, 500, 1).await);
    for sale in [broken, other] {
        let over = "update flash_sales set opens_at = now() - interval '2 hours',
                           ends_at = now() - interval '1 hour' where id = $1";
        assert_eq!(market.sql(over, sale.0).await, 1);
    }
    for statement in [
        "create table stuck (sale uuid)",
        "create function is_stuck() returns trigger language plpgsql as $$ begin
             if exists (select 1 from stuck where sale = new.id) then raise exception 'stuck'; end if;
             return new;
         end $$",
        "create trigger stuck before update on flash_sales for each row execute function is_stuck()",
    ] {
        sqlx::query(statement)
            .execute(&market.app.db.pool)
            .await
            .expect("in the way");
    }
    market.sql("insert into stuck values ($1)", broken.0).await;
    let sweep = || core_api::flash::sweep(&market.app.db.pool, &market.app.bus, 10);
    assert_eq!(
        sweep().await.ok(),
        Some(1),
        "the first by id fails, the second is swept"
    );
    let open = "select count(*) from flash_sales where status = 'open'";
    assert_eq!(market.number(open).await, 1);
    assert_eq!(market.stock(market.shop.variant).await, (10, 2));
    market.sql("delete from stuck where sale = $1", broken.0).await;
    assert_eq!(sweep().await.ok(), Some(1));
    assert_eq!(market.number(open).await, 0);
    market.verified().await;
}

#[tokio::test]
async fn a_suspension_closes_the_shops_sales_and_tells_their_rooms() {
    let market = Market::open(10, 1_000).await;
    let (buyer, second) = (market.buyer().await, market.product(10, 1_000).await);
    let (sale, other) = (market.sale(5, 500, 3).await, market.sale_of(second, 4, 500, 1).await);
    let elsewhere = fixtures::shop(&market.app.db.pool, 10, 1_000).await;
    let open = "select open_flash_sale(gen_random_uuid(), $1, s.seller_id, p.id, 2, 500, 1, 600, now(),
                                       now() + interval '1 hour')
                  from streams s, product_variants p join products t on t.id = p.product_id
                 where s.id = $1 and t.seller_id = s.seller_id";
    market.sql(open, elsewhere.stream.0).await;
    let hold = buyer.hold(sale, 2).await;
    let mut hints = market.app.bus.subscribe(OUTBOX_HINTS).await.expect("subscribed");
    let told = market.notices().await.len();

    let act = |verb: &str| format!("/admin/sellers/{}/{verb}", market.shop.seller);
    let admin = market.app.admin().await;
    admin.post(&act("suspend"), &json!({})).await.ok::<Value>();
    let hint = tokio::time::timeout(Duration::from_secs(10), hints.next()).await;
    assert!(hint.is_ok_and(|hint| hint.is_some()), "rooms are told to look");
    assert_eq!(
        market.stock(market.shop.variant).await,
        (10, 2),
        "what is held stays held"
    );
    assert_eq!(market.stock(second).await, (10, 0));
    assert_eq!(market.stock(elsewhere.variant).await, (10, 2), "another shop's goes on");
    let notices = market.notices().await.split_off(told);
    for sale in [sale, other] {
        assert!(notices.contains(&RoomNotice::SaleChanged { sale }), "{notices:?}");
    }
    market.verified().await;

    // Closed for good: the shop opens new ones when it may sell again.
    admin.post(&act("reinstate"), &json!({})).await.ok::<Value>();
    buyer
        .hold_once(other, 1, Uuid::now_v7())
        .await
        .refused(409, "sale_closed");
    let path = format!("/flash-sales/{sale}/holds/{}", hold.reservation);
    buyer.session.delete(&path).await.gone();
    assert_eq!(market.stock(market.shop.variant).await, (10, 0));
    market.verified().await;
}

#[tokio::test]
async fn a_place_in_line_is_seen_and_left_by_its_owner_alone_and_once() {
    let market = Market::open(10, 1_000).await;
    let sale = market.sale(1, 500, 1).await;
    let (holder, patient, other) = (market.buyer().await, market.buyer().await, market.buyer().await);
    let hold = holder.hold(sale, 1).await;
    let path = format!("/flash-sales/{sale}/place");
    let leave = async |buyer: &Buyer, key| buyer.session.delete_once(&path, key).await;
    // Over the socket, as a rule.
    let wait = async |buyer: &Buyer| {
        let outcome: String = sqlx::query_scalar(
            "select outcome from reserve_flash_units($1, array[gen_random_uuid()], array[$2], array[1],
                                                     array[gen_random_uuid()], array[true])",
        )
        .bind(sale.0)
        .bind(buyer.session.id.0)
        .fetch_one(&market.app.db.pool)
        .await
        .expect("asked");
        assert_eq!(outcome, "waiting");
    };
    patient.session.get(&path).await.refused(404, "not_found");
    let never = Uuid::now_v7();
    leave(&patient, never).await.refused(404, "not_found");
    wait(&patient).await;
    let place: Place = patient.session.get(&path).await.ok();
    assert_eq!((place.status, place.position), (WaitStatus::Waiting, Some(1)));
    other.session.get(&path).await.refused(404, "not_found");
    leave(&other, Uuid::now_v7()).await.refused(404, "not_found");
    patient
        .session
        .delete(&path)
        .await
        .refused(400, "idempotency_key_missing");
    let act = Uuid::now_v7();
    leave(&patient, act).await.gone();
    let place: Place = patient.session.get(&path).await.ok();
    assert_eq!((place.status, place.position), (WaitStatus::Left, None));
    let told = "select count(*) from outbox where topic = 'sale_changed'";
    let told_before = market.number(told).await;
    assert!(told_before > 0, "those behind move up");
    // Sent again, they take no place away that was got since.
    wait(&patient).await;
    leave(&patient, act).await.gone();
    leave(&patient, never).await.refused(404, "not_found");
    let place: Place = patient.session.get(&path).await.ok();
    assert_eq!(place.status, WaitStatus::Waiting);
    assert_eq!(market.number(told).await, told_before);
    // The turn has come: that is a hold.
    let released = holder
        .session
        .delete(&format!("/flash-sales/{sale}/holds/{}", hold.reservation))
        .await;
    released.gone();
    let place: Place = patient.session.get(&path).await.ok();
    assert_eq!(place.status, WaitStatus::Offered);
    leave(&patient, Uuid::now_v7()).await.refused(409, "wrong_state");
    let reservation = place.reservation.expect("a hold");
    let released = format!("/flash-sales/{sale}/holds/{reservation}");
    patient.session.delete(&released).await.gone();
    market.verified().await;
}
