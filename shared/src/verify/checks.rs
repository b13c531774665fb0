//! The invariants of stock, orders, money, rooms and accounts. Each query yields one row for each thing examined:
//! `subject` names it, `broken` says whether it breaks the rule.

use super::Invariant;

/// In the order in which they are reported.
pub const CHECKS: &[Invariant] = &[
    Invariant {
        name: "no_oversell",
        proves: "no flash sale has promised more units than it set aside",
        sql: "select id::text as subject,
                     held + sold + returned > quantity
                     or (status = 'closed' and held + sold + returned <> quantity) as broken
                from flash_sales",
    },
    Invariant {
        name: "holds_match_counters",
        proves: "a sale's counters are the sums of its holds",
        sql: "select s.id::text as subject,
                     s.held <> coalesce(sum(r.quantity) filter (where r.status in ('held', 'paying')), 0)
                     or s.sold <> coalesce(sum(r.quantity) filter (where r.status = 'converted'), 0) as broken
                from flash_sales s left join reservations r on r.sale_id = s.id
               group by s.id",
    },
    Invariant {
        name: "purchase_limits",
        proves: "no buyer holds, has bought and waits for more of a sale than its limit",
        sql: "select s.id || ' buyer ' || r.user_id as subject, sum(r.quantity) > s.per_buyer as broken
                from (select sale_id, user_id, quantity from reservations
                       where status in ('held', 'paying', 'converted')
                      union all
                      select sale_id, user_id, quantity from reservation_waitlist where status = 'waiting') r
                join flash_sales s on s.id = r.sale_id
               group by s.id, r.user_id",
    },
    Invariant {
        name: "sold_out_sales_are_over",
        proves: "a sale of which every unit is sold is closed",
        sql: "select id::text as subject, status = 'open' and sold = quantity as broken from flash_sales",
    },
    Invariant {
        name: "hold_times",
        proves: "a hold lasts as long as its sale grants, and at most a minute longer, once, when a payment began",
        sql: "select r.id::text as subject,
                     r.expires_at > r.created_at + make_interval(secs => s.hold_seconds
                         + case when r.extended_at is null then 0 else least(s.hold_seconds, 60) end) as broken
                from reservations r join flash_sales s on s.id = r.sale_id",
    },
    // What is overdue is swept within seconds; the grace leaves time for an outage.
    Invariant {
        name: "holds_lapse",
        proves: "no hold stands ten minutes past its time",
        sql: "select id::text as subject, expires_at < now() - interval '10 minutes' as broken
                from reservations where status = 'held'",
    },
    Invariant {
        name: "sales_end",
        proves: "no sale is open ten minutes past its end, or in a show that is over",
        sql: "select f.id::text as subject,
                     f.ends_at < now() - interval '10 minutes' or s.status in ('ended', 'cancelled') as broken
                from flash_sales f join streams s on s.id = f.stream_id where f.status = 'open'",
    },
    Invariant {
        name: "holds_ordered_once",
        proves: "a hold is in one order at most that is neither cancelled nor expired",
        sql: "select i.reservation_id::text as subject, count(distinct o.id) > 1 as broken
                from order_items i join orders o on o.id = i.order_id and o.status not in ('cancelled', 'expired')
               where i.reservation_id is not null group by i.reservation_id",
    },
    Invariant {
        name: "sale_entries",
        proves: "a sale has counted every hold that was asked for and every place in its line",
        sql: "select s.id::text as subject,
                     s.entries <> (select count(*) from reservations r where r.sale_id = s.id and r.origin <> 'line')
                                  + (select count(*) from reservation_waitlist w where w.sale_id = s.id) as broken
                from flash_sales s",
    },
    Invariant {
        name: "wait_list_counts",
        proves: "a sale knows how many wait for it, and nobody waits for one that is over",
        sql: "select s.id::text as subject, s.waiting <> count(w.id) or (s.status = 'closed' and count(w.id) > 0) as broken
                from flash_sales s
                left join reservation_waitlist w on w.sale_id = s.id and w.status = 'waiting'
               group by s.id",
    },
    Invariant {
        name: "wait_list_has_what_is_free",
        proves: "no units lie free that are enough for somebody in line",
        sql: "select w.id::text as subject, w.quantity <= s.quantity - s.held - s.sold and s.ends_at > now() as broken
                from reservation_waitlist w join flash_sales s on s.id = w.sale_id and s.status = 'open'
               where w.status = 'waiting'",
    },
    // By the sale's versions and not by a clock. A class is a quantity: those who want no
    // more than it are looked at together.
    Invariant {
        name: "wait_list_in_order",
        proves: "nobody in line was offered units while one before them waited for no more",
        sql: "select id::text as subject, coalesce(latest > ended_version, false) as broken
                from (select w.id, w.status, w.quantity, w.ended_version, c.quantity as class,
                             max(coalesce(w.ended_version, 9223372036854775807)) over (
                                 partition by w.sale_id, c.quantity order by w.place
                                 rows between unbounded preceding and 1 preceding) as latest
                        from reservation_waitlist w
                        join (select distinct sale_id, quantity from reservation_waitlist) c
                          on c.sale_id = w.sale_id and c.quantity >= w.quantity) places
               where status = 'offered' and quantity = class",
    },
    Invariant {
        name: "wait_list_not_overtaken",
        proves: "nobody was granted units past somebody in line whom they would have been enough for",
        sql: "with classes as (select distinct sale_id, quantity as class from reservation_waitlist),
                   grants as (select sale_id, sale_version, sum(quantity) as units from reservations
                               where origin <> 'line' group by 1, 2),
                   events as (
                       select w.sale_id, c.class, w.ended_version as version, 'left' as what, -1 as waiting
                         from reservation_waitlist w join classes c on c.sale_id = w.sale_id and c.class >= w.quantity
                        where w.ended_version is not null
                       union all
                       select g.sale_id, c.class, g.sale_version, 'past', 0
                         from grants g join classes c on c.sale_id = g.sale_id and c.class <= g.units
                       union all
                       select w.sale_id, c.class, w.joined_version, 'joined', 1
                         from reservation_waitlist w join classes c on c.sale_id = w.sale_id and c.class >= w.quantity)
              select sale_id || ' version ' || version as subject, in_line > 0 as broken
                from (select sale_id, version, what,
                             sum(waiting) over (
                                 partition by sale_id, class
                                 order by version, array_position(array['left', 'past', 'joined'], what)
                                 rows unbounded preceding) as in_line
                        from events) line
               where what = 'past'",
    },
    Invariant {
        name: "wait_list_offers",
        proves: "an offered place in line is one hold of the same person, units and moment, and the other way round",
        sql: "select coalesce(w.id, r.id)::text as subject,
                     w.id is null or r.id is null or w.sale_id <> r.sale_id or w.user_id <> r.user_id
                     or w.quantity <> r.quantity or w.ended_version <> r.sale_version as broken
                from (select * from reservation_waitlist where status = 'offered') w
                full join (select * from reservations where origin = 'line') r on r.id = w.id",
    },
    Invariant {
        name: "reserved_stock",
        proves: "a variant's reserved units are exactly what sales, checkouts and unpaid orders promise",
        sql: "select v.id::text as subject,
                     v.reserved <> coalesce(sales.units, 0) + coalesce(checkouts.units, 0) + coalesce(orders.units, 0)
                     as broken
                from product_variants v
                left join (select variant_id, sum(quantity - sold - returned) as units
                             from flash_sales group by variant_id) sales on sales.variant_id = v.id
                left join (select i.variant_id, sum(i.quantity) as units
                             from checkout_items i join checkouts c on c.id = i.checkout_id
                            where c.status = 'open' and i.reservation_id is null
                            group by i.variant_id) checkouts on checkouts.variant_id = v.id
                left join (select i.variant_id, sum(i.quantity) as units
                             from order_items i join orders o on o.id = i.order_id
                            where o.status = 'pending_payment' and i.reservation_id is null
                            group by i.variant_id) orders on orders.variant_id = v.id",
    },
    Invariant {
        name: "stock_movements",
        proves: "every unit in a shop's hands has a recorded reason",
        sql: "select v.id::text as subject, v.on_hand <> coalesce(sum(m.on_hand), 0) as broken
                from product_variants v left join inventory_movements m on m.variant_id = v.id
               group by v.id",
    },
    Invariant {
        name: "search_columns",
        proves: "search knows each product's lowest and highest price and whether a unit of it is free",
        sql: "select p.id::text as subject,
                     (p.price_from_minor, p.price_to_minor, p.in_stock)
                     is distinct from (min(v.price_minor), max(v.price_minor), bool_or(v.on_hand > v.reserved))
                     as broken
                from products p join product_variants v on v.product_id = p.id
               group by p.id",
    },
    Invariant {
        name: "ratings",
        proves: "a product's rating is the sum of its reviews that are shown",
        sql: "select p.id::text as subject,
                     (p.rating_sum, p.rating_count::bigint)
                     is distinct from (coalesce(sum(r.rating), 0)::bigint, count(r.id)) as broken
                from products p
                left join product_reviews r on r.product_id = p.id and r.hidden_at is null and r.deleted_at is null
               group by p.id",
    },
    Invariant {
        name: "sold_units_left_stock",
        proves: "orders took their units out of stock once when they were paid, and nothing otherwise",
        sql: "select coalesce(i.order_id, m.order_id) || ' variant ' || coalesce(i.variant_id, m.variant_id) as subject,
                     coalesce(i.units, 0) <> coalesce(m.units, 0) as broken
                from (select l.order_id, l.variant_id, sum(l.quantity) as units
                        from order_items l join orders o on o.id = l.order_id
                       where o.paid_at is not null group by 1, 2) i
                full join (select order_id, variant_id, -sum(on_hand) as units
                             from inventory_movements where reason = 'sold' group by 1, 2) m
                  on m.order_id = i.order_id and m.variant_id = i.variant_id",
    },
    Invariant {
        name: "holds_bought_once",
        proves: "a converted hold is one line of one paid order, with its units and its price",
        sql: "select r.id::text as subject,
                     count(i.id) <> 1 or bool_or(o.paid_at is null)
                     or bool_or(i.quantity <> r.quantity) or bool_or(i.unit_price_minor <> s.price_minor)
                     or bool_or(o.user_id <> r.user_id) as broken
                from reservations r
                join flash_sales s on s.id = r.sale_id
                left join (order_items i join orders o on o.id = i.order_id and o.paid_at is not null)
                  on i.reservation_id = r.id
               where r.status = 'converted' group by r.id",
    },
    Invariant {
        name: "paid_lines_converted",
        proves: "every flash line of a paid order has its hold converted",
        sql: "select i.id::text as subject, r.status <> 'converted' as broken
                from order_items i
                join orders o on o.id = i.order_id
                join reservations r on r.id = i.reservation_id
               where o.paid_at is not null",
    },
    Invariant {
        name: "order_sums",
        proves: "an order's totals are the sums of its lines",
        sql: "select o.id::text as subject,
                     o.items_minor <> sum(i.gross_minor)
                     or o.discount_minor <> sum(i.seller_discount_minor + i.platform_discount_minor)
                     or o.shipping_minor <> sum(i.shipping_minor)
                     or o.tax_minor <> sum(i.tax_minor + i.shipping_tax_minor) as broken
                from orders o join order_items i on i.order_id = o.id group by o.id",
    },
    Invariant {
        name: "order_has_lines",
        proves: "every order has lines",
        sql: "select o.id::text as subject,
                     not exists (select 1 from order_items i where i.order_id = o.id) as broken
                from orders o",
    },
    Invariant {
        name: "one_capture",
        proves: "a paid order was captured once, in full, in its currency; an unpaid one never, but for late payments",
        sql: "select o.id::text as subject,
                     case when o.paid_at is null then count(p.id) > 0
                          when o.total_minor = 0 then count(p.id) > 0
                          else count(p.id) <> 1 or bool_or(p.amount_minor <> o.total_minor)
                               or bool_or(p.currency <> o.currency) end as broken
                from orders o
                left join payments p on p.order_id = o.id and p.status = 'captured'
                     and not exists (select from ledger_transactions t
                                      where t.subject_id = p.id and t.kind = 'late_capture')
               group by o.id",
    },
    Invariant {
        name: "order_status",
        proves: "an order's status agrees with whether it was paid",
        sql: "select id::text as subject,
                     (status in ('pending_payment', 'expired') and paid_at is not null)
                     or (status in ('paid', 'partially_shipped', 'shipped', 'delivered', 'completed')
                         and paid_at is null) as broken
                from orders",
    },
    Invariant {
        name: "orders_expire",
        proves: "no order waits for its payment ten minutes past its time, unless one is under way",
        sql: "select o.id::text as subject,
                     least(o.expires_at, o.holds_until) < now() - interval '10 minutes'
                     and not exists (select from payments p where p.order_id = o.id
                                      and p.status in ('created', 'processing', 'requires_action')) as broken
                from orders o where o.status = 'pending_payment'",
    },
    Invariant {
        name: "ledger_balances",
        proves: "every ledger transaction sums to zero in each currency",
        sql: "select transaction_id || ' ' || currency as subject, sum(amount_minor) <> 0 as broken
                from ledger_entries group by transaction_id, currency",
    },
    Invariant {
        name: "ledger_currencies",
        proves: "every ledger entry is in its account's currency",
        sql: "select e.id::text as subject, e.currency <> a.currency as broken
                from ledger_entries e join ledger_accounts a on a.id = e.account_id",
    },
    Invariant {
        name: "captures_in_ledger",
        proves: "every captured payment stands in the ledger once, to the cent",
        sql: "select p.id::text as subject,
                     coalesce(sum(e.amount_minor), 0) <> p.amount_minor or count(e.id) <> 1 as broken
                from payments p
                left join (ledger_transactions t
                           join ledger_entries e on e.transaction_id = t.id
                           join ledger_accounts a on a.id = e.account_id and a.kind = 'provider_clearing')
                  on t.subject_id = p.id and t.kind in ('capture', 'late_capture')
               where p.status = 'captured' group by p.id",
    },
    Invariant {
        name: "only_captures_in_ledger",
        proves: "no payment stands in the ledger that was not captured",
        sql: "select t.id::text as subject, p.status is distinct from 'captured' and o.total_minor is distinct from 0
                     as broken
                from ledger_transactions t
                left join payments p on p.id = t.subject_id
                left join orders o on o.id = t.subject_id
               where t.kind in ('capture', 'late_capture')",
    },
    Invariant {
        name: "provider_agrees",
        proves: "what the test provider has captured and kept of it is what we have, payment by payment",
        sql: "select coalesce(p.id, t.payment_id)::text as subject,
                     case when p.status = 'captured'
                          then t.status is distinct from 'succeeded'
                               or t.amount_minor <> p.amount_minor or t.currency <> p.currency
                               or t.fee_minor <> p.fee_minor
                          -- The provider may be ahead of us for as long as our side is unsettled.
                          when t.status = 'succeeded'
                          then coalesce(p.status not in ('created', 'processing', 'requires_action'), true)
                          else false end as broken
                from (select * from payments where provider = 'test') p
                full join test_provider_intents t on t.payment_id = p.id",
    },
    Invariant {
        name: "earnings_per_line",
        proves: "every line of a paid order earned its seller exactly once, and unpaid lines nothing",
        sql: "select i.id::text as subject,
                     case when o.paid_at is null then count(e.id) > 0
                          else count(e.id) <> 1
                               or bool_or(e.base_minor <> i.gross_minor - i.seller_discount_minor
                                          - case when o.tax_included then i.tax_minor else 0 end)
                               or bool_or(e.shipping_minor <> i.shipping_minor
                                          - case when o.tax_included then i.shipping_tax_minor else 0 end)
                               or bool_or(e.tax_minor <> case when o.tax_remitted_by = 'seller'
                                                              then i.tax_minor + i.shipping_tax_minor else 0 end)
                               or bool_or(e.commission_minor <> i.commission_minor)
                               or bool_or(e.seller_id <> i.seller_id)
                               or bool_or(e.currency <> o.currency) end as broken
                from order_items i
                join orders o on o.id = i.order_id
                left join seller_earnings e on e.order_item_id = i.id and e.kind = 'sale'
               group by i.id, o.id",
    },
    Invariant {
        name: "commission_rounding",
        proves: "every commission is its rate of its base, rounded half up once",
        sql: "select i.id::text as subject,
                     i.commission_minor <> ((i.gross_minor - i.seller_discount_minor
                                             - case when o.tax_included then i.tax_minor else 0 end)
                                            * i.commission_bps + 5000) / 10000 as broken
                from order_items i join orders o on o.id = i.order_id",
    },
    Invariant {
        name: "checkout_sums",
        proves: "an open checkout's totals are the sums of its lines",
        sql: "select c.id::text as subject,
                     c.items_minor <> coalesce(sum(i.unit_price_minor * i.quantity), 0)
                     or c.discount_minor <> coalesce(sum(i.seller_discount_minor + i.platform_discount_minor), 0)
                     or c.shipping_minor <> coalesce(sum(i.shipping_minor), 0)
                     or c.tax_minor <> coalesce(sum(i.tax_minor + i.shipping_tax_minor), 0) as broken
                from checkouts c left join checkout_items i on i.checkout_id = c.id and i.lapsed_at is null
               where c.status in ('open', 'placed') group by c.id",
    },
    Invariant {
        name: "placed_checkouts",
        proves: "a checkout was placed exactly when it has an order of the same buyer, total and place to go to",
        sql: "select c.id::text as subject,
                     (c.status = 'placed') <> (o.id is not null)
                     or o.user_id <> c.user_id or o.total_minor <> c.total_minor
                     -- Of a deleted account the order alone says where it went.
                     or (o.address <> c.address and u.deleted_at is null) as broken
                from checkouts c join users u on u.id = c.user_id left join orders o on o.checkout_id = c.id",
    },
    Invariant {
        name: "paying_holds_have_a_payment",
        proves: "a hold is paying only while a payment of its order is under way",
        sql: "select r.id::text as subject,
                     not exists (select 1 from order_items i join payments p on p.order_id = i.order_id
                                  where i.reservation_id = r.id
                                    and p.status in ('created', 'processing', 'requires_action')) as broken
                from reservations r where r.status = 'paying'",
    },
    Invariant {
        name: "event_log_without_gaps",
        proves: "what is stored of a room's epoch is numbered from 1 without a gap or a double",
        sql: "select stream_id || ' epoch ' || epoch as subject,
                     count(*) <> max(seq) or count(distinct seq) <> count(*) as broken
                from (select stream_id, epoch, seq from stream_chat_messages
                      union all select stream_id, epoch, seq from stream_events
                      union all select stream_id, epoch, seq from persist_rejects) n
               group by stream_id, epoch",
    },
    Invariant {
        name: "epochs_were_leased",
        proves: "no room wrote under an epoch that was never leased",
        sql: "select n.stream_id || ' epoch ' || n.epoch as subject, l.epoch is null or n.epoch > l.epoch as broken
                from (select distinct stream_id, epoch from stream_chat_messages
                      union select distinct stream_id, epoch from stream_events) n
                left join room_leases l on l.stream_id = n.stream_id",
    },
    // As far as it can be known: rows carry the clocks of the nodes that numbered them.
    Invariant {
        name: "epochs_in_turn",
        proves: "nothing was numbered under an epoch a minute after the next one had begun",
        sql: "select stream_id || ' epoch ' || epoch as subject,
                     coalesce(last > min(first) over later + interval '1 minute', false) as broken
                from (select stream_id, epoch, min(created_at) as first, max(created_at) as last
                        from (select stream_id, epoch, created_at from stream_chat_messages
                              union all select stream_id, epoch, created_at from stream_events) n
                       group by stream_id, epoch) epochs
              window later as (partition by stream_id order by epoch
                               rows between 1 following and unbounded following)",
    },
    Invariant {
        name: "rooms_are_told",
        proves: "no room that is open has left what it must hear of untold for ten minutes",
        sql: "select o.id::text as subject, o.created_at < now() - interval '10 minutes' as broken
                from outbox o join room_leases l on l.stream_id = o.stream_id and l.expires_at > now()
               where o.delivered_at is null",
    },
    Invariant {
        name: "ended_shows_feature_nothing",
        proves: "a show that is over shows no product",
        sql: "select id::text as subject, featured_product_id is not null as broken from streams where status = 'ended'",
    },
    Invariant {
        name: "held_messages_said_once",
        proves: "what was held for a moderator was not said beside it, and not before it was approved",
        sql: "select r.message_id::text as subject,
                     exists (select from stream_chat_messages m
                              where m.user_id = r.user_id and m.stream_id = r.stream_id and m.request_id = r.request_id)
                     or r.status <> 'approved'
                        and exists (select from stream_chat_messages m where m.id = r.message_id) as broken
                from chat_reviews r",
    },
    Invariant {
        name: "chat_said_once",
        proves: "no chat message was stored twice under one request",
        sql: "select stream_id || ' request ' || request_id as subject, count(*) > 1 as broken
                from stream_chat_messages where request_id is not null group by stream_id, user_id, request_id",
    },
    Invariant {
        name: "category_tree",
        proves: "every category hangs from a root",
        sql: "with recursive down (id) as (
                  select id from categories where parent_id is null
                  union all select c.id from categories c join down on c.parent_id = down.id
              )
              select c.id::text as subject, d.id is null as broken
                from categories c left join down d on d.id = c.id",
    },
    Invariant {
        name: "pictures_are_shown_once",
        proves: "a picture is referred to, by one thing, exactly while it is marked as shown",
        sql: "select p.id::text as subject, (p.status = 'shown')::int <> count(r.id) as broken
                from pictures p
                left join (select avatar_id as id from profiles where avatar_id is not null
                           union all select picture_id from sellers where picture_id is not null
                           union all select picture_id from product_pictures
                           union all select cover_id from streams where cover_id is not null) r on r.id = p.id
               group by p.id, p.status",
    },
    // What is left over is swept within minutes; the grace leaves time for an outage.
    Invariant {
        name: "pictures_go",
        proves: "no picture that is not shown stays a day past its time",
        sql: "select id::text as subject,
                     delete_after < now() - interval '1 day' or created_at < now() - interval '25 hours' as broken
                from pictures where status in ('pending', 'dropped')",
    },
    Invariant {
        name: "deleted_accounts_hold_nothing",
        proves: "an account that was deleted has no name, address, session or link any more",
        sql: "select u.id::text as subject,
                     u.email <> 'deleted-' || u.id || '@deleted.invalid' or u.password_hash <> ''
                     or p.display_name <> 'Deleted account' or p.handle not like 'deleted\\_%' or p.bio <> ''
                     or p.avatar_id is not null
                     or exists (select 1 from addresses a
                                 where a.user_id = u.id and (a.deleted_at is null or a.recipient <> '-'))
                     or exists (select 1 from checkouts c
                                 where c.user_id = u.id and c.address ->> 'recipient' <> '-')
                     or exists (select 1 from refresh_tokens t
                                 where t.user_id = u.id and (t.id = t.family_id and t.revoked_at is null
                                                      or t.user_agent <> '' or t.place <> ''))
                     or exists (select 1 from mailed_links l where l.user_id = u.id)
                     or exists (select 1 from wished_addresses w where w.user_id = u.id)
                     or exists (select 1 from follows f where f.user_id = u.id) as broken
                from users u join profiles p on p.user_id = u.id
               where u.deleted_at is not null",
    },
];
