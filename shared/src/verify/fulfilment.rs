//! What holds of parcels, of how far orders are, and of when earnings are released.

use super::Invariant;

/// These invariants, in the order in which they are reported.
pub(super) const CHECKS: &[Invariant] = &[
    Invariant {
        name: "parcels_match_lines",
        proves: "a line has sent and delivered exactly the units of its shop's parcels",
        sql: "select i.id::text as subject,
                     i.shipped <> coalesce(sum(u.quantity), 0)
                     or i.delivered <> coalesce(sum(u.quantity) filter (where s.delivered_at is not null), 0)
                     or coalesce(bool_or(s.order_id <> i.order_id or s.seller_id <> i.seller_id), false) as broken
                from order_items i
                left join (shipment_items u join shipments s on s.id = u.shipment_id) on u.order_item_id = i.id
               group by i.id",
    },
    Invariant {
        name: "parcels_have_contents",
        proves: "nothing was sent of an order that is not paid, and no parcel is empty",
        sql: "select s.id::text as subject,
                     o.paid_at is null
                     or not exists (select from shipment_items u where u.shipment_id = s.id) as broken
                from shipments s join orders o on o.id = s.order_id",
    },
    Invariant {
        name: "order_follows_its_units",
        proves: "a paid order is as far as its units are, and completed once all has arrived, or was paid back as lost, and is released",
        sql: "select o.id::text as subject,
                     o.status is distinct from units_status(
                         sum(i.quantity - i.cancelled), sum(i.shipped),
                         sum(least(i.shipped, i.delivered + i.lost)),
                         bool_and(i.released_at is not null or i.quantity = i.cancelled)) as broken
                from orders o join order_items i on i.order_id = o.id
               where o.paid_at is not null group by o.id",
    },
    Invariant {
        name: "parts_follow_their_units",
        proves: "a shop's part of a paid order is as far as its units are, and of an order that is not paid there is none",
        sql: "select i.order_id || ' shop ' || i.seller_id as subject,
                     p.status is distinct from case when o.paid_at is not null then units_status(
                         sum(i.quantity - i.cancelled), sum(i.shipped),
                         sum(least(i.shipped, i.delivered + i.lost)),
                         bool_and(i.released_at is not null or i.quantity = i.cancelled)) end as broken
                from orders o join order_items i on i.order_id = o.id
                left join order_parts p on p.order_id = i.order_id and p.seller_id = i.seller_id
               group by i.order_id, i.seller_id, o.paid_at, p.status",
    },
    Invariant {
        name: "release_is_known",
        proves: "a line of which something was sent has a time of release exactly while nothing of it is left to be sent",
        sql: "select id::text as subject,
                     (release_after is not null) <> (shipped + cancelled = quantity) as broken
                from order_items where shipped > 0",
    },
    Invariant {
        name: "released_in_time",
        proves: "no line's earnings were released before their time, or while a return or a claim of it was open",
        sql: "select i.id::text as subject,
                     i.release_after is null or i.released_at < i.release_after or i.shipped + i.cancelled < i.quantity
                     or exists (select from returns r
                                 where r.order_item_id = i.id and r.created_at < i.released_at
                                   and r.status in ('requested', 'approved', 'received'))
                     or exists (select from claims c
                                 where c.order_item_id = i.id and c.created_at < i.released_at
                                   and c.status in ('open', 'answered')) as broken
                from order_items i where i.released_at is not null",
    },
];
