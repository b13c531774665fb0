//! The SQL functions against the pure model: the same random commands to both, the same
//! outcomes, counters and statuses from both.

mod steps;

use std::collections::BTreeMap;

use live_engine::sale::state::{Ask, Command, Event, Sale, Terms};
use proptest::prelude::*;
use proptest::test_runner::Config;
use shared::error::ErrorCode;
use shared::ids::{RequestId, ReservationId, SaleId, UserId};
use shared::status::{ReservationStatus, SaleStatus, WaitStatus};
use sqlx::PgPool;
use testkit::fixtures::{self, Shop};
use uuid::Uuid;

use steps::{Step, Wish, steps};

use crate::desk::{TERMS, open, users};

const BUYERS: usize = 5;

/// Both worlds. In the model a hold has time left (`LATER`) or none (`PAST`).
struct Twins {
    pool: PgPool,
    sale: SaleId,
    shop: Shop,
    model: Sale,
    buyers: Vec<UserId>,
    asks: Vec<Ask>,
    holds: Vec<ReservationId>,
    on_hand: i32,
    version: i64,
}

const NOW: i64 = 0;
/// No payment begins in the instant in which its hold was granted.
const SHORTLY: i64 = 1;
const PAST: i64 = -1;
const HOLD_MS: i64 = TERMS.hold_seconds as i64 * 1_000;
const LATER: i64 = 10 * HOLD_MS;
/// A payment that begins prolongs a hold that has so much time left, and none with more.
const SOON: i64 = HOLD_MS / 2;
const LONG: i64 = HOLD_MS * 2;

impl Twins {
    async fn new(pool: &PgPool, quantity: u32, per_buyer: u32) -> Self {
        let shop = fixtures::shop(pool, 40, 100).await;
        let mut buyers = users(pool, BUYERS).await;
        buyers.push(shop.owner);
        let [units, limit] = [quantity, per_buyer].map(|n| i32::try_from(n).expect("small"));
        let sale = open(
            pool,
            &shop,
            crate::desk::Terms {
                quantity: units,
                per_buyer: limit,
                ..TERMS
            },
        )
        .await;
        let model = Sale::open(Terms {
            quantity,
            per_buyer,
            hold_ms: HOLD_MS,
            opens_at: PAST,
            ends_at: LATER,
            seller: shop.owner,
        });
        sqlx::query("delete from barred")
            .execute(pool)
            .await
            .expect("nobody is barred");
        Self {
            pool: pool.clone(),
            sale,
            shop,
            model,
            buyers,
            asks: Vec::new(),
            holds: Vec::new(),
            on_hand: 40,
            version: 0,
        }
    }

    fn hold(&self, n: usize) -> Option<ReservationId> {
        (!self.holds.is_empty()).then(|| self.holds[n % self.holds.len()])
    }

    fn some_holds(&self, ns: &[usize]) -> Vec<Uuid> {
        let mut holds: Vec<Uuid> = ns.iter().filter_map(|n| self.hold(*n)).map(|hold| hold.0).collect();
        holds.sort_unstable();
        holds.dedup();
        holds
    }

    /// The model's answer, applied.
    fn act(&mut self, command: &Command) -> Result<usize, ErrorCode> {
        let events = self.model.decide(command, NOW)?;
        for event in &events {
            self.model.evolve(event);
        }
        Ok(events.len())
    }

