//! A host's flash sales: the rules are the schema's functions.

use shared::error::{ErrorCode, Refusal};
use shared::ids::{SaleId, VariantId};
use shared::outbox;
use shared::protocol::{Outcome, RoomEvent, SaleOpen, SalePrice};
use shared::status::StreamStatus;
use sqlx::PgConnection;

use super::{Done, Show};
use crate::db::Error;
use crate::room::store::load;

pub(super) async fn open(tx: &mut PgConnection, show: &Show, open: &SaleOpen) -> Result<Done, Error> {
    if show.status != StreamStatus::Live {
        return Err(ErrorCode::StreamNotLive.into());
    }
    let whole = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    let opens_in = open.opens_in_seconds.unwrap_or(0);
    let sale = SaleId::new();
    let (price, percent_off) = match open.price {
        SalePrice::PriceMinor(price) => (Some(price), None),
        SalePrice::PercentOff(percent) => (None, Some(i32::from(percent))),
    };
    let opened = sqlx::query_scalar!(
        r#"select open_flash_sale($1, $2, $3, $4, $5, $6, $7, $8,
                                  t.opens_at, t.opens_at + make_interval(secs => $10), $11) as "opened!"
             from (select clock_timestamp() + make_interval(secs => $9) as opens_at) t"#,
        sale.0,
        show.stream.0,
        show.seller.0,
        open.variant.0,
        whole(open.quantity),
        price,
        whole(open.per_buyer),
        whole(open.hold_seconds),
        f64::from(opens_in),
        f64::from(open.ends_in_seconds),
        percent_off
    )
    .fetch_one(&mut *tx)
    .await?;
    if !opened {
        return Err(why_not_opened(tx, show, open.variant).await?);
    }
    // Inserted a moment ago in this very transaction.
    let (card, ..) = load::sale_card(tx, sale).await?.ok_or(ErrorCode::Internal)?;
    outbox::push_product_changed(tx, card.product).await?;
    Ok((Outcome::SaleOpened { sale }, vec![RoomEvent::SaleOpened { sale: card }]))
}

async fn why_not_opened(tx: &mut PgConnection, show: &Show, variant: VariantId) -> Result<Error, sqlx::Error> {
    let free = sqlx::query_scalar!(
        r#"select v.on_hand - v.reserved as "free!" from product_variants v join products p on p.id = v.product_id
            where v.id = $1 and p.seller_id = $2 and p.status = 'active'"#,
        variant.0,
        show.seller.0
    )
    .fetch_optional(tx)
    .await?;
    let refusal = match free {
        Some(free) => Refusal::new(
            ErrorCode::InsufficientStock,
            format!("{free} units are free to be sold"),
        )
        .at("quantity"),
        None => Refusal::new(ErrorCode::NotFound, "no such variant of an active product of the shop").at("variant"),
    };
    Ok(refusal.into())
}

pub(super) async fn close(tx: &mut PgConnection, show: &Show, sale: SaleId) -> Result<Done, Error> {
    let is_of_show = sqlx::query_scalar!(
        r#"select exists (select from flash_sales where id = $1 and stream_id = $2) as "is!""#,
        sale.0,
        show.stream.0
    )
    .fetch_one(&mut *tx)
    .await?;
    if !is_of_show {
        return Err(Refusal::from(ErrorCode::NotFound).at("sale").into());
    }
    if !closed(tx, sale).await? {
        // Its time had run out: it is closed, as was wished, and the room was told.
        return Ok((Outcome::Done, Vec::new()));
    }
    Ok((Outcome::Done, vec![RoomEvent::SaleClosed { sale }]))
}

pub(super) async fn closed(tx: &mut PgConnection, sale: SaleId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select close_flash_sale($1) as "closed!""#, sale.0)
        .fetch_one(tx)
        .await
}
