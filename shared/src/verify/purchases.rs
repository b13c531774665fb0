//! The invariants of what a purchase is priced with: tax, discounts, carts. Queries are of
//! the form that `checks` has.

use super::Invariant;

/// In the order in which they are reported.
pub const CHECKS: &[Invariant] = &[
    Invariant {
        name: "tax_is_its_rate",
        proves: "of all lines of a purchase goods, and shipping, are taxed at one rate or not at all, rounded half up once",
        sql: "select p.id::text as subject,
                     count(distinct l.tax_bps) > 1
                     or not (bool_and(l.tax_minor = of_goods.tax) or bool_and(l.tax_minor = 0))
                     or not (bool_and(l.shipping_tax_minor = of_shipping.tax) or bool_and(l.shipping_tax_minor = 0))
                     as broken
                from (select id, tax_included from orders
                      union all select id, tax_included from checkouts where status in ('open', 'placed')) p
                join (select order_id as purchase_id, gross_minor - seller_discount_minor as goods, shipping_minor,
                             tax_bps, tax_minor, shipping_tax_minor from order_items
                      union all
                      select checkout_id, unit_price_minor * quantity - seller_discount_minor, shipping_minor,
                             tax_bps, tax_minor, shipping_tax_minor from checkout_items where lapsed_at is null) l
                  on l.purchase_id = p.id
               cross join lateral (select case when p.tax_included then 10000 + l.tax_bps else 10000 end as whole) w
               cross join lateral (select div(2 * l.goods::numeric * l.tax_bps + whole, 2 * whole) as tax) of_goods
               cross join lateral (
                     select div(2 * l.shipping_minor::numeric * l.tax_bps + whole, 2 * whole) as tax) of_shipping
               group by p.id",
    },
    Invariant {
        name: "discounts_are_their_codes",
        proves: "what an order's code takes off is its percentage or amount of the goods that it is good for, which \
                 are worth enough, and whoever funds it bears it; flash lines and orders without a code have none",
        sql: "select o.id::text as subject,
                     case when c.id is null then o.discount_minor <> 0
                          else o.discount_minor <> case when c.amount_minor is null
                                                        then div(g.goods * c.percent_bps + 5000, 10000)
                                                        else least(c.amount_minor, g.goods) end
                               or g.goods < c.min_items_minor or g.astray end as broken
                from orders o
                left join discount_uses u on u.order_id = o.id
                left join discount_codes c on c.id = u.code_id
               cross join lateral (
                     select coalesce(sum(i.gross_minor) filter (where l.is_good), 0) as goods,
                            coalesce(bool_or(i.seller_discount_minor > 0 and not (l.is_good and c.seller_id is not null)
                                             or i.platform_discount_minor > 0
                                                and not (l.is_good and c.seller_id is null)), false) as astray
                       from order_items i
                      cross join lateral (
                            select i.reservation_id is null
                                   and (c.seller_id is null or c.seller_id = i.seller_id) as is_good) l
                      where i.order_id = o.id) g",
    },
    Invariant {
        name: "discount_uses_are_orders",
        proves: "every order with a discount code is one use of it by its buyer, and no other is",
        sql: "select coalesce(o.id, u.order_id)::text as subject,
                     o.id is null or u.order_id is null or u.user_id <> o.user_id or c.code <> o.discount_code as broken
                from (select * from orders where discount_code is not null) o
                full join discount_uses u on u.order_id = o.id
                left join discount_codes c on c.id = u.code_id",
    },
    Invariant {
        name: "discount_uses_count",
        proves: "a use of a discount code counts exactly as long as its order is neither cancelled nor expired, and a code \
                 with a limit has counted its uses",
        sql: "select c.id::text as subject,
                     c.uses <> case when c.uses_max is null then 0 else count(u.order_id) filter (where u.stands) end
                     or coalesce(bool_or(u.stands <> (o.status not in ('cancelled', 'expired'))), false) as broken
                from discount_codes c
                left join discount_uses u on u.code_id = c.id
                left join orders o on o.id = u.order_id
               group by c.id",
    },
    Invariant {
        name: "discount_limits",
        proves: "no discount code is used more often than it may be, by all or by one buyer",
        sql: "select c.id::text as subject, sum(u.uses) > c.uses_max or max(u.uses) > c.uses_per_buyer_max as broken
                from discount_codes c
                join (select u.code_id, u.user_id, count(*) as uses
                        from discount_uses u join orders o on o.id = u.order_id
                       where o.status not in ('cancelled', 'expired') group by 1, 2) u on u.code_id = c.id
               where c.uses_max is not null or c.uses_per_buyer_max is not null
               group by c.id",
    },
    Invariant {
        name: "cart_limits",
        proves: "no cart has more than a hundred lines",
        sql: "select c.user_id::text as subject, count(*) > 100 as broken from cart_items c group by c.user_id",
    },
];
