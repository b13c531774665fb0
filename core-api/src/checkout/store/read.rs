//! What checkouts read: variants as they are sold, flash holds, and a checkout's lines.

use shared::ids::{CheckoutId, ProductId, ReservationId, SellerId, ShippingProfileId, StreamId, UserId, VariantId};
use shared::money::{BasisPoints, Money};
use sqlx::PgConnection;
use uuid::Uuid;

use super::currency;
use crate::checkout::model::{HeldUnits, Line, Offer, Options};
use crate::checkout::pricing::ShippingRule;
use crate::discounts::model::LineDiscount;

/// A shipping rule from a left join's columns.
fn rule(
    profile: Option<ShippingProfileId>,
    base: Option<i64>,
    extra: Option<i64>,
    free_from: Option<i64>,
    show_cap: Option<i64>,
) -> Option<ShippingRule> {
    Some(ShippingRule {
        profile: profile?,
        base_minor: base?,
        extra_item_minor: extra?,
        free_from_minor: free_from,
        show_cap_minor: show_cap,
    })
}

/// Variants as they are sold now, with their shops' names.
pub async fn offers(conn: &mut PgConnection, buyer: UserId, variants: &[Uuid]) -> sqlx::Result<Vec<(Offer, String)>> {
    let rows = sqlx::query!(
        r#"select v.id as "variant: VariantId", p.id as "product: ProductId", s.id as "seller: SellerId",
                  s.shop_name, s.user_id = $1 as "own!", s.status = 'approved' as "selling!",
                  is_banned(s.id, $1) as "banned!", p.status = 'active' as "active!", p.title, v.sku, v.options as "options: Options",
                  p.image_url, v.price_minor, p.currency,
                  sp.id as "profile?: ShippingProfileId", sp.base_minor as "base?",
                  sp.extra_item_minor as "extra?", sp.free_from_minor as "free_from?", sp.show_cap_minor as "show_cap?",
                  sp.regions as "regions?"
             from product_variants v
             join products p on p.id = v.product_id
             join sellers s on s.id = p.seller_id
             left join shipping_profiles sp on sp.id = p.shipping_profile_id
            where v.id = any($2)"#,
        buyer.0,
        variants
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let offer = Offer {
                variant: row.variant,
                product: row.product,
                seller: row.seller,
                own: row.own,
                selling: row.selling,
                banned: row.banned,
                active: row.active,
                title: row.title,
                sku: row.sku,
                options: row.options.0,
                image_url: row.image_url,
                price: Money::new(row.price_minor, currency(&row.currency)?),
                shipping: rule(row.profile, row.base, row.extra, row.free_from, row.show_cap),
                regions: row.regions.unwrap_or_default(),
            };
            Ok((offer, row.shop_name))
        })
        .collect()
}

/// Flash holds of `buyer`'s, in the order of their ids.
pub async fn holds(conn: &mut PgConnection, buyer: UserId, holds: &[ReservationId]) -> sqlx::Result<Vec<HeldUnits>> {
    let ids: Vec<Uuid> = holds.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"select r.id as "reservation: ReservationId", s.variant_id as "variant: VariantId", r.quantity,
                  s.price_minor, s.currency, s.stream_id as "stream: StreamId", r.expires_at,
                  r.status = 'held' and r.expires_at > clock_timestamp() as "alive!"
             from reservations r join flash_sales s on s.id = r.sale_id
            where r.user_id = $1 and r.id = any($2) order by r.id"#,
        buyer.0,
        &ids
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(HeldUnits {
                reservation: row.reservation,
                variant: row.variant,
                quantity: row.quantity,
                price: Money::new(row.price_minor, currency(&row.currency)?),
                stream: row.stream,
                alive: row.alive,
                expires_at: row.expires_at,
            })
        })
        .collect()
}

