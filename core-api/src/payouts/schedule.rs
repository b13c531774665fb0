//! Payouts that nobody asks for: each account's schedule, one period at a time.

use chrono::{DateTime, Utc};
use shared::ids::{PayoutAccountId, PayoutId};

use super::store::accounts::{self, Due};
use super::{Claim, settle};
use crate::faults::{self, Step};
use crate::http::{Error, Result};
use crate::payments::Till;

/// Makes the payouts that are due at `now`: once for each account and period, on however many
/// processes, because whoever makes one moves the account on in the same transaction. Of a
/// shop that has too little, or whose payouts are held, the period passes. Returns how many
/// accounts were looked at.
///
/// # Errors
/// When the database fails.
pub async fn pay_due(till: &Till, minimum_minor: i64, now: DateTime<Utc>, limit: u32) -> Result<u64> {
    let mut looked_at = 0;
    let mut after = None;
    while looked_at < u64::from(limit) {
        let mut tx = till.db.begin().await?;
        let Some(due) = accounts::take_due(&mut tx, now, after).await? else {
            break;
        };
        (after, looked_at) = (Some(due.id), looked_at + 1);
        // One whose payout fails must not keep the others from theirs.
        match pay_one(&mut tx, &due, minimum_minor, now).await {
            Ok(claimed) => {
                faults::around(Step::PayoutSchedule, tx.commit()).await?;
                if let Some(id) = claimed {
                    settle::submit_claimed(till, id).await;
                }
            }
            Err(error) => {
                tracing::warn!(account = %due.id, %error, "a scheduled payout was not made");
                tx.rollback().await?;
            }
        }
    }
    Ok(looked_at)
}

async fn pay_one(
    conn: &mut sqlx::PgConnection,
    due: &Due,
    minimum_minor: i64,
    now: DateTime<Utc>,
) -> Result<Option<PayoutId>> {
    let account: PayoutAccountId = due.id;
    let period = due
        .schedule
        .period(now)
        .ok_or_else(|| anyhow::anyhow!("payout account {account} has no schedule"))?;
    accounts::move_on(conn, account, period.next).await?;
    let claim = Claim {
        seller: due.seller,
        currency: due.currency,
        minimum_minor,
        by: None,
        period: Some(&period.name),
    };
    match super::claim(conn, &claim).await {
        Ok(id) => Ok(Some(id)),
        Err(Error::Refused(refusal)) => {
            tracing::debug!(%account, %refusal, "a period passes without a payout");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
