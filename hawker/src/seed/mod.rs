//! The demo shop: a world to look at and to sell in. Writing it twice changes nothing,
//! and what somebody has changed since stays as it is.
//!
//! It goes past both services' rules on purpose, straight into their tables, and so it
//! must write only what those rules would have let through; `hawker verify` and a test
//! hold it to that.

pub mod catalogue;
mod products;
mod store;

use sqlx::{PgConnection, PgPool};

use catalogue::{ACCOUNTS, CATEGORIES, PRODUCTS, SHOPS, STREAMS};

/// The platform's share of a sale, in basis points.
const COMMISSION_BPS: i32 = 1_000;

/// What there was to write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seeded {
    /// Accounts that were not there before.
    pub accounts: u64,
    /// Products that were not there before.
    pub products: u64,
}

/// Writes what is missing of the demo shop, all of it or nothing.
///
/// # Errors
/// When the database fails.
pub async fn run(db: &PgPool) -> Result<Seeded, sqlx::Error> {
    let mut tx = db.begin().await?;
    // Two seeds at once would meet in the middle of each other's rows.
    store::lock(&mut tx).await?;
    let accounts = people(&mut tx).await?;
    let products = shops(&mut tx).await?;
    shows(&mut tx).await?;
    tx.commit().await?;
    Ok(Seeded { accounts, products })
}

/// Nobody has an account here yet: a database that nobody has used.
///
/// # Errors
/// When the database fails.
pub async fn is_empty(db: &PgPool) -> Result<bool, sqlx::Error> {
    store::is_empty(&mut *db.acquire().await?).await
}

/// Gives the three demo accounts this password, where they exist. False: they do not.
///
/// # Errors
/// When the database fails.
pub async fn set_demo_password(db: &PgPool, password_hash: &str) -> Result<bool, sqlx::Error> {
    let ids = [catalogue::HOST_EMAIL, catalogue::VIEWER_EMAIL, catalogue::ADMIN_EMAIL]
        .map(|email| catalogue::id("account", email));
    store::set_passwords(&mut *db.acquire().await?, &ids, password_hash).await
}

async fn people(conn: &mut PgConnection) -> Result<u64, sqlx::Error> {
    let mut written = 0;
    for account in ACCOUNTS {
        written += store::insert_account(conn, account).await?;
    }
    let viewer = catalogue::id("account", catalogue::VIEWER_EMAIL);
    store::insert_address(conn, catalogue::id("address", catalogue::VIEWER_EMAIL), viewer).await?;
    Ok(written)
}

async fn shops(conn: &mut PgConnection) -> Result<u64, sqlx::Error> {
    store::insert_commission(conn, catalogue::id("commission", "platform"), COMMISSION_BPS).await?;
    for (position, (slug, name, parent)) in (0..).zip(CATEGORIES) {
        let id = catalogue::id("category", slug);
        let parent = parent.map(|slug| catalogue::id("category", slug));
        store::insert_category(conn, id, parent, name, slug, position).await?;
    }
    let admin = catalogue::id("account", catalogue::ADMIN_EMAIL);
    for shop in SHOPS {
        let owner = catalogue::id("account", shop.email);
        store::insert_shop(conn, shop, owner, admin).await?;
        store::insert_shipping(conn, shop).await?;
    }
    let mut written = 0;
    for product in PRODUCTS {
        let Some(shop) = SHOPS.iter().find(|shop| shop.slug == product.shop) else {
            continue;
        };
        let category = catalogue::id("category", product.category);
        let variants = product.variants();
        let axes = variants
            .first()
            .map(|variant| variant.options.keys().cloned().collect::<Vec<_>>());
        written += store::insert_product(conn, product, shop, category, &axes.unwrap_or_default()).await?;
        for (position, variant) in (0..).zip(variants) {
            store::insert_variant(conn, product.id(), &variant, position).await?;
        }
    }
    Ok(written)
}

async fn shows(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    for stream in STREAMS {
        let seller = catalogue::id("shop", stream.shop);
        store::insert_stream(conn, stream, seller).await?;
        let line_up = PRODUCTS
            .iter()
            .filter(|product| product.shop == stream.shop)
            .take(stream.line_up);
        for (position, product) in (0..).zip(line_up) {
            store::insert_line_up(conn, stream.id(), product.id(), position).await?;
        }
    }
    Ok(())
}
