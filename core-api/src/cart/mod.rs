//! The cart: what a buyer means to buy, kept with the account, over all shops. It holds no
//! stock and no price: both are read anew, and what has changed is said.
//!
//! What changes several lines takes them in the order of their variants. Whoever adds does
//! it under the lock of the account, so that each counts the lines before it.

pub mod handlers;
pub mod model;
mod store;

use std::collections::BTreeMap;

use shared::error::{ErrorCode, Refusal};
use shared::ids::{RequestId, SellerId, UserId, VariantId};
use shared::money::Money;
use sqlx::{Connection, PgConnection, PgPool};

use crate::http::Result;
use crate::idempotency::{self, Answer};
use crate::sellers::SellerRef;
use model::{Cart, CartItem, CartNote, CartShop, Goods, Kept, LINES_MAX, LeftOut, Merge, Merged, Reason};
use store::Row;

/// The buyer's cart as the goods are now. What is told of prices is told once.
///
/// # Errors
/// When the database fails.
pub(crate) async fn get(db: &PgPool, buyer: UserId) -> Result<Cart> {
    let mut connection = db.acquire().await?;
    let mut tx = connection.begin().await?;
    let cart = look(&mut tx, buyer).await?;
    tx.commit().await?;
    Ok(cart)
}

/// Reads the cart, and remembers which prices the buyer has seen.
async fn look(conn: &mut PgConnection, buyer: UserId) -> Result<Cart> {
    let rows = store::rows(conn, buyer).await?;
    let another: Vec<(VariantId, i64)> = rows
        .iter()
        .filter(|row| row.seen_price_minor != row.price.minor)
        .map(|row| (row.variant, row.price.minor))
        .collect();
    if !another.is_empty() {
        store::see(conn, buyer, &another).await?;
    }
    Ok(view(rows))
}

fn view(rows: Vec<Row>) -> Cart {
    let mut shops: Vec<CartShop> = Vec::new();
    for row in rows {
        let currency = row.price.currency;
        let seller = SellerRef {
            id: row.seller,
            shop_name: row.shop_name.clone(),
        };
        let item = item(row);
        let at = shops.iter().position(|shop| shop.seller.id == seller.id);
        let at = at.unwrap_or_else(|| {
            shops.push(CartShop {
                seller,
                items: Vec::new(),
                total: Money::zero(currency),
            });
            shops.len() - 1
        });
        if item.can_be_bought {
            shops[at].total.minor = shops[at].total.minor.saturating_add(item.total.minor);
        }
        shops[at].items.push(item);
    }
    Cart { shops }
}

fn item(row: Row) -> CartItem {
    let mut notes = Vec::new();
    let available = row.available.max(0);
    match row.goods.check() {
        Err(Reason::OwnShop) => notes.push(CartNote::OwnShop),
        Err(Reason::Banned) => notes.push(CartNote::Banned),
        Err(_) => notes.push(CartNote::NotOnSale),
        Ok(()) if available < row.quantity => notes.push(CartNote::InsufficientStock { available }),
        Ok(()) => {}
    }
    let can_be_bought = notes.is_empty();
    if row.seen_price_minor != row.price.minor {
        notes.push(CartNote::Price {
            from: Money::new(row.seen_price_minor, row.price.currency),
            to: row.price,
        });
    }
    let total = row.price.minor.saturating_mul(i64::from(row.quantity));
    CartItem {
        variant_id: row.variant,
        product_id: row.product,
        title: row.title,
        sku: row.sku,
        options: row.options,
        image_url: row.image_url,
        quantity: row.quantity,
        unit_price: row.price,
        total: Money::new(total, row.price.currency),
        can_be_bought,
        notes,
    }
}

