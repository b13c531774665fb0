//! Doing an act once, however often it is asked for: the same table, key and lock as
//! over REST. Whoever does the work claims the act's name first and keeps the answer in
//! the work's own transaction; nothing here knows what the work is.

mod store;

pub(crate) use store::{Stored, claim, keep};

use serde::de::DeserializeOwned;
use shared::error::ErrorCode;

use crate::db::Error;

impl Stored {
    /// What was answered, where the name stands for this act.
    ///
    /// # Errors
    /// `request_id_reused` when it stands for another.
    pub(crate) fn answer<T: DeserializeOwned>(self, operation: &str, body_hash: &[u8]) -> Result<T, Error> {
        if self.operation != operation || self.body_hash != body_hash {
            return Err(ErrorCode::RequestIdReused.into());
        }
        Ok(serde_json::from_value(self.response)?)
    }
}
