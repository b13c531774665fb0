//! Sessions: begun, renewed, listed, ended.
//!
//! A session is a family of refresh tokens. Its id is the id of its first token's row,
//! and that row is the family's lock and its mark: whoever spends or revokes a token of
//! the family holds it, and once it is revoked no access token of the session is good.
//!
//! A token that is spent a second time is in two hands, and the session ends for both.
//! But two tabs of one browser renew at the same moment, and an answer may be lost on its
//! way: within [`GRACE_SECONDS`] of the spending, and while the next token is unspent, the
//! second use gets the very same next token. It cannot branch off a session of its own, so
//! a thief who is that quick is found out at the next renewal.
//!
//! However often it is renewed, a session ends some time after it began, and the rows that
//! renewals leave behind are bounded: so many an hour, each kept for some days.

use shared::error::{ErrorCode, Refusal};
use shared::ids::UserId;
use shared::outbox;
use shared::token::{ACCESS_SECONDS, Access};
use sqlx::{Connection, PgConnection, PgPool};
use uuid::Uuid;

use super::client::Client;
use super::model::{OpenSession, Session};
use super::secrets::{Secret, seed};
use super::store::{self, sessions::NewToken};
use crate::http::Result;
use crate::state::State;

/// How long a session lives without being renewed, in days.
pub(crate) const REFRESH_DAYS: i32 = 30;
/// How long a session lives at most, in days; then its owner shows their password again.
const SESSION_DAYS: i32 = 180;
/// How long a token that was spent is known, so that whoever brings it back is found out, in
/// days.
const SPENT_DAYS: i32 = 7;
/// How long after its spending a refresh token still gets the same next one, in seconds.
const GRACE_SECONDS: f64 = 10.0;
/// Sessions a person may have; a new one ends the oldest.
const SESSIONS_MAX: i64 = 50;
/// Sessions forgotten in one transaction at most.
const SWEEP_BATCH: u32 = 1_000;
/// Transactions of one run at most; the next run goes on.
const SWEEP_BATCHES_MAX: u32 = 100;

/// A session just begun or renewed, before it is decided how the client keeps it.
pub(crate) struct Opened {
    pub session: Session,
    pub refresh: Secret,
}

/// Begins a session. Whoever calls has locked the account.
pub(super) async fn open(state: &State, tx: &mut PgConnection, user: UserId, client: &Client) -> Result<Opened> {
    let refresh = Secret::random();
    let family = Uuid::now_v7();
    let token = NewToken {
        id: family,
        family,
        user,
        hash: &refresh.hash(),
        client,
        days: REFRESH_DAYS,
        days_in_all: SESSION_DAYS,
    };
    store::sessions::insert(tx, token).await?;
    store::sessions::revoke_beyond(tx, user, SESSIONS_MAX).await?;
    answer(state, tx, user, family, refresh).await
}

