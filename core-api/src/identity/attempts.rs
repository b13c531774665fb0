//! How often an account may be signed in to. Strangers share what it allows, however many
//! they are; where somebody has signed in to it before, there is as much again, which no
//! stranger uses up: so whoever goes on trying passwords keeps no owner out who is where they
//! were of late.

use super::client::Client;
use super::model::Email;
use super::store;
use crate::http::Result;
use crate::state::State;

/// Counts an attempt, before the password is looked at.
///
/// # Errors
/// `RateLimited`.
pub(super) async fn count(state: &State, email: &Email, client: &Client) -> Result<()> {
    let known = store::sessions::is_known(&mut *state.db.acquire().await?, email.as_str(), &client.place).await?;
    if known {
        return state.rates.login_known.check(&(email.clone(), client.place.clone()));
    }
    state.rates.login_email.check(email)
}
