//! Stripe as the provider: against localstripe, against a stand-in for what localstripe does
//! not know, and what is said against Stripe's own description. Nothing here speaks to Stripe.

mod described;
mod double;
mod local;
mod payments;
mod refunds;
mod tools;
mod transfers;

use core_api::payments::{Providers, StripeConfig, Till};
use core_api::webhooks;
use core_api::webhooks::signature::sign;
use reqwest::Url;
use serde_json::{Value, json};
use shared::config::Secret;

use crate::harness::Reply;
use crate::market::{Market, still};
use double::Double;

/// What events are signed with.
pub const WEBHOOK_SECRET: &str = "whsec_of_the_stand_in";

/// A configuration under which Stripe is at `api`.
fn providers(api: &Url) -> Providers {
    Providers::Stripe(StripeConfig {
        secret_key: Secret::new(double::KEY.to_owned()),
        webhook_secret: Secret::new(WEBHOOK_SECRET.to_owned()),
        api: api.clone(),
    })
}

/// A market of ten units whose money a provider at `api` moves.
async fn market_at(api: &Url) -> Market {
    Market::open_with(10, 5_000, |config| {
        config.payments = providers(api);
        config.allowed_origins = vec!["https://shop.example".to_owned()];
    })
    .await
}

/// The same, and the stand-in.
async fn market() -> (Market, Double) {
    let double = Double::start();
    (market_at(&double.api).await, double)
}

impl Market {
    /// What it takes to be paid, with Stripe at `api`.
    fn stripe_till(&self, api: &Url) -> Till {
        let bind = ([127, 0, 0, 1], 0).into();
        let mut config = core_api::Config::new(bind, testkit::token_key(), "ws://127.0.0.1:1/ws".to_owned());
        config.commerce = still();
        config.payments = providers(api);
        Till::open(self.app.db.pool.clone(), self.app.bus.clone(), &config).expect("a till")
    }

    /// Asks Stripe about every payment that is unsettled.
    async fn asks(&self, api: &Url) -> u64 {
        let till = self.stripe_till(api);
        core_api::payments::reconcile(&till, 100).await.expect("reconciled")
    }

    /// Works off what was heard.
    async fn works_off(&self, api: &Url) -> u64 {
        let till = self.stripe_till(api);
        webhooks::work(&till, &still(), 100).await.expect("worked off")
    }

    /// Tells the service something, signed as Stripe signs.
    async fn stripe_tells(&self, kind: &str, object: &Value) -> Reply {
        let id = format!("evt_{}", uuid::Uuid::now_v7().simple());
        let body = json!({"id": id, "object": "event", "type": kind, "data": {"object": object}}).to_string();
        let header = sign(
            WEBHOOK_SECRET.as_bytes(),
            chrono::Utc::now().timestamp(),
            body.as_bytes(),
        );
        let call = self.app.post("/webhooks/stripe").header("Stripe-Signature", &header);
        call.body("application/json", body).send().await
    }

    /// What began a day ago.
    async fn a_day_passes(&self, table: &'static str) {
        let text = match table {
            "payments" => "update payments set created_at = created_at - interval '1 day'",
            "refunds" => "update refunds set created_at = created_at - interval '1 day'",
            _ => "update seller_payouts set asked_at = asked_at - interval '1 day'",
        };
        let done = sqlx::query(text).execute(&self.app.db.pool).await;
        assert!(done.expect("the statement is right").rows_affected() > 0);
    }
}
