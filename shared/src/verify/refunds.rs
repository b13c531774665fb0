//! The invariants of money that goes back to buyers. Each query yields one row for each
//! thing examined, as in `checks`.

use super::Invariant;

/// Every one of them, in the order in which they are reported.
pub const CHECKS: &[Invariant] = &[
    Invariant {
        name: "refund_sums",
        proves: "a refund is the sum of what goes back for its order's lines; a late payment goes back whole",
        sql: "select r.id::text as subject,
                     case when r.kind = 'late_payment'
                          then count(i.refund_id) > 0 or r.amount_minor is distinct from p.amount_minor
                          else count(i.refund_id) = 0 or bool_or(l.order_id <> r.order_id)
                               or r.amount_minor <> sum(i.goods_minor + i.shipping_minor
                                      + case when o.tax_included then 0 else i.tax_minor + i.shipping_tax_minor end)
                     end or r.currency <> o.currency or p.order_id <> r.order_id as broken
                from refunds r
                join orders o on o.id = r.order_id
                left join payments p on p.id = r.payment_id
                left join (refund_items i join order_items l on l.id = i.order_item_id) on i.refund_id = r.id
               group by r.id, o.id, p.id",
    },
    Invariant {
        name: "refunds_within_captures",
        proves: "of no payment goes more back, or into disputes that are not won and it covers, than was captured",
        sql: "select p.id::text as subject,
                     p.status <> 'captured'
                     or p.amount_minor < coalesce((select sum(amount_minor) from refunds
                                                    where payment_id = p.id
                                                      and (status <> 'failed' or refund_is_owed(refunds))), 0)
                                         + coalesce((select sum(covered_minor) from disputes
                                                      where payment_id = p.id and status <> 'won'), 0) as broken
                from payments p where exists (select from refunds r where r.payment_id = p.id)
                                   or exists (select from disputes d where d.payment_id = p.id)",
    },
    Invariant {
        name: "refunds_within_lines",
        proves: "of no line goes more back, of units or of any part, than there was",
        sql: "select l.id::text as subject,
                     sum(i.quantity) > l.quantity
                     or sum(i.goods_minor) > l.gross_minor - l.seller_discount_minor - l.platform_discount_minor
                     or sum(i.platform_discount_minor) > l.platform_discount_minor
                     or sum(i.tax_minor) > l.tax_minor
                     or sum(i.shipping_minor) > l.shipping_minor
                     or sum(i.shipping_tax_minor) > l.shipping_tax_minor
                     or sum(i.commission_minor) > l.commission_minor
                     -- All units are the whole line, to the cent.
                     or (sum(i.quantity) = l.quantity
                         and not exists (select from dispute_items t where t.order_item_id = l.id)
                         and (sum(i.goods_minor), sum(i.commission_minor), sum(i.tax_minor))
                             is distinct from (l.gross_minor - l.seller_discount_minor - l.platform_discount_minor,
                                               l.commission_minor, l.tax_minor)) as broken
                from order_items l
                join refund_items i on i.order_item_id = l.id
                join refunds r on r.id = i.refund_id and (r.status <> 'failed' or refund_is_owed(r))
               group by l.id",
    },
    // An order after the other, as they were placed; of one the goods without a cap come first.
    Invariant {
        name: "kept_shipping",
        proves: "of orders of a show that were called off no more shipping stays than those that stand were spared, or it \
                 is about to go back; and none costs more with the show's cap than without it",
        sql: "with recursive parts as (
                  select o.id, o.user_id, o.stream_id, o.address, bool_or(i.cancelled < i.quantity) as stands,
                         sum(i.shipping_minor) as charged,
                         sum(i.shipping_minor - coalesce((select sum(n.shipping_minor)
                                                            from refund_items n join standing_refunds r on r.id = n.refund_id
                                                           where n.order_item_id = i.id), 0)) as stays,
                         bool_or(p.shipping_check_at is not null) as waits
                    from orders o
                    join streams s on s.id = o.stream_id
                    join order_items i on i.order_id = o.id and i.seller_id = s.seller_id
                    left join order_parts p on p.order_id = o.id and p.seller_id = s.seller_id
                   where o.paid_at is not null or o.status = 'pending_payment'
                   group by o.id
              ), costs as (
                  select p.user_id, p.stream_id, p.address, u.cap_minor as cap, coalesce(u.full_minor, p.charged) as full_cost,
                         row_number() over (partition by p.user_id, p.stream_id, p.address
                                            order by p.id, u.cap_minor nulls first) as n
                    from parts p left join show_shipping u on u.order_id = p.id where p.stands
              ), spent as (
                  select user_id, stream_id, address, n, least(full_cost, coalesce(cap, full_cost)) as minor
                    from costs where n = 1
                  union all
                  select c.user_id, c.stream_id, c.address, c.n,
                         s.minor + least(c.full_cost, greatest(coalesce(c.cap - s.minor, c.full_cost), 0))
                    from spent s join costs c on c.user_id = s.user_id and c.stream_id = s.stream_id
                                             and c.address = s.address and c.n = s.n + 1
              )
              select g.stream_id || ' buyer ' || g.user_id as subject,
                     g.kept > greatest(coalesce(d.minor, 0) - g.charged, 0) and not g.waits
                     or g.dear as broken
                from (select user_id, stream_id, address,
                             coalesce(sum(stays) filter (where not stands), 0) as kept,
                             coalesce(sum(charged) filter (where stands), 0) as charged,
                             bool_or(waits) as waits,
                             bool_or(charged > coalesce((select sum(full_minor) from show_shipping
                                                          where order_id = id), charged)) as dear
                        from parts group by 1, 2, 3) g
                left join lateral (select max(minor) as minor from spent s
                                    where s.user_id = g.user_id and s.stream_id = g.stream_id
                                      and s.address = g.address) d on true",
    },
    Invariant {
        name: "refunds_owed",
        proves: "a refund replaces one that has failed, of its order, kind and payment, and what was owed line by line; \
                 and only goodwill was undone",
        sql: "select r.id::text as subject,
                     coalesce(f.status <> 'failed' or f.order_id <> r.order_id or f.kind <> r.kind
                              or not f.undone and (
                                  f.amount_minor <> r.amount_minor or f.payment_id is distinct from r.payment_id
                                  or exists (select order_item_id, quantity, goods_minor, platform_discount_minor,
                                                     tax_minor, shipping_minor, shipping_tax_minor, commission_minor
                                                from refund_items where refund_id in (f.id, r.id)
                                               group by 1, 2, 3, 4, 5, 6, 7, 8 having count(*) <> 2)), false)
                     or r.undone and r.kind <> 'goodwill' as broken
                from refunds r left join refunds f on f.id = r.replaces",
    },
    Invariant {
        name: "refunds_in_ledger",
        proves: "every refund stands in the ledger as far as it is, to the cent, and nothing else does: taken once from \
                 whoever had it, however often it is tried, and given again only where it was undone",
        sql: "select coalesce(r.id, t.subject_id)::text as subject,
                     r.id is null
                     or coalesce(t.decided, 0) <> case when r.kind = 'late_payment' or not f.undone
                                                       then 0 else -r.amount_minor end
                     or coalesce(t.paid, 0) <> case when r.status = 'succeeded' then r.amount_minor else 0 end
                     or coalesce(t.failed, 0) <> case when r.status = 'failed' and r.undone
                                                      then r.amount_minor else 0 end as broken
                from (refunds r left join refunds f on f.id = r.replaces)
                full join (select t.subject_id,
                                  sum(e.amount_minor) filter (where t.kind = 'refund') as decided,
                                  sum(e.amount_minor) filter (where t.kind in ('refund_paid', 'refund_returned')) as paid,
                                  sum(e.amount_minor) filter (where t.kind = 'refund_failed') as failed
                             from ledger_transactions t
                             left join (ledger_entries e
                                        join ledger_accounts a on a.id = e.account_id and a.kind = 'refunds_payable')
                               on e.transaction_id = t.id
                            where t.kind in ('refund', 'refund_paid', 'refund_returned', 'refund_failed') group by 1) t
                  on t.subject_id = r.id",
    },
    Invariant {
        name: "refunds_payable",
        proves: "what the ledger owes buyers is the refunds without an outcome and those that have failed and are owed",
        sql: "select c.currency as subject, coalesce(-l.amount, 0) <> coalesce(r.amount, 0) as broken
                from (select currency from refunds
                      union select currency from ledger_accounts where kind = 'refunds_payable') c
                left join (select r.currency, sum(r.amount_minor) as amount
                             from refunds r left join refunds n on n.replaces = r.id
                            where r.status in ('pending', 'submitted')
                                  or (r.status = 'failed' and not r.undone and n.id is null)
                            group by 1) r using (currency)
                left join (select a.currency, sum(e.amount_minor) as amount
                             from ledger_accounts a join ledger_entries e on e.account_id = a.id
                            where a.kind = 'refunds_payable' group by 1) l using (currency)",
    },
    Invariant {
        name: "refunds_take_earnings_back",
        proves: "a refund takes back once what its units earned their shop, and only one that is undone gives it again",
        sql: "select i.refund_id || ' item ' || i.order_item_id as subject,
                     (select count(*) from seller_earnings e
                       where e.source_id = i.refund_id and e.order_item_id = i.order_item_id
                         and e.kind = 'refund' and e.seller_id = l.seller_id and e.currency = o.currency
                         and e.commission_minor = -i.commission_minor
                         and e.base_minor = -(i.goods_minor + i.platform_discount_minor
                                              - case when o.tax_included then i.tax_minor else 0 end)
                         and e.shipping_minor = -(i.shipping_minor
                                                  - case when o.tax_included then i.shipping_tax_minor else 0 end)
                         and e.tax_minor = -case when o.tax_remitted_by = 'seller'
                                                 then i.tax_minor + i.shipping_tax_minor else 0 end)
                     <> case when coalesce(f.undone, true) then 1 else 0 end
                     or (select coalesce(sum(e.amount_minor), 0) from seller_earnings e
                          where e.source_id = i.refund_id and e.order_item_id = i.order_item_id
                            and e.kind = 'refund_failed')
                        <> case when r.undone
                                then (select -sum(e.amount_minor) from seller_earnings e
                                       where e.source_id = i.refund_id and e.order_item_id = i.order_item_id
                                         and e.kind = 'refund')
                                else 0 end as broken
                from refund_items i
                join refunds r on r.id = i.refund_id
                left join refunds f on f.id = r.replaces
                join orders o on o.id = r.order_id
                join order_items l on l.id = i.order_item_id",
    },
    Invariant {
        name: "units_refunded",
        proves: "units that were called off, came back or never came are refunded, and as such no more than those",
        sql: "select l.id::text as subject,
                     l.cancelled + l.returned + c.lost > coalesce(b.units, 0)
                     or coalesce(b.called_off, 0) > l.cancelled or coalesce(b.returned, 0) > l.returned
                     or coalesce(b.lost, 0) > c.lost as broken
                from order_items l
                join orders o on o.id = l.order_id and o.paid_at is not null
               cross join lateral (select coalesce(sum(quantity), 0) as lost from claims
                                    where order_item_id = l.id and status = 'upheld') c
                left join (select i.order_item_id, sum(i.quantity) as units,
                                  sum(i.quantity) filter (where r.kind = 'cancellation') as called_off,
                                  sum(i.quantity) filter (where r.kind = 'return') as returned,
                                  sum(i.quantity) filter (where r.kind = 'not_received') as lost
                             from refund_items i join refunds r on r.id = i.refund_id
                             left join refunds n on n.replaces = r.id
                            where r.status <> 'failed' or (not r.undone and n.id is null)
                            group by 1) b on b.order_item_id = l.id",
    },
    Invariant {
        name: "claims_are_of_what_was_sent",
        proves: "units that were paid back as lost were sent, and did not come back as well; their line and their refund say so",
        sql: "select l.id::text as subject,
                     c.lost + coalesce((select sum(quantity) from returns
                                         where order_item_id = l.id and status not in ('rejected', 'withdrawn')), 0)
                     > l.shipped or c.astray or l.lost <> coalesce(c.lost, 0) as broken
                from order_items l
                join (select c.order_item_id, sum(c.quantity) filter (where c.status = 'upheld') as lost,
                             bool_or(coalesce(r.kind <> 'not_received' or r.order_id <> c.order_id, false)) as astray
                        from claims c left join refunds r on r.id = c.refund_id group by 1) c
                  on c.order_item_id = l.id",
    },
    Invariant {
        name: "late_payments_go_back",
        proves: "a capture that its order could not take goes back whole, or is owed, once and as nothing else",
        sql: "select p.id::text as subject,
                     count(r.id) <> 1 or bool_or(r.kind <> 'late_payment' or r.amount_minor <> p.amount_minor) as broken
                from payments p
                join ledger_transactions t on t.subject_id = p.id and t.kind = 'late_capture'
                left join refunds r on r.payment_id = p.id and (r.status <> 'failed' or refund_is_owed(r))
               group by p.id",
    },
    Invariant {
        name: "provider_agrees_on_refunds",
        proves: "what the test provider has given back is what we have, refund by refund",
        sql: "select coalesce(r.id, t.our_id)::text as subject,
                     case when r.id is null then true
                          when t.id is null then r.status = 'succeeded'
                          else t.amount_minor <> r.amount_minor or t.currency <> r.currency
                               or t.payment_id <> r.payment_id
                               or (r.status = 'succeeded' and t.status <> 'succeeded')
                               or (r.status = 'failed' and t.status <> 'failed') end as broken
                from (select r.* from refunds r join payments p on p.id = r.payment_id and p.provider = 'test'
                       where not r.outside) r
                full join (select * from test_provider_transfers where kind = 'refund') t on t.our_id = r.id",
    },
    Invariant {
        name: "units_come_back_once",
        proves: "the units that orders gave back to stock are those called off and those restocked after a return",
        sql: "select coalesce(i.order_id, m.order_id) || ' variant ' || coalesce(i.variant_id, m.variant_id) as subject,
                     coalesce(i.units, 0) <> coalesce(m.units, 0) as broken
                from (select l.order_id, l.variant_id,
                             sum(l.cancelled + coalesce((select sum(restocked) from returns where order_item_id = l.id), 0))
                             as units
                        from order_items l group by 1, 2) i
                full join (select order_id, variant_id, sum(on_hand) as units
                             from inventory_movements where reason = 'restocked' and order_id is not null
                            group by 1, 2) m
                  on m.order_id = i.order_id and m.variant_id = i.variant_id",
    },
    Invariant {
        name: "returned_units",
        proves: "what came back of a line was delivered, and is what its returns say",
        sql: "select l.id::text as subject,
                     l.returned <> coalesce(sum(r.quantity) filter (where r.status in ('received', 'refunded')), 0)
                     or sum(r.quantity) filter (where r.status not in ('rejected', 'withdrawn')) > l.delivered
                     or bool_or(r.order_id <> l.order_id or r.seller_id <> l.seller_id)
                     or bool_or((r.status = 'refunded') <> coalesce(f.status = 'succeeded', r.status = 'refunded')
                                -- Its money had gone back, and the buyer's bank returned it.
                                and not (r.status = 'refunded'
                                         and exists (select from refunds p join ledger_transactions t on t.subject_id = p.id
                                                      where p.order_id = r.order_id and t.kind = 'refund_returned')))
                     as broken
                from order_items l
                join returns r on r.order_item_id = l.id
                left join refunds f on f.id = r.refund_id
               group by l.id",
    },
];
