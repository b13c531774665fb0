//! Who is there: tickets, access tokens and resume tokens, and for how long they hold.
//!
//! Verifying is local; a ticket is also spent in Postgres, so that it opens one socket
//! once. A resume token needs no query, so that ten thousand can come back at once.

mod store;

use shared::error::{ErrorCode, Refusal};
use shared::ids::{SellerId, StreamId, UserId};
use shared::protocol::{Hello, Millis};
use shared::token::{Access, Part, RESUME_SECONDS, Resume, Ticket, TokenKey, Viewer};
use uuid::Uuid;

use crate::db::{Db, Purpose};
use crate::engine::Shared;
use crate::revoked::{self, Revoked};

/// What a client brings to say who it is.
pub enum Proof {
    /// A ticket in the query.
    Ticket(String),
    /// An access token in a header.
    Bearer(String),
    /// Nothing yet: a resume token comes as the first frame.
    Later,
}

impl std::fmt::Debug for Proof {
    /// Without the tokens.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ticket(_) => "Ticket(..)",
            Self::Bearer(_) => "Bearer(..)",
            Self::Later => "Later",
        })
    }
}

/// Who is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The account or guest.
    pub viewer: Viewer,
    /// The session they signed in with; none for guests.
    pub session: Option<Uuid>,
    /// The one room that the ticket was for; an access token opens any.
    pub stream: Option<StreamId>,
    /// Whose show that is.
    pub seller: Option<SellerId>,
    /// What they may do there.
    pub part: Part,
}

impl Identity {
    /// The account's id; none for guests.
    #[must_use]
    pub const fn user(&self) -> Option<UserId> {
        self.viewer.user()
    }

    /// By what a person's rates are counted.
    #[must_use]
    pub const fn person(&self) -> Uuid {
        match &self.viewer {
            Viewer::User { id, .. } => id.0,
            Viewer::Guest { id } => id.0,
        }
    }
}

/// A proof that holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proven {
    /// Who.
    pub identity: Identity,
    /// Until when, in seconds since the Unix epoch.
    pub expires_at: i64,
}

/// Checks a ticket and spends it.
///
/// # Errors
/// `TicketInvalid`, `AccountSuspended`, `Banned`, or that it cannot be spent now.
pub async fn ticket(shared: &Shared, token: &str) -> Result<Proven, Refusal> {
    let ticket = shared
        .config
        .token_key
        .verify::<Ticket>(token)
        .map_err(|_| ErrorCode::TicketInvalid)?;
    let expires_at = chrono::DateTime::from_timestamp(ticket.expires_at, 0).ok_or(ErrorCode::TicketInvalid)?;
    let seller = shared.tickets.spend(&ticket.claims, expires_at).await?;
    Ok(Proven {
        identity: Identity {
            viewer: ticket.claims.viewer,
            session: ticket.claims.session,
            stream: Some(ticket.claims.stream),
            seller,
            part: ticket.claims.part,
        },
        // The ticket lasts for a moment; the socket as long as the way back to it.
        expires_at: chrono::Utc::now().timestamp() + RESUME_SECONDS,
    })
}

/// Checks an access token. Such a connection may enter any room; whether it hosts the
/// show there, the room knows.
///
/// # Errors
/// `TicketInvalid` for a token that does not hold, `AccountSuspended`, or that the
/// database cannot be asked.
pub async fn bearer(shared: &Shared, token: &str) -> Result<Proven, Refusal> {
    let access = shared
        .config
        .token_key
        .verify::<Access>(token)
        .map_err(|_| ErrorCode::TicketInvalid)?;
    let name = account(&shared.db, &access.claims).await?;
    Ok(Proven {
        identity: Identity {
            viewer: Viewer::User {
                id: access.claims.sub,
                name,
            },
            session: Some(access.claims.sid),
            stream: None,
            seller: None,
            part: Part::Host,
        },
        expires_at: access.expires_at,
    })
}

