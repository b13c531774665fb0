//! The invariants of the ledger's accounts: what stands in each is what the rows that it
//! stands for say. Each query yields one row for each thing examined, as in `checks`.

use super::Invariant;

/// Every one of them, in the order in which they are reported.
pub const CHECKS: &[Invariant] = &[
    Invariant {
        name: "accounts_of_kinds",
        proves: "what happened moves money between the accounts that it is about, and no others",
        sql: "select t.id || ' ' || a.kind as subject, not a.kind = any(k.accounts) as broken
                from ledger_transactions t
                join (values
                      ('capture', array['provider_clearing', 'seller_payable', 'platform_commission',
                                        'platform_discounts', 'tax_payable']),
                      ('late_capture', array['provider_clearing', 'refunds_payable']),
                      ('refund', array['refunds_payable', 'seller_payable', 'platform_commission',
                                       'platform_discounts', 'tax_payable']),
                      ('refund_failed', array['refunds_payable', 'seller_payable', 'platform_commission',
                                              'platform_discounts', 'tax_payable']),
                      ('refund_paid', array['refunds_payable', 'provider_clearing', 'paid_outside']),
                      ('refund_returned', array['refunds_payable', 'provider_clearing']),
                      ('payout', array['seller_payable', 'payouts_payable']),
                      ('payout_paid', array['payouts_payable', 'provider_clearing']),
                      ('payout_undone', array['seller_payable', 'payouts_payable']),
                      ('payout_returned', array['seller_payable', 'provider_clearing']),
                      ('write_off', array['seller_payable', 'write_offs']),
                      ('provider_fee', array['provider_clearing', 'provider_fees']),
                      ('dispute_opened', array['provider_clearing', 'disputed']),
                      ('dispute_won', array['disputed', 'provider_clearing', 'dispute_losses', 'seller_payable',
                                            'platform_commission', 'platform_discounts', 'tax_payable']),
                      ('dispute_lost', array['disputed', 'provider_clearing', 'dispute_losses', 'seller_payable',
                                             'platform_commission', 'platform_discounts', 'tax_payable'])) k (kind, accounts) on k.kind = t.kind
                join ledger_entries e on e.transaction_id = t.id
                join ledger_accounts a on a.id = e.account_id",
    },
    Invariant {
        name: "lines_in_ledger",
        proves: "of every line that was paid, of every part of one that was refunded, and of every refund that was \
                 undone or lost to a dispute, the shop, the platform's commission and discounts, and the tax office have exactly theirs",
        sql: "select coalesce(r.account, e.account) || ' ' || coalesce(r.kind, e.kind) || ' of item '
                     || coalesce(r.item::text, '-') as subject,
                     coalesce(r.minor, 0) <> coalesce(e.minor, 0) or coalesce(e.astray, false) as broken
                from (select a.account, p.kind, p.source, p.item, p.sign * a.minor as minor
                        from (select 'capture' as kind, o.id as source, i.id as item, 1 as sign, o.tax_included,
                                     o.tax_remitted_by = 'seller' as seller_remits, i.commission_minor as commission,
                                     i.platform_discount_minor as discount,
                                     i.gross_minor - i.seller_discount_minor + i.shipping_minor as price,
                                     i.tax_minor + i.shipping_tax_minor as tax
                                from order_items i join orders o on o.id = i.order_id where o.paid_at is not null
                              union all
                              select k.kind, r.id, n.order_item_id, k.sign, o.tax_included,
                                     o.tax_remitted_by = 'seller', n.commission_minor, n.platform_discount_minor,
                                     n.goods_minor + n.platform_discount_minor + n.shipping_minor,
                                     n.tax_minor + n.shipping_tax_minor
                                from refund_items n
                                join refunds r on r.id = n.refund_id
                                join orders o on o.id = r.order_id
                                left join refunds f on f.id = r.replaces
                                join (values ('refund', -1), ('refund_failed', 1)) k (kind, sign)
                                  on case k.kind when 'refund' then coalesce(f.undone, true) else r.undone end
                              union all
                              select k.kind, d.id, n.order_item_id, k.sign, o.tax_included,
                                     o.tax_remitted_by = 'seller', n.commission_minor, n.platform_discount_minor,
                                     n.goods_minor + n.platform_discount_minor + n.shipping_minor,
                                     n.tax_minor + n.shipping_tax_minor
                                from dispute_items n
                                join disputes d on d.id = n.dispute_id
                                join order_items i on i.id = n.order_item_id
                                join orders o on o.id = i.order_id
                                join (values ('dispute_lost', -1), ('dispute_won', 1)) k (kind, sign)
                                  on k.kind = 'dispute_lost' or d.status = 'won') p
                       cross join lateral (values
                             ('platform_discounts', p.discount),
                             ('platform_commission', -p.commission),
                             ('tax_payable', case when p.seller_remits then 0 else -p.tax end),
                             ('seller_payable', p.commission - p.price
                                                + case when p.tax_included then p.tax else 0 end
                                                - case when p.seller_remits then p.tax else 0 end)) a (account, minor)
                       where a.minor <> 0) r
                full join (select a.kind as account, t.kind,
                                  case t.kind when 'capture' then t.order_id else t.subject_id end as source,
                                  e.order_item_id as item, sum(e.amount_minor) as minor,
                                  bool_or(a.seller_id <> i.seller_id) as astray
                             from ledger_entries e
                             join ledger_transactions t on t.id = e.transaction_id
                             join ledger_accounts a on a.id = e.account_id
                             left join order_items i on i.id = e.order_item_id
                            where t.kind in ('capture', 'refund', 'refund_failed', 'dispute_lost', 'dispute_won')
                              and a.kind in ('seller_payable', 'platform_commission', 'platform_discounts', 'tax_payable')
                            group by 1, 2, 3, 4) e
                  on (e.account, e.kind, e.source, e.item) = (r.account, r.kind, r.source, r.item)",
    },
    // What disputes and fees take is told apart, and theirs to account for.
    Invariant {
        name: "provider_clearing",
        proves: "what is with the provider is what was captured, less what has gone back and on to shops through it",
        sql: "select c.currency as subject, coalesce(l.amount, 0) <> coalesce(p.amount, 0) as broken
                from (select currency from payments where status = 'captured'
                      union select currency from ledger_accounts where kind = 'provider_clearing') c
                left join (select currency, sum(minor) as amount
                             from (select currency, amount_minor as minor from payments where status = 'captured'
                                   union all
                                   select currency, -amount_minor from refunds where status = 'succeeded' and not outside
                                   union all
                                   select currency, -amount_minor from seller_payouts where status = 'paid') m
                            group by 1) p using (currency)
                left join (select a.currency, sum(e.amount_minor) as amount
                             from ledger_accounts a join ledger_entries e on e.account_id = a.id
                             join ledger_transactions t on t.id = e.transaction_id
                              and t.kind in ('capture', 'late_capture', 'refund_paid', 'refund_returned', 'payout_paid',
                                             'payout_returned')
                            where a.kind = 'provider_clearing' group by 1) l using (currency)",
    },
    Invariant {
        name: "paid_outside",
        proves: "what the platform has paid otherwise than through the provider is the refunds that were settled so",
        sql: "select c.currency as subject, coalesce(-l.amount, 0) <> coalesce(r.amount, 0) as broken
                from (select currency from refunds where outside
                      union select currency from ledger_accounts where kind = 'paid_outside') c
                left join (select currency, sum(amount_minor) as amount from refunds where outside group by 1) r
               using (currency)
                left join (select a.currency, sum(e.amount_minor) as amount
                             from ledger_accounts a join ledger_entries e on e.account_id = a.id
                            where a.kind = 'paid_outside' group by 1) l using (currency)",
    },
    // A reconciler asks every few seconds. What is held back is nobody's to hurry.
    Invariant {
        name: "outcomes_come",
        proves: "no payment is without an outcome for three days, and no refund or payout that may be made for two weeks",
        sql: "select 'payment ' || p.id as subject, p.created_at < now() - interval '3 days' as broken
                from payments p where p.status in ('created', 'processing', 'requires_action')
              union all
              select 'refund ' || r.id, r.created_at < now() - interval '14 days'
                from refunds r where r.status in ('pending', 'submitted')
              union all
              select 'payout ' || p.id, coalesce(p.asked_at, p.created_at) < now() - interval '14 days'
                from seller_payouts p
                join sellers s on s.id = p.seller_id and s.status = 'approved'
               where p.status in ('creating', 'processing')
                 and not exists (select from payout_holds h where h.seller_id = s.id and h.released_at is null)",
    },
];
