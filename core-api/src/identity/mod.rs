//! Accounts: registering, signing in, the profile, standing. Sessions are in
//! [`sessions`], links that are mailed in [`links`], and what they and the password
//! change in [`change`].
//!
//! An account whose address nobody has confirmed may do everything but open a shop and
//! upload pictures.
//!
//! Locks are taken in this order: the account's row, its sessions' (the rows that began
//! them, by id), whatever refers to them. Whoever changes an account takes its row `for no
//! key update`, which those that write rows that refer to it do not wait for; whoever
//! deletes it `for update`, so that they do; whoever begins a session `for share`, and
//! whoever renews one `for key share`.

pub mod account_handlers;
pub mod admin_handlers;
mod attempts;
pub(crate) mod avatar;
mod change;
pub(crate) mod client;
pub mod email;
pub mod handle;
pub mod handlers;
pub(crate) mod links;
pub mod model;
mod passwords;
mod secrets;
pub mod session_handlers;
mod sessions;
mod store;

use chrono::Utc;
use serde_json::json;
use shared::error::{ErrorCode, Refusal};
use shared::ids::UserId;
use shared::outbox;
use sqlx::{Connection, PgConnection, PgPool};
use uuid::Uuid;

pub(crate) use change::Proof;
use client::Client;
use handle::Handle;
use model::{Account, Find, Login, Profile, PublicProfile, Register};
pub use model::{Me, OpenSession, Role, Session, Shop, Standing};
pub use passwords::Passwords;
pub(crate) use sessions::Opened;

use crate::http::{Error, List, Page, Result};
use crate::state::State;
use crate::{audit, sellers};

/// Rows forgotten in one transaction at most.
const SWEEP_BATCH: u32 = 1_000;
/// No address and no handle is longer.
const FIND_MAX_CHARS: usize = 254;

/// Makes an account and signs it in.
///
/// # Errors
/// `EmailTaken`, `HandleTaken`, `Overloaded`; `RateLimited` when too many letters went to the
/// address.
pub(crate) async fn register(state: &State, new: Register, client: &Client) -> Result<Opened> {
    let hash = state.passwords.hash(new.password).await?;
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    let user = UserId::new();
    if !store::insert_user(&mut tx, user, new.email.as_str(), &hash).await? {
        return Err(Refusal::from(ErrorCode::EmailTaken).at("email").into());
    }
    let handle = new.handle.as_ref().map(Handle::as_str);
    store::insert_profile(&mut tx, user, new.display_name.trim(), handle)
        .await
        .map_err(handle_taken)?;
    if let Some(handle) = handle
        && store::is_resting(&mut tx, user, &handle::fingerprint(handle)).await?
    {
        return Err(Refusal::from(ErrorCode::HandleTaken).at("handle").into());
    }
    // Only one account at a time has an address, and whoever opens and leaves account after
    // account under somebody else's has no more letters sent there than that one may.
    state.rates.confirms_to.check(&new.email)?;
    links::ask_to_confirm(&mut tx, user, &new.email).await?;
    let opened = sessions::open(state, &mut tx, user, client).await?;
    tx.commit().await?;
    state.mailer.nudge();
    Ok(opened)
}

/// What a handle that somebody has is to whoever wants it.
fn handle_taken(error: sqlx::Error) -> Error {
    let constraint = error.as_database_error().and_then(|cause| cause.constraint());
    match constraint {
        Some("profiles_handle_key") => Refusal::from(ErrorCode::HandleTaken).at("handle").into(),
        _ => error.into(),
    }
}

/// Signs in. An unknown address takes as long as a wrong password, and is told the same.
///
/// # Errors
/// `InvalidCredentials`, `AccountSuspended`, `Overloaded`.
pub(crate) async fn login(state: &State, login: Login, client: &Client) -> Result<Opened> {
    let found = store::credentials(&mut *state.db.acquire().await?, login.email.as_str()).await?;
    let hash = found.as_ref().map(|found| found.password_hash.clone());
    // No connection is held while the password is hashed.
    let right = state.passwords.verify(login.password, hash).await?;
    let Some(found) = found.filter(|_| right) else {
        return Err(ErrorCode::InvalidCredentials.into());
    };
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    // The password may have been changed while it was hashed here, and every session ended
    // with it: none begins after that by the old one.
    let confirmed = store::confirm(&mut tx, found.id, &found.password_hash).await?;
    let confirmed = confirmed.ok_or(ErrorCode::InvalidCredentials)?;
    if confirmed.suspended {
        return Err(ErrorCode::AccountSuspended.into());
    }
    let opened = sessions::open(state, &mut tx, found.id, client).await?;
    tx.commit().await?;
    // A person has so many sessions at most: the oldest may have ended.
    outbox::hint_people(state.bus.as_ref()).await;
    Ok(opened)
}

