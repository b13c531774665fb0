//! A shop's part of an order, as the shop sees it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::error::{ErrorCode, Refusal};
use shared::ids::{OrderId, StreamId};
use shared::status::OrderStatus;
use utoipa::{IntoParams, ToSchema};

use crate::checkout::model::PostalAddress;
use crate::fulfilment::model::Shipment;
use crate::http::Result;
use crate::orders::model::OrderItem;

/// A paid order, as far as it is of this shop's goods.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SellerOrder {
    /// Its id.
    pub id: OrderId,
    /// Its number, for people.
    pub number: i64,
    /// How far the shop's part is, whatever other shops have done: `paid` is to be sent.
    pub status: OrderStatus,
    /// The shop's lines.
    pub items: Vec<OrderItem>,
    /// What the shop has sent, oldest first.
    pub shipments: Vec<Shipment>,
    /// Where it goes.
    pub address: PostalAddress,
    /// The show that it was bought in.
    pub stream_id: Option<StreamId>,
    /// When it was placed.
    pub created_at: DateTime<Utc>,
    /// When it was paid.
    pub paid_at: DateTime<Utc>,
}

/// Which of them.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Only those whose part of the shop is so far.
    pub status: Option<OrderStatus>,
}

impl Filter {
    /// How far they are to be.
    ///
    /// # Errors
    /// `InvalidParameter` for what no paid order is.
    pub fn status(self) -> Result<Option<OrderStatus>> {
        if matches!(self.status, Some(OrderStatus::PendingPayment | OrderStatus::Expired)) {
            let refusal = Refusal::new(ErrorCode::InvalidParameter, "a shop sees what is paid");
            return Err(refusal.at("status").into());
        }
        Ok(self.status)
    }
}
