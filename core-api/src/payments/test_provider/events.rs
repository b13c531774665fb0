//! What the test provider tells of by itself: each change in its books writes an event in the
//! change's own transaction, and a job of ours has them signed and sent. Where no secret is
//! configured nothing is written and nothing sent.
//!
//! Its time passes here, too: what succeeds late, comes back late or is disputed by its buyer
//! happens when it is due, whether anybody asks or not.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::ids::{PaymentId, PayoutId, RefundId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{TestProvider, failed, store};
use crate::http::rules::shown;
use crate::payments::event::{About, Event, Unbelieved};
use crate::payments::provider::ProviderError;
use crate::webhooks::signature::{Unsigned, sign, verify};

/// The header that signs an event.
const SIGNATURE: &str = "Hawker-Signature";
/// How long whoever took an event has to send it; then another may.
const LEASE_SECONDS: f64 = 60.0;

/// An event as it is sent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, Validate)]
struct Message {
    /// Its own name.
    #[garde(custom(shown(1, 255)))]
    id: String,
    /// What happened: the thing and what it has become, such as `payment.succeeded`.
    #[garde(custom(shown(1, 100)))]
    #[serde(rename = "type")]
    kind: String,
    /// To which: our id of a payment, refund or payout, its own name of a dispute.
    #[garde(skip)]
    subject: Uuid,
}

impl Message {
    fn event(self) -> Event {
        let about = match self.kind.split('.').next() {
            Some("payment") => About::Payment(PaymentId(self.subject)),
            Some("refund") => About::Refund(RefundId(self.subject)),
            Some("payout") => About::Payout(PayoutId(self.subject)),
            Some("dispute") => About::Dispute {
                reference: self.subject.to_string(),
            },
            _ => About::Nothing,
        };
        Event {
            id: self.id,
            kind: self.kind,
            about,
        }
    }
}

/// An event on its way.
pub struct Signed {
    /// Its row in the provider's books.
    pub id: Uuid,
    /// With its signature.
    pub headers: HeaderMap,
    /// The message.
    pub body: Vec<u8>,
}

/// Believes a message or not, at `now` in seconds of Unix time.
pub(super) fn read(secret: Option<&[u8]>, headers: &HeaderMap, body: &[u8], now: i64) -> Result<Event, Unbelieved> {
    let secret = secret.ok_or(Unbelieved::NobodyListens)?;
    let header = headers.get(SIGNATURE).and_then(|value| value.to_str().ok());
    let refused = |why: Unsigned| Unbelieved::Unsigned { header: SIGNATURE, why };
    verify(secret, header.unwrap_or_default(), body, now).map_err(refused)?;
    let message: Message = serde_json::from_slice(body).map_err(|_| Unbelieved::Unreadable)?;
    message.validate().map_err(|_| Unbelieved::Unreadable)?;
    Ok(message.event())
}

impl TestProvider {
    /// Has happen what is due by now, `limit` of each kind at most. Returns how much.
    ///
    /// # Errors
    /// When its books fail.
    pub async fn pass_time(&self, limit: u32) -> Result<u64, ProviderError> {
        let mut conn = self.db.acquire().await.map_err(failed)?;
        let late = store::succeed_late(&mut conn, None, self.delay, limit.into(), self.tells());
        let payments = late.await.map_err(failed)?;
        let late = store::transfer_late(&mut conn, None, self.delay, limit.into(), self.tells());
        let transfers = late.await.map_err(failed)?;
        let disputes = store::dispute_by_token(&mut conn, self.delay, limit.into(), self.tells());
        Ok(payments + transfers + disputes.await.map_err(failed)?)
    }

    /// Takes events that are to be sent, `limit` at most, signed now; nobody else does for a
    /// while. What was sent is to be marked with [`Self::sent`].
    ///
    /// # Errors
    /// When its books fail.
    pub async fn outgoing(&self, limit: u32) -> Result<Vec<Signed>, ProviderError> {
        let Some(secret) = &self.secret else {
            return Ok(Vec::new());
        };
        let mut conn = self.db.acquire().await.map_err(failed)?;
        let taken = store::take_events(&mut conn, limit.into(), LEASE_SECONDS).await;
        let now = chrono::Utc::now().timestamp();
        let sign_it = |event: store::EventRow| {
            let message = Message {
                id: event.id.to_string(),
                kind: event.kind,
                subject: event.subject,
            };
            let body = serde_json::to_vec(&message).map_err(|error| ProviderError::Failed(error.to_string()))?;
            let signature = sign(secret.expose().as_bytes(), now, &body);
            let value = HeaderValue::from_str(&signature).map_err(|error| ProviderError::Failed(error.to_string()))?;
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static("hawker-signature"), value);
            let id = event.id;
            Ok(Signed { id, headers, body })
        };
        taken.map_err(failed)?.into_iter().map(sign_it).collect()
    }

    /// Deletes events that were sent a day ago. Returns how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_sent(conn: &mut PgConnection, limit: u32) -> sqlx::Result<u64> {
        store::delete_sent(conn, limit.into()).await
    }

    /// An event was taken by who it was sent to.
    ///
    /// # Errors
    /// When its books fail.
    pub async fn sent(&self, event: Uuid) -> Result<(), ProviderError> {
        let mut conn = self.db.acquire().await.map_err(failed)?;
        store::event_is_sent(&mut conn, event).await.map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"whsec_of_the_test_provider";
    const NOW: i64 = 1_795_399_200;

    fn told(body: &str, at: i64) -> Result<Event, Unbelieved> {
        let mut headers = HeaderMap::new();
        let signature = sign(SECRET, at, body.as_bytes());
        headers.insert(
            HeaderName::from_static("hawker-signature"),
            HeaderValue::from_str(&signature).expect("a header"),
        );
        read(Some(SECRET), &headers, body.as_bytes(), NOW)
    }

    #[test]
    fn a_kind_says_what_an_event_is_about() {
        let id = Uuid::now_v7();
        let about = |kind: &str| {
            let body = format!(r#"{{"id": "evt_1", "type": "{kind}", "subject": "{id}"}}"#);
            told(&body, NOW).expect("believed").about
        };
        assert_eq!(about("payment.succeeded"), About::Payment(PaymentId(id)));
        assert_eq!(about("refund.failed"), About::Refund(RefundId(id)));
        assert_eq!(about("payout.returned"), About::Payout(PayoutId(id)));
        let reference = id.to_string();
        assert_eq!(about("dispute.opened"), About::Dispute { reference });
        assert_eq!(about("price.changed"), About::Nothing);
    }

    #[test]
    fn what_is_not_signed_or_is_no_event_is_not_believed() {
        let stale = told("{}", NOW - 301).expect_err("too old");
        let (header, why) = (SIGNATURE, Unsigned::Stale);
        assert_eq!(stale, Unbelieved::Unsigned { header, why });
        assert_eq!(told("{}", NOW), Err(Unbelieved::Unreadable));
        let nameless = format!(
            r#"{{"id": "", "type": "payment.succeeded", "subject": "{}"}}"#,
            Uuid::now_v7()
        );
        assert_eq!(told(&nameless, NOW), Err(Unbelieved::Unreadable));
        let nobody = read(None, &HeaderMap::new(), b"{}", NOW);
        assert_eq!(nobody, Err(Unbelieved::NobodyListens));
    }
}