/// Its lines, lapsed ones included, in the order of their ids. Commission is at the rate of
/// now: of the newest rule of the seller's, else of the nearest category's above the product
/// that has one, else of everybody's.
pub async fn lines(conn: &mut PgConnection, id: CheckoutId) -> sqlx::Result<Vec<Line>> {
    let rows = sqlx::query!(
        r#"select i.id, i.quantity, i.unit_price_minor, i.shipping_minor, i.lapsed_at is not null as "lapsed!",
                  i.seller_discount_minor, i.platform_discount_minor, i.tax_bps, i.tax_minor, i.shipping_tax_minor,
                  i.reservation_id as "reservation: ReservationId", r.expires_at as "hold_expires_at?",
                  coalesce(r.status <> 'held' or r.expires_at <= clock_timestamp(), false) as "dead!",
                  v.id as "variant: VariantId", p.id as "product: ProductId", s.id as "seller: SellerId",
                  s.shop_name, s.user_id = c.user_id as "own!", s.status = 'approved' as "selling!",
                  is_banned(s.id, c.user_id) as "banned!", p.status = 'active' as "active!", p.title, v.sku, v.options as "options: Options",
                  p.image_url, v.price_minor, c.currency,
                  sp.id as "profile?: ShippingProfileId", sp.base_minor as "base?",
                  sp.extra_item_minor as "extra?", sp.free_from_minor as "free_from?", sp.show_cap_minor as "show_cap?",
                  sp.regions as "regions?", rate.rate_bps as "rate_bps?"
             from checkout_items i
             join checkouts c on c.id = i.checkout_id
             join product_variants v on v.id = i.variant_id
             join products p on p.id = v.product_id
             join sellers s on s.id = p.seller_id
             left join shipping_profiles sp on sp.id = p.shipping_profile_id
             left join reservations r on r.id = i.reservation_id
             left join lateral (
                  with recursive above (category_id, steps) as (
                      select p.category_id, 1 where p.category_id is not null
                      union all
                      select k.parent_id, a.steps + 1
                        from above a join categories k on k.id = a.category_id where k.parent_id is not null
                  )
                  select rule.rate_bps
                    from (select rate_bps, valid_from, id, 0 as steps from commission_rules where seller_id = s.id
                          union all
                          select n.rate_bps, n.valid_from, n.id, a.steps
                            from above a join commission_rules n on n.category_id = a.category_id
                          union all
                          select rate_bps, valid_from, id, 2147483647 from commission_rules
                           where seller_id is null and category_id is null) rule
                   where rule.valid_from <= now()
                   order by rule.steps, rule.valid_from desc, rule.id desc limit 1) rate on true
            where i.checkout_id = $1 order by i.id"#,
        id.0
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let currency = currency(&row.currency)?;
            Ok(Line {
                id: row.id,
                offer: Offer {
                    variant: row.variant,
                    product: row.product,
                    seller: row.seller,
                    own: row.own,
                    selling: row.selling,
                    banned: row.banned,
                    active: row.active,
                    title: row.title,
                    sku: row.sku,
                    options: row.options.0,
                    image_url: row.image_url,
                    price: Money::new(row.price_minor, currency),
                    shipping: rule(row.profile, row.base, row.extra, row.free_from, row.show_cap),
                    regions: row.regions.unwrap_or_default(),
                },
                shop_name: row.shop_name,
                quantity: row.quantity,
                unit_price: Money::new(row.unit_price_minor, currency),
                discount: LineDiscount {
                    seller_minor: row.seller_discount_minor,
                    platform_minor: row.platform_discount_minor,
                },
                shipping: Money::new(row.shipping_minor, currency),
                tax_bps: row.tax_bps,
                tax: Money::new(row.tax_minor, currency),
                shipping_tax: Money::new(row.shipping_tax_minor, currency),
                reservation: row.reservation,
                hold_expires_at: row.hold_expires_at,
                commission: row.rate_bps.and_then(|bps| BasisPoints::new(u16::try_from(bps).ok()?)),
                hold_is_dead: row.dead,
                lapsed: row.lapsed,
            })
        })
        .collect()
}
