//! A shop's part of orders as a file: one line a line of an order, a batch of orders at a
//! time, so that no more than that is held in memory, whatever the shop has sold.

use actix_web::web::Bytes;
use csv::Writer;
use futures_util::Stream;
use shared::ids::SellerId;
use shared::money::Money;
use shared::status::OrderStatus;
use sqlx::PgPool;
use uuid::Uuid;

use super::model::SellerOrder;
use crate::catalog::files::{decimal, guarded};
use crate::http::{Error, Page, Result};
use crate::orders::model::OrderItem;

/// Orders read at once.
const BATCH: i64 = 100;

const COLUMNS: [&str; 26] = [
    "order_number",
    "order_id",
    "paid_at",
    "status",
    "item_id",
    "sku",
    "title",
    "options",
    "quantity",
    "cancelled",
    "shipped",
    "delivered",
    "returned",
    "unit_price",
    "total",
    "shipping",
    "currency",
    "recipient",
    "line1",
    "line2",
    "city",
    "region",
    "postal_code",
    "country",
    "phone",
    "tracking",
];

/// Where the writing stands.
struct Exporting {
    db: PgPool,
    seller: SellerId,
    status: Option<OrderStatus>,
    cursor: Option<Uuid>,
    begun: bool,
    done: bool,
}

/// The shop's paid orders, the newest first. It fails in the stream when the database does.
pub fn export(db: &PgPool, seller: SellerId, status: Option<OrderStatus>) -> impl Stream<Item = Result<Bytes>> + use<> {
    let state = Exporting {
        db: db.clone(),
        seller,
        status,
        cursor: None,
        begun: false,
        done: false,
    };
    futures_util::stream::try_unfold(state, |mut state| async move {
        if state.done {
            return Ok(None);
        }
        let bytes = state.next().await?;
        Ok(Some((bytes, state)))
    })
}

impl Exporting {
    async fn next(&mut self) -> Result<Bytes> {
        let page = Page {
            cursor: self.cursor,
            limit: BATCH,
        };
        let list = super::list(&self.db, self.seller, self.status, &page).await?;
        self.cursor = list.next_cursor;
        self.done = list.next_cursor.is_none();
        let mut table = Writer::from_writer(Vec::new());
        if !self.begun {
            self.begun = true;
            table.write_record(COLUMNS).map_err(fault)?;
        }
        for order in &list.items {
            for item in &order.items {
                let cells = cells(order, item);
                table
                    .write_record(cells.iter().map(|cell| guarded(cell)))
                    .map_err(fault)?;
            }
        }
        Ok(table.into_inner().map_err(|error| fault(error.into_error()))?.into())
    }
}

fn fault(error: impl Into<anyhow::Error>) -> Error {
    Error::Fault(error.into())
}

fn cells(order: &SellerOrder, item: &OrderItem) -> [String; COLUMNS.len()] {
    let price = |money: Money| decimal(money.minor, money.currency);
    let to = &order.address;
    let options: Vec<String> = { item.options.iter() }
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let tracking: Vec<&str> = { order.shipments.iter() }
        .filter(|parcel| parcel.items.iter().any(|units| units.order_item_id == item.id))
        .map(|parcel| parcel.tracking.as_str())
        .filter(|number| !number.is_empty())
        .collect();
    [
        order.number.to_string(),
        order.id.to_string(),
        order.paid_at.to_rfc3339(),
        order.status.to_string(),
        item.id.to_string(),
        item.sku.clone(),
        item.title.clone(),
        options.join(", "),
        item.quantity.to_string(),
        item.cancelled.to_string(),
        item.shipped.to_string(),
        item.delivered.to_string(),
        item.returned.to_string(),
        price(item.unit_price),
        price(item.total),
        price(item.shipping),
        item.total.currency.code().to_owned(),
        to.recipient.clone(),
        to.line1.clone(),
        to.line2.clone(),
        to.city.clone(),
        to.region.clone(),
        to.postal_code.clone(),
        to.country.clone(),
        to.phone.clone(),
        tracking.join(" "),
    ]
}
