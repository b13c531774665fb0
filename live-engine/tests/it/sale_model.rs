//! The SQL functions against the pure model: the same random commands to both, the same
//! outcomes, counters and statuses from both.

use std::collections::BTreeMap;

use live_engine::sale::state::{Ask, Command, Sale, Terms};
use proptest::prelude::*;
use proptest::test_runner::Config;
use shared::error::ErrorCode;
use shared::ids::{RequestId, ReservationId, SaleId, UserId};
use shared::status::{ReservationStatus, SaleStatus};
use sqlx::PgPool;
use testkit::fixtures::{self, Shop};
use uuid::Uuid;

use crate::desk::{TERMS, open, users};

const BUYERS: usize = 5;

/// One step of both.
#[derive(Clone, Debug)]
enum Step {
    /// (buyer, quantity, which of the requests so far is sent again, if any)
    Reserve(Vec<(usize, u32, Option<usize>)>),
    /// Which hold, by which buyer.
    Release(usize, usize),
    StartPaying(Vec<usize>),
    Convert(Vec<usize>),
    PaymentFailed(Vec<usize>),
    /// Time passes for one hold.
    Lapse(usize),
    /// Time passes for the sale.
    Ends,
    Sweep,
    Close,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ask = (0..=BUYERS, 1_u32..4, prop::option::weighted(0.2, 0_usize..100));
    let holds = || prop::collection::vec(0_usize..100, 1..3);
    let step = prop_oneof![
        8 => prop::collection::vec(ask, 1..8).prop_map(Step::Reserve),
        3 => (0_usize..100, 0..BUYERS).prop_map(|(hold, buyer)| Step::Release(hold, buyer)),
        3 => holds().prop_map(Step::StartPaying),
        3 => holds().prop_map(Step::Convert),
        3 => holds().prop_map(Step::PaymentFailed),
        3 => (0_usize..100).prop_map(Step::Lapse),
        1 => Just(Step::Ends),
        2 => Just(Step::Sweep),
        1 => Just(Step::Close),
    ];
    prop::collection::vec(step, 1..25)
}

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
const PAST: i64 = -1;
const LATER: i64 = 1_000;

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
            hold_ms: LATER,
            opens_at: PAST,
            ends_at: LATER,
            seller: shop.owner,
        });
        let (asks, holds) = (Vec::new(), Vec::new());
        Self {
            pool: pool.clone(),
            sale,
            shop,
            model,
            buyers,
            asks,
            holds,
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

    fn lapse_stale(&mut self) -> usize {
        let stale = self.model.stale(NOW);
        for event in &stale {
            self.model.evolve(event);
        }
        stale.len()
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Reserve(wishes) => self.reserve(wishes).await,
            Step::Release(n, buyer) => {
                let Some(hold) = self.hold(*n) else { return };
                let buyer = self.buyers[*buyer];
                let done: Option<Uuid> = self.scalar2("select release_flash_hold($1, $2)", hold.0, buyer.0).await;
                let expected = self.act(&Command::Release(hold, buyer));
                assert_eq!(done.is_some(), expected == Ok(1), "{expected:?}");
            }
            Step::StartPaying(ns) => {
                let holds = self.some_holds(ns);
                let done: bool = self.scalar("select flash_holds_start_paying($1)", &holds).await;
                let expected = self.act(&Command::StartPaying(ids(&holds)));
                assert_eq!(done, expected.is_ok(), "{expected:?}");
            }
            Step::Convert(ns) => {
                let holds = self.some_holds(ns);
                let done: i32 = self.scalar("select flash_holds_convert($1)", &holds).await;
                let sold = self.model.sold;
                let expected = self.act(&Command::Convert(ids(&holds))).expect("never refused");
                assert_eq!(usize::try_from(done), Ok(expected));
                self.on_hand -= i32::try_from(self.model.sold - sold).expect("small");
            }
            Step::PaymentFailed(ns) => {
                let holds = self.some_holds(ns);
                let again: Vec<Uuid> = self.scalar("select flash_holds_payment_failed($1)", &holds).await;
                let paying = |id: &ReservationId| self.model.holds[id].status == ReservationStatus::Paying;
                let ids: Vec<_> = ids(&holds).into_iter().filter(paying).collect();
                self.act(&Command::PaymentFailed(ids.clone())).expect("never refused");
                let held = ids
                    .iter()
                    .filter(|id| self.model.holds[id].status == ReservationStatus::Held);
                let (mut again, mut held) = (again, held.map(|id| id.0).collect::<Vec<_>>());
                again.sort_unstable();
                held.sort_unstable();
                assert_eq!(again, held);
            }
            Step::Lapse(n) => {
                let Some(hold) = self.hold(*n) else { return };
                let past = "update reservations set expires_at = clock_timestamp() - interval '1 s' where id = $1";
                sqlx::query(past).bind(hold.0).execute(&self.pool).await.expect("moved");
                self.model.holds.get_mut(&hold).expect("known").expires_at = PAST;
            }
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
                let lapsed: Vec<Option<Uuid>> = sqlx::query_scalar("select reservation_id from sweep_flash_sale($1)")
                    .bind(self.sale.0)
                    .fetch_all(&self.pool)
                    .await
                    .expect("swept");
                let stale = self.model.stale(NOW).len();
                self.act(&Command::Sweep).expect("never refused");
                assert_eq!(lapsed.iter().flatten().count(), stale);
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

    async fn scalar2(&self, sql: &'static str, a: Uuid, b: Uuid) -> Option<Uuid> {
        sqlx::query_scalar(sql)
            .bind(a)
            .bind(b)
            .fetch_one(&self.pool)
            .await
            .expect("done")
    }

    async fn reserve(&mut self, wishes: &[(usize, u32, Option<usize>)]) {
        let mut batch = Vec::new();
        for (buyer, quantity, resend) in wishes {
            let earlier = resend.and_then(|n| (!self.asks.is_empty()).then(|| self.asks[n % self.asks.len()]));
            let mut ask = Ask {
                reservation: ReservationId::new(),
                user: self.buyers[*buyer],
                request: RequestId::new(),
                quantity: *quantity,
            };
            if let Some(earlier) = earlier {
                // Sometimes with another quantity: then it is another request's name.
                (ask.user, ask.request) = (earlier.user, earlier.request);
                ask.quantity = if quantity % 2 == 0 { earlier.quantity } else { *quantity };
            }
            batch.push(ask);
            self.asks.push(ask);
        }
        let rows = self.reserve_in_sql(&batch).await;
        let lapsed = rows.iter().filter(|(position, ..)| position.is_none()).count();
        assert_eq!(lapsed, self.lapse_stale());
        let outcomes: BTreeMap<i32, (String, Option<Uuid>)> = rows
            .into_iter()
            .filter_map(|(position, outcome, id)| Some((position?, (outcome, id))))
            .collect();
        // Within a batch, a repeat is answered as its first one was, even if that was a refusal.
        let mut answered: BTreeMap<(UserId, RequestId), (u32, Result<ReservationId, ErrorCode>)> = BTreeMap::new();
        for (i, ask) in batch.iter().enumerate() {
            let name = (ask.user, ask.request);
            let held = self.model.requests.contains_key(&name);
            let expected = match answered.get(&name) {
                Some((quantity, first)) if !held && *quantity == ask.quantity => *first,
                Some(_) if !held => Err(ErrorCode::RequestIdReused),
                _ => self.act(&Command::Reserve(*ask)).map(|_| self.model.requests[&name]),
            };
            answered.entry(name).or_insert((ask.quantity, expected));
            let (outcome, id) = &outcomes[&i32::try_from(i + 1).expect("small")];
            match expected {
                Ok(hold) => assert_eq!((outcome.as_str(), *id), ("granted", Some(hold.0)), "{ask:?}"),
                Err(code) => assert_eq!(outcome, code.as_str(), "{ask:?}"),
            }
        }
        self.holds = self.model.holds.keys().copied().collect();
    }

    async fn reserve_in_sql(&self, batch: &[Ask]) -> Vec<(Option<i32>, String, Option<Uuid>)> {
        let quantity = |ask: &Ask| i32::try_from(ask.quantity).expect("small");
        sqlx::query_as("select position, outcome, reservation_id from reserve_flash_units($1, $2, $3, $4, $5)")
            .bind(self.sale.0)
            .bind(batch.iter().map(|ask| ask.reservation.0).collect::<Vec<_>>())
            .bind(batch.iter().map(|ask| ask.user.0).collect::<Vec<_>>())
            .bind(batch.iter().map(quantity).collect::<Vec<_>>())
            .bind(batch.iter().map(|ask| ask.request.0).collect::<Vec<_>>())
            .fetch_all(&self.pool)
            .await
            .expect("reserved")
    }

    async fn compare(&mut self) {
        let row: (i32, i32, i32, String, i64, i32, i32) = sqlx::query_as(
            "select s.held, s.sold, s.returned, s.status, s.version, v.on_hand, v.reserved
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
        let holds: Vec<(Uuid, ReservationStatus)> =
            sqlx::query_as("select id, status from reservations where sale_id = $1 order by id")
                .bind(self.sale.0)
                .fetch_all(&self.pool)
                .await
                .expect("read");
        let expected: Vec<_> = self.model.holds.iter().map(|(id, hold)| (id.0, hold.status)).collect();
        assert_eq!(holds, expected);
        let _ = self.shop;
    }
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
        });
    });
}
