//! Stripe's objects as far as they concern us, and what they mean here. Pure: no IO, no
//! clock. An object that is not of the row that was asked about, or of an amount that
//! cannot be ours, is an error and never an outcome.

use std::collections::BTreeMap;

use serde::Deserialize;
use shared::ids::{PaymentId, PayoutId, RefundId};
use shared::money::Money;
use shared::status::DisputeStatus;
use uuid::Uuid;

use super::amount;
use super::decline;
use crate::payments::provider::{DisputeFound, Intent, IntentState, ProviderError, Transfer, TransferState};

/// What Stripe keeps with an object for us: our ids.
pub type Metadata = BTreeMap<String, String>;
/// Our payment's id in an object's metadata.
pub const PAYMENT: &str = "hawker_payment";
/// Our refund's.
pub const REFUND: &str = "hawker_refund";
/// Our payout's.
pub const PAYOUT: &str = "hawker_payout";

/// An object, or only its id, as whoever asks wants it.
#[derive(Deserialize, Debug)]
#[serde(untagged)]
pub enum Expandable<T> {
    /// Only its id.
    Id(#[allow(dead_code, reason = "a text is told from an object by it")] String),
    /// All of it.
    Whole(Box<T>),
}

impl<T> Expandable<T> {
    fn whole(&self) -> Option<&T> {
        match self {
            Self::Id(_) => None,
            Self::Whole(object) => Some(object),
        }
    }
}

/// One page of a list.
#[derive(Deserialize, Debug)]
pub struct Page<T> {
    /// Its objects.
    pub data: Vec<T>,
    /// There are more after them.
    #[serde(default)]
    pub has_more: bool,
}

/// A `PaymentIntent`.
#[derive(Deserialize, Debug)]
pub struct PaymentIntent {
    /// `pi_…`.
    pub id: String,
    amount: i64,
    currency: String,
    status: IntentStatus,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    last_payment_error: Option<PaymentError>,
    #[serde(default)]
    next_action: Option<NextAction>,
    #[serde(default)]
    latest_charge: Option<Expandable<Charge>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
enum IntentStatus {
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresAction,
    Processing,
    RequiresCapture,
    Canceled,
    Succeeded,
    #[serde(other)]
    Unknown,
}

#[derive(Deserialize, Debug)]
struct PaymentError {
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    decline_code: Option<String>,
}

#[derive(Deserialize, Debug)]
struct NextAction {
    #[serde(default)]
    redirect_to_url: Option<Redirect>,
}

#[derive(Deserialize, Debug)]
struct Redirect {
    url: Option<String>,
}

#[derive(Deserialize, Debug)]
struct Charge {
    #[serde(default)]
    balance_transaction: Option<Expandable<BalanceTransaction>>,
}

#[derive(Deserialize, Debug)]
struct BalanceTransaction {
    fee: i64,
    currency: String,
}

/// How far a `PaymentIntent` is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It was made and never confirmed: no money was asked for.
    Unasked {
        /// `pi_…`.
        reference: String,
    },
    /// Anything else.
    Asked(Intent),
}

impl PaymentIntent {
    /// What it says of our payment of `ours`.
    ///
    /// # Errors
    /// When it is of another payment or amount, or in a state that we never bring one to.
    pub fn standing(&self, payment: PaymentId, ours: Money) -> Result<Standing, ProviderError> {
        if id_in(&self.metadata, PAYMENT) != Some(payment.0) {
            return Err(wrong(&self.id, "is not of this payment"));
        }
        let amount = amount::ours(self.amount, &self.currency)?;
        if amount != ours {
            return Err(wrong(&self.id, "is of another amount"));
        }
        let unasked = || {
            Ok(Standing::Unasked {
                reference: self.id.clone(),
            })
        };
        let state = match (self.status, &self.last_payment_error) {
            (IntentStatus::RequiresConfirmation, _) | (IntentStatus::RequiresPaymentMethod, None) => return unasked(),
            (IntentStatus::RequiresPaymentMethod, Some(error)) => IntentState::Declined(error.meaning()),
            (IntentStatus::RequiresAction, _) => IntentState::RequiresAction {
                redirect: self.redirect(),
            },
            (IntentStatus::Processing, _) => IntentState::Processing,
            (IntentStatus::Succeeded, _) => IntentState::Succeeded,
            (IntentStatus::Canceled, _) => IntentState::Cancelled,
            (IntentStatus::RequiresCapture, _) => return Err(wrong(&self.id, "waits to be captured by somebody else")),
            (IntentStatus::Unknown, _) => return Err(wrong(&self.id, "is in a state that is not known here")),
        };
        Ok(Standing::Asked(Intent {
            reference: self.id.clone(),
            amount,
            state,
            fee: self.fee(),
        }))
    }

    fn redirect(&self) -> Option<String> {
        self.next_action.as_ref()?.redirect_to_url.as_ref()?.url.clone()
    }

