//! Stripe as the payment provider: cards by `PaymentIntents`, refunds, disputes, events; and
//! payouts to shops as transfers to their connected accounts.
//!
//! A payment is made in two steps. Making its intent, under the payment's id as the
//! idempotency key, charges nothing; so it may be asked for again whenever that intent's
//! name is not known, which finds it, or makes one that can be called off. Only confirming
//! it asks for money, once under a key of its own. Stripe forgets keys after a day: what
//! is old (23 hours) is not sent again, and what cannot be found by then was never there.

mod amount;
mod client;
mod config;
mod decline;
mod events;
mod model;
mod payouts;

use std::time::Duration;

use actix_web::http::header::HeaderMap;
use async_trait::async_trait;
use chrono::Utc;
use shared::config::Secret;

use super::event::{Event, Unbelieved};
use super::provider::{
    Charge, DisputeFound, Intent, IntentState, Provider, ProviderError, RefundOrder, Transfer, TransferState,
};
use client::{CallError, Client, Fields, Refused};
use model::{Dispute, Page, PaymentIntent, Refund, Standing};

pub use config::StripeConfig;

/// Its name in the database.
pub const NAME: &str = "stripe";
/// Objects of a page, which is the most there are.
const PAGE: &str = "100";
/// Pages that are looked through at most: more refunds than any payment of ours can have.
const PAGES_MAX: usize = 10;
/// With an intent comes what Stripe keeps for itself of it.
const EXPAND_FEE: (&str, &str) = ("expand[]", "latest_charge.balance_transaction");

/// Stripe.
pub struct Stripe {
    client: Client,
    webhook_secret: Secret,
}

/// What there is of a payment at Stripe.
enum Look {
    /// This.
    Found(Standing),
    /// Nothing, and nothing can come of it any more; with the reason, where Stripe gave one.
    Never(Option<&'static str>),
}

impl Stripe {
    /// As configured; no answer is waited for longer than `timeout`.
    ///
    /// # Errors
    /// When it cannot be asked at all.
    pub fn new(config: &StripeConfig, timeout: Duration) -> anyhow::Result<Self> {
        Ok(Self {
            client: Client::new(config.api.clone(), &config.secret_key, timeout)?,
            webhook_secret: config.webhook_secret.clone(),
        })
    }

    /// What there is of a payment. Where its intent's name is not known, the same creation
    /// under the same key names it, or makes it: which charges nothing.
    async fn look(&self, charge: &Charge) -> Result<Look, ProviderError> {
        let intent = match &charge.reference {
            Some(reference) if reference.starts_with("pi_") => self.retrieve(reference).await?,
            _ if charge.is_old => match self.search(charge).await? {
                Some(intent) => intent,
                None => return Ok(Look::Never(None)),
            },
            _ => match self.create(charge).await? {
                Ok(intent) => intent,
                Err(why) => return Ok(Look::Never(Some(why))),
            },
        };
        Ok(Look::Found(intent.standing(charge.payment, charge.amount)?))
    }

    async fn retrieve(&self, reference: &str) -> Result<PaymentIntent, ProviderError> {
        let path = format!("/v1/payment_intents/{reference}");
        Ok(self
            .client
            .get(&path, vec![(EXPAND_FEE.0, EXPAND_FEE.1.to_owned())])
            .await?)
    }

