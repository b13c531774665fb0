//! Rows by plain SQL, for tests that need a world without walking through REST to make
//! it. What they write satisfies every invariant of `hawker verify`.

use shared::ids::{AddressId, ProductId, SellerId, StreamId, UserId, VariantId};
use sqlx::PgPool;
use uuid::Uuid;

/// An approved shop with one product in the line-up of a show on air.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shop {
    /// The seller's account.
    pub owner: UserId,
    /// The shop, in EUR.
    pub seller: SellerId,
    /// Its product, with free shipping.
    pub product: ProductId,
    /// The product's only variant.
    pub variant: VariantId,
    /// Its show, live.
    pub stream: StreamId,
}

/// An account named `name` that nobody can log in to.
pub async fn user(pool: &PgPool, name: &str) -> UserId {
    let id = UserId::new();
    let email = format!("{}@test.hawker.example", id.0.simple());
    // No password has this hash; tests that log in register over REST.
    let insert = "with u as (insert into users (id, email, email_verified_at, password_hash)
                            values ($1, $2, now(), 'none') returning id)
                  insert into profiles (user_id, display_name) select id, $3 from u";
    sqlx::query(insert)
        .bind(id.0)
        .bind(email)
        .bind(name)
        .execute(pool)
        .await
        .expect("the user is new");
    id
}

/// An administrator.
pub async fn admin(pool: &PgPool) -> UserId {
    let id = user(pool, "Admin").await;
    let raise = sqlx::query("update users set role = 'admin' where id = $1").bind(id.0);
    raise.execute(pool).await.expect("the user is there");
    id
}

/// A shop whose only variant has `on_hand` units at `price_minor` euro cents.
pub async fn shop(pool: &PgPool, on_hand: i32, price_minor: i64) -> Shop {
    let owner = user(pool, "Host").await;
    let (seller, stream) = (SellerId::new(), StreamId::new());
    let slug = format!("shop-{}", seller.0.simple());
    let insert = "insert into sellers (id, user_id, shop_name, slug, country, currency, status, decided_at)
                  values ($1, $2, 'Test Shop', $3, 'DE', 'EUR', 'approved', now())";
    let insert = sqlx::query(insert).bind(seller.0).bind(owner.0).bind(slug);
    insert.execute(pool).await.expect("the shop is new");
    let insert = "insert into streams (id, seller_id, title, status, scheduled_at, started_at)
                  values ($1, $2, 'Test Show', 'live', now(), now())";
    let insert = sqlx::query(insert).bind(stream.0).bind(seller.0);
    insert.execute(pool).await.expect("the show is new");
    let (product, variant) = self::product(pool, seller, on_hand, price_minor).await;
    let insert = "insert into stream_products (stream_id, product_id) values ($1, $2)";
    let insert = sqlx::query(insert).bind(stream.0).bind(product.0);
    insert.execute(pool).await.expect("the line-up is empty");
    Shop {
        owner,
        seller,
        product,
        variant,
        stream,
    }
}

/// An active product with one variant and the movement that explains its stock.
pub async fn product(pool: &PgPool, seller: SellerId, on_hand: i32, price_minor: i64) -> (ProductId, VariantId) {
    let (product, variant) = (ProductId::new(), VariantId::new());
    let insert = "insert into products (id, seller_id, title, currency, status)
                  select $1, id, 'Test Product', currency, 'active' from sellers where id = $2";
    let insert = sqlx::query(insert).bind(product.0).bind(seller.0);
    insert.execute(pool).await.expect("the product is new");
    let insert = "insert into product_variants (id, product_id, sku, price_minor, on_hand)
                  select $1, $2, 'TEST-' || count(*) + 1, $3, $4 from product_variants where seller_id = $5";
    let insert = sqlx::query(insert)
        .bind(variant.0)
        .bind(product.0)
        .bind(price_minor)
        .bind(on_hand)
        .bind(seller.0);
    insert.execute(pool).await.expect("the variant is new");
    if on_hand > 0 {
        let insert = "insert into inventory_movements (id, variant_id, on_hand, reason)
                      values ($1, $2, $3, 'initial')";
        let insert = sqlx::query(insert).bind(Uuid::now_v7()).bind(variant.0).bind(on_hand);
        insert.execute(pool).await.expect("the movement is new");
    }
    (product, variant)
}

/// An address to ship to, the person's default.
pub async fn address(pool: &PgPool, user: UserId) -> AddressId {
    let id = AddressId::new();
    let insert = "insert into addresses (id, user_id, recipient, line1, city, postal_code, country,
                                         is_default_shipping, is_default_billing)
                  select $1, $2, 'Test Buyer', '1 Quay Street', 'Hamburg', '20457', 'DE', first, first
                    from (select not exists (select 1 from addresses where user_id = $2) as first) f";
    let insert = sqlx::query(insert).bind(id.0).bind(user.0);
    insert.execute(pool).await.expect("the address is new");
    id
}