/// Checks a resume token, from memory.
///
/// # Errors
/// `TicketInvalid`, `AccountSuspended`, `Banned`.
pub fn resume(key: &TokenKey, revoked: &Revoked, token: &str, now: Millis) -> Result<Proven, Refusal> {
    let resume = key.verify::<Resume>(token).map_err(|_| ErrorCode::TicketInvalid)?;
    let identity = Identity {
        viewer: resume.claims.viewer,
        session: resume.claims.session,
        stream: Some(resume.claims.stream),
        seller: Some(resume.claims.seller),
        part: resume.claims.part,
    };
    revoked.check_unseen(&identity, now)?;
    Ok(Proven {
        identity,
        expires_at: resume.expires_at,
    })
}

/// Checks a fresh token of somebody who is connected: a ticket to the same room for the
/// same person, or their access token.
///
/// # Errors
/// `TicketInvalid`, `AccountSuspended`, or that it cannot be checked now.
pub async fn renew(shared: &Shared, now: &Identity, token: &str) -> Result<Proven, Refusal> {
    let key = &shared.config.token_key;
    if let Ok(access) = key.verify::<Access>(token) {
        if now.user() != Some(access.claims.sub) {
            return Err(ErrorCode::Unauthenticated.into());
        }
        account(&shared.db, &access.claims).await?;
        return Ok(Proven {
            identity: Identity {
                session: Some(access.claims.sid),
                ..now.clone()
            },
            expires_at: access.expires_at,
        });
    }
    let held = key.verify::<Ticket>(token).map_err(Refusal::from)?;
    let same = match (&held.claims.viewer, &now.viewer) {
        (Viewer::User { id, .. }, Viewer::User { id: known, .. }) => id == known,
        (Viewer::Guest { .. }, Viewer::Guest { .. }) => true,
        (Viewer::User { .. }, Viewer::Guest { .. }) | (Viewer::Guest { .. }, Viewer::User { .. }) => false,
    };
    if !same || now.stream.is_some_and(|stream| stream != held.claims.stream) {
        return Err(ErrorCode::Unauthenticated.into());
    }
    let mut proven = ticket(shared, token).await.map_err(|refusal| match refusal.code {
        // A refused renewal leaves the connection its time.
        ErrorCode::TicketInvalid => Refusal::new(ErrorCode::Unauthenticated, "the ticket was used before"),
        _ => refusal,
    })?;
    proven.identity = Identity {
        part: proven.identity.part,
        session: proven.identity.session,
        ..now.clone()
    };
    Ok(proven)
}

/// The name of an account that may act, in a session that goes on.
async fn account(db: &Db, access: &Access) -> Result<String, Refusal> {
    let (user, session) = (access.sub, access.sid);
    let account = db
        .call(Purpose::Person, Some(user.0), async move |pool: sqlx::PgPool| {
            let mut conn = pool.acquire().await?;
            Ok(store::account(&mut conn, user, session).await?)
        })
        .await?;
    match account {
        Some(account) if account.revoked => Err(revoked::session_over()),
        Some(account) if !account.suspended => Ok(account.name),
        Some(_) | None => Err(ErrorCode::AccountSuspended.into()),
    }
}

/// Greets a connection; without `proven` it still has to say who it is.
#[must_use]
pub fn hello(shared: &Shared, proven: Option<&Proven>, now: Millis) -> Hello {
    let identity = proven.map(|proven| &proven.identity);
    let resume = proven.and_then(|proven| {
        let claims = Resume {
            viewer: proven.identity.viewer.clone(),
            session: proven.identity.session,
            stream: proven.identity.stream?,
            seller: proven.identity.seller?,
            part: proven.identity.part,
        };
        // A way back lasts as long as what it renews, so coming back often gains nothing.
        let issued_at = proven.expires_at - RESUME_SECONDS;
        shared.config.token_key.sign(claims, issued_at).ok()
    });
    Hello {
        node: shared.node,
        now,
        resume,
        user: identity.and_then(Identity::user),
        guest: identity.and_then(|identity| match identity.viewer {
            Viewer::Guest { id } => Some(id),
            Viewer::User { .. } => None,
        }),
        limits: shared.config.limits.announced(),
    }
}