    /// What has changed on the way: holds that lapsed, and those that were offered.
    fn lapse(&mut self) -> Vec<(&'static str, Uuid)> {
        let events = self.model.lapse(NOW);
        for event in &events {
            self.model.evolve(event);
        }
        changed(&events)
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Reserve(wishes) => self.reserve(wishes).await,
            Step::Release(n, buyer) => {
                let Some(hold) = self.hold(*n) else { return };
                let buyer = self.buyers[*buyer];
                let done: Option<(Uuid, Vec<Uuid>)> = sqlx::query_as("select * from release_flash_hold($1, $2)")
                    .bind(hold.0)
                    .bind(buyer.0)
                    .fetch_optional(&self.pool)
                    .await
                    .expect("released");
                let expected = self
                    .model
                    .decide(&Command::Release(hold, buyer), NOW)
                    .unwrap_or_default();
                self.act(&Command::Release(hold, buyer)).ok();
                let offered = done.map(|(_, offered)| sorted(offered));
                assert_eq!(offered, (!expected.is_empty()).then(|| sorted(offers(&expected))));
            }
            Step::Unwait(buyer) => self.unwait(*buyer).await,
            Step::Bar(buyer) => {
                let buyer = self.buyers[*buyer];
                let bar = sqlx::query("insert into barred values ($1, $2)").bind(self.shop.seller.0);
                bar.bind(buyer.0).execute(&self.pool).await.expect("barred");
                self.model.barred.insert(buyer);
            }
            Step::StartPaying(ns) => {
                let holds = self.some_holds(ns);
                let done: bool = self.scalar("select flash_holds_start_paying($1)", &holds).await;
                let expected = self.model.decide(&Command::StartPaying(ids(&holds)), SHORTLY);
                assert_eq!(done, expected.is_ok(), "{expected:?}");
                for event in expected.iter().flatten() {
                    self.model.evolve(event);
                }
            }
            Step::Convert(ns) => {
                let holds = self.some_holds(ns);
                let done: i32 = self.scalar("select flash_holds_convert($1)", &holds).await;
                let sold = self.model.sold;
                let paying = |id: &Uuid| self.model.holds[&ReservationId(*id)].status == ReservationStatus::Paying;
                let expected = holds.iter().filter(|id| paying(id)).count();
                self.act(&Command::Convert(ids(&holds))).expect("never refused");
                assert_eq!(usize::try_from(done), Ok(expected));
                self.on_hand -= i32::try_from(self.model.sold - sold).expect("small");
            }
            Step::PaymentFailed(ns) => {
                let holds = self.some_holds(ns);
                let (again, offered): (Vec<Uuid>, Vec<Uuid>) =
                    sqlx::query_as("select held, offered from flash_holds_payment_failed($1)")
                        .bind(&holds)
                        .fetch_one(&self.pool)
                        .await
                        .expect("failed");
                let paying = |id: &ReservationId| self.model.holds[id].status == ReservationStatus::Paying;
                let ids: Vec<_> = ids(&holds).into_iter().filter(paying).collect();
                let failed = Command::PaymentFailed(ids.clone());
                let expected = self.model.decide(&failed, NOW).expect("never refused");
                assert_eq!(sorted(offered), sorted(offers(&expected)));
                self.act(&failed).expect("never refused");
                let held = ids
                    .iter()
                    .filter(|id| self.model.holds[id].status == ReservationStatus::Held);
                let (mut again, mut held) = (again, held.map(|id| id.0).collect::<Vec<_>>());
                again.sort_unstable();
                held.sort_unstable();
                assert_eq!(again, held);
            }
            Step::Lapse(n) => self.expires(*n, PAST).await,
            Step::Hurry(n, soon) => self.expires(*n, if *soon { SOON } else { LONG }).await,
            Step::Ends => {
                let past = "update flash_sales set opens_at = opens_at - interval '1 h',
                                                   ends_at = clock_timestamp() - interval '1 s' where id = $1";
                sqlx::query(past)
                    .bind(self.sale.0)
                    .execute(&self.pool)
                    .await
                    .expect("moved");
                self.model.terms.ends_at = PAST;
            }
            Step::Sweep => {
                let swept: Vec<(Option<String>, Option<Uuid>)> =
                    sqlx::query_as("select outcome, reservation_id from sweep_flash_sale($1)")
                        .bind(self.sale.0)
                        .fetch_all(&self.pool)
                        .await
                        .expect("swept");
                let swept = swept.into_iter().filter_map(|(outcome, id)| Some((outcome?, id?)));
                let expected = changed(&self.model.lapse(NOW));
                self.act(&Command::Sweep).expect("never refused");
                assert_same(swept.collect(), expected);
            }
            Step::Close => {
                let done: bool = sqlx::query_scalar("select close_flash_sale($1)")
                    .bind(self.sale.0)
                    .fetch_one(&self.pool)
                    .await
                    .expect("closed");
                assert_eq!(self.act(&Command::Close), Ok(usize::from(done)));
            }
        }
    }

    async fn scalar<T>(&self, sql: &'static str, holds: &[Uuid]) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        sqlx::query_scalar(sql)
            .bind(holds)
            .fetch_one(&self.pool)
            .await
            .expect("done")
    }

    async fn expires(&mut self, n: usize, at: i64) {
        let Some(hold) = self.hold(n) else { return };
        let at_ms = "update reservations set expires_at = clock_timestamp() + make_interval(secs => $2) where id = $1";
        let moved = sqlx::query(at_ms).bind(hold.0).bind(at as f64 / 1_000.0);
        moved.execute(&self.pool).await.expect("moved");
        self.model.holds.get_mut(&hold).expect("known").expires_at = at;
    }

    async fn unwait(&mut self, buyer: usize) {
        let user = self.buyers[buyer];
        let status: Option<WaitStatus> = sqlx::query_scalar("select flash_sale_unwait($1, $2)")
            .bind(self.sale.0)
            .bind(user.0)
            .fetch_one(&self.pool)
            .await
            .expect("asked");
        self.act(&Command::Unwait(user)).expect("never refused");
        let last = self.model.line.iter().rev().find(|place| place.user == user);
        assert_eq!(status, last.map(|place| place.status));
    }

    async fn reserve(&mut self, wishes: &[Wish]) {
        let batch: Vec<Ask> = wishes.iter().map(|wish| self.ask(wish)).collect();
        self.asks.extend(&batch);
        let rows = self.reserve_in_sql(&batch).await;
        let on_the_way = rows.iter().filter(|row| row.position.is_none());
        let on_the_way = on_the_way.filter_map(|row| Some((row.outcome.clone(), row.reservation_id?)));
        assert_same(on_the_way.collect(), self.lapse());
        let outcomes: BTreeMap<i32, SqlRow> = rows.into_iter().filter_map(|row| Some((row.position?, row))).collect();
        // Within a batch, a repeat is answered as its first one was, even if that was a refusal.
        let mut answered: BTreeMap<(UserId, RequestId), (u32, bool, Answer)> = BTreeMap::new();
        let mut expected = Vec::new();
        for ask in &batch {
            let name = (ask.user, ask.request);
            let known = self.model.requests.contains_key(&name);
            let answer = match answered.get(&name) {
                Some((quantity, waits, first)) if !known && (*quantity, *waits) == (ask.quantity, ask.waits) => *first,
                Some(_) if !known => Err(ErrorCode::RequestIdReused),
                _ => self.act(&Command::Reserve(*ask)).map(|_| self.model.requests[&name]),
            };
            answered.entry(name).or_insert((ask.quantity, ask.waits, answer));
            expected.push(answer);
        }
        for (i, (ask, answer)) in batch.iter().zip(expected).enumerate() {
            let row = &outcomes[&i32::try_from(i + 1).expect("small")];
            let held = answer.ok().and_then(|id| Some((id, self.model.holds.get(&id)?)));
            match (answer, held) {
                (Ok(_), Some((id, hold))) => {
                    assert_eq!(
                        (row.outcome.as_str(), row.reservation_id),
                        ("granted", Some(id.0)),
                        "{ask:?}"
                    );
                    assert_eq!(row.hold_status, Some(hold.status));
                }
                (Ok(id), None) => {
                    let place = self.model.line.iter().find(|place| place.id == id).expect("in line");
                    assert_eq!(
                        (row.outcome.as_str(), row.wait_status),
                        ("waiting", Some(place.status)),
                        "{ask:?}"
                    );
                    let position = self.model.position(id).map(|n| i32::try_from(n).expect("small"));
                    assert_eq!(row.place_in_line, position, "{ask:?}");
                }
                (Err(code), _) => assert_eq!(row.outcome, code.as_str(), "{ask:?}"),
            }
        }
        self.holds = self.model.holds.keys().copied().collect();
    }

    fn ask(&self, wish: &Wish) -> Ask {
        let earlier = wish
            .again
            .and_then(|n| (!self.asks.is_empty()).then(|| self.asks[n % self.asks.len()]));
        let new = Ask {
            reservation: ReservationId::new(),
            user: self.buyers[wish.buyer],
            request: RequestId::new(),
            quantity: wish.quantity,
            waits: wish.waits,
        };
        let again = match earlier {
            // Sometimes with another quantity or wish: then it is another request's name.
            Some(earlier) if wish.quantity == 1 => Ask { quantity: 1, ..earlier },
            Some(earlier) if wish.quantity == 2 => Ask {
                waits: wish.waits,
                ..earlier
            },
            Some(earlier) => earlier,
            None => return new,
        };
        Ask {
            reservation: new.reservation,
            ..again
        }
    }

    async fn reserve_in_sql(&self, batch: &[Ask]) -> Vec<SqlRow> {
        let quantity = |ask: &Ask| i32::try_from(ask.quantity).expect("small");
        sqlx::query_as("select * from reserve_flash_units($1, $2, $3, $4, $5, $6)")
            .bind(self.sale.0)
            .bind(batch.iter().map(|ask| ask.reservation.0).collect::<Vec<_>>())
            .bind(batch.iter().map(|ask| ask.user.0).collect::<Vec<_>>())
            .bind(batch.iter().map(quantity).collect::<Vec<_>>())
            .bind(batch.iter().map(|ask| ask.request.0).collect::<Vec<_>>())
            .bind(batch.iter().map(|ask| ask.waits).collect::<Vec<_>>())
            .fetch_all(&self.pool)
            .await
            .expect("reserved")
    }

    async fn compare(&mut self) {
        let row: (i32, i32, i32, String, i64, i32, i32, i32) = sqlx::query_as(
            "select s.held, s.sold, s.returned, s.status, s.version, v.on_hand, v.reserved, s.waiting
               from flash_sales s join product_variants v on v.id = s.variant_id where s.id = $1",
        )
        .bind(self.sale.0)
        .fetch_one(&self.pool)
        .await
        .expect("read");
        let counters = [row.0, row.1, row.2].map(|n| u32::try_from(n).expect("not negative"));
        assert_eq!(counters, [self.model.held, self.model.sold, self.model.returned]);
        assert_eq!(row.3 == "open", self.model.status == SaleStatus::Open);
        assert!(row.4 >= self.version, "versions only rise");
        self.version = row.4;
        assert_eq!(row.5, self.on_hand);
        let aside = self.model.terms.quantity - self.model.sold - self.model.returned;
        assert_eq!(
            row.6,
            i32::try_from(aside).expect("small"),
            "what the variant has reserved"
        );
        assert_eq!(usize::try_from(row.7), Ok(self.model.waiting().count()));
        let holds: Vec<(Uuid, ReservationStatus, bool)> = sqlx::query_as(
            "select id, status, extended_at is not null from reservations where sale_id = $1 order by id",
        )
        .bind(self.sale.0)
        .fetch_all(&self.pool)
        .await
        .expect("read");
        let hold = |(id, hold): (&ReservationId, &live_engine::sale::state::Hold)| (id.0, hold.status, hold.extended);
        let expected: Vec<_> = self.model.holds.iter().map(hold).collect();
        assert_eq!(holds, expected);
        let line: Vec<(Uuid, WaitStatus)> =
            sqlx::query_as("select id, status from reservation_waitlist where sale_id = $1 order by place")
                .bind(self.sale.0)
                .fetch_all(&self.pool)
                .await
                .expect("read");
        let expected: Vec<_> = self.model.line.iter().map(|place| (place.id.0, place.status)).collect();
        assert_eq!(line, expected);
    }

    /// What `hawker verify` would say of this sale's own rows.
    async fn verify(&self) {
        let report = shared::verify::run(&self.pool).await.expect("verified");
        let own = |name: &&str| {
            [
                "wait_list",
                "no_oversell",
                "holds_match",
                "purchase_limits",
                "sold_out_sales",
            ]
            .iter()
            .any(|mine| name.starts_with(mine))
        };
        let broken = report.broken().filter(|check| own(&check.name)).collect::<Vec<_>>();
        assert!(broken.is_empty(), "{broken:?}");
    }
}

