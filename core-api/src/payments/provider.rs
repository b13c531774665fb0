//! What a payment provider can do, whoever it is.
//!
//! A provider is never called inside a transaction of ours, and always with the id of
//! our payment or refund, under which it does everything once. An error means that the
//! outcome is not known: a payment stays `processing` until [`Provider::find`] tells, a
//! refund `submitted` until [`Provider::find_refund`] does.

use actix_web::http::header::HeaderMap;
use async_trait::async_trait;
use shared::ids::{PaymentId, RefundId};
use shared::money::Money;
use shared::status::DisputeStatus;

use super::event::{Event, Unbelieved};

use super::return_url::ReturnUrl;

/// What is to be paid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Charge {
    /// Our payment: the idempotency key.
    pub payment: PaymentId,
    /// How much.
    pub amount: Money,
    /// The means of payment.
    pub token: String,
    /// Where the buyer comes back to from a second step.
    pub return_url: Option<ReturnUrl>,
    /// The provider's own name for it, once it has told it.
    pub reference: Option<String>,
    /// The provider may have forgotten our name for it: it is not asked for again, only about.
    pub is_old: bool,
}

/// What the provider has of a payment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Intent {
    /// The provider's own name for it.
    pub reference: String,
    /// How much, in the provider's books.
    pub amount: Money,
    /// How far it is.
    pub state: IntentState,
    /// What the provider keeps for itself of it; `None`: not known yet.
    pub fee: Option<Money>,
}

impl Intent {
    /// Where the buyer is to be sent to take the second step.
    #[must_use]
    pub fn redirect(&self) -> Option<&str> {
        match &self.state {
            IntentState::RequiresAction { redirect } => redirect.as_deref(),
            IntentState::Processing | IntentState::Succeeded | IntentState::Declined(_) | IntentState::Cancelled => {
                None
            }
        }
    }
}

/// How far a payment is at the provider.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum IntentState {
    /// The outcome is to come.
    Processing,
    /// The buyer owes a second step.
    RequiresAction {
        /// Where the buyer is to be sent to take it; `None`: apps take it by other means.
        redirect: Option<String>,
    },
    /// The money is ours.
    Succeeded,
    /// Refused, with the reason.
    Declined(&'static str),
    /// Called off, and it stays so: no money moves under this payment any more.
    Cancelled,
}

/// What is to go back of a payment that was captured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefundOrder {
    /// Our refund: the idempotency key.
    pub refund: RefundId,
    /// Our payment.
    pub payment: PaymentId,
    /// The provider's own name for it.
    pub payment_reference: String,
    /// How much; never nothing.
    pub amount: Money,
}

/// What the provider has of money that leaves it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transfer {
    /// The provider's own name for it.
    pub reference: String,
    /// How much, in the provider's books.
    pub amount: Money,
    /// How far it is.
    pub state: TransferState,
    /// What the provider takes for it beside the amount; `None`: not known, or nothing.
    pub fee: Option<Money>,
}

/// How far money that leaves the provider is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TransferState {
    /// The outcome is to come.
    Processing,
    /// It has arrived.
    Succeeded,
    /// It did not, with the reason, and never will under this id.
    Failed(String),
}

/// A capture that the buyer's bank has called into question, as the provider has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DisputeFound {
    /// The provider's own name for it.
    pub reference: String,
    /// Our payment; `None`: it is of none that the provider had from us.
    pub payment: Option<PaymentId>,
    /// How much the bank has taken.
    pub amount: Money,
    /// How far it is.
    pub status: DisputeStatus,
    /// Why, in a word of the provider's: no words of the buyer's.
    pub reason: String,
}

/// What a provider answered, if it did.
pub type Told<T> = std::result::Result<T, ProviderError>;

/// The provider did not answer; what it did is not known.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProviderError {
    /// Not in time.
    #[error("the payment provider did not answer in time")]
    Timeout,
    /// It failed.
    #[error("the payment provider failed: {0}")]
    Failed(String),
    /// It is not among the configured ones any more.
    #[error("the payment provider {0:?} is not configured")]
    NotConfigured(String),
}

/// A payment provider.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// Its name, kept with each payment.
    fn name(&self) -> &'static str;

    /// Whether `token` can be one of its tokens at all.
    fn knows(&self, token: &str) -> bool;

    /// Takes the money, or begins to. Asked again for the same payment, it answers with
    /// what became of it.
    async fn charge(&self, charge: &Charge) -> Result<Intent, ProviderError>;

    /// The app says that the buyer has taken the second step.
    async fn confirm(&self, charge: &Charge) -> Result<Intent, ProviderError>;

    /// What became of a payment; `None`: it has never heard of it.
    async fn find(&self, charge: &Charge) -> Result<Option<Intent>, ProviderError>;

    /// Calls a payment off if no money has moved. One that it has never heard of is
    /// remembered as cancelled, so that a charge still on its way moves nothing. Answers
    /// how it stands then: `Succeeded` means that it came too late.
    async fn cancel(&self, charge: &Charge) -> Result<Intent, ProviderError>;

    /// Gives money of a captured payment back, or begins to. Asked again for the same
    /// refund, it answers with what became of it. It never gives back more than it took.
    async fn refund(&self, order: &RefundOrder) -> Result<Transfer, ProviderError>;

    /// What became of a refund; `None`: it has never heard of it.
    async fn find_refund(&self, order: &RefundOrder) -> Result<Option<Transfer>, ProviderError>;

    /// How a dispute stands; `None`: it knows of none of this name.
    async fn find_dispute(&self, reference: &str) -> Result<Option<DisputeFound>, ProviderError>;

    /// Believes a message or not, by its signature, and reads it. What it says is not a fact
    /// for that: it says what to ask about.
    ///
    /// # Errors
    /// Why it is not believed.
    fn event(&self, headers: &HeaderMap, body: &[u8]) -> Result<Event, Unbelieved>;
}
