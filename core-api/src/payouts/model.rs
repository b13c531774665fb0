//! Bodies of the payout routes, and what a schedule means. Pure.

use chrono::{DateTime, Datelike as _, Days, Months, NaiveDate, NaiveTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::ids::{PayoutAccountId, PayoutId, SellerId, UserId};
use shared::money::{Currency, Money};
use shared::status::PayoutStatus;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::http::rules::{prose, shown};
use crate::sellers::SellerRef;

/// When a shop is paid out without asking.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Schedule {
    /// Never.
    #[default]
    Manual,
    /// As a day begins, in UTC.
    Daily,
    /// As a Monday begins, in UTC.
    Weekly,
    /// As a month begins, in UTC.
    Monthly,
}

/// A day, week or month of a schedule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Period {
    /// Its name: the schedule's and its first day's.
    pub name: String,
    /// When the next one begins.
    pub next: DateTime<Utc>,
}

impl Schedule {
    /// Its name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
        }
    }

    /// The period that `now` is in; `None` where there are none, or the calendar ends.
    #[must_use]
    pub fn period(self, now: DateTime<Utc>) -> Option<Period> {
        let today = now.date_naive();
        let (first, next): (NaiveDate, Option<NaiveDate>) = match self {
            Self::Manual => return None,
            Self::Daily => (today, today.succ_opt()),
            Self::Weekly => {
                let monday = today.week(chrono::Weekday::Mon).first_day();
                (monday, monday.checked_add_days(Days::new(7)))
            }
            Self::Monthly => {
                let first = today.with_day(1)?;
                (first, first.checked_add_months(Months::new(1)))
            }
        };
        Some(Period {
            name: format!("{} {first}", self.as_str()),
            next: next?.and_time(NaiveTime::MIN).and_utc(),
        })
    }
}

/// Where a shop's money goes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "id": "0191e2a4-c000-7000-8000-000000000010", "provider": "test", "destination": "test_bank", "currency": "EUR",
    "schedule": "weekly", "next_at": "2026-11-30T00:00:00Z", "created_at": "2026-11-23T18:00:03Z"
}))]
pub struct PayoutAccount {
    /// Its id.
    pub id: PayoutAccountId,
    /// Whose.
    pub provider: String,
    /// The provider's name for it.
    pub destination: String,
    /// Money of this currency goes there.
    pub currency: Currency,
    /// When it does so by itself.
    pub schedule: Schedule,
    /// From when on the schedule's next payout is due; null: there is none.
    pub next_at: Option<DateTime<Utc>>,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

/// Says where money of a currency goes.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[schema(example = json!({"destination": "test_bank", "currency": "EUR", "schedule": "weekly"}))]
pub struct NewPayoutAccount {
    /// The provider's name for it; no bank data. The test provider has `test_bank`,
    /// `test_bank_refuses`, `test_bank_slow`, `test_bank_returns` (which takes it and sends it
    /// back after a while) and `test_bank_timeout` (whose answers are lost).
    #[garde(custom(shown(1, 255)))]
    pub destination: String,
    /// Absent: the shop's own.
    #[garde(skip)]
    #[serde(default)]
    pub currency: Option<Currency>,
    /// Absent: `manual`.
    #[garde(skip)]
    #[serde(default)]
    pub schedule: Schedule,
}

/// Changes when money goes there by itself. To send it elsewhere, take the account away and
/// add another.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[schema(example = json!({"schedule": "monthly"}))]
pub struct PayoutAccountChange {
    /// From the next period on.
    #[garde(skip)]
    pub schedule: Schedule,
}

/// Asks for all that may be paid out.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[schema(example = json!({"currency": "EUR"}))]
pub struct NewPayout {
    /// Absent: the shop's own.
    #[garde(skip)]
    #[serde(default)]
    pub currency: Option<Currency>,
}

/// Money on its way to a shop. What it is made of is in its lines.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Payout {
    /// Its id.
    pub id: PayoutId,
    /// How far it is: the outcome of one that is `processing` is not known yet.
    pub status: PayoutStatus,
    /// How much.
    pub amount: Money,
    /// Where it goes.
    pub account_id: PayoutAccountId,
    /// Which period of the schedule it is of; null: somebody asked for it.
    pub period: Option<String>,
    /// Why it did not arrive, or came back.
    pub failure_code: Option<String>,
    /// When it was begun.
    pub created_at: DateTime<Utc>,
    /// When its outcome was known.
    pub settled_at: Option<DateTime<Utc>>,
}

/// A payout as an admin sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AdminPayout {
    /// The payout.
    #[serde(flatten)]
    pub payout: Payout,
    /// Whose money.
    pub seller: SellerRef,
    /// The provider's name for it.
    pub provider_ref: Option<String>,
    /// Who asked for it; null: its schedule.
    pub requested_by: Option<UserId>,
}

/// Which payouts.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PayoutFilter {
    /// Of this status; absent: all.
    pub status: Option<PayoutStatus>,
}

/// Why a shop's payouts are held.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[schema(example = json!({"reason": "many returns are open"}))]
pub struct NewPayoutHold {
    /// The shop is told it.
    #[garde(custom(shown(1, 500)))]
    pub reason: String,
}

/// A hold on a shop's payouts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct PayoutHold {
    /// Its id.
    pub id: Uuid,
    /// Whose.
    pub seller_id: SellerId,
    /// Why.
    pub reason: String,
    /// Since when.
    pub held_at: DateTime<Utc>,
}

/// Gives up what a shop owes and will not pay.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[schema(example = json!({"currency": "EUR", "reason": "the shop is closed and does not answer"}))]
pub struct NewWriteOff {
    /// Of this currency.
    #[garde(skip)]
    pub currency: Currency,
    /// For the audit log.
    #[garde(custom(prose(500)), length(min = 1))]
    pub reason: String,
}

/// What was given up.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct WriteOff {
    /// Its id: the source of the earning that stands for it.
    pub id: Uuid,
    /// Whose debt.
    pub seller_id: SellerId,
    /// How much: what the shop might be paid was less than nothing by as much, and is nothing.
    pub amount: Money,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn a_period_begins_where_the_one_before_it_ends() {
        let now = at("2026-12-31T23:59:59Z");
        let period = |schedule: Schedule| schedule.period(now).expect("a period");
        let (day, week, month) = (
            period(Schedule::Daily),
            period(Schedule::Weekly),
            period(Schedule::Monthly),
        );
        assert_eq!(
            (day.name.as_str(), day.next),
            ("daily 2026-12-31", at("2027-01-01T00:00:00Z"))
        );
        assert_eq!(
            (week.name.as_str(), week.next),
            ("weekly 2026-12-28", at("2027-01-04T00:00:00Z"))
        );
        assert_eq!(
            (month.name.as_str(), month.next),
            ("monthly 2026-12-01", at("2027-01-01T00:00:00Z"))
        );
        assert_eq!(Schedule::Manual.period(now), None);
        for schedule in [Schedule::Daily, Schedule::Weekly, Schedule::Monthly] {
            let next = schedule.period(period(schedule).next).expect("a period");
            assert_ne!(next.name, period(schedule).name);
        }
    }
}
