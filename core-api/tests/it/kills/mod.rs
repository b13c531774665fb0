//! kill -9 between every two steps of money's ways: a real process dies before and after each
//! commit and each call of the provider, another one goes on, and it is as if nothing had
//! happened, whether the client comes back first or the reconcilers.

mod lane;
mod process;
mod ways;

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;

use core_api::faults::{Edge, Step};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use serde_json::Value;
use shared::ids::OrderId;
use uuid::Uuid;

use lane::{Act, Lane, shape};
use ways::{End, Ready, Way};

/// Databases and processes at once.
const LANES: usize = 6;

/// Who comes first to what the dead process has left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum First {
    /// Whoever was not answered asks again.
    Client,
    /// The reconcilers.
    Jobs,
}

/// The steps at which each way is interrupted.
const WALK: &[(Way, &[Step])] = &[
    (Way::Place, &[Step::OrderPlace]),
    (
        Way::Pay,
        &[
            Step::PaymentCreate,
            Step::PaymentCharge,
            Step::PaymentRecord,
            Step::AnswerKeep,
        ],
    ),
    (Way::Decline, &[Step::PaymentRecord]),
    (Way::Lose, &[Step::PaymentUnknown]),
    (Way::Reconcile, &[Step::PaymentFind, Step::PaymentRecord]),
    (
        Way::SecondStep,
        &[
            Step::PaymentConfirm,
            Step::PaymentSecondStep,
            Step::PaymentRecord,
            Step::AnswerKeep,
        ],
    ),
    (Way::CallOff, &[Step::PaymentCancel, Step::PaymentRecord]),
    (Way::Expire, &[Step::OrderExpire]),
    (
        Way::TooLate,
        &[Step::PaymentRecord, Step::RefundSend, Step::RefundSucceed],
    ),
    (Way::CancelUnpaid, &[Step::OrderCancel]),
    (
        Way::CancelPaid,
        &[Step::OrderCancel, Step::RefundSend, Step::RefundSucceed],
    ),
    (Way::CancelItem, &[Step::OrderCancelItem]),
    (
        Way::Refund,
        &[Step::RefundCreate, Step::RefundSend, Step::RefundSucceed],
    ),
    (
        Way::RefundLate,
        &[Step::RefundSubmitted, Step::RefundFind, Step::RefundSucceed],
    ),
    (Way::RefundFails, &[Step::RefundFail]),
    (Way::RefundRetry, &[Step::RefundRetry, Step::RefundSend]),
    (
        Way::Payout,
        &[
            Step::PayoutCreate,
            Step::PayoutStart,
            Step::PayoutSend,
            Step::PayoutRecord,
            Step::AnswerKeep,
        ],
    ),
    (Way::PayoutLost, &[Step::PayoutFind, Step::PayoutRecord]),
    (Way::PayoutRefused, &[Step::PayoutRecord]),
    (Way::PayoutRetry, &[Step::PayoutRetry]),
    (
        Way::PayoutScheduled,
        &[Step::PayoutSchedule, Step::PayoutStart, Step::PayoutSend],
    ),
    (
        Way::Carrier,
        &[Step::WebhookKeep, Step::DeliveryRecord, Step::WebhookFinish],
    ),
];

/// Where a process dies, and what happens then.
#[derive(Clone, Copy, Debug)]
struct Death {
    way: Way,
    edge: Edge,
    step: Step,
    first: First,
}

/// Both edges of each step; of one that an earlier way has, too, only the one before it, which
/// is where something is left to be done.
fn deaths() -> Vec<Vec<Death>> {
    let mut known = HashSet::new();
    let mut turns = [First::Client, First::Jobs].into_iter().cycle();
    let mut ways = Vec::new();
    for &(way, steps) in WALK {
        let mut deaths = Vec::new();
        for &step in steps {
            let edges: &[Edge] = if known.insert(step) {
                &Edge::ALL
            } else {
                &[Edge::Before]
            };
            for &edge in edges {
                let by_turns = turns.next();
                let orders = match way {
                    Way::Pay => vec![First::Client, First::Jobs],
                    _ => by_turns.into_iter().collect(),
                };
                deaths.extend(orders.into_iter().map(|first| Death { way, edge, step, first }));
            }
        }
        ways.push(deaths);
    }
    ways
}

