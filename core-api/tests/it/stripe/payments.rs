//! Payments over Stripe: asked for once, whatever is lost, and nothing on anybody's word but
//! Stripe's.

use core_api::payments::model::{NextAction, Payment};
use core_api::payments::provider::{Charge, IntentState, Provider};
use serde_json::{Value, json};
use shared::ids::PaymentId;
use shared::money::{Currency, Money};
use shared::status::PaymentStatus;
use uuid::Uuid;

use super::double::{Double, Trouble};
use super::{market, market_at};
use crate::market::{Buyer, Market};

const NOBODY: &str = "select count(*) from payments where status in ('created', 'processing', 'requires_action')";

async fn pay_from(buyer: &Buyer, order: shared::ids::OrderId, token: &str) -> Payment {
    let body = json!({"token": token, "return_url": "https://shop.example/paid"});
    let path = format!("/orders/{order}/payments");
    buyer.session.post_once(&path, Uuid::now_v7(), &body).await.created()
}

/// The intent of a payment, in Stripe's books: there is one.
#[track_caller]
fn intent_of(double: &Double, payment: &Payment) -> Value {
    let id = payment.id.to_string();
    let of: Vec<Value> = double.look(|books| {
        let intents = books.intents.iter();
        intents
            .filter(|one| one["metadata"]["hawker_payment"] == id.as_str())
            .cloned()
            .collect()
    });
    assert_eq!(of.len(), 1, "{of:?}");
    of[0].clone()
}

fn name_of(intent: &Value) -> String {
    intent["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn an_order_is_paid_with_two_requests_under_two_keys() {
    let (market, double) = market().await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 1).await;
    let payment = buyer.pay(order.id, "pm_card_visa").await;
    assert_eq!((payment.status, payment.amount), (PaymentStatus::Captured, order.total));
    let intent = intent_of(&double, &payment);
    let said: Vec<_> = double.look(|books| {
        let told = books.exchanges.iter();
        told.map(|one| (one.path.clone(), one.key.clone().unwrap_or_default()))
            .collect()
    });
    let confirm = format!("/v1/payment_intents/{}/confirm", name_of(&intent));
    assert_eq!(
        said,
        [
            ("/v1/payment_intents".to_owned(), payment.id.to_string()),
            (confirm, format!("{}-confirm", payment.id))
        ]
    );
    assert_eq!((&intent["amount"], &intent["currency"]), (&json!(5_000), &json!("eur")));
    let kept: (String, String) = sqlx::query_as("select provider, provider_ref from payments")
        .fetch_one(&market.app.db.pool)
        .await
        .expect("the payment");
    assert_eq!(kept, ("stripe".to_owned(), name_of(&intent)));
    market.verified().await;
}

#[tokio::test]
async fn a_fee_in_the_accounts_own_currency_keeps_no_capture_from_being_recorded() {
    let (market, double) = market().await;
    double.look(|books| books.settles_in = Some("usd"));
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 1).await;
    let payment = buyer.pay(order.id, "pm_card_visa").await;
    assert_eq!(payment.status, PaymentStatus::Captured);
    assert_eq!(market.balance("provider_fees").await, 0);
    market.verified().await;
}

#[tokio::test]
async fn a_decline_is_an_answer_with_a_reason_of_ours() {
    let (market, double) = market().await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 1).await;
    for (token, why) in [("pm_declined", "insufficient_funds"), ("pm_missing", "invalid_token")] {
        let declined = buyer.pay(order.id, token).await;
        assert_eq!(declined.status, PaymentStatus::Failed, "{token}");
        assert_eq!(declined.failure_code.as_deref(), Some(why));
    }
    // What cannot be confirmed at all is called off before it is declined.
    let unfit = pay_from(&buyer, order.id, "pm_bad_return").await;
    assert_eq!(unfit.status, PaymentStatus::Failed);
    assert_eq!(intent_of(&double, &unfit)["status"], "canceled");
    for nonsense in ["test_success", "tok_visa", "pm_", "pm_../refunds", "pm_a b", "card_1"] {
        let refused = buyer.pay_once(order.id, nonsense, Uuid::now_v7()).await;
        assert_eq!(refused.refused(422, "invalid_body")["field"], "token", "{nonsense}");
    }
    assert_eq!(
        buyer.pay(order.id, "pm_card_visa").await.status,
        PaymentStatus::Captured
    );
    market.verified().await;
}