    /// Makes a payment's intent, or finds the one that was made; or why there can be none.
    async fn create(&self, charge: &Charge) -> Result<Result<PaymentIntent, &'static str>, ProviderError> {
        let id = charge.payment.to_string();
        let Some((units, currency)) = amount::theirs(charge.amount) else {
            return Ok(Err("amount_not_accepted"));
        };
        // The same whenever it is sent: under one key Stripe takes one request.
        let form: Fields<'_> = vec![
            ("amount", units.to_string()),
            ("currency", currency),
            ("payment_method", charge.token.clone()),
            ("payment_method_types[]", "card".to_owned()),
            ("capture_method", "automatic".to_owned()),
            ("metadata[hawker_payment]", id.clone()),
            (EXPAND_FEE.0, EXPAND_FEE.1.to_owned()),
        ];
        let answer = match self.client.post("/v1/payment_intents", form, Some(&id)).await {
            Ok(answer) => answer,
            Err(CallError::Refused(Refused { status, code, param })) => {
                tracing::warn!(payment = %id, status, code, param, "a payment could not be begun");
                return Ok(Err(decline::of_request(&code, &param)));
            }
            Err(CallError::Unknown(error)) => return Err(error),
        };
        let intent: PaymentIntent = answer.body;
        if answer.is_replayed {
            // What was said then; it may have gone on since.
            return self.retrieve(&intent.id).await.map(Ok);
        }
        Ok(Ok(intent))
    }

    /// The intent of a payment that is too old to be asked for again. What is searched is a
    /// minute behind at most, and the payment is a day old.
    async fn search(&self, charge: &Charge) -> Result<Option<PaymentIntent>, ProviderError> {
        let query = format!("metadata['{}']:'{}'", model::PAYMENT, charge.payment);
        let fields = vec![("query", query), ("limit", "1".to_owned())];
        let found: Page<PaymentIntent> = self.client.get("/v1/payment_intents/search", fields).await?;
        match found.data.into_iter().next() {
            Some(intent) => self.retrieve(&intent.id).await.map(Some),
            None => Ok(None),
        }
    }

    /// Asks for the money of an intent that nobody has asked for yet.
    async fn ask_for_it(&self, charge: &Charge, reference: String) -> Result<Intent, ProviderError> {
        let path = format!("/v1/payment_intents/{reference}/confirm");
        let key = format!("{}-confirm", charge.payment);
        let mut form: Fields<'_> = vec![(EXPAND_FEE.0, EXPAND_FEE.1.to_owned())];
        if let Some(page) = &charge.return_url {
            form.push(("return_url", page.of(charge.payment)));
        }
        let refused = match self.client.post::<PaymentIntent>(&path, form, Some(&key)).await {
            Ok(answer) if !answer.is_replayed => return asked(answer.body.standing(charge.payment, charge.amount)?),
            Ok(_) => None,
            Err(CallError::Refused(refused)) => Some(refused),
            Err(CallError::Unknown(error)) => return Err(error),
        };
        // Declined, or confirmed or called off meanwhile: the intent says which.
        let intent = self.retrieve(&reference).await?;
        match (intent.standing(charge.payment, charge.amount)?, refused) {
            (Standing::Unasked { reference }, Some(Refused { code, param, .. })) => {
                tracing::warn!(payment = %charge.payment, code, param, "a payment could not be asked for");
                self.refused_to_ask(charge, reference, decline::of_request(&code, &param))
                    .await
            }
            (standing, _) => asked(standing),
        }
    }

    /// It cannot be asked for, so it is called off: then it is declined for good.
    async fn refused_to_ask(
        &self,
        charge: &Charge,
        reference: String,
        why: &'static str,
    ) -> Result<Intent, ProviderError> {
        let intent = self.call_off(charge, &reference).await?;
        let state = match intent.state {
            IntentState::Cancelled => IntentState::Declined(why),
            other => other,
        };
        Ok(Intent { state, ..intent })
    }

    /// Calls an intent off, if no money has moved, and says how it stands then.
    async fn call_off(&self, charge: &Charge, reference: &str) -> Result<Intent, ProviderError> {
        let path = format!("/v1/payment_intents/{reference}/cancel");
        // Without a key: it is a step that can be taken once, whoever takes it.
        let intent = match self.client.post::<PaymentIntent>(&path, Fields::new(), None).await {
            Ok(answer) => answer.body,
            Err(CallError::Refused(_)) => self.retrieve(reference).await?,
            Err(CallError::Unknown(error)) => return Err(error),
        };
        asked(intent.standing(charge.payment, charge.amount)?)
    }

    /// Looks through the refunds of an intent.
    async fn refund_of(&self, order: &RefundOrder) -> Result<Option<Refund>, ProviderError> {
        let mut after: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut query: Fields<'_> = vec![
                ("payment_intent", order.payment_reference.clone()),
                ("limit", PAGE.to_owned()),
            ];
            query.extend(after.take().map(|id| ("starting_after", id)));
            let page: Page<Refund> = self.client.get("/v1/refunds", query).await?;
            after = page.data.last().map(|last| last.id.clone());
            if let Some(found) = page.data.into_iter().find(|refund| refund.is_of(order.refund)) {
                return Ok(Some(found));
            }
            if !page.has_more || after.is_none() {
                return Ok(None);
            }
        }
        Err(ProviderError::Failed(
            "a payment has more refunds than can be looked through".to_owned(),
        ))
    }
}

fn too_old() -> ProviderError {
    ProviderError::Failed("it is too old to be sent".to_owned())
}

/// A standing that money was asked for in, one way or another.
fn asked(standing: Standing) -> Result<Intent, ProviderError> {
    match standing {
        Standing::Asked(intent) => Ok(intent),
        Standing::Unasked { reference } => Err(ProviderError::Failed(format!("{reference} was not confirmed"))),
    }
}

/// A payment that Stripe has nothing of and never will: under our name for it.
fn never(charge: &Charge, state: IntentState) -> Intent {
    Intent {
        reference: charge.payment.to_string(),
        amount: charge.amount,
        state,
        fee: None,
    }
}

