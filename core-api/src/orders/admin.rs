//! Orders of everybody, as admins look them up. Reading alone, with its one query.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::error::ErrorCode;
use shared::ids::{OrderId, UserId};
use shared::money::{Currency, Money};
use shared::status::{Machine as _, OrderStatus};
use sqlx::PgPool;
use utoipa::{IntoParams, ToSchema};

use super::model::Order;
use super::store::admin as store;
use crate::http::{List, Page, Result};

/// An order in an admin's list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AdminOrder {
    /// Its id.
    pub id: OrderId,
    /// Its number, for people.
    pub number: i64,
    /// Its status.
    pub status: OrderStatus,
    /// Who bought.
    pub buyer_id: UserId,
    /// What it costs.
    pub total: Money,
    /// When it was placed.
    pub created_at: DateTime<Utc>,
    /// When it was paid.
    pub paid_at: Option<DateTime<Utc>>,
}

/// An order as an admin sees it: as its buyer does, and who that is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AdminOrderView {
    /// Who bought.
    pub buyer_id: UserId,
    /// The order.
    #[serde(flatten)]
    pub order: Order,
}

/// Which orders.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AdminFilter {
    /// Of this status.
    pub status: Option<OrderStatus>,
    /// Of this buyer.
    pub buyer_id: Option<UserId>,
    /// With this number.
    pub number: Option<i64>,
}

/// A row of the list.
pub(super) struct Row {
    pub id: OrderId,
    pub number: i64,
    pub status: OrderStatus,
    pub buyer_id: UserId,
    pub total_minor: i64,
    pub currency: String,
    pub created_at: DateTime<Utc>,
    pub paid_at: Option<DateTime<Utc>>,
}

impl Row {
    fn view(self) -> Result<AdminOrder> {
        let currency = Currency::parse(&self.currency).map_err(anyhow::Error::new)?;
        Ok(AdminOrder {
            id: self.id,
            number: self.number,
            status: self.status,
            buyer_id: self.buyer_id,
            total: Money::new(self.total_minor, currency),
            created_at: self.created_at,
            paid_at: self.paid_at,
        })
    }
}

/// Orders, newest first.
///
/// # Errors
/// When the database fails.
pub(crate) async fn list(db: &PgPool, filter: AdminFilter, page: &Page) -> Result<List<AdminOrder>> {
    let status = filter.status.map(OrderStatus::as_str);
    let rows = store::list(&mut *db.acquire().await?, filter, status, page).await?;
    let rows = rows.into_iter().map(Row::view).collect::<Result<Vec<_>>>()?;
    Ok(List::of(rows, page, |order| order.id.0))
}

/// An order, whoever's.
///
/// # Errors
/// `NotFound`.
pub(crate) async fn get(db: &PgPool, id: OrderId) -> Result<AdminOrderView> {
    let mut conn = db.acquire().await?;
    let buyer_id = store::buyer(&mut conn, id).await?.ok_or(ErrorCode::NotFound)?;
    let order = super::view(&mut conn, buyer_id, id).await?;
    Ok(AdminOrderView { buyer_id, order })
}