/// Puts so many of a variant into the cart, or makes them so many.
///
/// # Errors
/// `not_found`, `own_shop`, `banned`, `conflict` when the cart is full.
pub(crate) async fn put(db: &PgPool, buyer: UserId, variant: VariantId, quantity: i32) -> Result<Cart> {
    let mut connection = db.acquire().await?;
    let mut tx = connection.begin().await?;
    lock(&mut tx, buyer).await?;
    let goods = store::goods(&mut tx, buyer, &[variant.0]).await?;
    let found = goods.get(&variant).ok_or(ErrorCode::NotFound)?;
    found
        .check()
        .map_err(|reason| refusal(reason, "there is no such variant on sale"))?;
    let kept = store::kept(&mut tx, buyer).await?;
    if kept.len() >= LINES_MAX && kept.iter().all(|line| line.variant != variant) {
        return Err(refusal(Reason::CartFull, "").into());
    }
    let line = Kept { variant, quantity };
    store::write(&mut tx, buyer, &[line], &goods).await?;
    let cart = look(&mut tx, buyer).await?;
    tx.commit().await?;
    Ok(cart)
}

fn refusal(reason: Reason, not_on_sale: &'static str) -> Refusal {
    match reason {
        Reason::NotOnSale => Refusal::new(ErrorCode::NotFound, not_on_sale),
        Reason::OwnShop => ErrorCode::OwnShop.into(),
        Reason::Banned => ErrorCode::Banned.into(),
        Reason::CartFull => Refusal::new(ErrorCode::Conflict, format!("{LINES_MAX} lines are the most")),
    }
}

/// An account that is gone gets no cart.
async fn lock(conn: &mut PgConnection, buyer: UserId) -> Result<()> {
    if store::lock(conn, buyer).await? {
        Ok(())
    } else {
        Err(ErrorCode::Unauthenticated.into())
    }
}

/// Takes a variant out of the cart. Doing it twice is no error.
///
/// # Errors
/// When the database fails.
pub(crate) async fn remove(db: &PgPool, buyer: UserId, variant: VariantId) -> Result<()> {
    Ok(store::delete(&mut *db.acquire().await?, buyer, variant).await?)
}

/// Takes everything out of the cart.
///
/// # Errors
/// When the database fails.
pub(crate) async fn clear(db: &PgPool, buyer: UserId) -> Result<()> {
    Ok(store::delete_all(&mut *db.acquire().await?, buyer).await?)
}

/// Takes a client's cart into the buyer's own: with a key once, also if what it has brought was
/// ordered meanwhile.
///
/// # Errors
/// `request_id_reused`, `request_in_flight`: what cannot be taken is said in the answer.
pub(crate) async fn merge(db: &PgPool, buyer: UserId, key: Option<RequestId>, asked: &Merge) -> Result<Answer<Merged>> {
    if let Some(key) = key {
        let work = async |conn: &mut PgConnection| take_in(conn, buyer, asked).await;
        return idempotency::once(db, buyer, key, "cart.merge", asked, 200, work).await;
    }
    let mut connection = db.acquire().await?;
    let mut tx = connection.begin().await?;
    let body = take_in(&mut tx, buyer, asked).await?;
    tx.commit().await?;
    Ok(Answer {
        status: 200,
        body,
        replayed: false,
    })
}

async fn take_in(conn: &mut PgConnection, buyer: UserId, asked: &Merge) -> Result<Merged> {
    lock(conn, buyer).await?;
    let variants: Vec<_> = asked.items.iter().map(|line| line.variant_id.0).collect();
    let goods: BTreeMap<VariantId, Goods> = store::goods(conn, buyer, &variants).await?;
    let kept = store::kept(conn, buyer).await?;
    let (lines, left_out): (Vec<Kept>, Vec<LeftOut>) = model::merge(&kept, &asked.items, &goods);
    if !lines.is_empty() {
        store::write(conn, buyer, &lines, &goods).await?;
    }
    let cart = look(conn, buyer).await?;
    Ok(Merged { cart, left_out })
}

/// Step: what a buyer's cart has of these shops, or of all where none is named, the oldest
/// line first.
///
/// # Errors
/// When the database fails.
pub async fn lines(conn: &mut PgConnection, buyer: UserId, sellers: &[SellerId]) -> Result<Vec<Kept>> {
    Ok(store::lines_of(conn, buyer, sellers).await?)
}

/// Step: what was ordered is in the cart no more; what the buyer has put there beyond it
/// stays.
///
/// # Errors
/// When the database fails.
pub async fn take_out(conn: &mut PgConnection, buyer: UserId, ordered: &[Kept]) -> Result<()> {
    Ok(store::take_out(conn, buyer, ordered).await?)
}
