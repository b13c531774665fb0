//! Mail to people. What is to be written is queued in the transaction that is the reason
//! for it, and written and sent after the commit, at least once: a letter that cannot be
//! sent is tried again for a day, and then dead until an admin has it tried anew or discards
//! it. Links are made when a letter is written, so the queue and the logs hold none, and a
//! letter that is written again has a new one.

pub mod config;
mod letter;
mod mailer;
mod store;

use std::time::Duration;

use anyhow::Context as _;
use futures_util::{StreamExt as _, stream};
use shared::error::{ErrorCode, Refusal};
use sqlx::PgConnection;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

pub use config::MailConfig;
use letter::Written;
pub(crate) use letter::{Letter, Link};
pub use mailer::Mailer;
use mailer::Unsent;

use crate::http::Result;
use crate::state::State;
use crate::{identity, notifications};

/// Letters on their way at once.
const AT_ONCE: u32 = 8;
/// How long the SMTP server may take over one letter, from the connection to its word.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);
/// How long whoever took a letter has for it; then another may. Longer than all letters of
/// a batch take, one deadline after the other, with a minute for the database.
const LEASE: Duration = Duration::from_secs(300);
const _: () = assert!(
    BATCH.div_ceil(AT_ONCE) as u64 * SEND_TIMEOUT.as_secs() + 60 <= LEASE.as_secs(),
    "a letter that is still on its way is nobody else's"
);
/// How long to wait after the first failure; each one after it doubles that.
const RETRY_FIRST: Duration = Duration::from_secs(5);
/// And at most.
const RETRY_MAX: Duration = Duration::from_secs(3_600);
/// How often a letter is tried: for about a day.
const ATTEMPTS_MAX: i32 = 33;

/// Letters with a link to set a password that may wait at once, whosever they are: anybody
/// has them queued, and each takes a row.
const RESETS_MAX: i64 = 2_000;

/// Letters taken at once.
const BATCH: u32 = 20;
/// How often to look for letters that are due again, or were queued by another process.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Sends what is queued until the service stops; letters that are on their way are waited
/// for.
pub(crate) fn start(tasks: &TaskTracker, state: &State) {
    let state = state.clone();
    tasks.spawn(async move {
        loop {
            tokio::select! {
                () = state.stopping.cancelled() => return,
                () = state.mailer.nudged() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            while !state.stopping.is_cancelled() {
                match relay(&state, BATCH).await {
                    Ok(taken) if taken < u64::from(BATCH) => break,
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(%error, "letters were not looked for");
                        break;
                    }
                }
            }
        }
    });
}

/// Queues a letter in the transaction that is the reason for it.
///
/// # Errors
/// When the database fails.
pub(crate) async fn queue(tx: &mut PgConnection, letter: &Letter) -> Result<()> {
    let payload = serde_json::to_value(letter).context("a letter is JSON")?;
    store::insert(tx, Uuid::now_v7(), payload).await?;
    Ok(())
}

/// Queues a letter with a link that sets a new password, for whoever has this address.
///
/// # Errors
/// `Overloaded` when too many such letters wait.
pub(crate) async fn queue_reset(conn: &mut PgConnection, email: String) -> Result<()> {
    let payload = serde_json::to_value(Letter::ResetPassword { email }).context("a letter is JSON")?;
    if store::insert_reset(conn, Uuid::now_v7(), payload, RESETS_MAX).await? {
        return Ok(());
    }
    Err(Refusal::from(ErrorCode::Overloaded).retry_after_ms(10_000).into())
}

/// Writes and sends letters that are due, `limit` at most. Returns how many were taken.
///
/// # Errors
/// When the database fails.
async fn relay(state: &State, limit: u32) -> Result<u64> {
    let taken = {
        let mut conn = state.db.acquire().await?;
        store::take(&mut conn, limit.into(), LEASE.as_secs_f64()).await?
    };
    let count = taken.len() as u64;
    stream::iter(taken)
        .for_each_concurrent(AT_ONCE as usize, async |row| {
            let id = row.id;
            if let Err(error) = handle(state, row).await {
                // The lease runs out, and it is tried again.
                tracing::warn!(letter = %id, %error, "a letter was left lying");
            }
        })
        .await;
    Ok(count)
}

/// What became of a letter. Reasons are words of this service and hold no address.
enum End {
    Sent,
    /// There is nobody to write to any more, or nothing to say.
    Moot,
    /// Not now.
    Delayed(String),
    /// Nobody tries it any more, until an admin says so.
    GivenUp(String),
}