type Answer = Result<ReservationId, ErrorCode>;

#[derive(Debug, sqlx::FromRow)]
struct SqlRow {
    position: Option<i32>,
    outcome: String,
    reservation_id: Option<Uuid>,
    hold_status: Option<ReservationStatus>,
    wait_status: Option<WaitStatus>,
    place_in_line: Option<i32>,
}

/// The holds that time has changed, as SQL names it.
fn changed(events: &[Event]) -> Vec<(&'static str, Uuid)> {
    let named = events.iter().filter_map(|event| match event {
        Event::Became(id, ReservationStatus::Expired) => Some(("expired", id.0)),
        Event::Offered(id, _) => Some(("offered", id.0)),
        _ => None,
    });
    named.collect()
}

/// The places that are offered, in their order.
fn offers(events: &[Event]) -> Vec<Uuid> {
    let offered = changed(events).into_iter().filter(|(what, _)| *what == "offered");
    offered.map(|(_, id)| id).collect()
}

fn sorted(mut ids: Vec<Uuid>) -> Vec<Uuid> {
    ids.sort_unstable();
    ids
}

#[track_caller]
fn assert_same(mut found: Vec<(String, Uuid)>, mut expected: Vec<(&'static str, Uuid)>) {
    found.sort_unstable();
    expected.sort_unstable();
    let expected: Vec<_> = expected.into_iter().map(|(what, id)| (what.to_owned(), id)).collect();
    assert_eq!(found, expected);
}

fn ids(holds: &[Uuid]) -> Vec<ReservationId> {
    holds.iter().copied().map(ReservationId).collect()
}

#[test]
fn the_functions_in_sql_do_what_the_pure_rules_say() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let base = runtime.block_on(testkit::database());
    runtime.block_on(async {
        for statement in [
            "create table barred (seller_id uuid, user_id uuid)",
            "create or replace view flash_sale_barred as select seller_id, user_id from barred",
        ] {
            sqlx::query(statement)
                .execute(&base.pool)
                .await
                .expect("a way to bar people");
        }
    });
    let config = Config {
        cases: 60,
        failure_persistence: None,
        ..Config::default()
    };
    proptest!(config, |(steps in steps(), quantity in 1_u32..15, per_buyer in 1_u32..6)| {
        runtime.block_on(async {
            let mut twins = Twins::new(&base.pool, quantity, per_buyer).await;
            for step in &steps {
                twins.step(step).await;
                twins.compare().await;
            }
            twins.verify().await;
        });
    });
}