async fn answer(state: &State, tx: &mut PgConnection, user: UserId, family: Uuid, refresh: Secret) -> Result<Opened> {
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

/// Spends a refresh token for the next one. A token that was spent before gets the same
/// next one within the grace; after it, the whole family is revoked, and whoever holds a
/// part of it signs in again.
///
/// # Errors
/// `Unauthenticated`, `AccountSuspended`, `RateLimited`.
pub(crate) async fn refresh(state: &State, token: &Secret, client: &Client) -> Result<Opened> {
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    let refused = || {
        Refusal::new(
            ErrorCode::Unauthenticated,
            "The refresh token is not good; sign in again",
        )
    };
    let hash = token.hash();
    let family = store::sessions::family_of(&mut tx, &hash).await?.ok_or_else(refused)?;
    store::sessions::hold_owner(&mut tx, family).await?;
    // Two that race with one token meet here; the second finds it spent.
    store::sessions::lock(&mut tx, family).await?;
    let found = store::sessions::token(&mut tx, &hash, GRACE_SECONDS)
        .await?
        .ok_or_else(refused)?;
    if found.suspended {
        return Err(ErrorCode::AccountSuspended.into());
    }
    if found.revoked || found.expired {
        return Err(refused().into());
    }
    if found.spent {
        if let Some(next) = found.seed_in_grace.map(|seed| token.next(&seed)).transpose()?
            && store::sessions::is_unspent(&mut tx, &next.hash()).await?
        {
            let opened = answer(state, &mut tx, found.user, family, next).await?;
            tx.commit().await?;
            return Ok(opened);
        }
        store::sessions::revoke(&mut tx, family).await?;
        tx.commit().await?;
        outbox::hint_people(state.bus.as_ref()).await;
        tracing::warn!(user = %found.user, session = %family, "a spent refresh token came back; session revoked");
        return Err(refused().into());
    }
    // Each renewal leaves a row for a while.
    state.rates.renewals.check(&family)?;
    let seed = seed();
    let next = token.next(&seed)?;
    store::sessions::spend(&mut tx, &hash, &seed).await?;
    let row = NewToken {
        id: Uuid::now_v7(),
        family,
        user: found.user,
        hash: &next.hash(),
        client,
        days: REFRESH_DAYS,
        days_in_all: SESSION_DAYS,
    };
    store::sessions::insert(&mut tx, row).await?;
    let opened = answer(state, &mut tx, found.user, family, next).await?;
    tx.commit().await?;
    Ok(opened)
}

/// Ends the sessions that an access token and a refresh token belong to, and with them
/// their live sockets. Ending one that is over is fine.
///
/// # Errors
/// When the database fails.
pub(crate) async fn logout(state: &State, session: Option<Uuid>, token: Option<&Secret>) -> Result<()> {
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    let of_token = match token {
        Some(token) => store::sessions::family_of(&mut tx, &token.hash()).await?,
        None => None,
    };
    let mut families: Vec<Uuid> = session.into_iter().chain(of_token).collect();
    families.sort_unstable();
    families.dedup();
    for family in families {
        store::sessions::lock(&mut tx, family).await?;
        store::sessions::revoke(&mut tx, family).await?;
    }
    tx.commit().await?;
    outbox::hint_people(state.bus.as_ref()).await;
    Ok(())
}

/// Ends every session of a person, and with them their live sockets.
///
/// # Errors
/// When the database fails.
pub(crate) async fn logout_everywhere(state: &State, user: UserId) -> Result<()> {
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    store::sessions::revoke_all(&mut tx, user, None).await?;
    tx.commit().await?;
    outbox::hint_people(state.bus.as_ref()).await;
    Ok(())
}

/// A person's sessions, the newest first; `current` is the one that asks.
///
/// # Errors
/// When the database fails.
pub(crate) async fn list(db: &PgPool, user: UserId, current: Uuid) -> Result<Vec<OpenSession>> {
    Ok(store::sessions::open(&mut *db.acquire().await?, user, current).await?)
}

/// Ends one session of a person's, and with it its live sockets. Ending one that is over
/// is fine.
///
/// # Errors
/// `NotFound` when it is not theirs.
pub(crate) async fn end(state: &State, user: UserId, session: Uuid) -> Result<()> {
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    if !store::sessions::lock_own(&mut tx, user, session).await? {
        return Err(ErrorCode::NotFound.into());
    }
    store::sessions::revoke(&mut tx, session).await?;
    tx.commit().await?;
    outbox::hint_people(state.bus.as_ref()).await;
    Ok(())
}

/// Forgets sessions that ran out long ago, and tokens that were spent long ago: all of them,
/// or as many as one run may take.
///
/// # Errors
/// When the database fails.
pub(super) async fn sweep(db: &PgPool) -> Result<()> {
    for _ in 0..SWEEP_BATCHES_MAX {
        let mut conn = db.acquire().await?;
        let sessions = store::sessions::delete_expired(&mut conn, SWEEP_BATCH.into()).await?;
        let spent = store::sessions::delete_spent(&mut conn, SPENT_DAYS, SWEEP_BATCH.into()).await?;
        // A session has a token at least, so fewer tokens are fewer sessions.
        if sessions.max(spent) < u64::from(SWEEP_BATCH) {
            break;
        }
    }
    Ok(())
}