/// Suspends an account, or lifts that. A suspended one is refused everywhere, its live
/// sockets are closed, and its shop is suspended with it in the same transaction. Lifting it
/// does not open the shop again: that is a decision of its own. Doing it twice is no error.
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
    let mut shop = None;
    if changed {
        let action = if suspended { "user.suspend" } else { "user.reinstate" };
        let detail = json!({
            "before": {"suspended": !suspended}, "after": {"suspended": suspended}, "reason": reason,
        });
        audit::record(&mut tx, admin, action, user.0, detail).await?;
        if suspended {
            shop = sellers::suspend_with_owner(&mut tx, admin, user, reason).await?;
        }
    }
    let account = store::account(&mut tx, user).await?.ok_or(ErrorCode::NotFound)?;
    tx.commit().await?;
    if changed {
        outbox::hint_people(state.bus.as_ref()).await;
    }
    if let Some(shop) = shop {
        // Before the answer: no page of the shop is shown from here as it was.
        state.pages.forget_shop(shop);
        state.shop_pages.forget(shop);
        outbox::hint(state.bus.as_ref()).await;
    }
    Ok(account)
}

/// Confirms an account's address on an admin's word. Doing it twice is no error.
///
/// # Errors
/// `NotFound`.
pub(crate) async fn vouch(state: &State, admin: UserId, user: UserId, reason: &str) -> Result<Account> {
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    if store::links::confirm(&mut tx, user).await? {
        let detail = json!({
            "before": {"email_verified": false}, "after": {"email_verified": true}, "reason": reason,
        });
        audit::record(&mut tx, admin, "user.confirm_email", user.0, detail).await?;
    }
    let account = store::account(&mut tx, user).await?.ok_or(ErrorCode::NotFound)?;
    tx.commit().await?;
    Ok(account)
}

/// Accounts, the newest first: all of them, or those that `find` means.
///
/// # Errors
/// `InvalidParameter` for what no address and no handle has.
pub(crate) async fn accounts(db: &PgPool, find: &Find, page: &Page) -> Result<List<Account>> {
    let refused = |detail: String| Refusal::new(ErrorCode::InvalidParameter, detail).at("q");
    let q = find.q.as_deref().unwrap_or_default();
    if q.contains(char::is_control) {
        return Err(refused("has characters that cannot be looked for".to_owned()).into());
    }
    if q.chars().count() > FIND_MAX_CHARS {
        return Err(refused(format!("has at most {FIND_MAX_CHARS} characters")).into());
    }
    let rows = store::accounts(&mut *db.acquire().await?, find, page).await?;
    Ok(List::of(rows, page, |account| account.id.0))
}

