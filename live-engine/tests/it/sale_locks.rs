//! Who waits for whom: a sale's row, a shop's, and two sales that want the same.

use std::time::Duration;

use live_engine::room::store::host::{HostAct, carry_out};
use shared::error::ErrorCode;
use shared::ids::{RequestId, ReservationId, SaleId, UserId};
use shared::protocol::{Ban, HostCommand, Outcome, Person, SaleOpen, SalePrice};
use shared::status::WaitStatus;
use sqlx::{AssertSqlSafe, PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::desk::{TERMS, Terms, World, open, users, world};
use crate::ears::{DEADLINE, conn, refused};
use live_engine::sale::ReleaseRequest;

/// One call of the function that grants, as the engine makes it: its outcomes.
async fn reserve<'a>(
    db: impl sqlx::PgExecutor<'a>,
    sale: SaleId,
    asks: &[(UserId, RequestId, bool)],
) -> Result<Vec<String>, sqlx::Error> {
    let ids: Vec<Uuid> = asks.iter().map(|_| ReservationId::new().0).collect();
    let users: Vec<Uuid> = asks.iter().map(|(user, ..)| user.0).collect();
    let requests: Vec<Uuid> = asks.iter().map(|(_, request, _)| request.0).collect();
    let waits: Vec<bool> = asks.iter().map(|(.., waits)| *waits).collect();
    sqlx::query_scalar(
        "select outcome from reserve_flash_units($1, $2, $3, array_fill(1, array[cardinality($2)]), $4, $5)
          where position is not null order by position",
    )
    .bind(sale.0)
    .bind(ids)
    .bind(users)
    .bind(requests)
    .bind(waits)
    .fetch_all(db)
    .await
}

#[tokio::test]
async fn a_place_whose_request_was_spent_elsewhere_does_not_let_others_past_the_line() {
    let mut world = world(TERMS).await;
    let people = users(&world.base.pool, 4).await;
    let other = open(&world.base.pool, &world.shop, TERMS).await;
    let first = world.buy(people[0], RequestId::new(), 1).await.expect("granted");
    // One request on two sales at once: neither transaction sees the other's row.
    let (trick, pool) = (RequestId::new(), world.base.pool.clone());
    let mut tx = pool.begin().await.expect("a transaction");
    let waits = reserve(&mut *tx, world.sale, &[(people[1], trick, true)]).await;
    assert_eq!(waits.expect("asked"), ["waiting"]);
    let buys = reserve(&pool, other, &[(people[1], trick, false)]).await;
    assert_eq!(buys.expect("asked"), ["granted"]);
    tx.commit().await.expect("committed");
    let place = world.in_line(people[2], 1).await;
    assert_eq!((place.position, place.status), (2, WaitStatus::Waiting));
    world.release(people[0], first.reservation).await.expect("given up");
    let offered = world.ears.holds.until(|(_, user, hold)| hold.offered.then_some(*user));
    assert_eq!(offered.await, people[2], "the next in line has it");
    let past = world.buy(people[3], RequestId::new(), 1).await;
    assert_eq!(refused(&past), Some(ErrorCode::SoldOut));
    world.verify().await;
}

#[tokio::test]
async fn a_place_that_is_lost_while_its_turn_comes_gives_its_units_to_the_next() {
    let mut world = world(TERMS).await;
    let people = users(&world.base.pool, 3).await;
    let other = open(&world.base.pool, &world.shop, TERMS).await;
    let first = world.buy(people[0], RequestId::new(), 1).await.expect("granted");
    let trick = RequestId::new();
    let pool = world.base.pool.clone();
    let mut tx = pool.begin().await.expect("a transaction");
    let buys = reserve(&mut *tx, other, &[(people[1], trick, false)]).await;
    assert_eq!(buys.expect("asked"), ["granted"]);
    let waits = world.wait(people[1], trick, 1).await;
    assert!(matches!(waits, Ok(Outcome::Waiting(_))), "{waits:?}");
    world.in_line(people[2], 1).await;
    // The offer waits for the other sale's transaction, and finds the request spent.
    let released = world.desk.release(ReleaseRequest {
        conn: conn(0),
        id: 77,
        user: people[0],
        reservation: first.reservation,
    });
    released.expect("taken");
    world.somebody_waits_for_a_lock().await;
    tx.commit().await.expect("committed");
    let offered = world.ears.holds.until(|(_, user, hold)| hold.offered.then_some(*user));
    assert_eq!(offered.await, people[2]);
    world.verify().await;
}

