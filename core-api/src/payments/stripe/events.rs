//! What Stripe tells us without being asked: signed in `Stripe-Signature`, and read only as
//! far as it says what to ask about. While a secret is exchanged, Stripe signs with both: one
//! good signature is enough.

use actix_web::http::header::HeaderMap;
use serde::Deserialize;
use shared::config::Secret;
use shared::ids::{PaymentId, PayoutId, RefundId};

use super::is_id;
use super::model::{self, Metadata, id_in};
use crate::payments::event::{About, Event, NAME_MAX, Unbelieved};
use crate::webhooks::signature;

/// The header that signs an event.
const SIGNATURE: &str = "Stripe-Signature";

#[derive(Deserialize)]
struct Message {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    object: Object,
}

/// Whatever it is about.
#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    metadata: Option<Metadata>,
}

/// Believes a message or not at `now`, in seconds of Unix time, and reads it.
///
/// # Errors
/// Why it is not believed.
pub fn read(secret: &Secret, headers: &HeaderMap, body: &[u8], now: i64) -> Result<Event, Unbelieved> {
    let header = headers
        .get(SIGNATURE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let checked = signature::verify(secret.expose().as_bytes(), header, body, now);
    checked.map_err(|why| Unbelieved::Unsigned { header: SIGNATURE, why })?;
    let message: Message = serde_json::from_slice(body).map_err(|_| Unbelieved::Unreadable)?;
    if message.id.is_empty() || message.id.chars().count() > NAME_MAX || message.kind.chars().count() > NAME_MAX {
        return Err(Unbelieved::Unreadable);
    }
    Ok(Event {
        about: about(&message.kind, &message.data.object),
        id: message.id,
        kind: message.kind,
    })
}

/// What is to be asked about. A refund tells of itself (`refund.…`, and what used to be
/// `charge.refund.…`); of a charge that was refunded nothing follows beside it.
fn about(kind: &str, object: &Object) -> About {
    let ours = |name| object.metadata.as_ref().and_then(|metadata| id_in(metadata, name));
    let about = if kind.starts_with("payment_intent.") {
        ours(model::PAYMENT).map(|id| About::Payment(PaymentId(id)))
    } else if kind.starts_with("refund.") || kind.starts_with("charge.refund.") {
        ours(model::REFUND).map(|id| About::Refund(RefundId(id)))
    } else if kind.starts_with("transfer.") {
        ours(model::PAYOUT).map(|id| About::Payout(PayoutId(id)))
    } else if kind.starts_with("charge.dispute.") {
        let id = object.id.clone().filter(|id| is_id(id, "dp_") || is_id(id, "du_"));
        id.map(|reference| About::Dispute { reference })
    } else {
        None
    };
    about.unwrap_or(About::Nothing)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::webhooks::signature::{Unsigned, sign};

    const NOW: i64 = 1_795_399_200;

    fn secret() -> Secret {
        Secret::new("whsec_0123456789".to_owned())
    }

    fn headers(signature: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let name = HeaderName::from_static("stripe-signature");
        headers.insert(name, HeaderValue::from_str(signature).expect("text"));
        headers
    }

    fn told(kind: &str, object: &serde_json::Value) -> About {
        let body = json!({"id": "evt_1", "type": kind, "data": {"object": object}}).to_string();
        let signature = sign(b"whsec_0123456789", NOW, body.as_bytes());
        let event = read(&secret(), &headers(&signature), body.as_bytes(), NOW).expect("it is signed");
        assert_eq!((event.id.as_str(), event.kind.as_str()), ("evt_1", kind));
        event.about
    }

    #[test]
    fn an_event_says_what_to_ask_about() {
        let id = Uuid::now_v7();
        let of = |name: &str| json!({"id": "x_1", "metadata": {name: id}});
        assert_eq!(
            told("payment_intent.succeeded", &of(model::PAYMENT)),
            About::Payment(PaymentId(id))
        );
        assert_eq!(told("refund.updated", &of(model::REFUND)), About::Refund(RefundId(id)));
        assert_eq!(
            told("charge.refund.updated", &of(model::REFUND)),
            About::Refund(RefundId(id))
        );
        assert_eq!(
            told("transfer.reversed", &of(model::PAYOUT)),
            About::Payout(PayoutId(id))
        );
        let dispute = json!({"id": "dp_1", "metadata": {}});
        let reference = "dp_1".to_owned();
        assert_eq!(told("charge.dispute.created", &dispute), About::Dispute { reference });
    }

    #[test]
    fn what_is_not_ours_is_about_nothing() {
        let id = Uuid::now_v7();
        for (kind, object) in [
            ("payment_intent.succeeded", json!({"id": "pi_1"})),
            ("payment_intent.succeeded", json!({"id": "pi_1", "metadata": null})),
            ("payment_intent.succeeded", json!({"metadata": {"hawker_payment": "x"}})),
            ("payment_intent.succeeded", json!({"metadata": {"hawker_refund": id}})),
            ("charge.refunded", json!({"metadata": {"hawker_payment": id}})),
            ("charge.dispute.created", json!({"id": "../payouts"})),
            ("customer.created", json!({"metadata": {"hawker_payment": id}})),
        ] {
            assert_eq!(told(kind, &object), About::Nothing, "{kind} {object}");
        }
    }

    #[test]
    fn a_message_that_is_not_signed_or_no_event_is_not_believed() {
        let body = br#"{"id": "evt_1"}"#;
        let unsigned = read(&secret(), &HeaderMap::new(), body, NOW);
        let why = Unsigned::Unreadable;
        assert_eq!(unsigned, Err(Unbelieved::Unsigned { header: SIGNATURE, why }));
        let of_another = sign(b"whsec_another", NOW, body);
        let why = Unsigned::Forged;
        let forged = read(&secret(), &headers(&of_another), body, NOW);
        assert_eq!(forged, Err(Unbelieved::Unsigned { header: SIGNATURE, why }));
        let rolled = format!("{of_another},{}", &sign(b"whsec_0123456789", NOW, body)[13..]);
        assert_eq!(
            read(&secret(), &headers(&rolled), body, NOW),
            Err(Unbelieved::Unreadable)
        );
    }
}