    fn fee(&self) -> Option<Money> {
        let charge = self.latest_charge.as_ref()?.whole()?;
        let booked = charge.balance_transaction.as_ref()?.whole()?;
        amount::ours(booked.fee, &booked.currency).ok()
    }
}

impl PaymentError {
    fn meaning(&self) -> &'static str {
        let text = |code: &Option<String>| code.clone().unwrap_or_default();
        decline::meaning(&text(&self.code), &text(&self.decline_code))
    }
}

/// A `Refund`.
#[derive(Deserialize, Debug)]
pub struct Refund {
    /// `re_…`.
    pub id: String,
    amount: i64,
    currency: String,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    failure_reason: Option<String>,
    #[serde(default)]
    metadata: Option<Metadata>,
}

impl Refund {
    /// Whether it is of our refund.
    #[must_use]
    pub fn is_of(&self, refund: RefundId) -> bool {
        let metadata = self.metadata.as_ref();
        metadata.and_then(|metadata| id_in(metadata, REFUND)) == Some(refund.0)
    }

    /// What it says.
    ///
    /// # Errors
    /// When it is in a state that is not known.
    pub fn transfer(&self) -> Result<Transfer, ProviderError> {
        let state = match self.status.as_deref() {
            Some("succeeded") => TransferState::Succeeded,
            Some("pending" | "requires_action") => TransferState::Processing,
            Some("failed") => TransferState::Failed(decline::of_refund(self.failure_reason.as_deref()).to_owned()),
            Some("canceled") => TransferState::Failed("cancelled".to_owned()),
            _ => return Err(wrong(&self.id, "is in a state that is not known here")),
        };
        Ok(Transfer {
            reference: self.id.clone(),
            amount: amount::ours(self.amount, &self.currency)?,
            state,
            fee: None,
        })
    }
}

/// A `Transfer` to a connected account.
#[derive(Deserialize, Debug)]
pub struct ConnectTransfer {
    /// `tr_…`.
    pub id: String,
    amount: i64,
    amount_reversed: i64,
    currency: String,
    #[serde(default)]
    metadata: Metadata,
}

impl ConnectTransfer {
    /// Whether it is of our payout.
    #[must_use]
    pub fn is_of(&self, payout: PayoutId) -> bool {
        id_in(&self.metadata, PAYOUT) == Some(payout.0)
    }

    /// What it says: a transfer has arrived when it is made, and is gone when all of it was
    /// taken back.
    ///
    /// # Errors
    /// When its amount cannot be ours, or a part of it was taken back: what the shop has
    /// then is for people to say.
    pub fn transfer(&self) -> Result<Transfer, ProviderError> {
        let state = match self.amount_reversed {
            0 => TransferState::Succeeded,
            reversed if reversed == self.amount => TransferState::Failed("reversed".to_owned()),
            _ => return Err(wrong(&self.id, "was reversed in part")),
        };
        Ok(Transfer {
            reference: self.id.clone(),
            amount: amount::ours(self.amount, &self.currency)?,
            state,
            fee: None,
        })
    }
}

/// A `Dispute`, with its intent expanded.
#[derive(Deserialize, Debug)]
pub struct Dispute {
    /// `dp_…`, or `du_…`.
    pub id: String,
    amount: i64,
    currency: String,
    status: String,
    reason: String,
    #[serde(default)]
    payment_intent: Option<Expandable<PaymentIntent>>,
}

impl Dispute {
    /// What it says. An inquiry (`warning_…`) is of no payment yet: nothing was taken, and if it
    /// becomes a dispute, an event says so.
    ///
    /// # Errors
    /// When it is in a state that is not known.
    pub fn found(&self) -> Result<DisputeFound, ProviderError> {
        let (status, is_inquiry) = match self.status.as_str() {
            "needs_response" | "under_review" => (DisputeStatus::Open, false),
            "won" => (DisputeStatus::Won, false),
            // Older accounts: what was disputed was refunded.
            "lost" | "charge_refunded" => (DisputeStatus::Lost, false),
            "warning_needs_response" | "warning_under_review" => (DisputeStatus::Open, true),
            "warning_closed" | "prevented" => (DisputeStatus::Won, true),
            _ => return Err(wrong(&self.id, "is in a state that is not known here")),
        };
        let intent = self.payment_intent.as_ref().and_then(Expandable::whole);
        let payment = intent.and_then(|intent| id_in(&intent.metadata, PAYMENT));
        Ok(DisputeFound {
            reference: self.id.clone(),
            payment: payment.filter(|_| !is_inquiry).map(PaymentId),
            amount: amount::ours(self.amount, &self.currency)?,
            status,
            reason: self.reason.clone(),
        })
    }
}

/// One of our ids in an object's metadata.
#[must_use]
pub fn id_in(metadata: &Metadata, name: &str) -> Option<Uuid> {
    metadata.get(name)?.parse().ok()
}

fn wrong(id: &str, what: &str) -> ProviderError {
    ProviderError::Failed(format!("{id} {what}"))
}