#[async_trait]
impl Provider for Stripe {
    fn name(&self) -> &'static str {
        NAME
    }

    /// Tokens are payment methods that Stripe's own form has made: card data never comes here.
    fn knows(&self, token: &str) -> bool {
        is_id(token, "pm_")
    }

    async fn charge(&self, charge: &Charge) -> Result<Intent, ProviderError> {
        if charge.is_old {
            return Err(too_old());
        }
        match self.look(charge).await? {
            Look::Found(Standing::Unasked { reference }) => self.ask_for_it(charge, reference).await,
            Look::Found(Standing::Asked(intent)) => Ok(intent),
            Look::Never(why) => Ok(never(charge, IntentState::Declined(why.unwrap_or("card_declined")))),
        }
    }

    /// The buyer's bank tells Stripe, and Stripe tells us: there is nothing to be sent.
    async fn confirm(&self, charge: &Charge) -> Result<Intent, ProviderError> {
        let found = self.find(charge).await?;
        found.ok_or_else(|| ProviderError::Failed("it waits for no second step".to_owned()))
    }

    /// An intent that nobody confirmed is a charge that it has never heard of: whoever made
    /// it died before asking for money, or is about to be told that it was called off.
    async fn find(&self, charge: &Charge) -> Result<Option<Intent>, ProviderError> {
        Ok(match self.look(charge).await? {
            Look::Found(Standing::Asked(intent)) => Some(intent),
            Look::Found(Standing::Unasked { .. }) | Look::Never(_) => None,
        })
    }

    async fn cancel(&self, charge: &Charge) -> Result<Intent, ProviderError> {
        let reference = match self.look(charge).await? {
            Look::Never(_) => return Ok(never(charge, IntentState::Cancelled)),
            Look::Found(Standing::Unasked { reference }) => reference,
            Look::Found(Standing::Asked(intent)) => match intent.state {
                IntentState::Succeeded | IntentState::Cancelled => return Ok(intent),
                IntentState::Processing | IntentState::RequiresAction { .. } | IntentState::Declined(_) => {
                    intent.reference
                }
            },
        };
        self.call_off(charge, &reference).await
    }

    async fn refund(&self, order: &RefundOrder) -> Result<Transfer, ProviderError> {
        let Some((units, _)) = amount::theirs(order.amount) else {
            return Ok(refund_failed(order, "amount_not_accepted"));
        };
        let id = order.refund.to_string();
        let form: Fields<'_> = vec![
            ("payment_intent", order.payment_reference.clone()),
            ("amount", units.to_string()),
            ("metadata[hawker_refund]", id.clone()),
        ];
        match self.client.post::<Refund>("/v1/refunds", form, Some(&id)).await {
            Ok(answer) if answer.is_replayed => {
                let found = self.refund_of(order).await?;
                found.as_ref().unwrap_or(&answer.body).transfer()
            }
            Ok(answer) => answer.body.transfer(),
            Err(CallError::Refused(refused)) => match decline::refund_refused(&refused.code, &refused.param) {
                Some(why) => Ok(refund_failed(order, why)),
                None => Err(CallError::Refused(refused).into()),
            },
            Err(CallError::Unknown(error)) => Err(error),
        }
    }

    async fn find_refund(&self, order: &RefundOrder) -> Result<Option<Transfer>, ProviderError> {
        let found = self.refund_of(order).await?;
        found.map(|refund| refund.transfer()).transpose()
    }

    async fn find_dispute(&self, reference: &str) -> Result<Option<DisputeFound>, ProviderError> {
        if !is_id(reference, "dp_") && !is_id(reference, "du_") {
            return Ok(None);
        }
        let expand = vec![("expand[]", "payment_intent".to_owned())];
        match self
            .client
            .get::<Dispute>(&format!("/v1/disputes/{reference}"), expand)
            .await
        {
            Ok(dispute) => dispute.found().map(Some),
            Err(CallError::Refused(refused)) if refused.status == 404 => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn event(&self, headers: &HeaderMap, body: &[u8]) -> Result<Event, Unbelieved> {
        events::read(&self.webhook_secret, headers, body, Utc::now().timestamp())
    }
}

/// A refund that was refused: nothing of it is at Stripe.
fn refund_failed(order: &RefundOrder, why: &str) -> Transfer {
    Transfer {
        reference: order.refund.to_string(),
        amount: order.amount,
        state: TransferState::Failed(why.to_owned()),
        fee: None,
    }
}

/// Whether a text is one of Stripe's ids of a kind: it becomes part of a path.
fn is_id(text: &str, prefix: &str) -> bool {
    let rest = text.strip_prefix(prefix).unwrap_or_default();
    !rest.is_empty() && text.len() <= 255 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