#[tokio::test]
async fn an_answer_that_is_lost_before_money_was_asked_for_ends_in_nothing() {
    let (market, double) = market().await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 1).await;
    double.trouble("/payment_intents", Trouble::AnswerLost);
    let payment = buyer.pay(order.id, "pm_card_visa").await;
    assert_eq!(payment.status, PaymentStatus::Processing);
    assert_eq!(market.asks(&double.api).await, 1);
    assert_eq!(buyer.payment_now(&payment).await.status, PaymentStatus::Cancelled);
    assert_eq!(intent_of(&double, &payment)["status"], "canceled");
    assert_eq!(
        buyer.pay(order.id, "pm_card_visa").await.status,
        PaymentStatus::Captured
    );
    market.verified().await;
}

#[tokio::test]
async fn an_answer_that_is_lost_after_money_was_asked_for_is_found_and_not_asked_for_again() {
    let (market, double) = market().await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 1).await;
    double.trouble("/confirm", Trouble::AnswerLost);
    let payment = buyer.pay(order.id, "pm_card_visa").await;
    assert_eq!(payment.status, PaymentStatus::Processing);
    assert_eq!(market.asks(&double.api).await, 1);
    assert_eq!(buyer.payment_now(&payment).await.status, PaymentStatus::Captured);
    assert_eq!(double.asked("POST", "/confirm"), 1);
    intent_of(&double, &payment);
    market.verified().await;
}

#[tokio::test]
async fn trouble_of_stripes_is_no_outcome() {
    let (market, double) = market().await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 1).await;
    for (path, trouble) in [
        ("/payment_intents", Trouble::TooMany),
        ("/payment_intents", Trouble::KeyInUse),
        ("/payment_intents", Trouble::Broken),
        ("/confirm", Trouble::TooMany),
        ("/confirm", Trouble::KeyInUse),
        ("/confirm", Trouble::Broken),
    ] {
        double.trouble(path, trouble);
        let payment = buyer.pay(order.id, "pm_card_visa").await;
        assert_eq!(payment.status, PaymentStatus::Processing, "{path} {trouble:?}");
        double.trouble("/cancel", trouble);
        assert_eq!(market.asks(&double.api).await, 1);
        assert_eq!(
            buyer.payment_now(&payment).await.status,
            PaymentStatus::Processing,
            "{path} {trouble:?}"
        );
        assert_eq!(market.asks(&double.api).await, 1);
        assert_eq!(buyer.payment_now(&payment).await.status, PaymentStatus::Cancelled);
    }
    assert_eq!(
        buyer.pay(order.id, "pm_card_visa").await.status,
        PaymentStatus::Captured
    );
    let moved = double.look(|books| books.intents.iter().filter(|one| one["status"] == "succeeded").count());
    assert_eq!(moved, 1);
    market.verified().await;
}

#[tokio::test]
async fn a_second_step_is_taken_at_the_bank_and_asked_about() {
    let (market, double) = market().await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 1).await;
    let confirm = async |payment: &Payment| -> Payment {
        let path = format!("/orders/{}/payments/{}/confirm", order.id, payment.id);
        buyer.session.post_once(&path, Uuid::now_v7(), &json!({})).await.ok()
    };
    let refused = pay_from(&buyer, order.id, "pm_second_step").await;
    let url = "https://hooks.stripe.example/authenticate".to_owned();
    assert_eq!(refused.next_action, Some(NextAction::redirect(url)));
    let intent = intent_of(&double, &refused);
    let back = format!("https://shop.example/paid?payment={}", refused.id);
    assert_eq!(intent["next_action"]["redirect_to_url"]["return_url"], json!(back));
    assert_eq!(
        confirm(&refused).await.status,
        PaymentStatus::RequiresAction,
        "the bank knows nothing of it"
    );
    double.look(|books| books.refuse(&name_of(&intent)));
    let failed = confirm(&refused).await;
    assert_eq!(failed.failure_code.as_deref(), Some("authentication_failed"));

    let overdue = pay_from(&buyer, order.id, "pm_second_step").await;
    double.look(|books| books.succeed(&name_of(&intent_of_books(books, &overdue))));
    market
        .stripe_tells("payment_intent.succeeded", &intent_of(&double, &overdue))
        .await
        .ok::<Value>();
    assert_eq!(market.works_off(&double.api).await, 1);
    assert_eq!(buyer.payment_now(&overdue).await.status, PaymentStatus::Captured);
    market.verified().await;
}

