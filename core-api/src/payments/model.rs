//! Bodies of the payment routes, and a payment as its steps see it.

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::error::{ErrorCode, Refusal};
use shared::ids::{OrderId, PaymentId};
use shared::money::Money;
use shared::status::PaymentStatus;
use utoipa::ToSchema;

use super::provider::Charge;
use super::return_url::{ReturnUrl, URL_MAX};
use crate::http::Result;

/// Pays an order.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
pub struct NewPayment {
    /// The provider's single-use token for the means of payment. The test provider has
    /// `test_success`, `test_decline`, `test_second_step`, `test_timeout` and
    /// `test_late_success`; and three that succeed and tell what becomes of refunds:
    /// `test_success_refund_late` takes a while over them, of `test_success_refund_fails`
    /// the first fails and later ones succeed, and of `test_success_refund_timeout` the
    /// answers are lost. Refunds of all others succeed at once. The buyer's bank disputes what
    /// is paid with `test_success_disputed` after a while, and `test_success_dispute_won` and
    /// `test_success_dispute_lost` are decided so after as long again.
    #[garde(length(min = 1, max = 255))]
    pub token: String,
    /// Where the buyer comes back to from a second step at the bank, with `payment=` and the
    /// payment's id in its query: a page of an origin that this server knows, over HTTPS
    /// unless it is on this machine. What became of the payment is for the app to ask here,
    /// whatever else stands in the address. Without it a payment that needs a second step has
    /// no `next_action`.
    #[garde(length(max = URL_MAX))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_url: Option<String>,
}

impl NewPayment {
    /// What the order is to be paid with. `origins` are those of pages to come back to.
    ///
    /// # Errors
    /// `InvalidBody` when the page to come back to is not of one of them.
    pub fn means<'a>(&self, origins: impl Iterator<Item = &'a str>) -> Result<Means> {
        let checked = self.return_url.as_deref().map(|url| ReturnUrl::parse(url, origins));
        let return_url = checked
            .transpose()
            .map_err(|why| Refusal::new(ErrorCode::InvalidBody, format!("return_url {why}")).at("return_url"))?;
        let token = self.token.clone();
        Ok(Means { token, return_url })
    }
}

/// What an order is to be paid with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Means {
    /// The provider's token.
    pub token: String,
    /// Where the buyer comes back to from a second step.
    pub return_url: Option<ReturnUrl>,
}

impl From<&str> for Means {
    /// A token, and nowhere to come back to.
    fn from(token: &str) -> Self {
        Self {
            token: token.to_owned(),
            return_url: None,
        }
    }
}

/// What the buyer is to do now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct NextAction {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: NextActionKind,
    /// The page that the buyer is sent to.
    pub url: String,
}

/// What a buyer may have to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NextActionKind {
    /// The app sends the buyer to a page of the bank's, which sends them back to its
    /// `return_url`.
    Redirect,
}

impl NextAction {
    /// To go to this page of the bank's.
    #[must_use]
    pub const fn redirect(url: String) -> Self {
        Self {
            kind: NextActionKind::Redirect,
            url,
        }
    }
}

/// An attempt to pay an order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Payment {
    /// Its id.
    pub id: PaymentId,
    /// What it pays.
    pub order_id: OrderId,
    /// Its status: a decline is `failed`, a second step is owed while it `requires_action`,
    /// and while it is `processing` the outcome is not known yet.
    pub status: PaymentStatus,
    /// How much.
    pub amount: Money,
    /// What the buyer is to do, while it `requires_action`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_action: Option<NextAction>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_code: Option<String>,
    /// When it was begun.
    pub created_at: DateTime<Utc>,
}

/// A payment, with what only its steps need.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// What its owner sees.
    pub view: Payment,
    /// Who moves its money.
    pub provider: String,
    /// What the provider is asked for.
    pub charge: Charge,
    /// The order's time to be paid is over.
    pub order_overdue: bool,
    /// The time of one of its flash holds is over.
    pub hold_overdue: bool,
}

/// A payment that is under way or was captured, locked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Open {
    /// Its id.
    pub id: PaymentId,
    /// Its status.
    pub status: PaymentStatus,
    /// How much.
    pub amount: Money,
}

/// What stands beside an idempotency key: first that there is a payment, later the
/// answer. A retry that finds the first goes on with that payment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// The payment is written, its outcome was not answered yet.
    Intended(PaymentId),
    /// This was answered.
    Answered(Payment),
}
