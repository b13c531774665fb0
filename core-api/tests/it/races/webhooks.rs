//! Ten thousand messages of the provider: of each thing that has happened many, in any order,
//! over many connections, among lies, forgeries and what is nobody's, while they are worked off.

use core_api::orders::model::Order;
use core_api::webhooks::signature::sign;
use core_api::webhooks::{self, SIGNATURE};
use futures_util::future::join_all;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use testkit::fixtures;
use uuid::Uuid;

use crate::market::{Buyer, Market};
use crate::payouts::RELEASE;
use crate::provider_events::{SECRET, telling};

/// Messages in all.
const MESSAGES: usize = 10_000;
/// Of these, so many of each kind that nothing follows from.
const STRANGE: usize = 500;
/// Connections.
const CONNECTIONS: usize = 8;
/// Who buys; each something with every means of payment.
const BUYERS: usize = 16;
/// What the provider makes of payments.
const TOKENS: [&str; 8] = [
    "test_success",
    "test_decline",
    "test_timeout",
    "test_late_success",
    "test_success_refund_late",
    "test_success_refund_fails",
    "test_success_refund_timeout",
    "test_second_step",
];
/// What it makes of payouts.
const BANKS: [&str; 5] = [
    "test_bank",
    "test_bank_slow",
    "test_bank_timeout",
    "test_bank_returns",
    "test_bank_refuses",
];

/// A message on its way, and how it is to be answered.
struct Message {
    header: String,
    body: String,
    status: u16,
}

impl Message {
    fn signed(event: &Value, secret: &str, age_seconds: i64, status: u16) -> Self {
        let body = event.to_string();
        let at = chrono::Utc::now().timestamp() - age_seconds;
        Self {
            header: sign(secret.as_bytes(), at, body.as_bytes()),
            body,
            status,
        }
    }
}

/// One buys with every means of payment, and calls some of it off.
async fn buys(market: &Market, buyer: &Buyer, nth: usize) {
    for token in TOKENS {
        let order = buyer.order(market.shop.variant, 1).await;
        let payment = buyer.pay(order.id, token).await;
        let is_called_off = token.contains("refund") || (token == "test_success" && nth.is_multiple_of(2));
        if is_called_off {
            buyer.try_cancel(&order).await.ok::<Order>();
        }
        if token == "test_second_step" && nth.is_multiple_of(2) {
            let path = format!("/orders/{}/payments/{}/confirm", order.id, payment.id);
            buyer
                .session
                .post_once(&path, Uuid::now_v7(), &json!({}))
                .await
                .ok::<Value>();
        }
        if token == "test_timeout" && nth.is_multiple_of(4) {
            // Its order ends behind the payment's back: what succeeds is given back.
            let ends = "with o as (update orders set status = 'cancelled' where id = $1)
                        update product_variants v set reserved = reserved - i.quantity
                          from order_items i where i.variant_id = v.id and i.order_id = $1";
            assert_eq!(market.sql(ends, order.id.0).await, 1);
        }
    }
}

/// A shop is paid what it has earned, by way of a bank.
async fn is_paid(market: &Market, bank: &str) {
    let shop = fixtures::shop(&market.app.db.pool, 2, 5_000).await;
    let (buyer, owner) = (market.buyer().await, market.app.session_of(shop.owner));
    let order = buyer.order(shop.variant, 1).await;
    buyer.pay(order.id, "test_success").await;
    assert_eq!(market.sql(RELEASE, order.id.0).await, 1);
    let account = json!({"destination": bank});
    owner.post("/seller/payout-accounts", &account).await.created::<Value>();
    let asked = owner.post_once("/seller/payouts", Uuid::now_v7(), &json!({})).await;
    asked.created::<Value>();
}

/// Everything that takes its time has happened at the provider; all that it has to tell.
async fn happened(market: &Market) -> Vec<Value> {
    for late in [
        "update test_provider_intents set created_at = now() - interval '2 hours' where id <> $1",
        "update test_provider_transfers set created_at = now() - interval '2 hours' where id <> $1",
    ] {
        market.sql(late, Uuid::nil()).await;
    }
    let till = market.telling_till();
    let provider = till.built_in.as_ref().expect("it is the built-in one");
    while provider.pass_time(1_000).await.expect("it passes") > 0 {}
    market.events().await
}

