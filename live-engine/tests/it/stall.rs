//! A database that stands still: everybody is answered in time, nothing is granted that
//! was not committed, one kind of work does not wait for another, and every place that
//! was taken comes back.

use std::time::{Duration, Instant};

use live_engine::db::{CALL_DEADLINE, Db, Error, Purpose, WAITING_OF_A_PERSON};
use loadtest::live::{Auth, LiveClient};
use shared::bus::MemoryBus;
use shared::config::Secret;
use shared::db::DbOptions;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{RequestId, SaleId};
use shared::protocol::{ClientCommand, Format, Outcome};
use shared::token::{Access, Viewer};
use sqlx::PgPool;
use uuid::Uuid;

use crate::ears::DEADLINE;
use crate::harness::{World, chat, hears};
use crate::proxy::{Line, Proxy};

/// How late an answer may be on a machine that is busy with other tests.
const SLACK: Duration = Duration::from_millis(1500);

/// Six connections, so that each purpose has one place, and locks that are waited for.
fn options() -> DbOptions {
    DbOptions {
        max_connections: 6,
        lock_timeout: Duration::from_secs(60),
        statement_timeout: Duration::from_secs(60),
        ..testkit::db_options()
    }
}

async fn wait_for_lock(pool: PgPool) -> Result<(), Error> {
    sqlx::query("select pg_advisory_xact_lock(7)").execute(&pool).await?;
    Ok(())
}

async fn look(pool: PgPool) -> Result<i32, Error> {
    Ok(sqlx::query_scalar("select 1").fetch_one(&pool).await?)
}

/// Statements that wait for the lock.
async fn waiting(pool: &PgPool) -> i64 {
    let count = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    sqlx::query_scalar(count)
        .fetch_one(pool)
        .await
        .expect("the database answers")
}

