//! Signed tokens: access tokens for REST, tickets for one socket, resume tokens for the
//! sockets that follow it.
//!
//! JSON Web Tokens under RFC 8725: one algorithm (HS256), fixed in the verifier; each
//! kind with its own audience, so that none passes for another; issuer and expiry
//! required.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::ErrorCode;
use crate::ids::{GuestId, SellerId, StreamId, UserId};

const ISSUER: &str = "hawker";
/// How long an access token is good for, in seconds.
pub const ACCESS_SECONDS: i64 = 15 * 60;
/// How long a ticket may wait to be used, in seconds.
pub const TICKET_SECONDS: i64 = 30;
/// How long a resume token is good for, in seconds.
pub const RESUME_SECONDS: i64 = 15 * 60;
/// How long what revokes a token is remembered, in seconds: longer than any token lives
/// that needs no query, clocks some minutes apart included.
pub const REVOKED_SECONDS: i64 = RESUME_SECONDS + 300;

/// What makes a kind of token distinct.
pub trait Claims: Serialize + DeserializeOwned {
    /// Its audience.
    const AUDIENCE: &'static str;
    /// Its life, in seconds.
    const SECONDS: i64;
}

/// Who calls REST.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The account. Its role and standing are read per request, not from here.
    pub sub: UserId,
    /// The family of refresh tokens that it came from.
    pub sid: Uuid,
}

impl Claims for Access {
    const AUDIENCE: &'static str = "hawker.api";
    const SECONDS: i64 = ACCESS_SECONDS;
}

/// Who watches.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Viewer {
    /// An account.
    User {
        /// Its id.
        id: UserId,
        /// Its display name.
        name: String,
    },
    /// Nobody we know: may watch and react.
    Guest {
        /// For as long as the ticket is renewed.
        id: GuestId,
    },
}

impl Viewer {
    /// The account's id.
    #[must_use]
    pub const fn user(&self) -> Option<UserId> {
        match self {
            Self::User { id, .. } => Some(*id),
            Self::Guest { .. } => None,
        }
    }
}

/// What a viewer may do in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Watch, chat, react, buy.
    Viewer,
    /// And run the show.
    Host,
}

/// Lets its bearer open one socket to one room, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// Spent in Postgres when it is used.
    pub jti: Uuid,
    /// Who.
    pub viewer: Viewer,
    /// The session that asked for it; none for guests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Uuid>,
    /// Which room.
    pub stream: StreamId,
    /// As what.
    pub part: Part,
}

impl Claims for Ticket {
    const AUDIENCE: &'static str = "hawker.ticket";
    const SECONDS: i64 = TICKET_SECONDS;
}

/// Lets its bearer come back to the room without a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// Who.
    pub viewer: Viewer,
    /// The session that began it; none for guests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Uuid>,
    /// Which room.
    pub stream: StreamId,
    /// Whose show it is.
    pub seller: SellerId,
    /// As what.
    pub part: Part,
}

impl Claims for Resume {
    const AUDIENCE: &'static str = "hawker.resume";
    const SECONDS: i64 = RESUME_SECONDS;
}

#[derive(Serialize, Deserialize)]
struct Envelope<C> {
    iss: String,
    aud: String,
    iat: i64,
    exp: i64,
    #[serde(flatten)]
    claims: C,
}

/// Claims that were verified, and until when they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<C> {
    /// The claims.
    pub claims: C,
    /// When they were made, in seconds since the Unix epoch.
    pub issued_at: i64,
    /// When they end, in seconds since the Unix epoch.
    pub expires_at: i64,
}

/// Signs and verifies with one shared secret.
#[derive(Clone)]
pub struct TokenKey {
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

impl TokenKey {
    /// A key from a secret of at least 32 bytes (RFC 7518, 3.2); `None` for a shorter one.
    #[must_use]
    pub fn new(secret: &[u8]) -> Option<Self> {
        (secret.len() >= 32).then(|| Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
        })
    }

    /// Signs `claims`, good from `now` (seconds since the Unix epoch) for the kind's life.
    ///
    /// # Errors
    /// `Internal`, when the claims cannot be written, which is a defect.
    pub fn sign<C: Claims>(&self, claims: C, now: i64) -> Result<String, ErrorCode> {
        let envelope = Envelope {
            iss: ISSUER.into(),
            aud: C::AUDIENCE.into(),
            iat: now,
            exp: now + C::SECONDS,
            claims,
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &envelope, &self.encoding).map_err(|error| {
            tracing::error!(%error, "token not signed");
            ErrorCode::Internal
        })
    }

    /// What `what` is known again by, in 43 characters. Who has no key cannot make it, and so
    /// cannot find what it stands for by trying everything.
    ///
    /// # Errors
    /// `Internal`, as [`Self::sign`].
    pub fn fingerprint(&self, what: &str) -> Result<String, ErrorCode> {
        // What tokens sign begins with their header in base64, and so never with this.
        let told = format!("fingerprint of {what}");
        jsonwebtoken::crypto::sign(told.as_bytes(), &self.encoding, Algorithm::HS256).map_err(|error| {
            tracing::error!(%error, "fingerprint not made");
            ErrorCode::Internal
        })
    }

    /// Checks signature, kind, issuer and expiry, without leeway.
    ///
    /// # Errors
    /// `TokenExpired`, or `Unauthenticated` for everything else.
    pub fn verify<C: Claims>(&self, token: &str) -> Result<Verified<C>, ErrorCode> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&[C::AUDIENCE]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "aud", "iss"]);
        validation.leeway = 0;
        match jsonwebtoken::decode::<Envelope<C>>(token, &self.decoding, &validation) {
            Ok(data) => Ok(Verified {
                claims: data.claims.claims,
                issued_at: data.claims.iat,
                expires_at: data.claims.exp,
            }),
            Err(error) if matches!(error.kind(), jsonwebtoken::errors::ErrorKind::ExpiredSignature) => {
                Err(ErrorCode::TokenExpired)
            }
            Err(_) => Err(ErrorCode::Unauthenticated),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> TokenKey {
        TokenKey::new(&[7; 32]).expect("long enough")
    }

    fn now() -> i64 {
        chrono::Utc::now().timestamp()
    }

    #[test]
    fn a_short_secret_is_no_key() {
        assert!(TokenKey::new(&[7; 31]).is_none());
    }

    #[test]
    fn one_kind_never_passes_for_another() {
        let (viewer, stream) = (Viewer::Guest { id: GuestId::new() }, StreamId::new());
        let resume = key()
            .sign(
                Resume {
                    viewer,
                    session: None,
                    stream,
                    seller: SellerId::new(),
                    part: Part::Host,
                },
                now(),
            )
            .expect("signed");
        assert!(key().verify::<Resume>(&resume).is_ok());
        assert_eq!(key().verify::<Ticket>(&resume), Err(ErrorCode::Unauthenticated));
        assert_eq!(key().verify::<Access>(&resume), Err(ErrorCode::Unauthenticated));
    }

    #[test]
    fn expiry_and_signature_are_checked() {
        let claims = Access {
            sub: UserId::new(),
            sid: Uuid::now_v7(),
        };
        let old = key().sign(claims.clone(), now() - ACCESS_SECONDS - 1).expect("signed");
        assert_eq!(key().verify::<Access>(&old), Err(ErrorCode::TokenExpired));
        let other = TokenKey::new(&[8; 32])
            .expect("long enough")
            .sign(claims, now())
            .expect("signed");
        assert_eq!(key().verify::<Access>(&other), Err(ErrorCode::Unauthenticated));
    }
}
