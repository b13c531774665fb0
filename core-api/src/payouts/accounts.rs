//! Where shops' money goes: one account for each currency, and when it goes there by itself.

use chrono::Utc;
use serde_json::json;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{PayoutAccountId, SellerId};
use sqlx::PgPool;

use super::model::{NewPayoutAccount, PayoutAccount, PayoutAccountChange};
use super::provider::PayoutProvider;
use super::store::accounts as store;
use crate::audit;
use crate::http::{List, Result, Shopkeeper};

/// A shop's accounts, by currency.
///
/// # Errors
/// When the database fails.
pub(crate) async fn of_shop(db: &PgPool, seller: SellerId) -> Result<List<PayoutAccount>> {
    Ok(List::whole(store::list(&mut *db.acquire().await?, seller).await?))
}

/// Says where a shop's money of a currency goes.
///
/// # Errors
/// `InvalidBody` when the provider knows no such destination, `Conflict` when there is an
/// account of the currency.
pub(crate) async fn add(
    db: &PgPool,
    payer: &dyn PayoutProvider,
    shop: &Shopkeeper,
    new: &NewPayoutAccount,
) -> Result<PayoutAccount> {
    let destination = new.destination.trim();
    if !payer.knows_destination(destination) {
        return Err(Refusal::new(ErrorCode::InvalidBody, "no such destination")
            .at("destination")
            .into());
    }
    let currency = new.currency.unwrap_or(shop.currency);
    let next = new.schedule.period(Utc::now()).map(|period| period.next);
    let mut tx = db.begin().await?;
    let added = store::insert(
        &mut tx,
        shop.seller,
        payer.provider(),
        destination,
        currency,
        (new.schedule, next),
    )
    .await?;
    let account = added.ok_or_else(|| {
        let detail = format!("Money in {currency} has an account already: take that away first");
        Refusal::new(ErrorCode::Conflict, detail)
    })?;
    let detail = json!({"seller": shop.seller, "before": null, "after": account});
    audit::record(&mut tx, shop.user, "payout_account.added", account.id.0, detail).await?;
    tx.commit().await?;
    Ok(account)
}

/// Changes when money goes there by itself, from the next period on.
///
/// # Errors
/// `NotFound`.
pub(crate) async fn change(
    db: &PgPool,
    shop: &Shopkeeper,
    id: PayoutAccountId,
    change: &PayoutAccountChange,
) -> Result<PayoutAccount> {
    let next = change.schedule.period(Utc::now()).map(|period| period.next);
    let mut tx = db.begin().await?;
    let before = store::list(&mut tx, shop.seller)
        .await?
        .into_iter()
        .find(|known| known.id == id);
    let changed = store::reschedule(&mut tx, shop.seller, id, (change.schedule, next)).await?;
    let account = changed.ok_or(ErrorCode::NotFound)?;
    let detail = json!({"before": before.map(|before| before.schedule), "after": account.schedule});
    audit::record(&mut tx, shop.user, "payout_account.changed", id.0, detail).await?;
    tx.commit().await?;
    Ok(account)
}

/// Takes an account away. What is on its way there goes on.
///
/// # Errors
/// `NotFound`.
pub(crate) async fn disable(db: &PgPool, shop: &Shopkeeper, id: PayoutAccountId) -> Result<()> {
    let mut tx = db.begin().await?;
    if !store::disable(&mut tx, shop.seller, id).await? {
        return Err(ErrorCode::NotFound.into());
    }
    let detail = json!({"before": {"disabled": false}, "after": {"disabled": true}});
    audit::record(&mut tx, shop.user, "payout_account.disabled", id.0, detail).await?;
    tx.commit().await?;
    Ok(())
}
