//! How long purchases may take and what the platform keeps: the settings of checkout,
//! orders and payments.

use std::time::Duration;

use shared::config::Settings;
use shared::money::{BasisPoints, Money};

const DAY: Duration = Duration::from_secs(86_400);

/// Settings of buying.
#[derive(Clone, Copy, Debug)]
pub struct Commerce {
    /// How long a checkout holds its stock.
    pub checkout_life: Duration,
    /// How long an order may stay unpaid.
    pub order_life: Duration,
    /// The commission where no rule says otherwise.
    pub commission: BasisPoints,
    /// How long a payment provider may take to answer before its outcome is unknown.
    pub provider_timeout: Duration,
    /// How long an unknown outcome rests before the provider is asked again.
    pub reconcile_after: Duration,
    /// How long the test provider takes over what succeeds late.
    pub test_provider_delay: Duration,
    /// What the test provider keeps for itself of each capture.
    pub test_provider_fee: Fee,
    /// How long after a line's last parcel has arrived its units may be asked to be taken back.
    pub return_time: Duration,
    /// How long a shop has to answer a return before admins are asked to.
    pub return_answer_time: Duration,
    /// How long a return that was approved may take to be sent before it lapses, and one that
    /// was sent to arrive before admins are asked to look.
    pub return_transit_time: Duration,
    /// How long after the last of a line has arrived what it earned may be paid out.
    pub release_after_delivery: Duration,
    /// How long after the last of a line was shipped, where nobody ever says that it arrived.
    pub release_after_shipping: Duration,
    /// The least that is paid out to a shop, in minor units of its currency.
    pub payout_minimum_minor: i64,
    /// How often jobs look for what is due.
    pub job_interval: Duration,
}

impl Default for Commerce {
    fn default() -> Self {
        Self {
            checkout_life: Duration::from_secs(10 * 60),
            order_life: Duration::from_secs(15 * 60),
            commission: const {
                match BasisPoints::new(1_000) {
                    Some(rate) => rate,
                    None => panic!("ten percent is a rate"),
                }
            },
            provider_timeout: Duration::from_secs(20),
            reconcile_after: Duration::from_secs(5),
            test_provider_delay: Duration::from_secs(5),
            test_provider_fee: Fee::NONE,
            return_time: DAY * 30,
            return_answer_time: DAY * 7,
            return_transit_time: DAY * 21,
            release_after_delivery: DAY * 3,
            release_after_shipping: DAY * 21,
            payout_minimum_minor: 1_000,
            job_interval: Duration::from_secs(2),
        }
    }
}

impl Commerce {
    /// Reads the settings; what is wrong is left in `settings`, and then the answer is
    /// `None`.
    pub fn read(settings: &mut Settings) -> Option<Self> {
        let default = Self::default();
        let checkout = seconds(settings, "checkout_seconds", default.checkout_life);
        let order = seconds(settings, "order_seconds", default.order_life);
        let timeout = seconds(settings, "provider_timeout_seconds", default.provider_timeout);
        let reconcile = seconds(settings, "reconcile_after_seconds", default.reconcile_after);
        let jobs = seconds(settings, "job_interval_seconds", default.job_interval);
        let returns = days(settings, "return_days", default.return_time);
        let answer = days(settings, "return_answer_days", default.return_answer_time);
        let transit = days(settings, "return_transit_days", default.return_transit_time);
        let delivery = days(settings, "release_days_after_delivery", default.release_after_delivery);
        let shipping = days(settings, "release_days_after_shipping", default.release_after_shipping);
        let payout = at_least_one(settings, "payout_minimum_minor", default.payout_minimum_minor);
        let fee = Fee::read(settings);
        let commission = settings
            .or("commission_basis_points", default.commission.get())
            .and_then(|value| {
                let rate = BasisPoints::new(value);
                if rate.is_none() {
                    settings.fault("commission_basis_points", "must be at most 10000");
                }
                rate
            });
        Some(Self {
            checkout_life: checkout?,
            order_life: order?,
            commission: commission?,
            provider_timeout: timeout?,
            reconcile_after: reconcile?,
            test_provider_delay: default.test_provider_delay,
            test_provider_fee: fee?,
            return_time: returns?,
            return_answer_time: answer?,
            return_transit_time: transit?,
            release_after_delivery: delivery?,
            release_after_shipping: shipping?,
            payout_minimum_minor: payout?,
            job_interval: jobs?,
        })
    }
}

/// What a payment provider keeps for itself of a capture: a rate, and so much for each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fee {
    /// Of the amount.
    pub rate: BasisPoints,
    /// Beside it, in minor units.
    pub fixed_minor: u32,
}

impl Fee {
    /// Nothing.
    pub const NONE: Self = Self {
        rate: match BasisPoints::new(0) {
            Some(rate) => rate,
            None => panic!("nothing is a rate"),
        },
        fixed_minor: 0,
    };

    /// The fee of a capture, rounded half up; never more than it.
    #[must_use]
    pub fn of(self, amount: Money) -> Money {
        let minor = amount.rate(self.rate).minor.saturating_add(self.fixed_minor.into());
        Money::new(minor.min(amount.minor), amount.currency)
    }

    fn read(settings: &mut Settings) -> Option<Self> {
        let rate = settings.or("test_fee_basis_points", 0_u16);
        let fixed = settings.or("test_fee_minor", 0_u32);
        let rate = rate.and_then(|value| {
            let rate = BasisPoints::new(value);
            if rate.is_none() {
                settings.fault("test_fee_basis_points", "must be at most 10000");
            }
            rate
        });
        Some(Self {
            rate: rate?,
            fixed_minor: fixed?,
        })
    }
}

fn seconds(settings: &mut Settings, key: &str, default: Duration) -> Option<Duration> {
    let value = settings.or(key, default.as_secs())?;
    if value == 0 || value > 86_400 {
        settings.fault(key, "must be from 1 to 86400");
        return None;
    }
    Some(Duration::from_secs(value))
}

fn days(settings: &mut Settings, key: &str, default: Duration) -> Option<Duration> {
    let value = settings.or(key, default.as_secs() / DAY.as_secs())?;
    if value > 365 {
        settings.fault(key, "must be at most 365");
        return None;
    }
    Some(Duration::from_secs(value * DAY.as_secs()))
}

fn at_least_one(settings: &mut Settings, key: &str, default: i64) -> Option<i64> {
    let value = settings.or(key, default)?;
    if value < 1 {
        settings.fault(key, "must be at least 1");
        return None;
    }
    Some(value)
}
