//! Places where the process can be made to die, for the tests that kill it between every two
//! steps of a payment. Each step of money's ways is a commit or a call of a provider, and
//! stands in [`around`]; a build without debug assertions has nothing of all this, and one
//! with them asks nobody but the file that [`FILE`] names, so no request can reach it.

#[cfg(debug_assertions)]
use std::path::PathBuf;
#[cfg(debug_assertions)]
use std::sync::OnceLock;

/// The variable of the environment that names the file in which the next death is written:
/// `before payment.charge`, for instance. It is read at each step, so that one process can
/// prepare what the next step of it is to die of.
pub const FILE: &str = "HAWKER_FAULT_FILE";

/// On which side of a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Edge {
    /// All is done up to it.
    Before,
    /// It is done, and nothing that follows.
    After,
}

impl Edge {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Before, Self::After];

    /// As a file spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
        }
    }
}

macro_rules! steps {
    ($($(#[doc = $doc:literal])+ $step:ident = $name:literal,)+) => {
        /// A step of a payment that the next one follows only some time later: a commit, or
        /// a call of a provider. Those that commit with an idempotency key are called as the
        /// key's operation.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Step {
            $($(#[doc = $doc])+ $step,)+
        }

        impl Step {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$step,)+];

            /// As a file spells it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$step => $name,)+
                }
            }
        }
    };
}

steps! {
    /// An order is placed.
    OrderPlace = "order.place",
    /// An order is called off.
    OrderCancel = "order.cancel",
    /// Units of a line are called off.
    OrderCancelItem = "order.cancel_item",
    /// Orders whose time is over end.
    OrderExpire = "order.expire",
    /// The intention to pay is written.
    PaymentCreate = "payment.create",
    /// The provider is asked for the money.
    PaymentCharge = "payment.charge",
    /// That a second step was taken is written.
    PaymentConfirm = "payment.confirm",
    /// The provider is told of the second step.
    PaymentSecondStep = "payment.second_step",
    /// The provider is asked what became of a payment.
    PaymentFind = "payment.find",
    /// The provider is told to call a payment off.
    PaymentCancel = "payment.cancel",
    /// What it said of a payment is written.
    PaymentRecord = "payment.record",
    /// That it said nothing is written.
    PaymentUnknown = "payment.unknown",
    /// What a key's intention came to is kept as its answer.
    AnswerKeep = "answer.keep",
    /// A refund is decided.
    RefundCreate = "refund.create",
    /// A refund that failed is decided anew.
    RefundRetry = "refund.retry",
    /// The provider is told to give money back.
    RefundSend = "refund.send",
    /// The provider is asked what became of a refund.
    RefundFind = "refund.find",
    /// That a refund is with the provider is written.
    RefundSubmitted = "refund.submitted",
    /// That a refund has arrived is written.
    RefundSucceed = "refund.succeed",
    /// That a refund has failed is written.
    RefundFail = "refund.fail",
    /// A payout is claimed by its shop.
    PayoutCreate = "payout.create",
    /// A payout that failed is claimed anew.
    PayoutRetry = "payout.retry",
    /// A payout is claimed by its schedule.
    PayoutSchedule = "payout.schedule",
    /// That the provider is about to be told of a payout is written.
    PayoutStart = "payout.start",
    /// The provider is told to pay a shop.
    PayoutSend = "payout.send",
    /// The provider is asked what became of a payout.
    PayoutFind = "payout.find",
    /// What it said of a payout is written.
    PayoutRecord = "payout.record",
    /// What a provider or a carrier tells is kept.
    WebhookKeep = "webhook.keep",
    /// That it was worked off is written.
    WebhookFinish = "webhook.finish",
    /// That a parcel has arrived is written.
    DeliveryRecord = "delivery.record",
}

/// Does a step, with a place to die on either side of it. What fails is not done, and not
/// died after.
///
/// # Errors
/// As the step.
pub async fn around<T, E>(step: Step, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    reached(Edge::Before, step.as_str());
    let done = work.await?;
    reached(Edge::After, step.as_str());
    Ok(done)
}

/// The same, of a commit with an idempotency key whose operation may be a step of a payment.
///
/// # Errors
/// As the commit.
pub async fn around_act<T, E>(operation: &str, commit: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    reached(Edge::Before, operation);
    let done = commit.await?;
    reached(Edge::After, operation);
    Ok(done)
}

#[cfg(not(debug_assertions))]
const fn reached(_: Edge, _: &str) {}

/// Dies if this is where. What the file says at this moment counts; no file, no death.
#[cfg(debug_assertions)]
fn reached(edge: Edge, step: &str) {
    static ARMED: OnceLock<Option<PathBuf>> = OnceLock::new();
    let Some(file) = ARMED.get_or_init(|| std::env::var_os(FILE).map(PathBuf::from)) else {
        return;
    };
    let named = std::fs::read_to_string(file).unwrap_or_default();
    if named.trim().split_once(' ') == Some((edge.as_str(), step)) {
        // SAFETY: raise touches no memory. Nobody can catch this signal: nothing is flushed,
        // answered or rolled back, as when the machine's power goes.
        unsafe { libc::raise(libc::SIGKILL) };
    }
}