/// Has every transaction wait before the second row that it inserts into `table`, until the
/// returned one ends: two that write the same rows in different order have one each by
/// then, and wait for each other for ever. Rows that it only changes do not count.
async fn gate(world: &World, table: &str) -> Transaction<'static, Postgres> {
    let sql = format!(
        "create function gate() returns trigger language plpgsql as $$ begin
             if current_setting('gate.passed', true) = pg_current_xact_id()::text then
                 perform pg_advisory_xact_lock_shared(7);
             end if;
             perform set_config('gate.passed', pg_current_xact_id()::text, true);
             return new;
         end $$;
         create trigger gate before insert on {table} for each row execute function gate();"
    );
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&world.base.pool)
        .await
        .expect("made");
    let mut gate = world.base.pool.begin().await.expect("a transaction");
    let close = sqlx::query("select pg_advisory_xact_lock(7)").execute(&mut *gate);
    close.await.expect("nobody else has it");
    gate
}

/// Two people's requests, in the order of their key.
async fn two_requests(world: &World, waits: bool) -> [(UserId, RequestId, bool); 2] {
    let people = users(&world.base.pool, 2).await;
    let mut asks = [0, 1].map(|n| (people[n], RequestId::new(), waits));
    asks.sort_unstable_by_key(|(user, ..)| user.0);
    asks
}

/// Asks two sales for the same two requests, in opposite orders, with a gate between the
/// first row of each and the second. What they were answered.
async fn at_cross_purposes(world: &World, other: SaleId, table: &str, waits: bool) -> [Vec<String>; 2] {
    let [first, second] = two_requests(world, waits).await;
    let gate = gate(world, table).await;
    let asked = [(world.sale, [first, second]), (other, [second, first])].map(|(sale, asks)| {
        let pool = world.base.pool.clone();
        tokio::spawn(async move { reserve(&pool, sale, &asks).await })
    });
    world.so_many_wait_for_a_lock(2).await;
    gate.commit().await.expect("opened");
    let mut answers = Vec::new();
    for answer in asked {
        answers.push(answer.await.expect("no panic").expect("no deadlock"));
    }
    let [a, b] = answers.try_into().expect("two answers");
    [a, b]
}

#[tokio::test]
async fn two_sales_that_get_the_same_requests_do_not_lock_each_other_out() {
    let terms = Terms { quantity: 2, ..TERMS };
    let world = world(terms).await;
    let other = open(&world.base.pool, &world.shop, terms).await;
    let answers = at_cross_purposes(&world, other, "reservations", false).await;
    let granted = answers.iter().flatten().filter(|outcome| *outcome == "granted");
    assert_eq!(granted.count(), 2, "{answers:?}");
    world.verify().await;
}

#[tokio::test]
async fn two_lines_that_get_the_same_requests_do_not_lock_each_other_out() {
    let mut world = world(TERMS).await;
    let other = open(&world.base.pool, &world.shop, TERMS).await;
    let people = users(&world.base.pool, 2).await;
    for (person, sale) in people.into_iter().zip([other, world.sale]) {
        world.sale = sale;
        world.buy(person, RequestId::new(), 1).await.expect("granted");
    }
    let answers = at_cross_purposes(&world, other, "reservation_waitlist", true).await;
    let waiting = answers.iter().flatten().filter(|outcome| *outcome == "waiting");
    assert_eq!(waiting.count(), 2, "{answers:?}");
    world.verify().await;
}