async fn until_free(db: &Db, purpose: Purpose) {
    let by = Instant::now() + DEADLINE;
    while db.places(purpose).free() == 0 {
        assert!(Instant::now() < by, "the place does not come back");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_is_kept_until_its_statement_ends_and_other_purposes_have_their_own() {
    let base = testkit::database().await;
    let db = Db::start(&base.url, options()).await.expect("the database is there");
    let mut lock = base.pool.begin().await.expect("connected");
    sqlx::query("select pg_advisory_xact_lock(7)")
        .execute(&mut *lock)
        .await
        .expect("locked");
    let began = Instant::now();
    let stuck = db.call(Purpose::Command, None, wait_for_lock).await;
    assert_eq!(stuck, Err(ErrorCode::DatabaseUnavailable.into()));
    assert!(began.elapsed() < CALL_DEADLINE + SLACK);
    assert_eq!(db.places(Purpose::Command).free(), 0, "its statement still waits");
    // Three more in turn: none begins while the first is at work.
    for _ in 0..3 {
        let behind = db.call(Purpose::Command, None, wait_for_lock).await;
        assert_eq!(behind, Err(ErrorCode::DatabaseUnavailable.into()));
        assert_eq!(waiting(&base.pool).await, 1, "a slow database is not asked more");
    }
    for purpose in [Purpose::Opening, Purpose::Person] {
        assert_eq!(db.call(purpose, None, look).await, Ok(1), "{purpose:?}");
    }
    lock.rollback().await.expect("unlocked");
    until_free(&db, Purpose::Command).await;
    assert_eq!(db.call(Purpose::Command, None, look).await, Ok(1));
    db.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_person_keeps_nobody_else_from_asking() {
    let base = testkit::database().await;
    let db = Db::start(&base.url, options()).await.expect("the database is there");
    let mut lock = base.pool.begin().await.expect("connected");
    sqlx::query("select pg_advisory_xact_lock(7)")
        .execute(&mut *lock)
        .await
        .expect("locked");
    let person = Some(Uuid::now_v7());
    let asked = (0..40).map(|_| db.call(Purpose::Person, person, wait_for_lock));
    let began = Instant::now();
    let answers = futures_util::future::join_all(asked).await;
    let refused = |code| move |answer: &&Result<(), Refusal>| matches!(answer, Err(refusal) if refusal.code == code);
    let waited = answers.iter().filter(refused(ErrorCode::DatabaseUnavailable)).count();
    let too_many = answers.iter().filter(refused(ErrorCode::Overloaded)).count();
    assert_eq!((waited, too_many), (WAITING_OF_A_PERSON, 40 - WAITING_OF_A_PERSON));
    assert!(began.elapsed() < CALL_DEADLINE + SLACK);
    lock.rollback().await.expect("unlocked");
    until_free(&db, Purpose::Person).await;
    // What nobody waited for any more has not begun, and takes no place either.
    assert_eq!(db.call(Purpose::Person, person, look).await, Ok(1));
    db.stop().await;
}

async fn sale(world: &World, host: &mut LiveClient) -> SaleId {
    let opened = host.call(ClientCommand::SaleOpen(world.flash_sale(50))).await;
    let Outcome::SaleOpened { sale } = opened.expect("answered").expect("opened") else {
        panic!("no sale");
    };
    sale
}

/// An access token of this account.
fn access(viewer: &Viewer) -> String {
    let claims = Access {
        sub: viewer.user().expect("an account"),
        sid: Uuid::now_v7(),
    };
    let now = chrono::Utc::now().timestamp();
    testkit::token_key().sign(claims, now).expect("signed")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_joins_that_wait_does_not_keep_those_who_sell_waiting() {
    const VISITORS: usize = 40;
    let world = World::start().await;
    let mut host = world.host().await;
    let mut visitors = Vec::new();
    for n in 0..VISITORS {
        let visitor = world.person(&format!("Visitor {n}")).await;
        let token = access(&visitor);
        let client = LiveClient::connect(&world.url, Format::Json, Auth::Bearer(token)).await;
        visitors.push(client.expect("the token is good"));
    }
    // Whether a shop lets somebody in cannot be read now.
    let mut lock = world.db.pool.begin().await.expect("connected");
    sqlx::query("lock table banned_viewers in access exclusive mode")
        .execute(&mut *lock)
        .await
        .expect("locked");
    let stream = world.shop.stream;
    let mut joins = Vec::new();
    for mut visitor in visitors {
        joins.push(tokio::spawn(async move {
            let began = Instant::now();
            let joined = visitor.call(ClientCommand::Join { stream, since: None }).await;
            (joined.expect("answered"), began.elapsed())
        }));
    }
    let by = Instant::now() + DEADLINE;
    while waiting(&world.db.pool).await == 0 {
        assert!(Instant::now() < by, "nobody waits");
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    for _ in 0..3 {
        let shown = host.call(ClientCommand::Feature(world.feature())).await;
        shown.expect("answered").expect("shown");
        let hidden = host.call(ClientCommand::Unfeature).await;
        hidden.expect("answered").expect("hidden");
    }
    assert!(began.elapsed() < CALL_DEADLINE, "sellers waited {:?}", began.elapsed());
    for join in joins {
        let (refused, took) = join.await.expect("no panic");
        let refused = refused.expect_err("nobody knows whether they may");
        assert!(
            matches!(refused.code, ErrorCode::DatabaseUnavailable | ErrorCode::Overloaded),
            "{refused:?}"
        );
        assert!(took < CALL_DEADLINE + SLACK, "{took:?}");
    }
    lock.rollback().await.expect("unlocked");
    world.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_stands_still_everybody_is_answered_in_time_and_nothing_is_made_up() {
    let db = testkit::database().await;
    let proxy = Proxy::before(&db.url).await;
    let url = proxy.url.clone();
    let world = World::start_in(db, MemoryBus::shared(), |config| config.database_url = Secret::new(url)).await;
    let mut host = world.host().await;
    let sale = sale(&world, &mut host).await;
    let mut buyers = Vec::new();
    for n in 0..6 {
        buyers.push(world.joined(&format!("Buyer {n}")).await);
    }
    let mut author = world.joined("Author").await;
    proxy.set(Line::Silent);

    // Seen at once by all, acknowledged to nobody yet.
    let said = author.send(chat("hello"), Some(RequestId::new())).await.expect("sent");
    hears(&mut host, "hello").await;
    let act = RequestId::new();
    let began = Instant::now();
    let feature = host.send(ClientCommand::Feature(world.feature()), Some(act)).await;
    let feature = feature.expect("sent");
    let mut bought = Vec::new();
    for buyer in &mut buyers {
        let request = RequestId::new();
        let id = buyer
            .send(ClientCommand::Buy { sale, quantity: 1 }, Some(request))
            .await;
        bought.push((id.expect("sent"), request));
    }
    for (buyer, (id, _)) in buyers.iter_mut().zip(&bought) {
        let refused = buyer
            .answer(*id)
            .await
            .expect("answered")
            .expect_err("nothing is granted");
        assert!(
            matches!(refused.code, ErrorCode::DatabaseUnavailable | ErrorCode::Overloaded),
            "{refused:?}"
        );
    }
    assert!(began.elapsed() < CALL_DEADLINE + SLACK, "holds: {:?}", began.elapsed());
    let refused = host
        .answer(feature)
        .await
        .expect("answered")
        .expect_err("not for certain");
    assert_eq!(refused.code, ErrorCode::DatabaseUnavailable);
    assert!(
        began.elapsed() < CALL_DEADLINE + SLACK,
        "the host: {:?}",
        began.elapsed()
    );
    let (held, events): (i64, i64) = sqlx::query_as(
        "select (select count(*) from reservations), (select count(*) from stream_chat_messages where stream_id = $1)",
    )
    .bind(world.shop.stream.0)
    .fetch_one(&world.db.pool)
    .await
    .expect("the database answers us");
    assert_eq!(
        (held, events),
        (0, 0),
        "nothing was committed, so nothing is acknowledged"
    );

    proxy.set(Line::Open);
    author.answer(said).await.expect("answered").expect("said");
    // The same acts again learn the truth, each done once.
    for (buyer, (_, request)) in buyers.iter_mut().zip(&bought) {
        let held = eventually(buyer, ClientCommand::Buy { sale, quantity: 1 }, *request).await;
        assert!(matches!(held, Outcome::Held(_)), "{held:?}");
    }
    assert_eq!(
        eventually(&mut host, ClientCommand::Feature(world.feature()), act).await,
        Outcome::Done
    );
    let held: i64 = sqlx::query_scalar("select sum(quantity) from reservations")
        .fetch_one(&world.db.pool)
        .await
        .expect("the database answers");
    assert_eq!(held, 6);
    // More commands than there are places: each place has come back.
    for _ in 0..10 {
        let hidden = host.call(ClientCommand::Unfeature).await;
        hidden.expect("answered").expect("hidden");
        let shown = host.call(ClientCommand::Feature(world.feature())).await;
        shown.expect("answered").expect("shown");
    }
    world.engine.stop().await;
}

/// Sends an act until its outcome is known.
async fn eventually(client: &mut LiveClient, command: ClientCommand, act: RequestId) -> Outcome {
    let by = Instant::now() + DEADLINE;
    loop {
        match client.call_as(command.clone(), act).await.expect("answered") {
            Ok(outcome) => return outcome,
            Err(refusal) => {
                assert!(Instant::now() < by, "{refusal:?}");
                let pause = refusal.retry_after_ms.unwrap_or(100).min(500);
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
        }
    }
}
