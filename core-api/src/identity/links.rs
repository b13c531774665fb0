//! Links that are mailed: whoever has one reads the mail of an address. Each is good for a
//! while, and a newer one leaves the older ones good, so that nobody who asks for links to
//! somebody else's address takes away the one that they hold; the first that is used spends
//! them all. A link is made when its letter is written, so only the letter holds it; here is
//! its hash.

use shared::error::{ErrorCode, Refusal};
use shared::ids::UserId;
use shared::outbox;
use sqlx::{Connection, PgConnection};

use super::change::Proof;
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
/// Links of one purpose that a person has at most: more than are mailed while one is good.
const LINKS_MAX: i64 = 8;

/// A link to the address that a person wants confirmed; `None`: they want none any more,
/// or somebody else has it by now.
///
/// # Errors
/// When the database fails.
pub(crate) async fn email(conn: &mut PgConnection, user: UserId) -> Result<Option<Link>> {
    let secret = Secret::random();
    let added = store::links::add_email(conn, user, &secret.hash(), EMAIL_MINUTES).await?;
    link(conn, added, Purpose::Email, &secret).await
}

/// A link with which the account of this address gets a new password; `None`: there is no
/// such account.
///
/// # Errors
/// When the database fails.
pub(crate) async fn password(conn: &mut PgConnection, email: &str) -> Result<Option<Link>> {
    let secret = Secret::random();
    let added = store::links::add_password(conn, email, &secret.hash(), PASSWORD_MINUTES).await?;
    link(conn, added, Purpose::Password, &secret).await
}

/// What a letter says of a link that was added.
async fn link(
    conn: &mut PgConnection,
    added: Option<store::links::Link>,
    purpose: Purpose,
    secret: &Secret,
) -> Result<Option<Link>> {
    let Some(added) = added else { return Ok(None) };
    store::links::keep_newest(conn, added.user, purpose, LINKS_MAX).await?;
    Ok(Some(Link {
        to: added.email,
        token: secret.expose().to_owned(),
    }))
}

/// The address of a person who reads its mail; `None`: they are gone, or nobody has shown
/// that it is theirs, and then no letter goes there that the account's holder causes.
///
/// # Errors
/// When the database fails.
pub(crate) async fn address_of(conn: &mut PgConnection, user: UserId) -> Result<Option<String>> {
    Ok(store::links::address_of(conn, user).await?)
}

/// The address of an account in good standing whose owner reads its mail.
pub(crate) async fn confirmed_address_of(conn: &mut PgConnection, user: UserId) -> Result<Option<String>> {
    Ok(store::links::confirmed_address_of(conn, user).await?)
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
    let wanted = wanted.and_then(|wanted| Some((Email::parse(&wanted.email).ok()?, wanted.is_own)));
    let Some((email, is_own)) = wanted else {
        return Err(Refusal::new(ErrorCode::WrongState, "The address is confirmed").into());
    };
    state.rates.mails_by.check(&user)?;
    if is_own {
        state.rates.confirms_to.check(&email)?;
    } else {
        state.rates.mails_to.check(&email)?;
    }
    ask_to_confirm(&mut tx, user, &email).await?;
    tx.commit().await?;
    state.mailer.nudge();
    Ok(())
}

fn not_good() -> Refusal {
    Refusal::new(
        ErrorCode::LinkInvalid,
        "The link was used or is too old; ask for another",
    )
    .at("token")
}

/// Who confirms an address, besides having the link.
pub(crate) struct Confirming {
    /// The account that is signed in.
    pub caller: Option<UserId>,
    /// The account's password.
    pub password: Option<String>,
}

impl Confirming {
    /// Makes sure that it is the account's owner: anybody may open an account under an
    /// address, and whoever reads its mail would otherwise make it theirs, with a password
    /// that somebody else knows.
    ///
    /// # Errors
    /// `Unauthenticated`, `Forbidden`, and those of [`Proof::of`].
    async fn own(self, state: &State, user: UserId) -> Result<Option<Proof>> {
        match (self.caller, self.password) {
            (Some(caller), _) if caller == user => Ok(None),
            (_, Some(password)) => Proof::of(state, user, password).await.map(Some),
            (Some(_), None) => {
                let detail = "The link is for another account than the one that is signed in";
                Err(Refusal::new(ErrorCode::Forbidden, detail).into())
            }
            (None, None) => {
                let detail = "Sign in to the account that the link is for, or send its password";
                Err(Refusal::new(ErrorCode::Unauthenticated, detail).at("password").into())
            }
        }
    }
}