#[tokio::test]
async fn a_line_whose_turn_comes_and_a_sale_that_gets_its_requests_do_not_lock_each_other_out() {
    let mut world = world(Terms {
        quantity: 2,
        per_buyer: 2,
        ..TERMS
    })
    .await;
    let other = open(&world.base.pool, &world.shop, Terms { quantity: 2, ..TERMS }).await;
    let holder = users(&world.base.pool, 1).await[0];
    let hold = world.buy(holder, RequestId::new(), 2).await.expect("granted");
    let [first, second] = two_requests(&world, false).await;
    let gate = gate(&world, "reservations").await;
    let pool = world.base.pool.clone();
    let buying = tokio::spawn(async move { reserve(&pool, other, &[first, second]).await });
    world.so_many_wait_for_a_lock(1).await;
    // In line in the other order, before anybody can see that the requests are spent.
    for (user, request, _) in [second, first] {
        let place = world.wait(user, request, 1).await;
        assert!(matches!(place, Ok(Outcome::Waiting(_))), "{place:?}");
    }
    let pool = world.base.pool.clone();
    let releasing = tokio::spawn(async move {
        let release = sqlx::query("select * from release_flash_hold($1, $2)");
        release.bind(hold.reservation.0).bind(holder.0).execute(&pool).await
    });
    world.so_many_wait_for_a_lock(2).await;
    gate.commit().await.expect("opened");
    let bought = buying.await.expect("no panic").expect("no deadlock");
    assert_eq!(bought, ["granted", "granted"]);
    releasing.await.expect("no panic").expect("no deadlock");
    world.verify().await;
}

#[tokio::test]
async fn giving_up_what_is_gone_waits_for_nobody() {
    let mut world = world(TERMS).await;
    let people = users(&world.base.pool, 2).await;
    let hold = world.buy(people[0], RequestId::new(), 1).await.expect("granted");
    world.release(people[0], hold.reservation).await.expect("given up");
    let lock = world.lock_sale().await;
    for _ in 0..3 {
        world.release(people[0], hold.reservation).await.expect("it is gone");
    }
    let nothing = world.unwait(people[1], RequestId::new()).await;
    assert_eq!(refused(&nothing), Some(ErrorCode::NotFound));
    drop(lock);
}

#[tokio::test]
async fn a_crowd_that_gives_up_holds_leaves_connections_for_others() {
    let mut world = world(Terms { quantity: 60, ..TERMS }).await;
    let people = users(&world.base.pool, 61).await;
    let mut holds = Vec::new();
    for person in &people[..60] {
        holds.push((
            *person,
            world
                .buy(*person, RequestId::new(), 1)
                .await
                .expect("granted")
                .reservation,
        ));
    }
    let other = open(&world.base.pool, &world.shop, TERMS).await;
    let lock = world.lock_sale().await;
    for (n, (user, reservation)) in (1_000..).zip(holds) {
        let request = ReleaseRequest {
            conn: conn(0),
            id: n,
            user,
            reservation,
        };
        world.desk.release(request).expect("taken");
    }
    world.somebody_waits_for_a_lock().await;
    world.sale = other;
    let bought = world.request(people[60], RequestId::new(), 1);
    world.desk.reserve(bought).expect("taken");
    // The first answer of all: those who give up are still waiting.
    let answer = world.ears.answers.next().await;
    assert_eq!(answer.id, bought.id, "{answer:?}");
    assert!(matches!(answer.result, Ok(Outcome::Held(_))), "{answer:?}");
    drop(lock);
}

#[tokio::test]
async fn a_sale_that_cannot_be_swept_does_not_stand_in_the_way_of_others() {
    let world = world(Terms {
        ends_in_seconds: 1,
        ..TERMS
    })
    .await;
    sqlx::raw_sql(
        "create function broken() returns trigger language plpgsql as $$ begin raise 'broken'; end $$;
         create trigger broken before update on flash_sales for each row
         when (old.quantity = 1) execute function broken();",
    )
    .execute(&world.base.pool)
    .await
    .expect("made");
    let other = open(
        &world.base.pool,
        &world.shop,
        Terms {
            quantity: 2,
            ends_in_seconds: 1,
            ..TERMS
        },
    )
    .await;
    closed(&world.base.pool, other).await;
    // The sweep of a sale whose room is not here tells the room by the outbox.
    let told: i64 = sqlx::query_scalar(
        "select count(*) from outbox where topic = 'sale_changed' and payload ->> 'sale' = $1::text",
    )
    .bind(other.0.to_string())
    .fetch_one(&world.base.pool)
    .await
    .expect("read");
    assert_eq!(told, 1);
}