/// One account.
///
/// # Errors
/// `NotFound`.
pub(crate) async fn account(db: &PgPool, user: UserId) -> Result<Account> {
    let found = store::account(&mut *db.acquire().await?, user).await?;
    found.ok_or(ErrorCode::NotFound.into())
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
/// `HandleTaken`; `RateLimited` when the handle was chosen a short while ago.
pub(crate) async fn change_profile(db: &PgPool, user: UserId, profile: Profile) -> Result<Me> {
    let mut connection = db.acquire().await?;
    let mut tx = connection.begin().await?;
    hold(&mut tx, user).await?;
    if let Some(handle) = &profile.handle {
        change_handle(&mut tx, user, handle).await?;
    }
    store::update_profile(&mut tx, user, &profile).await?;
    let me = store::me(&mut tx, user).await?.ok_or(ErrorCode::Unauthenticated)?;
    tx.commit().await?;
    Ok(me)
}

/// Step: an account is there until the transaction ends, because who deletes it waits: so
/// nothing of it is written after it is gone. To be taken before any other lock.
///
/// # Errors
/// `Unauthenticated` when it is gone.
pub(crate) async fn hold(tx: &mut PgConnection, user: UserId) -> Result<()> {
    if store::lock(tx, user).await? {
        return Ok(());
    }
    Err(ErrorCode::Unauthenticated.into())
}

/// A person as everybody sees them, by their handle in whatever case.
///
/// # Errors
/// `NotFound`; a suspended account is not shown.
pub(crate) async fn public_profile(db: &PgPool, handle: &str) -> Result<PublicProfile> {
    let handle = handle.to_ascii_lowercase();
    // Postgres has no text with a zero in it, and no handle has anything but these.
    if !handle.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(ErrorCode::NotFound.into());
    }
    let found = store::public_profile(&mut *db.acquire().await?, &handle).await?;
    found.ok_or(ErrorCode::NotFound.into())
}

/// Gives a person another handle. The one they had rests for a while, so that nobody else
/// takes it to pass for them; they may have it back.
async fn change_handle(tx: &mut PgConnection, user: UserId, handle: &Handle) -> Result<()> {
    let now = store::lock_handle(tx, user).await?.ok_or(ErrorCode::Unauthenticated)?;
    if now.handle == handle.as_str() {
        return Ok(());
    }
    if let Some(wait) = handle::wait(now.handle_changed_at, Utc::now()) {
        let detail = format!("A handle stays for {} days", handle::CHANGE_DAYS);
        let wait_ms = u64::try_from(wait.num_milliseconds()).unwrap_or_default();
        let refusal = Refusal::new(ErrorCode::RateLimited, detail).at("handle");
        return Err(refusal.retry_after_ms(wait_ms).into());
    }
    store::set_handle(tx, user, handle.as_str())
        .await
        .map_err(handle_taken)?;
    if store::is_resting(tx, user, &handle::fingerprint(handle.as_str())).await? {
        return Err(Refusal::from(ErrorCode::HandleTaken).at("handle").into());
    }
    store::rest_handle(tx, user, &handle::fingerprint(&now.handle), handle::REST_DAYS).await?;
    Ok(())
}

/// Ends every session of an account that is about to go.
///
/// # Errors
/// When the database fails.
pub(crate) async fn end_sessions(tx: &mut PgConnection, user: UserId) -> Result<()> {
    store::sessions::revoke_all(tx, user, None).await?;
    store::sessions::forget_agents(tx, user).await?;
    Ok(())
}

/// Takes from an account all that tells whose it was, and closes it for good. Its handle
/// rests like any that is given up.
///
/// # Errors
/// When the database fails.
pub(crate) async fn mask(tx: &mut PgConnection, user: UserId) -> Result<()> {
    if let Some(row) = store::lock_handle(tx, user).await? {
        store::rest_handle(tx, user, &handle::fingerprint(&row.handle), handle::REST_DAYS).await?;
    }
    store::mask(tx, user).await?;
    Ok(())
}

/// What the account may do now: read for each request.
///
/// # Errors
/// `Unauthenticated` when the account is gone or the session over, `AccountSuspended`.
pub async fn standing(db: &PgPool, user: UserId, session: Uuid) -> Result<Standing> {
    let row = store::standing(&mut *db.acquire().await?, user, session).await?;
    let row = row.filter(|row| !row.deleted).ok_or(ErrorCode::Unauthenticated)?;
    if row.suspended {
        return Err(ErrorCode::AccountSuspended.into());
    }
    if row.revoked {
        return Err(Refusal::new(ErrorCode::Unauthenticated, "The session is over; sign in again").into());
    }
    Ok(row.standing)
}

/// Forgets sessions and links that ran out and handles that have rested, as many as one run
/// may take.
///
/// # Errors
/// When the database fails.
pub async fn sweep(db: &PgPool) -> Result<()> {
    sessions::sweep(db).await?;
    let mut conn = db.acquire().await?;
    store::delete_rested(&mut conn, SWEEP_BATCH.into()).await?;
    store::links::delete_expired(&mut conn, SWEEP_BATCH.into()).await?;
    Ok(())
}