/// Ten thousand messages in any order: what happened, and what did not.
fn messages(events: &[Value], rng: &mut StdRng) -> Vec<Message> {
    let mut messages = Vec::new();
    let any = |rng: &mut StdRng| events[rng.random_range(0..events.len())].clone();
    for n in 0..STRANGE {
        messages.push(Message::signed(&any(rng), "another secret of somebody's", 0, 400));
        messages.push(Message::signed(&any(rng), SECRET, 400, 400));
        let known = n % 50;
        let nobodys = json!({"id": format!("evt_nobodys_{known}"), "type": "payment.succeeded",
                             "subject": Uuid::from_u128(u128::try_from(known).expect("few"))});
        messages.push(Message::signed(&nobodys, SECRET, 0, 200));
        let mut lie = any(rng);
        let kinds = ["succeeded", "failed", "cancelled", "returned"];
        let thing = lie["type"]
            .as_str()
            .expect("a kind")
            .split('.')
            .next()
            .expect("a thing")
            .to_owned();
        lie["type"] = json!(format!("{thing}.{}", kinds[rng.random_range(0..kinds.len())]));
        lie["id"] = json!(format!("evt_lie_{n}"));
        messages.push(Message::signed(&lie, SECRET, 0, 200));
    }
    // Each at least once, and at any age that is still believed.
    let more = events.iter().cycle().take(MESSAGES - messages.len());
    for event in more {
        messages.push(Message::signed(event, SECRET, rng.random_range(0..200), 200));
    }
    messages.shuffle(rng);
    messages
}

async fn posts(market: &Market, messages: &[Message]) {
    let connections = messages.chunks(messages.len().div_ceil(CONNECTIONS)).map(async |mine| {
        for message in mine {
            let call = market.app.post("/webhooks/test").header(SIGNATURE, &message.header);
            let (status, _, answer) = call.body("application/json", message.body.clone()).fetch().await;
            let answer = String::from_utf8_lossy(&answer);
            assert_eq!(status.as_u16(), message.status, "{}: {answer}", message.body);
        }
    });
    join_all(connections).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stderr, reason = "whoever sees it fail can have the same order again")]
async fn ten_thousand_messages_of_the_provider_in_any_order_end_where_the_provider_is() {
    let seed: u64 = rand::random();
    eprintln!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let market = Market::open_with(1_000, 1_000, |config| {
        telling(config);
        config.limits.webhooks_per_minute = std::num::NonZeroU32::MAX;
    })
    .await;
    let mut buyers = Vec::new();
    for _ in 0..BUYERS {
        buyers.push(market.buyer().await);
    }
    join_all(buyers.iter().enumerate().map(|(nth, buyer)| buys(&market, buyer, nth))).await;
    join_all(BANKS.iter().chain(&BANKS).map(|bank| is_paid(&market, bank))).await;
    let events = happened(&market).await;
    assert!(events.len() > 200, "{}", events.len());
    let messages = messages(&events, &mut rng);
    assert_eq!(messages.len(), MESSAGES);

    let tills = [market.telling_till(), market.telling_till()];
    let is_posted = tokio_util::sync::CancellationToken::new();
    let working = join_all(tills.iter().map(async |till| {
        while !is_posted.is_cancelled() {
            webhooks::work(till, &market.commerce, 20).await.expect("worked off");
            tokio::task::yield_now().await;
        }
    }));
    let posting = async {
        posts(&market, &messages).await;
        is_posted.cancel();
    };
    tokio::join!(working, posting);
    // What followed from it, such as refunds of what came too late, is told, too.
    market.hears().await;

    let believed = "select count(*) from webhook_inbox where event_id like 'evt_%'";
    let lies = i64::try_from(50 + STRANGE).expect("few");
    assert_eq!(market.number(believed).await, lies, "each is kept once");
    let left = "select count(*) from webhook_inbox where processed_at is null";
    assert_eq!(market.number(left).await, 0);
    let told = market.events().await.len();
    let kept = "select count(*) from webhook_inbox where event_id not like 'evt_%'";
    assert_eq!(market.number(kept).await, i64::try_from(told).expect("few"));
    let under_way = "select (select count(*) from payments where status in ('created', 'processing'))
                          + (select count(*) from refunds where status in ('pending', 'submitted'))
                          + (select count(*) from seller_payouts where status in ('creating', 'processing'))";
    assert_eq!(market.number(under_way).await, 0, "nothing waits for the reconcilers");
    assert_eq!(market.disagreements().await, Vec::<String>::new());
    let twice = "select count(*) from (select from ledger_transactions group by kind, subject_id
                                       having count(*) > 1) t";
    assert_eq!(market.number(twice).await, 0);
    market.came_to_no_harm().await;
}
