//! The invariants of money on its way to shops. Each query yields one row for each thing
//! examined, as in `checks`.

use super::Invariant;

/// Every one of them, in the order in which they are reported.
pub const CHECKS: &[Invariant] = &[
    Invariant {
        name: "sellers_are_owed_their_earnings",
        proves: "what the ledger owes a seller is the sum of their earnings less what was paid out or is on its way",
        sql: "select s.seller_id || ' ' || s.currency as subject,
                     coalesce(-l.amount, 0) <> coalesce(e.amount, 0) - coalesce(p.amount, 0) as broken
                from (select seller_id, currency from seller_earnings
                      union select seller_id, currency from seller_payouts
                      union select seller_id, currency from ledger_accounts where seller_id is not null) s
                left join (select seller_id, currency, sum(amount_minor) as amount
                             from seller_earnings group by 1, 2) e using (seller_id, currency)
                left join (select seller_id, currency, sum(amount_minor) as amount
                             from seller_payouts where status in ('creating', 'processing', 'paid')
                            group by 1, 2) p using (seller_id, currency)
                left join (select a.seller_id, a.currency, sum(n.amount_minor) as amount
                             from ledger_accounts a join ledger_entries n on n.account_id = a.id
                            where a.kind = 'seller_payable' group by 1, 2) l using (seller_id, currency)",
    },
    Invariant {
        name: "unclaimed_earnings_are_known",
        proves: "what may still be taken into a payout is what no payout that counts has taken",
        sql: "select e.id::text as subject,
                     (u.earning_id is not null) = exists (select from seller_payout_items t
                                                           where t.seller_earning_id = e.id and t.released_at is null)
                     or u.earning_id is not null
                        and (u.seller_id, u.currency, u.order_item_id, u.amount_minor)
                            is distinct from (e.seller_id, e.currency, e.order_item_id, e.amount_minor) as broken
                from seller_earnings e left join unclaimed_earnings u on u.earning_id = e.id",
    },
    Invariant {
        name: "payout_sums",
        proves: "a payout is the sum of its lines, and those are earnings of its shop in its currency",
        sql: "select p.id::text as subject,
                     coalesce(sum(t.amount_minor), 0) <> p.amount_minor
                     or coalesce(sum(e.amount_minor), 0) <> p.amount_minor
                     or bool_or(t.amount_minor <> e.amount_minor)
                     or bool_or(e.seller_id <> p.seller_id or e.currency <> p.currency)
                     or bool_or(a.seller_id <> p.seller_id or a.currency <> p.currency) as broken
                from seller_payouts p
                join payout_accounts a on a.id = p.payout_account_id
                left join (seller_payout_items t join seller_earnings e on e.id = t.seller_earning_id)
                  on t.seller_payout_id = p.id
               group by p.id",
    },
    Invariant {
        name: "earnings_are_paid_once",
        proves: "an earning is in one payout at most that counts, and one that came to nothing keeps none",
        sql: "select t.seller_earning_id || ' payout ' || t.seller_payout_id as subject,
                     (t.released_at is null) <> (p.status in ('creating', 'processing', 'paid'))
                     or count(*) filter (where p.status in ('creating', 'processing', 'paid'))
                            over (partition by t.seller_earning_id) > 1 as broken
                from seller_payout_items t join seller_payouts p on p.id = t.seller_payout_id",
    },
    Invariant {
        name: "nothing_is_paid_before_its_release",
        proves: "no payout that counts has an earning of a line that is not released",
        sql: "select t.seller_earning_id || ' payout ' || t.seller_payout_id as subject,
                     e.order_item_id is not null and i.released_at is null as broken
                from seller_payout_items t
                join seller_earnings e on e.id = t.seller_earning_id
                left join order_items i on i.id = e.order_item_id
               where t.released_at is null",
    },
    Invariant {
        name: "payouts_in_ledger",
        proves: "every payout stands in the ledger as far as it is, to the cent, and nothing else does",
        sql: "select coalesce(p.id, t.subject_id)::text as subject,
                     p.id is null
                     or coalesce(t.begun, 0) <> p.amount_minor
                     or coalesce(t.paid, 0) <> case when p.status in ('paid', 'returned') then p.amount_minor else 0 end
                     or coalesce(t.undone, 0) <> case when p.status in ('failed', 'cancelled') then p.amount_minor else 0 end
                     or coalesce(t.returned, 0) <> case when p.status = 'returned' then p.amount_minor else 0 end as broken
                from seller_payouts p
                full join (select t.subject_id,
                                  sum(e.amount_minor) filter (where t.kind = 'payout') as begun,
                                  sum(e.amount_minor) filter (where t.kind = 'payout_paid') as paid,
                                  sum(e.amount_minor) filter (where t.kind = 'payout_undone') as undone,
                                  sum(e.amount_minor) filter (where t.kind = 'payout_returned') as returned
                             from ledger_transactions t
                             left join ledger_entries e on e.transaction_id = t.id and e.amount_minor > 0
                            where t.kind in ('payout', 'payout_paid', 'payout_undone', 'payout_returned') group by 1) t
                  on t.subject_id = p.id",
    },
    Invariant {
        name: "payouts_payable",
        proves: "what the ledger has on its way to shops is the payouts without an outcome",
        sql: "select c.currency as subject, coalesce(-l.amount, 0) <> coalesce(p.amount, 0) as broken
                from (select currency from seller_payouts
                      union select currency from ledger_accounts where kind = 'payouts_payable') c
                left join (select currency, sum(amount_minor) as amount
                             from seller_payouts where status in ('creating', 'processing') group by 1) p using (currency)
                left join (select a.currency, sum(e.amount_minor) as amount
                             from ledger_accounts a join ledger_entries e on e.account_id = a.id
                            where a.kind = 'payouts_payable' group by 1) l using (currency)",
    },
    // The provider may be ahead of us for as long as our side has no outcome, and for as long
    // as nobody has looked whether money came back.
    Invariant {
        name: "provider_agrees_on_payouts",
        proves: "what the test provider has paid to shops is what we have, payout by payout",
        sql: "select coalesce(p.id, t.our_id)::text as subject,
                     case when p.id is null then true
                          when t.id is null then p.status in ('paid', 'returned')
                          else t.amount_minor <> p.amount_minor or t.currency <> p.currency
                               or p.status in ('creating', 'cancelled')
                               or (p.status = 'paid' and t.status <> 'succeeded'
                                   -- Nobody asks about it any more after a week.
                                   and not (t.status = 'returned' and p.settled_at > now() - interval '8 days'))
                               or (p.status = 'failed' and t.status <> 'failed')
                               or (p.status = 'returned' and t.status <> 'returned') end as broken
                from (select p.* from seller_payouts p
                        join payout_accounts a on a.id = p.payout_account_id and a.provider = 'test') p
                full join (select * from test_provider_transfers where kind = 'payout') t on t.our_id = p.id",
    },
    Invariant {
        name: "write_offs_in_ledger",
        proves: "what was given up of a shop's debt stands in the ledger, to the cent",
        sql: "select e.id::text as subject, e.amount_minor <= 0 or coalesce(l.amount, 0) <> e.amount_minor as broken
                from seller_earnings e
                left join (select t.subject_id, sum(n.amount_minor) as amount
                             from ledger_transactions t
                             join ledger_entries n on n.transaction_id = t.id
                             join ledger_accounts a on a.id = n.account_id and a.kind = 'write_offs'
                            where t.kind = 'write_off' group by 1) l on l.subject_id = e.source_id
               where e.kind = 'write_off'",
    },
];
