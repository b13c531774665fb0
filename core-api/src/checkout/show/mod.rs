//! The cap that a shop sets on the shipping of its show: what a buyer has paid for it is
//! counted, by the place that it goes to. It is priced with what is paid, and placed only
//! where what is ordered but unpaid makes no difference. What an order was spared stays paid
//! with another of the show that is called off.

mod spared;
mod store;

use shared::error::{ErrorCode, Refusal};
use shared::ids::{OrderId, StreamId, UserId};
use sqlx::PgConnection;

use super::model::{Head, Line, PostalAddress};
use super::{pricing, to_be_priced};
use crate::http::Result;

pub use spared::{Part, Spared};

/// What a show's cap counts.
#[derive(Clone, Copy)]
pub(super) struct Charges {
    /// What is paid.
    pub paid: pricing::Show,
    /// What is paid and what is ordered.
    pub ordered: pricing::Show,
}

/// What a cap of the show counts; `None`: there is no show, or no cap of its seller's.
pub(super) async fn charges(
    conn: &mut PgConnection,
    buyer: UserId,
    stream: Option<StreamId>,
    address: &PostalAddress,
    lines: &[Line],
) -> Result<Option<Charges>> {
    let Some(stream) = stream.filter(|_| lines.iter().any(Line::has_cap)) else {
        return Ok(None);
    };
    let charged = store::charged(conn, buyer, stream, address).await?;
    Ok(charged.map(|charged| {
        let show = |charged_minor| pricing::Show {
            seller: charged.seller,
            charged_minor,
        };
        Charges {
            paid: show(charged.paid_minor),
            ordered: show(charged.paid_minor.saturating_add(charged.unpaid_minor)),
        }
    }))
}

/// A price that is compared with the one that a checkout has.
pub(super) struct Compared {
    /// It is another one now.
    pub is_another: bool,
    /// It would be another one, were all paid that is ordered.
    depends: bool,
}

/// The price that an open checkout would have now, as far as its show's cap goes.
pub(super) async fn compare(conn: &mut PgConnection, buyer: UserId, head: &Head, lines: &[Line]) -> Result<Compared> {
    let Some(show) = charges(conn, buyer, head.stream, &head.address, lines).await? else {
        return Ok(Compared {
            is_another: false,
            depends: false,
        });
    };
    // Shipping knows no tax, so that none is asked for.
    let lines = to_be_priced(lines.iter().filter(|l| l.remains()));
    let paid = pricing::price(head.currency, &lines, Some(show.paid), None)?;
    let ordered = pricing::price(head.currency, &lines, Some(show.ordered), None)?;
    Ok(Compared {
        is_another: paid.shipping.minor != head.sums.shipping_minor,
        depends: ordered != paid,
    })
}

/// Refuses to place what would cost otherwise now, or depends on an unpaid order. An order's
/// shipping never depends on one that may still be given up, nor passes the cap once both
/// are paid: so it waits for it.
///
/// # Errors
/// `conflict`.
pub(super) async fn check(conn: &mut PgConnection, buyer: UserId, head: &Head, lines: &[Line]) -> Result<()> {
    let (Some(stream), true) = (head.stream, lines.iter().any(Line::has_cap)) else {
        return Ok(());
    };
    store::lock_show(conn, buyer, stream).await?;
    let price = compare(conn, buyer, head, lines).await?;
    let refused = |detail: &'static str| Err(Refusal::new(ErrorCode::Conflict, detail).into());
    if price.is_another {
        return refused("its shipping costs otherwise now: look at the checkout again");
    }
    if price.depends {
        return refused("its shipping depends on an unpaid order of the same show: pay or cancel that one first");
    }
    Ok(())
}

/// Step: writes down what an order in a show would cost to send without the show's cap.
///
/// # Errors
/// When the database fails.
pub async fn record(conn: &mut PgConnection, order: OrderId, head: &Head, lines: &[Line]) -> Result<()> {
    let (Some(stream), true) = (head.stream, lines.iter().any(Line::has_cap)) else {
        return Ok(());
    };
    let uncapped = pricing::uncapped(head.currency, &to_be_priced(lines.iter()));
    let uncapped = uncapped.map_err(anyhow::Error::from)?;
    Ok(store::insert(conn, order, stream, &uncapped).await?)
}

/// Step: has purchases of the order's buyer in its show placed and called off one after another
/// until the transaction ends. It comes before the locks of payments and orders.
///
/// # Errors
/// When the database fails.
pub async fn lock_of(conn: &mut PgConnection, order: OrderId) -> Result<()> {
    Ok(store::lock_show_of(conn, order).await?)
}

/// Step: what the buyer of an order has bought in its show to the same place, of the show's own
/// goods, as far as it was paid or may be; `None`: it was bought in no show, or nothing of its
/// seller's. [`lock_of`] was called.
///
/// # Errors
/// When the database fails.
pub async fn spared(conn: &mut PgConnection, order: OrderId) -> Result<Option<Spared>> {
    Ok(store::spared(conn, order).await?)
}