/// All ways, spread over the lanes so that each has about as many deaths.
fn spread() -> Vec<Vec<Vec<Death>>> {
    let mut ways = deaths();
    ways.sort_by_key(|deaths| std::cmp::Reverse(deaths.len()));
    let mut lanes = vec![Vec::new(); LANES];
    for way in ways {
        let load = |lane: &Vec<Vec<Death>>| lane.iter().map(Vec::len).sum::<usize>();
        let least = (0..LANES).min_by_key(|&n| load(&lanes[n])).expect("there are lanes");
        lanes[least].push(way);
    }
    lanes
}

#[test]
fn every_step_of_a_payment_is_one_at_which_a_process_dies() {
    let walked: HashSet<Step> = WALK.iter().flat_map(|(_, steps)| *steps).copied().collect();
    let left: Vec<_> = Step::ALL.iter().filter(|step| !walked.contains(step)).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_between_any_two_steps_of_a_payment_leaves_nothing_to_mend() {
    let lanes = spread().into_iter().map(|ways| {
        tokio::spawn(async move {
            let mut lane = Lane::open().await;
            for deaths in ways {
                let expected = undisturbed(&lane, deaths[0].way).await;
                for death in deaths {
                    let died = AssertUnwindSafe(dies(&mut lane, death, &expected)).catch_unwind().await;
                    assert!(died.is_ok(), "at {death:?}");
                }
            }
        })
    });
    for lane in join_all(lanes).await {
        lane.expect("every death of the lane is survived");
    }
}

/// Goes a way to the point where the process dies, and on from there.
async fn dies(lane: &mut Lane, death: Death, expected: &Value) {
    let ready = death.way.ready(lane).await;
    lane.dies_at(death.edge, death.step);
    let is_answered = begin(lane, &ready).await;
    lane.has_died(is_answered).await;
    lane.starts_again().await;
    if death.first == First::Jobs {
        lane.settles().await;
    }
    if let Some(act) = &ready.act {
        let answer = act.ask(lane).await.expect("the next process answers");
        let body = answer.value();
        let same = shape(&body) == *expected;
        let may_differ = death.first == First::Jobs || act.key.is_none();
        let stands = may_differ && act.stands(lane, &body).await.is_some_and(|now| now == body);
        assert!(same || stands, "answered {body}\nand without a kill {expected}");
        lane.settles().await;
        again(lane, act, &body).await;
    }
    lane.settles().await;
    ends(lane, &ready).await;
    lane.is_sound().await;
}

/// What a way is answered when nothing disturbs it.
async fn undisturbed(lane: &Lane, way: Way) -> Value {
    let ready = way.ready(lane).await;
    let Some(act) = &ready.act else { return Value::Null };
    shape(&act.ask(lane).await.expect("answered").value())
}

/// Asks for the act, if there is one; lets the jobs begin otherwise. Whether nobody waits for
/// an answer any more: then it is a job that dies.
async fn begin(lane: &Lane, ready: &Ready) -> bool {
    if let Some((statement, id)) = ready.due {
        lane.sql(statement, id).await;
    }
    match &ready.act {
        Some(act) => act.ask(lane).await.is_ok(),
        None => true,
    }
}

/// One key has one answer.
async fn again(lane: &Lane, act: &Act, answered: &Value) {
    let now = act.ask(lane).await.expect("answered").value();
    if act.key.is_some() {
        assert_eq!(now, *answered);
    }
}

/// The order is paid, refunded or paid out once, or not at all: then it can still be paid.
async fn ends(lane: &Lane, ready: &Ready) {
    let unpaid = "select count(*) from orders where user_id = $1 and status = 'pending_payment'";
    if ready.end.captured > 0 && lane.number(unpaid, ready.buyer.session.id.0).await > 0 {
        let id: Uuid = sqlx::query_scalar("select id from orders where user_id = $1")
            .bind(ready.buyer.session.id.0)
            .fetch_one(&lane.db.pool)
            .await
            .expect("exactly one order");
        lane.buyer(&ready.buyer).pay(OrderId(id), "test_success").await;
    }
    let end: End = ready.came_to(lane).await;
    assert_eq!(end, ready.end);
}
