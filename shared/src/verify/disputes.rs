//! The invariants of captures that banks have called into question. Each query yields one row
//! for each thing examined, as in `checks`.

use super::Invariant;

/// Every one of them, in the order in which they are reported.
pub const CHECKS: &[Invariant] = &[
    Invariant {
        name: "disputes_in_ledger",
        proves: "every dispute stands in the ledger as far as it is, to the cent, with what it cost the platform",
        sql: "select coalesce(d.id, t.subject_id)::text as subject,
                     d.id is null
                     or coalesce(t.disputed, 0) <> case when d.status = 'open' then d.amount_minor else 0 end
                     or coalesce(t.clearing, 0) <> case when d.status = 'won' then 0 else -d.amount_minor end
                     or coalesce(t.losses, 0) <> case when d.status = 'lost' then d.amount_minor - d.covered_minor
                                                      else 0 end
                     or d.currency <> p.currency as broken
                from (disputes d join payments p on p.id = d.payment_id)
                full join (select t.subject_id,
                                  sum(e.amount_minor) filter (where a.kind = 'disputed') as disputed,
                                  sum(e.amount_minor) filter (where a.kind = 'provider_clearing') as clearing,
                                  sum(e.amount_minor) filter (where a.kind = 'dispute_losses') as losses
                             from ledger_transactions t
                             join ledger_entries e on e.transaction_id = t.id
                             join ledger_accounts a on a.id = e.account_id
                            where t.kind in ('dispute_opened', 'dispute_won', 'dispute_lost') group by 1) t
                  on t.subject_id = d.id",
    },
    Invariant {
        name: "disputed_is_what_is_open",
        proves: "what the ledger has in dispute is the sum of the open disputes",
        sql: "select c.currency as subject, coalesce(l.amount, 0) <> coalesce(d.amount, 0) as broken
                from (select currency from disputes
                      union select currency from ledger_accounts where kind = 'disputed') c
                left join (select currency, sum(amount_minor) as amount
                             from disputes where status = 'open' group by 1) d using (currency)
                left join (select a.currency, sum(e.amount_minor) as amount
                             from ledger_accounts a join ledger_entries e on e.account_id = a.id
                            where a.kind = 'disputed' group by 1) l using (currency)",
    },
    Invariant {
        name: "lost_disputes_are_taken_back",
        proves: "what a lost dispute takes is what was taken of its order's lines and what the platform has lost",
        sql: "select d.id::text as subject,
                     coalesce(sum(i.goods_minor + i.shipping_minor
                                  + case when o.tax_included then 0 else i.tax_minor + i.shipping_tax_minor end), 0)
                     <> d.covered_minor
                     or bool_or(l.order_id <> o.id) as broken
                from disputes d
                join payments p on p.id = d.payment_id
                join orders o on o.id = p.order_id
                left join (dispute_items i join order_items l on l.id = i.order_item_id) on i.dispute_id = d.id
               where d.status = 'lost' group by d.id",
    },
    Invariant {
        name: "disputes_take_earnings_back",
        proves: "a lost dispute takes back what its shares earned their shop, and one won after all gives it again",
        sql: "select i.dispute_id || ' item ' || i.order_item_id as subject,
                     d.status = 'open'
                     or (select count(*) from seller_earnings e
                          where e.source_id = i.dispute_id and e.order_item_id = i.order_item_id
                            and e.kind = 'dispute' and e.seller_id = l.seller_id and e.currency = o.currency
                            and e.commission_minor = -i.commission_minor
                            and e.base_minor = -(i.goods_minor + i.platform_discount_minor
                                                 - case when o.tax_included then i.tax_minor else 0 end)
                            and e.shipping_minor = -(i.shipping_minor
                                                     - case when o.tax_included then i.shipping_tax_minor else 0 end)
                            and e.tax_minor = -case when o.tax_remitted_by = 'seller'
                                                    then i.tax_minor + i.shipping_tax_minor else 0 end) <> 1
                     or (select coalesce(sum(e.amount_minor), 0) from seller_earnings e
                          where e.source_id = i.dispute_id and e.order_item_id = i.order_item_id
                            and e.kind in ('dispute', 'dispute_won'))
                        <> case when d.status = 'lost'
                                then (select sum(e.amount_minor) from seller_earnings e
                                       where e.source_id = i.dispute_id and e.order_item_id = i.order_item_id
                                         and e.kind = 'dispute')
                                else 0 end as broken
                from dispute_items i
                join disputes d on d.id = i.dispute_id
                join order_items l on l.id = i.order_item_id
                join orders o on o.id = l.order_id",
    },
    Invariant {
        name: "disputes_within_lines",
        proves: "refunds and lost disputes together take no more of any line than there was",
        sql: "select l.id::text as subject,
                     sum(t.goods_minor) > l.gross_minor - l.seller_discount_minor - l.platform_discount_minor
                     or sum(t.platform_discount_minor) > l.platform_discount_minor
                     or sum(t.tax_minor) > l.tax_minor
                     or sum(t.shipping_minor) > l.shipping_minor
                     or sum(t.shipping_tax_minor) > l.shipping_tax_minor
                     or sum(t.commission_minor) > l.commission_minor as broken
                from order_items l
                join (select i.order_item_id, i.goods_minor, i.platform_discount_minor, i.tax_minor, i.shipping_minor,
                             i.shipping_tax_minor, i.commission_minor
                        from dispute_items i join disputes d on d.id = i.dispute_id and d.status = 'lost'
                      union all
                      select i.order_item_id, i.goods_minor, i.platform_discount_minor, i.tax_minor, i.shipping_minor,
                             i.shipping_tax_minor, i.commission_minor
                        from refund_items i
                        join refunds r on r.id = i.refund_id and (r.status <> 'failed' or refund_is_owed(r))) t
                  on t.order_item_id = l.id
               where exists (select from dispute_items i where i.order_item_id = l.id)
               group by l.id",
    },
    // Both are booked under the lock of what the books owe the shop, and their ids tell when;
    // a second is left for clocks of several machines.
    Invariant {
        name: "nothing_is_paid_while_disputed",
        proves: "no payout was made of what an order had earned while a dispute of its payment was open",
        sql: "select t.seller_earning_id || ' dispute ' || d.id as subject,
                     paid.at > opened.at + 1000 and (decided.at is null or paid.at < decided.at - 1000) as broken
                from seller_payout_items t
                join seller_earnings e on e.id = t.seller_earning_id
                join order_items i on i.id = e.order_item_id
                join payments p on p.order_id = i.order_id
                join disputes d on d.payment_id = p.id
               cross join lateral (select ms_of_id(id) as at from ledger_transactions
                                    where subject_id = t.seller_payout_id and kind = 'payout') paid
               cross join lateral (select ms_of_id(id) as at from ledger_transactions
                                    where subject_id = d.id and kind = 'dispute_opened') opened
                left join lateral (select min(ms_of_id(id)) as at from ledger_transactions
                                    where subject_id = d.id and kind in ('dispute_won', 'dispute_lost')) decided on true",
    },
    Invariant {
        name: "fees_in_ledger",
        proves: "what a provider keeps for itself of a capture stands in the ledger once, to the cent, and nothing else",
        sql: "select coalesce(p.id, t.subject_id)::text as subject,
                     coalesce(p.fee_minor, 0) <> coalesce(t.fee, 0)
                     or (p.fee_minor is not null and p.status <> 'captured') as broken
                from payments p
                full join (select t.subject_id, sum(e.amount_minor) as fee
                             from ledger_transactions t
                             join ledger_entries e on e.transaction_id = t.id
                             join ledger_accounts a on a.id = e.account_id and a.kind = 'provider_fees'
                            where t.kind = 'provider_fee' group by 1) t on t.subject_id = p.id",
    },
    Invariant {
        name: "provider_has_what_is_left",
        proves: "what the ledger has at the provider is what was captured, less fees, refunds, payouts and disputes",
        sql: "select c.currency as subject,
                     coalesce(l.amount, 0) <> coalesce(p.amount, 0) - coalesce(r.amount, 0) - coalesce(s.amount, 0)
                                              - coalesce(d.amount, 0) as broken
                from (select currency from payments
                      union select currency from ledger_accounts where kind = 'provider_clearing') c
                left join (select currency, sum(amount_minor - coalesce(fee_minor, 0)) as amount
                             from payments where status = 'captured' group by 1) p using (currency)
                left join (select currency, sum(amount_minor) as amount
                             from refunds where status = 'succeeded' and not outside group by 1) r using (currency)
                left join (select currency, sum(amount_minor) as amount
                             from seller_payouts where status = 'paid' group by 1) s using (currency)
                left join (select currency, sum(amount_minor) as amount
                             from disputes where status <> 'won' group by 1) d using (currency)
                left join (select a.currency, sum(e.amount_minor) as amount
                             from ledger_accounts a join ledger_entries e on e.account_id = a.id
                            where a.kind = 'provider_clearing' group by 1) l using (currency)",
    },
    // The provider may be ahead of us: its event is on its way.
    Invariant {
        name: "provider_agrees_on_disputes",
        proves: "every dispute of a payment with the test provider is in its books, of that payment and amount",
        sql: "select d.id::text as subject,
                     t.id is null or t.payment_id <> d.payment_id or t.amount_minor <> d.amount_minor
                     or t.currency <> d.currency or (d.status <> 'open' and t.status = 'open') as broken
                from disputes d
                join payments p on p.id = d.payment_id and p.provider = 'test'
                left join test_provider_disputes t on t.id::text = d.provider_ref",
    },
];
