//! Who calls. An extractor carries the permission, and reads it from the database for
//! each request: a suspension, a logout or a lost role counts at once, whatever the
//! token says.

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, web};
use futures_util::future::LocalBoxFuture;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{SellerId, UserId};
use shared::money::Currency;
use shared::status::SellerStatus;
use shared::token::Access;
use uuid::Uuid;

use super::{Error, Result};
use crate::identity::{self, Role, Standing};
use crate::state::State;

/// Anybody who is signed in and not suspended.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The account.
    pub id: UserId,
    /// The session: its family of refresh tokens.
    pub session: Uuid,
}

/// Anybody who is signed in, not suspended, and reads the mail of the account's address.
#[derive(Clone, Copy, Debug)]
pub struct Confirmed {
    /// The account.
    pub id: UserId,
}

/// The owner of an approved shop.
#[derive(Clone, Copy, Debug)]
pub struct Shopkeeper {
    /// The account.
    pub user: UserId,
    /// The shop.
    pub seller: SellerId,
    /// What the shop's prices are in.
    pub currency: Currency,
}

/// The owner of a shop that is approved or was, and is suspended: for what stops a show and
/// what keeps order in it until then, and for what buyers are owed of what was sold.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// The account.
    pub user: UserId,
    /// The shop.
    pub seller: SellerId,
}

/// An admin.
#[derive(Clone, Copy, Debug)]
pub struct Admin {
    /// The account.
    pub id: UserId,
}

/// The caller, where a token is sent. A token that is sent must be good.
#[derive(Clone, Copy, Debug)]
pub struct MaybeCaller(pub Option<Caller>);

type Reading<T> = LocalBoxFuture<'static, Result<T>>;

/// The bearer token of RFC 6750; `None`: none is sent.
fn bearer(request: &HttpRequest) -> Result<Option<String>> {
    let Some(value) = request.headers().get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let token = value.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    });
    token
        .map(Some)
        .ok_or_else(|| Refusal::new(ErrorCode::Unauthenticated, "Send `Authorization: Bearer` and a token").into())
}

/// The account that a request's token was signed for, for counting alone: nobody has asked
/// whether its session is still good. `None`: no token, or none of ours.
pub(super) fn signed_for(request: &HttpRequest, state: &State) -> Option<UserId> {
    let token = bearer(request).ok().flatten()?;
    let access = state.config.token_key.verify::<Access>(&token).ok()?;
    Some(access.claims.sub)
}

async fn authenticate(state: &State, token: &str) -> Result<(Caller, Standing)> {
    let access = state.config.token_key.verify::<Access>(token)?.claims;
    let standing = identity::standing(&state.db, access.sub, access.sid).await?;
    let caller = Caller {
        id: access.sub,
        session: access.sid,
    };
    Ok((caller, standing))
}

/// Authenticates, then lets `permit` decide.
fn who<T: 'static>(request: &HttpRequest, permit: fn(Caller, Standing) -> Result<T>) -> Reading<T> {
    let token = bearer(request);
    let state = request.app_data::<web::Data<State>>().cloned();
    Box::pin(async move {
        let state = state.ok_or_else(|| anyhow::anyhow!("the application has no state"))?;
        let token = token?.ok_or(ErrorCode::Unauthenticated)?;
        let (caller, standing) = authenticate(&state, &token).await?;
        permit(caller, standing)
    })
}

impl FromRequest for Caller {
    type Error = Error;
    type Future = Reading<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        who(request, |caller, _| Ok(caller))
    }
}

impl FromRequest for Confirmed {
    type Error = Error;
    type Future = Reading<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        who(request, |caller, standing| {
            if standing.confirmed {
                Ok(Self { id: caller.id })
            } else {
                Err(ErrorCode::EmailUnconfirmed.into())
            }
        })
    }
}

impl FromRequest for MaybeCaller {
    type Error = Error;
    type Future = Reading<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        if !request.headers().contains_key(header::AUTHORIZATION) {
            return Box::pin(async { Ok(Self(None)) });
        }
        let caller = Caller::from_request(request, payload);
        Box::pin(async move { Ok(Self(Some(caller.await?))) })
    }
}

impl FromRequest for Shopkeeper {
    type Error = Error;
    type Future = Reading<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        who(request, |caller, standing| {
            let refused = |detail: &'static str| Error::from(Refusal::new(ErrorCode::Forbidden, detail));
            let shop = standing.shop.ok_or_else(|| refused("Apply as a seller first"))?;
            match shop.status {
                SellerStatus::Approved => Ok(Self {
                    user: caller.id,
                    seller: shop.id,
                    currency: shop.currency,
                }),
                SellerStatus::Pending => Err(refused("The shop is not approved yet")),
                SellerStatus::Rejected => Err(refused("The shop was not approved")),
                SellerStatus::Suspended => Err(refused("The shop is suspended")),
            }
        })
    }
}

impl FromRequest for Owner {
    type Error = Error;
    type Future = Reading<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        who(request, |caller, standing| match standing.shop {
            Some(shop) if matches!(shop.status, SellerStatus::Approved | SellerStatus::Suspended) => Ok(Self {
                user: caller.id,
                seller: shop.id,
            }),
            _ => Err(Refusal::new(ErrorCode::Forbidden, "There is no shop of yours that was approved").into()),
        })
    }
}

impl FromRequest for Admin {
    type Error = Error;
    type Future = Reading<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        who(request, |caller, standing| match standing.role {
            Role::Admin => Ok(Self { id: caller.id }),
            Role::User => Err(ErrorCode::Forbidden.into()),
        })
    }
}