fn intent_of_books(books: &super::double::Books, payment: &Payment) -> Value {
    let id = payment.id.to_string();
    let found = books
        .intents
        .iter()
        .find(|one| one["metadata"]["hawker_payment"] == id.as_str());
    found.cloned().expect("an intent")
}

#[tokio::test]
async fn what_is_overdue_is_called_off_at_stripe_unless_it_has_succeeded() {
    let (market, double) = market().await;
    for succeeds in [false, true] {
        let buyer = market.buyer().await;
        let order = buyer.order(market.shop.variant, 1).await;
        let payment = pay_from(&buyer, order.id, "pm_second_step").await;
        if succeeds {
            double.look(|books| books.succeed(&name_of(&intent_of_books(books, &payment))));
        }
        market.order_lapses(order.id).await;
        market.asks(&double.api).await;
        let (ours, theirs) = match succeeds {
            true => (PaymentStatus::Captured, "succeeded"),
            false => (PaymentStatus::Cancelled, "canceled"),
        };
        assert_eq!(buyer.payment_now(&payment).await.status, ours);
        assert_eq!(intent_of(&double, &payment)["status"], theirs);
    }
    assert_eq!(market.number(NOBODY).await, 0);
    market.verified().await;
}

#[tokio::test]
async fn what_stripe_tells_is_believed_by_its_signature_and_looked_up() {
    let (market, double) = market().await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 1).await;
    let payment = buyer.pay(order.id, "pm_slow").await;
    assert_eq!(payment.status, PaymentStatus::Processing);
    let mut lie = intent_of(&double, &payment);
    (lie["status"], lie["amount"]) = (json!("succeeded"), json!(1));
    market
        .stripe_tells("payment_intent.succeeded", &lie)
        .await
        .ok::<Value>();
    market.works_off(&double.api).await;
    assert_eq!(buyer.payment_now(&payment).await.status, PaymentStatus::Processing);
    double.look(|books| books.succeed(&name_of(&lie)));
    let call = market
        .app
        .post("/webhooks/stripe")
        .header("Stripe-Signature", "t=1,v1=00");
    call.json(&lie).send().await.refused(400, "signature_invalid");
    for _ in 0..2 {
        market
            .stripe_tells("payment_intent.processing", &lie)
            .await
            .ok::<Value>();
    }
    market.works_off(&double.api).await;
    assert_eq!(buyer.payment_now(&payment).await.status, PaymentStatus::Captured);
    let kept = "select count(*) from webhook_inbox where payload::text like '%amount%'";
    assert_eq!(market.number(kept).await, 0);
    market.verified().await;
}

#[tokio::test]
async fn another_amount_or_another_payments_intent_is_never_taken_for_ours() {
    let (market, double) = market().await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 1).await;
    let payment = buyer.pay(order.id, "pm_slow").await;
    let id = name_of(&intent_of(&double, &payment));
    for (what, wrong, right) in [
        ("amount", json!(4_999), json!(5_000)),
        ("currency", json!("usd"), json!("eur")),
        (
            "metadata",
            json!({"hawker_payment": Uuid::now_v7()}),
            json!({"hawker_payment": payment.id}),
        ),
        ("status", json!("requires_capture"), json!("processing")),
        ("status", json!("of_tomorrow"), json!("processing")),
    ] {
        // Even where it says that the money is there.
        double.look(|books| {
            let intent = books.intent(&id);
            intent["status"] = json!("succeeded");
            intent[what] = wrong;
        });
        assert_eq!(market.asks(&double.api).await, 1);
        assert_eq!(
            buyer.payment_now(&payment).await.status,
            PaymentStatus::Processing,
            "{what}"
        );
        double.look(|books| {
            let intent = books.intent(&id);
            intent["status"] = json!("processing");
            intent[what] = right;
        });
    }
    double.look(|books| books.succeed(&id));
    market.asks(&double.api).await;
    assert_eq!(buyer.payment_now(&payment).await.status, PaymentStatus::Captured);
    market.verified().await;
}

fn charge(token: &str) -> Charge {
    let euro = Currency::parse("EUR").expect("a currency");
    Charge {
        payment: PaymentId::new(),
        amount: Money::new(1_000, euro),
        token: token.to_owned(),
        return_url: None,
        reference: None,
        is_old: false,
    }
}

async fn stripe(double: &Double) -> (Market, std::sync::Arc<dyn Provider>) {
    let market = market_at(&double.api).await;
    let provider = market.stripe_till(&double.api).provider;
    (market, provider)
}

