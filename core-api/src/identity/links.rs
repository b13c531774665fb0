//! Links that are mailed: whoever has one reads the mail of an address. Each is good once
//! and for a while, and a person has one of each purpose: a newer one replaces it. It is
//! made when its letter is written, so only the letter holds it; here is its hash.

use shared::error::{ErrorCode, Refusal};
use shared::ids::UserId;
use shared::outbox;
use sqlx::{Connection, PgConnection};

use super::email::Email;
use super::secrets::Secret;
use super::store::{self, links::Purpose};
use crate::http::Result;
use crate::mail::{self, Letter, Link};
use crate::state::State;

/// How long a link confirms an address, in minutes.
const EMAIL_MINUTES: i32 = 24 * 60;
/// How long a link sets a new password, in minutes.
const PASSWORD_MINUTES: i32 = 30;

/// A link to the address that a person wants confirmed; `None`: they want none any more,
/// or somebody else has it by now.
///
/// # Errors
/// When the database fails.
pub(crate) async fn email(conn: &mut PgConnection, user: UserId) -> Result<Option<Link>> {
    let secret = Secret::random();
    let to = store::links::renew_email(conn, user, &secret.hash(), EMAIL_MINUTES).await?;
    Ok(to.map(|to| link(to, &secret)))
}

/// A link with which the account of this address gets a new password; `None`: there is no
/// such account.
///
/// # Errors
/// When the database fails.
pub(crate) async fn password(conn: &mut PgConnection, email: &str) -> Result<Option<Link>> {
    let secret = Secret::random();
    let to = store::links::make_password(conn, email, &secret.hash(), PASSWORD_MINUTES).await?;
    Ok(to.map(|to| link(to, &secret)))
}

fn link(to: String, secret: &Secret) -> Link {
    Link {
        to,
        token: secret.expose().to_owned(),
    }
}

/// The address of a person; `None`: they are gone.
///
/// # Errors
/// When the database fails.
pub(crate) async fn address_of(conn: &mut PgConnection, user: UserId) -> Result<Option<String>> {
    Ok(store::links::address_of(conn, user).await?)
}

/// Asks for a confirmation of `email`, which is or will be the person's address.
pub(super) async fn ask_to_confirm(tx: &mut PgConnection, user: UserId, email: &Email) -> Result<()> {
    store::links::want_email(tx, user, email.as_str()).await?;
    mail::queue(tx, &Letter::ConfirmEmail { user }).await
}

/// Mails another link to the person's own address, or to the one they asked to have.
///
/// # Errors
/// `WrongState` when nothing is to be confirmed, `RateLimited`.
pub(crate) async fn resend(state: &State, user: UserId) -> Result<()> {
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    let wanted = store::links::unconfirmed(&mut tx, user).await?;
    let Some(email) = wanted.and_then(|text| Email::parse(&text).ok()) else {
        return Err(Refusal::new(ErrorCode::WrongState, "The address is confirmed").into());
    };
    state.rates.mails_by.check(&user)?;
    state.rates.mails_to.check(&email)?;
    ask_to_confirm(&mut tx, user, &email).await?;
    tx.commit().await?;
    state.mailer.nudge();
    Ok(())
}

fn not_good() -> Refusal {
    Refusal::new(
        ErrorCode::LinkInvalid,
        "The link was used, replaced or is too old; ask for another",
    )
    .at("token")
}

/// Spends a link that confirms an address. If it is a new one, it is the account's from
/// now on, and the old one is told.
///
/// # Errors
/// `LinkInvalid`, `EmailTaken` when somebody else has confirmed it first.
pub(crate) async fn confirm_email(state: &State, token: &Secret) -> Result<()> {
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    let spent = store::links::spend(&mut tx, Purpose::Email, &token.hash()).await?;
    let spent = spent.ok_or_else(not_good)?;
    let before = store::links::lock_address(&mut tx, spent.user)
        .await?
        .ok_or_else(not_good)?;
    if before == spent.email {
        store::links::confirm(&mut tx, spent.user).await?;
    } else {
        store::links::set_address(&mut tx, spent.user, &spent.email)
            .await
            .map_err(store::links::email_taken)?;
        // Whoever reads the old address sets no password any more.
        store::links::forget(&mut tx, spent.user, Purpose::Password).await?;
        mail::queue(&mut tx, &Letter::EmailChanged { to: before }).await?;
    }
    tx.commit().await?;
    state.mailer.nudge();
    tracing::info!(user = %spent.user, "an e-mail address was confirmed");
    Ok(())
}

/// Asks for a link that sets a new password. Whether there is an account is found out
/// when the letter is written: here the same is done for every address.
///
/// # Errors
/// When the database fails.
pub(crate) async fn ask_to_reset(state: &State, email: Email) -> Result<()> {
    let mut connection = state.db.acquire().await?;
    let letter = Letter::ResetPassword {
        email: email.into_string(),
    };
    mail::queue(&mut connection, &letter).await?;
    state.mailer.nudge();
    Ok(())
}

/// Spends a link that sets a new password. Every session ends; who reads the mail of the
/// address has confirmed it, too.
///
/// # Errors
/// `LinkInvalid`, `Overloaded`.
pub(crate) async fn reset(state: &State, token: &Secret, password: String) -> Result<()> {
    // Nobody makes us hash with a link that they do not have.
    let known = store::links::is_good(&mut *state.db.acquire().await?, Purpose::Password, &token.hash()).await?;
    if !known {
        return Err(not_good().into());
    }
    let hash = state.passwords.hash(password).await?;
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    let spent = store::links::spend(&mut tx, Purpose::Password, &token.hash()).await?;
    let spent = spent.ok_or_else(not_good)?;
    let address = store::links::lock_address(&mut tx, spent.user).await?;
    if address.as_deref() != Some(spent.email.as_str()) {
        return Err(not_good().into());
    }
    store::set_password(&mut tx, spent.user, &hash).await?;
    store::links::confirm(&mut tx, spent.user).await?;
    // Whoever had the account before has no say in its address any more.
    store::links::forget(&mut tx, spent.user, Purpose::Email).await?;
    store::sessions::revoke_all(&mut tx, spent.user, None).await?;
    mail::queue(&mut tx, &Letter::PasswordChanged { user: spent.user }).await?;
    tx.commit().await?;
    state.mailer.nudge();
    outbox::hint_people(state.bus.as_ref()).await;
    tracing::info!(user = %spent.user, "a password was reset; every session ended");
    Ok(())
}
