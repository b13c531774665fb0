//! Accounts and sessions: registering, signing in, renewing, signing out, the profile.
//!
//! A session is a family of refresh tokens. Its id is the id of its first token's row,
//! and that row is the family's lock and its mark: whoever spends or revokes a token of
//! the family holds it, and once it is revoked no access token of the session is good.

pub mod handlers;
pub mod model;
mod passwords;
mod secrets;
mod store;

use serde_json::json;
use shared::error::{ErrorCode, Refusal};
use shared::ids::UserId;
use shared::outbox;
use shared::token::{ACCESS_SECONDS, Access};
use sqlx::{Connection, PgConnection, PgPool};
use uuid::Uuid;

use model::{Account, Login, Profile, Register};
pub use model::{Me, Role, Session, Shop, Standing};
pub use passwords::Passwords;
use secrets::RefreshToken;

use crate::audit;
use crate::http::Result;
use crate::state::State;

/// How long a session lives without being renewed, in days.
pub(crate) const REFRESH_DAYS: i32 = 30;

/// Sessions forgotten in one transaction at most.
const SWEEP_BATCH: u32 = 1_000;
/// Transactions of one run at most; the next run goes on.
const SWEEP_BATCHES_MAX: u32 = 100;

/// A session just begun or renewed, before it is decided how the client keeps it.
pub(crate) struct Opened {
    pub session: Session,
    pub refresh: RefreshToken,
}

/// Makes an account and signs it in.
///
/// # Errors
/// `EmailTaken`, `Overloaded`.
pub(crate) async fn register(state: &State, new: Register) -> Result<Opened> {
    let hash = state.passwords.hash(new.password).await?;
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    let user = UserId::new();
    if !store::insert_user(&mut tx, user, new.email.as_str(), &hash).await? {
        return Err(Refusal::from(ErrorCode::EmailTaken).at("email").into());
    }
    store::insert_profile(&mut tx, user, new.display_name.trim()).await?;
    let opened = open(state, &mut tx, user).await?;
    tx.commit().await?;
    Ok(opened)
}

/// Signs in. An unknown address takes as long as a wrong password.
///
/// # Errors
/// `InvalidCredentials`, `AccountSuspended`, `Overloaded`.
pub(crate) async fn login(state: &State, login: Login) -> Result<Opened> {
    let credentials = store::credentials(&mut *state.db.acquire().await?, login.email.as_str()).await?;
    let (user, suspended, hash) = match credentials {
        Some(found) => (Some(found.id), found.suspended, Some(found.password_hash)),
        None => (None, false, None),
    };
    // No connection is held while the password is hashed.
    let right = state.passwords.verify(login.password, hash).await?;
    let Some(user) = user.filter(|_| right) else {
        return Err(ErrorCode::InvalidCredentials.into());
    };
    if suspended {
        return Err(ErrorCode::AccountSuspended.into());
    }
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    let opened = open(state, &mut tx, user).await?;
    tx.commit().await?;
    Ok(opened)
}

/// Begins a session.
async fn open(state: &State, tx: &mut PgConnection, user: UserId) -> Result<Opened> {
    let refresh = RefreshToken::random();
    let family = Uuid::now_v7();
    store::insert_token(tx, family, family, user, &refresh.hash(), REFRESH_DAYS).await?;
    answer(state, tx, user, family, refresh).await
}

async fn answer(
    state: &State,
    tx: &mut PgConnection,
    user: UserId,
    family: Uuid,
    refresh: RefreshToken,
) -> Result<Opened> {
    let me = store::me(tx, user).await?.ok_or(ErrorCode::Unauthenticated)?;
    let access = Access { sub: user, sid: family };
    let access_token = state.config.token_key.sign(access, chrono::Utc::now().timestamp())?;
    let session = Session {
        access_token,
        token_type: "Bearer".to_owned(),
        expires_in: ACCESS_SECONDS,
        refresh_token: None,
        user: me,
    };
    Ok(Opened { session, refresh })
}