impl End {
    const fn name(&self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Moot => "moot",
            Self::Delayed(_) => "delayed",
            Self::GivenUp(_) => "given_up",
        }
    }
}

async fn handle(state: &State, row: store::Due) -> Result<()> {
    let end = match attempt(state, &row).await {
        End::Delayed(why) if row.attempts >= ATTEMPTS_MAX => End::GivenUp(why),
        end => end,
    };
    metrics::counter!("mails_total", "outcome" => end.name()).increment(1);
    let mut conn = state.db.acquire().await?;
    match end {
        // Whoever asks for letters to nobody leaves nothing behind.
        End::Moot => store::delete(&mut conn, row.id).await?,
        // The row stays for a day without what it said.
        End::Sent => store::done(&mut conn, row.id).await?,
        End::Delayed(why) => {
            tracing::warn!(letter = %row.id, attempts = row.attempts, why, "a letter was not sent; it will be tried again");
            store::postpone(&mut conn, row.id, backoff(row.attempts).as_secs_f64(), &why).await?;
        }
        End::GivenUp(why) => {
            tracing::warn!(letter = %row.id, attempts = row.attempts, why, "a letter is given up");
            store::bury(&mut conn, row.id, &why).await?;
        }
    }
    Ok(())
}

async fn attempt(state: &State, row: &store::Due) -> End {
    if row.attempts > ATTEMPTS_MAX {
        return End::GivenUp("whoever took it did not come back".to_owned());
    }
    if row.topic != store::TOPIC {
        return End::GivenUp("nobody here takes this topic".to_owned());
    }
    let Ok(letter) = serde_json::from_value::<Letter>(row.payload.clone()) else {
        // Of a newer version that was rolled back, perhaps: once it is here again, an admin
        // may have it tried.
        return End::GivenUp("a letter of a kind that is not known here".to_owned());
    };
    let written = match write(state, letter).await {
        Ok(Some(written)) => written,
        Ok(None) => return End::Moot,
        Err(error) => {
            tracing::warn!(letter = %row.id, %error, "a letter was not written");
            return End::Delayed("it could not be written".to_owned());
        }
    };
    match state.mailer.send(&written).await {
        Ok(()) => End::Sent,
        Err(Unsent::Later(why)) => End::Delayed(why),
        Err(Unsent::Never(why)) => End::GivenUp(why),
    }
}

/// The letter in words, to whom it goes now; `None`: to nobody.
async fn write(state: &State, letter: Letter) -> Result<Option<Written>> {
    let mut conn = state.db.acquire().await?;
    let public_url = &state.config.mail.public_url;
    Ok(match letter {
        Letter::ConfirmEmail { user } => identity::links::email(&mut conn, user)
            .await?
            .map(|link| Written::confirm_email(&link, public_url)),
        Letter::ResetPassword { email } => identity::links::password(&mut conn, &email)
            .await?
            .map(|link| Written::reset_password(&link, public_url)),
        Letter::PasswordChanged { user } => identity::links::address_of(&mut conn, user)
            .await?
            .map(Written::password_changed),
        Letter::EmailChanged { to } => Some(Written::email_changed(to)),
        Letter::AccountDeleted { to } => Some(Written::account_deleted(to)),
        Letter::Notification {
            user,
            kind,
            seller,
            stream,
            product,
            order,
            reason,
        } => {
            let names = notifications::names(&mut conn, kind, seller, stream, product, order).await?;
            let to = identity::links::confirmed_address_of(&mut conn, user).await?;
            let both = to.zip(names);
            both.map(|(to, names)| Written::notification(to, kind, &names, &reason))
        }
    })
}

/// How long to wait after so many failures.
fn backoff(attempts: i32) -> Duration {
    let doublings = u32::try_from(attempts - 1).unwrap_or_default().min(16);
    (RETRY_FIRST * 2_u32.pow(doublings)).min(RETRY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_doubles_the_one_before_up_to_an_hour() {
        let seconds: Vec<u64> = [1, 2, 3, 10, 11, 1_000].map(|n| backoff(n).as_secs()).to_vec();
        assert_eq!(seconds, [5, 10, 20, 2_560, 3_600, 3_600]);
    }

    #[test]
    fn a_letter_is_tried_for_about_a_day() {
        let all: Duration = (1..ATTEMPTS_MAX).map(backoff).sum();
        assert_eq!(all.as_secs() / 3_600, 23);
    }
}
