//! What is said to Stripe, and what the stand-in answers for it, held against Stripe's own
//! published description of its API and against the types of its SDK.

use core_api::payments::provider::{Charge, IntentState, RefundOrder};
use core_api::payouts::provider::PayoutOrder;
use serde_json::{Value, json};
use shared::ids::{PaymentId, PayoutId, RefundId};
use shared::money::{Currency, Money};

use super::double::{Double, Exchange, Trouble};
use super::market_at;
use super::tools::{fetched, run};

fn charge(token: &str) -> Charge {
    let euro = Currency::parse("EUR").expect("a currency");
    let origins = ["https://shop.example"];
    let back = core_api::payments::return_url::ReturnUrl::parse("https://shop.example/paid", origins.into_iter());
    Charge {
        payment: PaymentId::new(),
        amount: Money::new(1_000, euro),
        token: token.to_owned(),
        return_url: Some(back.expect("a page of ours")),
        reference: None,
        is_old: false,
    }
}

/// Everything that is ever said to Stripe, and every kind of answer.
async fn all_that_is_said(double: &Double) -> Vec<Exchange> {
    let market = market_at(&double.api).await;
    let till = market.stripe_till(&double.api);
    let (stripe, payer) = (&till.provider, &till.payer);
    for token in [
        "pm_card_visa",
        "pm_declined",
        "pm_second_step",
        "pm_slow",
        "pm_missing",
        "pm_bad_return",
    ] {
        let charge = charge(token);
        stripe.charge(&charge).await.expect("an answer");
        stripe.find(&charge).await.expect("an answer");
        stripe.cancel(&charge).await.expect("an answer");
    }
    let paid = charge("pm_card_visa");
    double.trouble("/payment_intents", Trouble::KeyInUse);
    assert!(stripe.charge(&paid).await.is_err());
    let intent = stripe.charge(&paid).await.expect("an answer");
    assert_eq!(intent.state, IntentState::Succeeded);
    let old = Charge {
        is_old: true,
        ..paid.clone()
    };
    stripe.find(&old).await.expect("an answer").expect("it is there");
    let refund = RefundOrder {
        refund: RefundId::new(),
        payment: paid.payment,
        payment_reference: intent.reference.clone(),
        amount: paid.amount,
    };
    stripe.refund(&refund).await.expect("an answer");
    stripe
        .find_refund(&refund)
        .await
        .expect("an answer")
        .expect("it is there");
    let again = RefundOrder {
        refund: RefundId::new(),
        ..refund
    };
    stripe.refund(&again).await.expect("an answer");
    for destination in ["acct_1Shop", "acct_poor", "acct_missing"] {
        let payout = PayoutOrder {
            payout: PayoutId::new(),
            destination: destination.to_owned(),
            amount: paid.amount,
            provider: "stripe".to_owned(),
            is_old: false,
        };
        payer.pay_out(&payout).await.expect("an answer");
        payer.find_payout(&payout).await.expect("an answer");
    }
    let dispute = double.look(|books| books.open_dispute(&intent.reference));
    stripe
        .find_dispute(&dispute)
        .await
        .expect("an answer")
        .expect("it is there");
    stripe.find_dispute("dp_unknown").await.expect("an answer");
    double.look(|books| std::mem::take(&mut books.exchanges))
}

async fn held_against_the_description(exchanges: &[Value]) -> (bool, String) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), Value::from(exchanges).to_string()).expect("written");
    let (exchanges, description) = (file.path().display().to_string(), fetched("description.json"));
    run("described.py", &[&exchanges, &description.display().to_string()], b"").await
}

#[tokio::test]
async fn what_is_said_to_stripe_and_what_is_read_of_its_answers_is_as_it_describes_them() {
    let double = Double::start();
    let said = all_that_is_said(&double).await;
    let written = |one: &Exchange| json!({"method": one.method, "path": one.path, "fields": one.fields, "status": one.status, "answer": one.answer});
    let mut exchanges: Vec<Value> = said.iter().map(written).collect();
    let (is_content, printed) = held_against_the_description(&exchanges).await;
    assert!(is_content, "{printed}");

    // It would say so otherwise: of a request's field, of its value, and of an answer's.
    let transfer = exchanges
        .iter_mut()
        .find(|one| one["path"] == "/v1/transfers")
        .expect("a transfer");
    let fields = transfer["fields"].as_array_mut().expect("fields");
    fields.push(json!(["group", "1"]));
    let confirm =
        { exchanges.iter_mut() }.find(|one| one["path"].as_str().is_some_and(|path| path.ends_with("/confirm")));
    confirm.expect("a confirmation")["answer"]["status"] = json!("of_tomorrow");
    let created = exchanges
        .iter_mut()
        .find(|one| one["path"] == "/v1/payment_intents")
        .expect("a creation");
    created["fields"][0] = json!(["amount", "ten"]);
    let (is_content, printed) = held_against_the_description(&exchanges).await;
    assert!(!is_content);
    for fault in ["request.group is not described", "none of", "request.amount is 'ten'"] {
        assert!(printed.contains(fault), "{fault}: {printed}");
    }
}