#[tokio::test]
async fn a_charge_is_one_however_often_it_is_asked_for() {
    let double = Double::start();
    let (_market, stripe) = stripe(&double).await;
    let charge = charge("pm_card_visa");
    for _ in 0..3 {
        let intent = stripe.charge(&charge).await.expect("an answer");
        assert_eq!(
            (intent.state, intent.fee.map(|fee| fee.minor)),
            (IntentState::Succeeded, Some(59))
        );
    }
    assert_eq!(
        (
            double.asked("POST", "/confirm"),
            double.look(|books| books.intents.len())
        ),
        (1, 1)
    );
    let other = Charge {
        amount: Money::new(999, charge.amount.currency),
        reference: Some(double.look(|books| name_of(&books.intents[0]))),
        ..charge
    };
    let found = stripe.find(&other).await;
    assert!(found.is_err(), "it is of another amount: {found:?}");
}

#[tokio::test]
async fn what_was_answered_before_about_asking_for_money_is_not_how_it_stands() {
    let double = Double::start();
    let (_market, stripe) = stripe(&double).await;
    let charge = charge("pm_slow");
    assert_eq!(
        stripe.charge(&charge).await.expect("an answer").state,
        IntentState::Processing
    );
    // As whoever asks at the same moment sees it: not confirmed yet, and then it is.
    double.look(|books| books.intents[0]["status"] = json!("requires_confirmation"));
    let answer = stripe.charge(&charge).await;
    assert!(answer.is_err(), "only the intent says how it stands: {answer:?}");
}

#[tokio::test]
async fn what_was_called_off_before_it_was_heard_of_is_never_charged() {
    let double = Double::start();
    let (_market, stripe) = stripe(&double).await;
    let charge = charge("pm_card_visa");
    assert_eq!(
        stripe.cancel(&charge).await.expect("an answer").state,
        IntentState::Cancelled
    );
    assert_eq!(
        stripe.charge(&charge).await.expect("an answer").state,
        IntentState::Cancelled
    );
    assert_eq!(
        stripe.find(&charge).await.expect("an answer").map(|found| found.state),
        Some(IntentState::Cancelled)
    );
    assert_eq!(double.asked("POST", "/confirm"), 0);
    // And one that cannot even be begun can never be charged.
    let unfit = self::charge("pm_missing");
    assert_eq!(
        stripe.cancel(&unfit).await.expect("an answer").state,
        IntentState::Cancelled
    );
    assert_eq!(stripe.find(&unfit).await.expect("an answer"), None);
}

#[tokio::test]
async fn what_is_old_is_searched_for_and_never_sent_again() {
    let double = Double::start();
    let (_market, stripe) = stripe(&double).await;
    let paid = charge("pm_card_visa");
    stripe.charge(&paid).await.expect("an answer");
    double.look(super::double::Books::forget_keys);
    let old = |charge: Charge| Charge { is_old: true, ..charge };
    let found = stripe
        .find(&old(paid.clone()))
        .await
        .expect("an answer")
        .expect("it is there");
    assert_eq!(found.state, IntentState::Succeeded);
    let posts = double.asked("POST", "");
    assert!(stripe.charge(&old(paid)).await.is_err());
    let lost = old(charge("pm_card_visa"));
    assert_eq!(stripe.find(&lost).await.expect("an answer"), None);
    assert_eq!(
        stripe.cancel(&lost).await.expect("an answer").state,
        IntentState::Cancelled
    );
    assert_eq!(double.asked("POST", ""), posts, "nothing was sent");
}

#[tokio::test]
async fn a_dispute_is_looked_up_by_its_name() {
    let double = Double::start();
    let (_market, stripe) = stripe(&double).await;
    let charge = charge("pm_card_visa");
    let intent = stripe.charge(&charge).await.expect("an answer");
    let id = double.look(|books| books.open_dispute(&intent.reference));
    let found = stripe.find_dispute(&id).await.expect("an answer").expect("it is there");
    assert_eq!((found.payment, found.amount), (Some(charge.payment), charge.amount));
    double.look(|books| books.disputes[0]["status"] = json!("warning_needs_response"));
    let inquiry = stripe.find_dispute(&id).await.expect("an answer").expect("it is there");
    assert_eq!(inquiry.payment, None, "nothing was taken yet");
    for unknown in ["dp_1", "../refunds", "", "pi_1"] {
        assert_eq!(
            stripe.find_dispute(unknown).await.expect("an answer"),
            None,
            "{unknown}"
        );
    }
}