/// Spends a link that confirms an address, for the owner of the account. If it is a new
/// one, it is the account's from now on, and the old one is told.
///
/// # Errors
/// `LinkInvalid`, `EmailTaken` when somebody else has confirmed it first; `Unauthenticated`,
/// `Forbidden`, `InvalidCredentials`, `RateLimited`, `Overloaded`.
pub(crate) async fn confirm_email(state: &State, token: &Secret, who: Confirming) -> Result<()> {
    let found = store::links::find(&mut *state.db.acquire().await?, Purpose::Email, &token.hash()).await?;
    let user = found.ok_or_else(not_good)?.user;
    let proof = who.own(state, user).await?;
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    if let Some(proof) = proof {
        proof.lock(&mut tx).await?;
    }
    let (before, wanted) = spend(&mut tx, Purpose::Email, user, token).await?;
    if before.email == wanted {
        store::links::confirm(&mut tx, user).await?;
    } else {
        store::links::set_address(&mut tx, user, &wanted)
            .await
            .map_err(store::links::email_taken)?;
        // Whoever reads the old address sets no password any more.
        store::links::forget(&mut tx, user, Purpose::Password).await?;
        if before.is_confirmed {
            mail::queue(&mut tx, &Letter::EmailChanged { to: before.email }).await?;
        }
    }
    tx.commit().await?;
    state.mailer.nudge();
    tracing::info!(%user, "an e-mail address was confirmed");
    Ok(())
}

/// Spends a link of an account, and with it all others of its purpose: the account's
/// address, and the link's.
async fn spend(
    tx: &mut PgConnection,
    purpose: Purpose,
    user: UserId,
    token: &Secret,
) -> Result<(store::links::Address, String)> {
    // The account's lock comes first: of two links that race, the second is found spent.
    let address = store::links::lock_address(tx, user).await?.ok_or_else(not_good)?;
    let link = store::links::find(tx, purpose, &token.hash()).await?;
    let link = link.filter(|link| link.user == user).ok_or_else(not_good)?;
    store::links::forget(tx, user, purpose).await?;
    Ok((address, link.email))
}

/// Asks for a link that sets a new password. Whether there is an account is found out
/// when the letter is written: here the same is done for every address. Who asks too often
/// is told nothing else, or anybody could keep others from asking: what was mailed is good.
///
/// # Errors
/// `Overloaded` when too many such letters wait, whosever they are.
pub(crate) async fn ask_to_reset(state: &State, email: Email) -> Result<()> {
    if state.rates.resets_to.check(&email).is_err() {
        return Ok(());
    }
    mail::queue_reset(&mut *state.db.acquire().await?, email.into_string()).await?;
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
    let found = store::links::find(&mut *state.db.acquire().await?, Purpose::Password, &token.hash()).await?;
    let user = found.ok_or_else(not_good)?.user;
    let hash = state.passwords.hash(password).await?;
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    let (address, mailed_to) = spend(&mut tx, Purpose::Password, user, token).await?;
    if address.email != mailed_to {
        return Err(not_good().into());
    }
    store::set_password(&mut tx, user, &hash).await?;
    store::links::confirm(&mut tx, user).await?;
    // Whoever had the account before has no say in its address any more.
    store::links::forget(&mut tx, user, Purpose::Email).await?;
    store::sessions::revoke_all(&mut tx, user, None).await?;
    mail::queue(&mut tx, &Letter::PasswordChanged { user }).await?;
    tx.commit().await?;
    state.mailer.nudge();
    outbox::hint_people(state.bus.as_ref()).await;
    tracing::info!(%user, "a password was reset; every session ended");
    Ok(())
}