/// Spends a refresh token for a new one. A token that was spent before is in two hands:
/// its whole family is revoked, and whoever holds it signs in again.
///
/// # Errors
/// `Unauthenticated`, `AccountSuspended`.
pub(crate) async fn refresh(state: &State, token: &RefreshToken) -> Result<Opened> {
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    let refused = || {
        Refusal::new(
            ErrorCode::Unauthenticated,
            "The refresh token is not good; sign in again",
        )
    };
    let hash = token.hash();
    let family = store::family_of(&mut tx, &hash).await?.ok_or_else(refused)?;
    // Two that race with one token meet here; the second finds it spent.
    store::lock_family(&mut tx, family).await?;
    let found = store::token(&mut tx, &hash).await?.ok_or_else(refused)?;
    if found.suspended {
        return Err(ErrorCode::AccountSuspended.into());
    }
    if found.spent || found.revoked || found.expired {
        if found.spent && !found.revoked {
            store::revoke_family(&mut tx, family).await?;
            tx.commit().await?;
            outbox::hint_people(state.bus.as_ref()).await;
            tracing::warn!(user = %found.user, session = %family, "a spent refresh token came back; session revoked");
        }
        return Err(refused().into());
    }
    store::spend(&mut tx, &hash).await?;
    let next = RefreshToken::random();
    store::insert_token(&mut tx, Uuid::now_v7(), family, found.user, &next.hash(), REFRESH_DAYS).await?;
    let opened = answer(state, &mut tx, found.user, family, next).await?;
    tx.commit().await?;
    Ok(opened)
}

/// Ends the sessions that an access token and a refresh token belong to, and with them
/// their live sockets. Ending one that is over is fine.
///
/// # Errors
/// When the database fails.
pub(crate) async fn logout(state: &State, session: Option<Uuid>, token: Option<&RefreshToken>) -> Result<()> {
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    let of_token = match token {
        Some(token) => store::family_of(&mut tx, &token.hash()).await?,
        None => None,
    };
    let mut families: Vec<Uuid> = session.into_iter().chain(of_token).collect();
    families.sort_unstable();
    families.dedup();
    for family in families {
        store::lock_family(&mut tx, family).await?;
        store::revoke_family(&mut tx, family).await?;
    }
    tx.commit().await?;
    outbox::hint_people(state.bus.as_ref()).await;
    Ok(())
}

/// Suspends an account, or lifts that. A suspended one is refused everywhere, and its live
/// sockets are closed. Doing it twice is no error.
///
/// # Errors
/// `NotFound`, `Conflict` for the admin's own account.
pub(crate) async fn suspend(
    state: &State,
    admin: UserId,
    user: UserId,
    suspended: bool,
    reason: &str,
) -> Result<Account> {
    if admin == user {
        return Err(Refusal::new(ErrorCode::Conflict, "nobody suspends themselves").into());
    }
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    let changed = store::suspend(&mut tx, user, suspended).await?;
    if changed {
        let action = if suspended { "user.suspend" } else { "user.reinstate" };
        audit::record(&mut tx, admin, action, user.0, json!({"reason": reason})).await?;
    }
    let account = store::account(&mut tx, user).await?.ok_or(ErrorCode::NotFound)?;
    tx.commit().await?;
    if changed {
        outbox::hint_people(state.bus.as_ref()).await;
    }
    Ok(account)
}

/// The account as its owner sees it.
///
/// # Errors
/// `Unauthenticated` when it is gone.
pub async fn me(db: &PgPool, user: UserId) -> Result<Me> {
    let me = store::me(&mut *db.acquire().await?, user).await?;
    me.ok_or(ErrorCode::Unauthenticated.into())
}

/// Changes the profile.
///
/// # Errors
/// When the database fails.
pub(crate) async fn change_profile(db: &PgPool, user: UserId, profile: Profile) -> Result<Me> {
    let mut connection = db.acquire().await?;
    let mut tx = connection.begin().await?;
    store::update_profile(&mut tx, user, &profile).await?;
    let me = store::me(&mut tx, user).await?.ok_or(ErrorCode::Unauthenticated)?;
    tx.commit().await?;
    Ok(me)
}

/// What the account may do now: read for each request.
///
/// # Errors
/// `Unauthenticated` when the account is gone or the session over, `AccountSuspended`.
pub async fn standing(db: &PgPool, user: UserId, session: Uuid) -> Result<Standing> {
    let row = store::standing(&mut *db.acquire().await?, user, session).await?;
    let row = row.ok_or(ErrorCode::Unauthenticated)?;
    if row.suspended {
        return Err(ErrorCode::AccountSuspended.into());
    }
    if row.revoked {
        return Err(Refusal::new(ErrorCode::Unauthenticated, "The session is over; sign in again").into());
    }
    Ok(row.standing)
}

/// Forgets sessions that ran out long ago: all of them, or as many as one run may take.
///
/// # Errors
/// When the database fails.
pub async fn sweep(db: &PgPool) -> Result<()> {
    for _ in 0..SWEEP_BATCHES_MAX {
        let deleted = store::delete_expired(&mut *db.acquire().await?, SWEEP_BATCH.into()).await?;
        // A session has a token at least, so fewer tokens are fewer sessions.
        if deleted < u64::from(SWEEP_BATCH) {
            break;
        }
    }
    Ok(())
}
