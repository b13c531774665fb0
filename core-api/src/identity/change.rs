//! What a person changes about how they sign in: the password, the address. Each needs
//! the password that there is, so that a session left open somewhere is not enough.

use shared::error::{ErrorCode, Refusal};
use shared::ids::UserId;
use shared::outbox;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::email::Email;
use super::model::{ChangeEmail, ChangePassword};
use super::{links, store};
use crate::http::{Error, Result};
use crate::mail::{self, Letter};
use crate::state::State;

fn wrong() -> Error {
    Refusal::new(ErrorCode::InvalidCredentials, "The password is wrong").into()
}

/// That a person has just shown the password of their account.
pub(crate) struct Proof {
    user: UserId,
    password_hash: String,
}

impl Proof {
    /// Checks the password. Attempts are counted by account, beside those to sign in.
    ///
    /// # Errors
    /// `InvalidCredentials`, `RateLimited`, `Overloaded`.
    pub(crate) async fn of(state: &State, user: UserId, password: String) -> Result<Self> {
        state.rates.proofs.check(&user)?;
        let hash = store::password_hash(&mut *state.db.acquire().await?, user).await?;
        let password_hash = hash.ok_or(ErrorCode::Unauthenticated)?;
        // No connection is held while the password is hashed.
        if !state.passwords.verify(password, Some(password_hash.clone())).await? {
            return Err(wrong());
        }
        Ok(Self { user, password_hash })
    }

    /// Locks the account, if it still has that password.
    ///
    /// # Errors
    /// `InvalidCredentials` when it was changed meanwhile.
    pub(super) async fn lock(&self, tx: &mut PgConnection) -> Result<()> {
        let holds = store::lock_confirmed(tx, self.user, &self.password_hash).await?;
        holds.then_some(()).ok_or_else(wrong)
    }

    /// The same, to delete it: nothing new refers to it until the transaction ends.
    ///
    /// # Errors
    /// As [`Self::lock`].
    pub(crate) async fn lock_to_delete(&self, tx: &mut PgConnection) -> Result<()> {
        let holds = store::lock_to_delete(tx, self.user, &self.password_hash).await?;
        holds.then_some(()).ok_or_else(wrong)
    }
}

/// Gives the account another password and ends its other sessions.
///
/// # Errors
/// `InvalidCredentials`, `RateLimited`, `Overloaded`.
pub(crate) async fn password(state: &State, user: UserId, session: Uuid, change: ChangePassword) -> Result<()> {
    let proof = Proof::of(state, user, change.current_password).await?;
    let hash = state.passwords.hash(change.password).await?;
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    proof.lock(&mut tx).await?;
    store::set_password(&mut tx, user, &hash).await?;
    store::links::forget(&mut tx, user, store::links::Purpose::Password).await?;
    // Nor may somebody who knew the former password move the account to their address.
    store::links::forget(&mut tx, user, store::links::Purpose::Email).await?;
    store::sessions::revoke_all(&mut tx, user, Some(session)).await?;
    mail::queue(&mut tx, &Letter::PasswordChanged { user }).await?;
    tx.commit().await?;
    state.mailer.nudge();
    outbox::hint_people(state.bus.as_ref()).await;
    Ok(())
}

/// Asks for another address: it is the account's once the link that goes there was
/// followed. Whether somebody has it is not told.
///
/// # Errors
/// `InvalidCredentials`, `RateLimited`, `Overloaded`, `WrongState` for the address that the
/// account has and has confirmed.
pub(crate) async fn email(state: &State, user: UserId, change: ChangeEmail) -> Result<()> {
    let proof = Proof::of(state, user, change.password).await?;
    state.rates.mails_by.check(&user)?;
    state.rates.mails_to.check(&change.email)?;
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    proof.lock(&mut tx).await?;
    let wanted: &Email = &change.email;
    if store::is_confirmed(&mut tx, user, wanted.as_str()).await? {
        return Err(Refusal::new(ErrorCode::WrongState, "The account has this address")
            .at("email")
            .into());
    }
    links::ask_to_confirm(&mut tx, user, wanted).await?;
    tx.commit().await?;
    state.mailer.nudge();
    Ok(())
}
