//! What it takes to be paid: the database, the providers, and how long one waits for them.
//! Every call of a provider about a payment goes through here. Nothing is written here.

use std::sync::Arc;
use std::time::Duration;

use shared::bus::SharedBus;
use sqlx::PgPool;

use super::config::Providers;
use super::model::Attempt;
use super::provider::{Intent, Provider, ProviderError, Told};
use super::stripe::{Stripe, StripeConfig};
use super::test_provider::TestProvider;
use crate::commerce::Commerce;
use crate::config::Config;
use crate::faults::{self, Step};
use crate::payouts::provider::PayoutProvider;

/// Everything it takes to be paid. Cheap to clone.
#[derive(Clone)]
pub struct Till {
    /// The truth.
    pub db: PgPool,
    /// For hints to rooms.
    pub bus: SharedBus,
    /// Who moves the money of payments that begin now.
    pub provider: Arc<dyn Provider>,
    /// Who moves it on to shops whose accounts are added now.
    pub payer: Arc<dyn PayoutProvider>,
    /// Who did so before, and may not be through with it: each row names its own.
    pub others: Vec<(Arc<dyn Provider>, Arc<dyn PayoutProvider>)>,
    /// The built-in provider, where it is the one: what happens there happens through us.
    pub built_in: Option<TestProvider>,
    /// How long the provider may take to answer.
    pub timeout: Duration,
    /// How long an unknown outcome rests before the provider is asked again.
    pub reconcile_after: Duration,
}

impl Till {
    /// A till with the built-in test provider, which tells of nothing.
    #[must_use]
    pub fn new(db: PgPool, bus: SharedBus, settings: &Commerce) -> Self {
        let provider = TestProvider::new(db.clone(), settings.test_provider_delay).charging(settings.test_provider_fee);
        Self::of(db, bus, settings, provider)
    }

    /// A till with this test provider.
    #[must_use]
    pub fn of(db: PgPool, bus: SharedBus, settings: &Commerce, provider: TestProvider) -> Self {
        Self {
            provider: Arc::new(provider.clone()),
            payer: Arc::new(provider.clone()),
            others: Vec::new(),
            built_in: Some(provider),
            db,
            bus,
            timeout: settings.provider_timeout,
            reconcile_after: settings.reconcile_after,
        }
    }

    /// The till of a service that runs as configured.
    ///
    /// # Errors
    /// When a provider cannot be asked at all.
    pub fn open(db: PgPool, bus: SharedBus, config: &Config) -> anyhow::Result<Self> {
        let settings = &config.commerce;
        let test = TestProvider::new(db.clone(), settings.test_provider_delay).charging(settings.test_provider_fee);
        let stripe = |config: &StripeConfig| Stripe::new(config, settings.provider_timeout).map(Arc::new);
        match &config.payments {
            Providers::Test { former } => {
                let test = test
                    .telling(config.webhooks.test.clone())
                    .with_pages_at(&config.mail.public_url);
                let mut till = Self::of(db, bus, settings, test);
                if let Some(former) = former {
                    let former = stripe(former)?;
                    till.others.push((former.clone(), former));
                }
                Ok(till)
            }
            Providers::Stripe(chosen) => {
                let chosen = stripe(chosen)?;
                let test = Arc::new(test);
                Ok(Self {
                    provider: chosen.clone(),
                    payer: chosen,
                    others: vec![(test.clone(), test)],
                    built_in: None,
                    db,
                    bus,
                    timeout: settings.provider_timeout,
                    reconcile_after: settings.reconcile_after,
                })
            }
        }
    }

    /// Whoever has a row's money.
    ///
    /// # Errors
    /// When it is not configured any more: then nothing is known of its rows.
    pub fn provider_of(&self, name: &str) -> Told<&dyn Provider> {
        let others = self.others.iter().map(|(provider, _)| provider);
        let found = std::iter::once(&self.provider)
            .chain(others)
            .find(|provider| provider.name() == name);
        found
            .map(AsRef::as_ref)
            .ok_or_else(|| ProviderError::NotConfigured(name.to_owned()))
    }

    /// The same of a payout's.
    ///
    /// # Errors
    /// The same.
    pub fn payer_of(&self, name: &str) -> Told<&dyn PayoutProvider> {
        let others = self.others.iter().map(|(_, payer)| payer);
        let found = std::iter::once(&self.payer)
            .chain(others)
            .find(|payer| payer.provider() == name);
        found
            .map(AsRef::as_ref)
            .ok_or_else(|| ProviderError::NotConfigured(name.to_owned()))
    }

    /// Waits for the provider, but not for ever.
    pub(crate) async fn ask<T>(&self, answer: impl Future<Output = Told<T>>) -> Told<T> {
        tokio::time::timeout(self.timeout, answer)
            .await
            .unwrap_or(Err(ProviderError::Timeout))
    }

    /// Asks for the money of an attempt; under the payment's id it is one charge.
    pub(super) async fn charge(&self, attempt: &Attempt) -> Told<Intent> {
        let provider = self.provider_of(&attempt.provider)?;
        faults::around(Step::PaymentCharge, self.ask(provider.charge(&attempt.charge))).await
    }

    /// Has an attempt go on whose second step the buyer has taken.
    pub(super) async fn confirm(&self, attempt: &Attempt) -> Told<Intent> {
        let provider = self.provider_of(&attempt.provider)?;
        faults::around(Step::PaymentSecondStep, self.ask(provider.confirm(&attempt.charge))).await
    }

    /// How an attempt stands, if the provider has heard of it.
    pub(super) async fn find(&self, attempt: &Attempt) -> Told<Option<Intent>> {
        let provider = self.provider_of(&attempt.provider)?;
        faults::around(Step::PaymentFind, self.ask(provider.find(&attempt.charge))).await
    }

    /// Has an attempt never be charged any more, unless it was.
    pub(super) async fn call_off(&self, attempt: &Attempt) -> Told<Intent> {
        let provider = self.provider_of(&attempt.provider)?;
        faults::around(Step::PaymentCancel, self.ask(provider.cancel(&attempt.charge))).await
    }
}