async fn closed(pool: &PgPool, sale: SaleId) {
    let closing = async {
        let mut turns = tokio::time::interval(Duration::from_millis(20));
        loop {
            turns.tick().await;
            let closed: bool = sqlx::query_scalar("select status = 'closed' from flash_sales where id = $1")
                .bind(sale.0)
                .fetch_one(pool)
                .await
                .expect("read");
            if closed {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, closing).await.expect("it is swept");
}

#[tokio::test]
async fn a_sale_is_not_opened_beside_the_suspension_of_its_shop() {
    let world = world(TERMS).await;
    let mut tx = world.base.pool.begin().await.expect("a transaction");
    sqlx::query("update sellers set status = 'suspended'")
        .execute(&mut *tx)
        .await
        .expect("suspended");
    let act = HostAct {
        stream: world.shop.stream,
        user: world.shop.owner,
        request_id: RequestId::new(),
        command: HostCommand::SaleOpen(SaleOpen {
            variant: world.shop.variant,
            quantity: 1,
            price: SalePrice::PriceMinor(90),
            per_buyer: 1,
            hold_seconds: 60,
            ends_in_seconds: 60,
            opens_in_seconds: None,
        }),
    };
    let pool = world.base.pool.clone();
    let opening = tokio::spawn(async move { carry_out(&pool, &act).await });
    world.somebody_waits_for_a_lock().await;
    tx.commit().await.expect("committed");
    let opened = opening.await.expect("no panic");
    assert!(opened.is_err(), "{opened:?}");
}

#[tokio::test]
async fn a_ban_in_a_show_and_one_of_the_shop_do_not_lock_each_other_out() {
    let world = world(TERMS).await;
    let viewer = users(&world.base.pool, 1).await[0];
    // The shop's ban has locked the shop and is about to take a pinned message down.
    let mut tx = world.base.pool.begin().await.expect("a transaction");
    sqlx::query("select from sellers for no key update")
        .execute(&mut *tx)
        .await
        .expect("locked");
    let act = HostAct {
        stream: world.shop.stream,
        user: world.shop.owner,
        request_id: RequestId::new(),
        command: HostCommand::Ban(Ban {
            who: Person::User(viewer),
            seconds: None,
            reason: String::new(),
        }),
    };
    let pool = world.base.pool.clone();
    let banning = tokio::spawn(async move { carry_out(&pool, &act).await });
    world.somebody_waits_for_a_lock().await;
    sqlx::query("update streams set pinned_message_id = null")
        .execute(&mut *tx)
        .await
        .expect("no deadlock");
    tx.commit().await.expect("committed");
    banning.await.expect("no panic").expect("banned");
}

#[tokio::test]
async fn units_that_come_back_after_a_sale_are_told_to_the_rooms_that_show_the_product() {
    let mut world = world(TERMS).await;
    let buyer = users(&world.base.pool, 1).await[0];
    sqlx::query("insert into stream_products (stream_id, product_id) values ($1, $2) on conflict do nothing")
        .bind(world.shop.stream.0)
        .bind(world.shop.product.0)
        .execute(&world.base.pool)
        .await
        .expect("listed");
    let hold = world.buy(buyer, RequestId::new(), 1).await.expect("granted");
    let told = async || {
        sqlx::query_scalar::<_, i64>("select count(*) from outbox where topic = 'product_changed'")
            .fetch_one(&world.base.pool)
            .await
            .expect("read")
    };
    sqlx::query("select close_flash_sale($1)")
        .bind(world.sale.0)
        .execute(&world.base.pool)
        .await
        .expect("closed");
    assert_eq!(told().await, 0, "the unit is held: nothing is free");
    // As core-api does it.
    sqlx::query("select * from release_flash_hold($1, $2)")
        .bind(hold.reservation.0)
        .bind(buyer.0)
        .execute(&world.base.pool)
        .await
        .expect("released");
    assert_eq!(told().await, 1);
}
