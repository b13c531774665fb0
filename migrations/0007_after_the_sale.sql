-- What comes before an order is paid and after: carts, discounts, parcels, returns, and the
-- money's ways back to buyers and on to shops.

create table cart_items (
    user_id          uuid        not null references users,
    variant_id       uuid        not null references product_variants,
    quantity         int         not null check (quantity between 1 and 1000),
    seen_price_minor bigint      not null check (seen_price_minor >= 0),
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),
    primary key (user_id, variant_id)
);
create index cart_items_variant_idx on cart_items (variant_id);
comment on column cart_items.seen_price_minor is
    'What one cost when the buyer last changed or looked at the line: what is another price since is said.';

create table discount_codes (
    id                 uuid primary key,
    code               text        not null check (code ~ '^[A-Z0-9][A-Z0-9_-]{2,31}$'),
    seller_id          uuid references sellers,
    percent_bps        int check (percent_bps between 1 and 10000),
    amount_minor       bigint check (amount_minor > 0),
    currency           text check (currency ~ '^[A-Z]{3}$'),
    min_items_minor    bigint      not null default 0 check (min_items_minor >= 0),
    uses_max           int check (uses_max > 0),
    uses               int         not null default 0 check (uses >= 0),
    uses_per_buyer_max int check (uses_per_buyer_max > 0),
    starts_at          timestamptz not null default now(),
    ends_at            timestamptz,
    disabled_at        timestamptz,
    created_by         uuid        not null references users,
    created_at         timestamptz not null default now(),
    check ((percent_bps is null) <> (amount_minor is null)),
    -- An amount, and the least that must be bought, are of a currency.
    check (currency is not null or (amount_minor is null and min_items_minor = 0)),
    check (ends_at > starts_at),
    constraint discount_codes_limit_check check (uses <= coalesce(uses_max, 0))
);
-- Whoever funds a code names it: others learn nothing of it, and take no name from them.
create unique index discount_codes_platform_key on discount_codes (code) where seller_id is null;
create unique index discount_codes_seller_key on discount_codes (code, seller_id) where seller_id is not null;
create index discount_codes_seller_idx on discount_codes (seller_id, id desc);
comment on column discount_codes.seller_id is
    'Whose goods it is good for, who also bears it; null: the platform bears it, and it is good for all.';
comment on column discount_codes.uses is
    'Orders that stand and use it, where there is a limit to them. Of a code without one nothing is counted here, so '
    'that its orders do not wait for each other.';

create table discount_uses (
    order_id uuid primary key references orders,
    code_id  uuid    not null references discount_codes,
    user_id  uuid    not null references users,
    stands   boolean not null default true
);
create index discount_uses_standing_idx on discount_uses (code_id, user_id) where stands;
create index discount_uses_user_idx on discount_uses (user_id);
comment on table discount_uses is
    'Counts against a code''s limits as long as it stands: as long as its order is neither cancelled nor expired.';

create function discount_use_counts() returns trigger language plpgsql as $$
begin
    -- Who sets a limit counts what there is: they wait for us, or we for them.
    perform from discount_codes where id = new.code_id for key share;
    update discount_codes set uses = uses + case when new.stands then 1 else -1 end
     where id = new.code_id and uses_max is not null;
    return null;
end $$;
create trigger discount_uses_begin after insert on discount_uses
    for each row when (new.stands) execute function discount_use_counts();
create trigger discount_uses_turn after update of stands on discount_uses
    for each row when (old.stands <> new.stands) execute function discount_use_counts();

-- Whoever ends an order, or takes it up again.
create function discount_use_follows() returns trigger language plpgsql as $$
begin
    update discount_uses set stands = new.status not in ('cancelled', 'expired') where order_id = new.id;
    return null;
end $$;
create trigger orders_discount_use after update of status on orders
    for each row when (new.discount_code is not null
                       and (old.status in ('cancelled', 'expired')) <> (new.status in ('cancelled', 'expired')))
    execute function discount_use_follows();

-- The name alone may be another funder's, too.
alter table checkouts
    add discount_code_id uuid references discount_codes,
    add constraint checkouts_discount_code_check check ((discount_code is null) = (discount_code_id is null));

-- A shop's part of an order travels on its own, in as many parcels as it takes.
create table shipments (
    id           uuid primary key,
    order_id     uuid        not null references orders,
    seller_id    uuid        not null references sellers,
    carrier      text        not null check (length(carrier) between 1 and 60),
    tracking     text        not null default '' check (length(tracking) <= 100),
    tracking_since timestamptz not null default now(),
    shipped_at   timestamptz not null default now(),
    delivered_at timestamptz,
    delivered_by text check (delivered_by in ('carrier', 'buyer')),
    check ((delivered_at is null) = (delivered_by is null))
);
create index shipments_order_idx on shipments (order_id, id);
create index shipments_seller_idx on shipments (seller_id, id desc);
create index shipments_underway_idx on shipments (order_id) where delivered_at is null;
-- A carrier says which parcel arrived by its number.
create unique index shipments_tracking_key on shipments (carrier, tracking) where tracking <> '';

comment on column shipments.tracking_since is
    'Since when it is called by its carrier and number: what was reported of the number before is of another parcel.';

create table shipment_items (
    shipment_id   uuid not null references shipments,
    order_item_id uuid not null references order_items,
    quantity      int  not null check (quantity > 0),
    primary key (shipment_id, order_item_id)
);
create index shipment_items_item_idx on shipment_items (order_item_id);

-- How far units are, as a status says it: the same rule for a shop's part of an order and
-- for the whole of it. Delivered are those that arrived, and those that nobody waits for any
-- more because they were paid back as lost.
create function units_status(p_due bigint, p_shipped bigint, p_delivered bigint, p_settled boolean)
returns text language sql immutable as $$
    select case when p_due = 0 then 'cancelled'
                when p_delivered >= p_due and p_settled then 'completed'
                when p_delivered >= p_due then 'delivered'
                when p_shipped >= p_due then 'shipped'
                when p_shipped > 0 then 'partially_shipped'
                else 'paid' end
$$;

-- A row for each shop in a paid order, so that a shop's list by how far its parts are reads no
-- more than it shows, whatever the shop has sold. Kept where units are, so that no path can
-- forget it: whoever moves units has the order's lock.
create table order_parts (
    order_id  uuid not null references orders,
    seller_id uuid not null references sellers,
    status    text not null
        check (status in ('paid', 'partially_shipped', 'shipped', 'delivered', 'completed', 'cancelled')),
    shipping_check_at timestamptz,
    primary key (order_id, seller_id)
);
create index order_parts_seller_idx on order_parts (seller_id, order_id desc);
create index order_parts_status_idx on order_parts (seller_id, status, order_id desc);
create index order_parts_shipping_idx on order_parts (shipping_check_at) where shipping_check_at is not null;
comment on table order_parts is 'What a shop has in a paid order, and how far that is: as its lines'' units say.';
comment on column order_parts.shipping_check_at is
    'When it is asked again what of its shipping stays paid, though it was called off: because an order of the same show
     that it is kept for was called off, too, or may still run out of time. Null: nothing of that can change.';

create function order_parts_begin() returns trigger language plpgsql as $$
begin
    insert into order_parts (order_id, seller_id, status)
    select order_id, seller_id,
           units_status(sum(quantity - cancelled), sum(shipped), sum(least(shipped, delivered + lost)),
                        bool_and(released_at is not null or quantity = cancelled))
      from order_items where order_id = new.id group by order_id, seller_id
        on conflict do nothing;
    return null;
end $$;
create trigger order_parts_begin after update of paid_at on orders
    for each row when (old.paid_at is null and new.paid_at is not null) execute function order_parts_begin();

create function order_parts_follow() returns trigger language plpgsql as $$
begin
    update order_parts p set status = n.status
      from (select order_id, seller_id,
                   units_status(sum(quantity - cancelled), sum(shipped), sum(least(shipped, delivered + lost)),
                                bool_and(released_at is not null or quantity = cancelled)) as status
              from order_items where order_id in (select order_id from moved) group by order_id, seller_id) n
     where p.order_id = n.order_id and p.seller_id = n.seller_id and p.status <> n.status;
    return null;
end $$;
create trigger order_parts_follow after update on order_items
    referencing new table as moved for each statement execute function order_parts_follow();

create table refunds (
    id           uuid primary key,
    order_id     uuid        not null references orders,
    payment_id   uuid references payments,
    kind         text        not null check (kind in ('cancellation', 'return', 'not_received', 'goodwill', 'late_payment')),
    status       text        not null default 'pending' check (status in ('pending', 'submitted', 'succeeded', 'failed')),
    amount_minor bigint      not null check (amount_minor >= 0),
    currency     text        not null check (currency ~ '^[A-Z]{3}$'),
    reason       text        not null default '' check (length(reason) <= 500),
    requested_by uuid references users,
    provider_ref text,
    failure_code text,
    undone       boolean     not null default false,
    replaces     uuid references refunds,
    outside      boolean     not null default false,
    shipping_kept_minor bigint not null default 0 check (shipping_kept_minor >= 0),
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now(),
    settled_at   timestamptz,
    check (not undone or (status = 'failed' and kind = 'goodwill')),
    check (not outside or (status = 'succeeded' and replaces is not null)),
    -- Nothing was paid, nothing goes back; the line is still undone in the books.
    check ((payment_id is null) = (amount_minor = 0)),
    check ((status in ('succeeded', 'failed')) = (settled_at is not null))
);
create index refunds_order_idx on refunds (order_id, id);
create index refunds_payment_idx on refunds (payment_id, id) where payment_id is not null;
create index refunds_unsettled_idx on refunds (updated_at) where status in ('pending', 'submitted');
create index refunds_status_idx on refunds (status, id desc);
-- What has failed is decided anew once: a successor that fails is the next to be.
create unique index refunds_replaces_key on refunds (replaces) where replaces is not null;
comment on column refunds.id is 'Also the idempotency key with which the provider is called.';
comment on column refunds.undone is
    'It has failed, and what was taken for it stands again. Any other that fails stays owed until one replaces it.';
comment on column refunds.shipping_kept_minor is
    'What of the shipping did not go back with it, because other orders of the same show were spared theirs on its account.';
comment on column refunds.outside is 'The buyer has the money otherwise than through the payment provider.';

-- One place says which are owed, and which count: what has gone back, is on its way, or is owed.
create function refund_is_owed(p_refund refunds) returns boolean language sql stable as $$
    select p_refund.status = 'failed' and not p_refund.undone
           and not exists (select from refunds n where n.replaces = p_refund.id)
$$;
create view standing_refunds as
select r.* from refunds r where r.status <> 'failed' or refund_is_owed(r);

create table refund_items (
    refund_id               uuid   not null references refunds,
    order_item_id           uuid   not null references order_items,
    quantity                int    not null check (quantity >= 0),
    goods_minor             bigint not null check (goods_minor >= 0),
    platform_discount_minor bigint not null check (platform_discount_minor >= 0),
    tax_minor               bigint not null check (tax_minor >= 0),
    shipping_minor          bigint not null check (shipping_minor >= 0),
    shipping_tax_minor      bigint not null check (shipping_tax_minor >= 0),
    commission_minor        bigint not null check (commission_minor >= 0),
    primary key (refund_id, order_item_id)
);
create index refund_items_item_idx on refund_items (order_item_id);
comment on column refund_items.quantity is '0: of the line only its shipping goes back.';
comment on column refund_items.goods_minor is 'Of what the buyer paid for the goods, after all discounts and without added tax.';

create table returns (
    id            uuid primary key,
    order_id      uuid        not null references orders,
    order_item_id uuid        not null references order_items,
    seller_id     uuid        not null references sellers,
    quantity      int         not null check (quantity > 0),
    status        text        not null default 'requested'
        check (status in ('requested', 'approved', 'rejected', 'withdrawn', 'received', 'refunded')),
    reason        text        not null check (length(reason) between 1 and 1000),
    answer        text        not null default '' check (length(answer) <= 1000),
    restocked     int         not null default 0 check (restocked between 0 and quantity),
    refund_id     uuid references refunds,
    -- Not when its transaction began: that may have waited for the release of the line.
    created_at    timestamptz not null default clock_timestamp(),
    answered_at   timestamptz,
    sent_at       timestamptz,
    carrier       text        not null default '' check (length(carrier) <= 60),
    tracking      text        not null default '' check (length(tracking) <= 100),
    received_at   timestamptz,
    escalated_at  timestamptz,
    check (refund_id is null or status in ('received', 'refunded')),
    check ((sent_at is null) = (tracking = '')),
    check (sent_at is null or answered_at is not null)
);
create index returns_order_idx on returns (order_id, id);
create index returns_item_idx on returns (order_item_id);
create index returns_seller_idx on returns (seller_id, id desc);
create index returns_open_idx on returns (order_item_id) where status in ('requested', 'approved', 'received');
create index returns_unanswered_idx on returns (created_at) where status = 'requested' and escalated_at is null;
create index returns_unsent_idx on returns (answered_at) where status = 'approved' and sent_at is null;
create index returns_underway_idx on returns (sent_at)
    where status = 'approved' and sent_at is not null and escalated_at is null;
create index returns_escalated_idx on returns (id)
    where escalated_at is not null and status in ('requested', 'approved');
create index returns_status_idx on returns (status, id desc);
comment on column returns.escalated_at is
    'Since when it waits for an admin, because its shop has had its time. An answer ends that.';
comment on column returns.sent_at is
    'When its buyer said that it was sent, with the parcel''s number: from then on it does not lapse by itself.';
create unique index returns_refund_key on returns (refund_id) where refund_id is not null;

create table claims (
    id            uuid primary key,
    order_id      uuid        not null references orders,
    order_item_id uuid        not null references order_items,
    seller_id     uuid        not null references sellers,
    quantity      int         not null check (quantity > 0),
    status        text        not null default 'open'
        check (status in ('open', 'answered', 'withdrawn', 'rejected', 'upheld')),
    reason        text        not null check (length(reason) between 1 and 1000),
    answer        text        not null default '' check (length(answer) <= 1000),
    decision      text        not null default '' check (length(decision) <= 1000),
    refund_id     uuid references refunds,
    created_at    timestamptz not null default clock_timestamp(),
    answered_at   timestamptz,
    decided_at    timestamptz,
    check (refund_id is null or status = 'upheld'),
    check ((status in ('withdrawn', 'rejected', 'upheld')) = (decided_at is not null))
);
create index claims_order_idx on claims (order_id, id);
create index claims_item_idx on claims (order_item_id);
create index claims_seller_idx on claims (seller_id, id desc);
create index claims_status_idx on claims (status, id desc);
create unique index claims_refund_key on claims (refund_id) where refund_id is not null;
comment on table claims is 'What buyers say did not come of what was sent. While one is open, its line is not released.';

create table disputes (
    id           uuid primary key,
    payment_id   uuid        not null references payments,
    provider_ref text        not null,
    status       text        not null default 'open' check (status in ('open', 'won', 'lost')),
    amount_minor bigint      not null check (amount_minor > 0),
    covered_minor bigint     not null check (covered_minor between 0 and amount_minor),
    currency     text        not null check (currency ~ '^[A-Z]{3}$'),
    reason       text        not null default '' check (length(reason) <= 100),
    opened_at    timestamptz not null default now(),
    asked_at     timestamptz not null default now(),
    closed_at    timestamptz,
    superseded   boolean     not null default false,
    check ((status = 'open') = (closed_at is null)),
    check (not superseded or status = 'won')
);
create unique index disputes_ref_key on disputes (provider_ref) where not superseded;
create index disputes_payment_idx on disputes (payment_id);
create index disputes_status_idx on disputes (status, id desc);
create index disputes_open_idx on disputes (asked_at) where status = 'open';
comment on column disputes.superseded is
    'It was won, and its money was taken anew: what became of that is another row of the same name.';
comment on column disputes.covered_minor is
    'What of the amount the payment still had beside refunds and other disputes: if it is lost, that is taken from the
     lines, and the rest is the platform''s loss.';
comment on column disputes.asked_at is 'When the provider was last asked about it, though it had told nothing.';

create table dispute_items (
    dispute_id              uuid   not null references disputes,
    order_item_id           uuid   not null references order_items,
    goods_minor             bigint not null check (goods_minor >= 0),
    platform_discount_minor bigint not null check (platform_discount_minor >= 0),
    tax_minor               bigint not null check (tax_minor >= 0),
    shipping_minor          bigint not null check (shipping_minor >= 0),
    shipping_tax_minor      bigint not null check (shipping_tax_minor >= 0),
    commission_minor        bigint not null check (commission_minor >= 0),
    primary key (dispute_id, order_item_id)
);
create index dispute_items_item_idx on dispute_items (order_item_id);
comment on table dispute_items is
    'What a dispute took of each line when it was lost. It counts as long as it is; one that is won after all gave it back.';

create table payout_accounts (
    id           uuid primary key,
    seller_id    uuid        not null references sellers,
    provider     text        not null,
    provider_ref text        not null,
    currency     text        not null check (currency ~ '^[A-Z]{3}$'),
    schedule     text        not null default 'manual' check (schedule in ('manual', 'daily', 'weekly', 'monthly')),
    next_at      timestamptz,
    created_at   timestamptz not null default now(),
    disabled_at  timestamptz,
    check ((schedule = 'manual') = (next_at is null))
);
create index payout_accounts_due_idx on payout_accounts (next_at) where next_at is not null and disabled_at is null;
comment on column payout_accounts.next_at is
    'From when on the schedule''s next payout is due. Whoever makes it moves it on, and so it is made once.';
create unique index payout_accounts_one_key on payout_accounts (seller_id, currency) where disabled_at is null;
comment on column payout_accounts.provider_ref is 'The provider''s name for where the money goes; no bank data.';

create table payout_holds (
    id          uuid primary key,
    seller_id   uuid        not null references sellers,
    reason      text        not null check (length(reason) between 1 and 500),
    held_by     uuid        not null references users,
    held_at     timestamptz not null default now(),
    released_by uuid references users,
    released_at timestamptz,
    check ((released_by is null) = (released_at is null))
);
create unique index payout_holds_one_key on payout_holds (seller_id) where released_at is null;

create table seller_payouts (
    id                uuid primary key,
    seller_id         uuid        not null references sellers,
    payout_account_id uuid        not null references payout_accounts,
    status            text        not null default 'creating'
        check (status in ('creating', 'processing', 'paid', 'failed', 'cancelled', 'returned')),
    amount_minor      bigint      not null check (amount_minor > 0),
    currency          text        not null check (currency ~ '^[A-Z]{3}$'),
    period            text,
    requested_by      uuid references users,
    provider_ref      text,
    failure_code      text,
    created_at        timestamptz not null default now(),
    asked_at          timestamptz,
    updated_at        timestamptz not null default now(),
    settled_at        timestamptz
);
create index seller_payouts_seller_idx on seller_payouts (seller_id, id desc);
create index seller_payouts_unsettled_idx on seller_payouts (updated_at) where status in ('creating', 'processing');
create index seller_payouts_watched_idx on seller_payouts (settled_at) where status = 'paid';
create index seller_payouts_status_idx on seller_payouts (status, id desc);
create unique index seller_payouts_period_key on seller_payouts (payout_account_id, period) where period is not null;
comment on column seller_payouts.id is 'Also the idempotency key with which the provider is called.';
comment on column seller_payouts.asked_at is
    'When the provider was first asked for it. Providers forget ids: a day later it is asked no more, only about it.';
comment on column seller_payouts.period is
    'Which day, week or month of its schedule it is of: once each, on however many processes; null: asked for.';

create table seller_payout_items (
    seller_payout_id  uuid   not null references seller_payouts,
    seller_earning_id uuid   not null references seller_earnings,
    amount_minor      bigint not null,
    released_at       timestamptz,
    primary key (seller_payout_id, seller_earning_id)
);
-- An earning is in one payout, unless that came to nothing.
create unique index seller_payout_items_earning_key on seller_payout_items (seller_earning_id) where released_at is null;

-- What no payout that counts has taken yet: what a shop's balance and a claim are made of, so
-- that neither reads all that the shop has ever earned. Kept where earnings are appended and
-- taken, so that no path can forget it; whoever takes them has the lock of what the books owe.
create table unclaimed_earnings (
    earning_id    uuid primary key references seller_earnings,
    seller_id     uuid not null references sellers,
    currency      text not null,
    order_item_id uuid references order_items,
    amount_minor  bigint not null
);
create index unclaimed_earnings_seller_idx on unclaimed_earnings (seller_id, currency);
create index unclaimed_earnings_page_idx on unclaimed_earnings (seller_id, earning_id desc);
comment on table unclaimed_earnings is
    'Earnings that are in no payout, or only in such as came to nothing. What it says of them never changes.';

create function unclaimed_earnings_begin() returns trigger language plpgsql as $$
begin
    insert into unclaimed_earnings (earning_id, seller_id, currency, order_item_id, amount_minor)
    select id, seller_id, currency, order_item_id, amount_minor from earned;
    return null;
end $$;
create trigger unclaimed_earnings_begin after insert on seller_earnings
    referencing new table as earned for each statement execute function unclaimed_earnings_begin();
create function unclaimed_earnings_take() returns trigger language plpgsql as $$
begin
    delete from unclaimed_earnings u using taken t where u.earning_id = t.seller_earning_id and t.released_at is null;
    return null;
end $$;
create trigger unclaimed_earnings_take after insert on seller_payout_items
    referencing new table as taken for each statement execute function unclaimed_earnings_take();
create function unclaimed_earnings_again() returns trigger language plpgsql as $$
begin
    delete from unclaimed_earnings u using given g where u.earning_id = g.seller_earning_id and g.released_at is null;
    insert into unclaimed_earnings (earning_id, seller_id, currency, order_item_id, amount_minor)
    select e.id, e.seller_id, e.currency, e.order_item_id, e.amount_minor
      from given g join seller_earnings e on e.id = g.seller_earning_id
     where g.released_at is not null
       and not exists (select from seller_payout_items t
                        where t.seller_earning_id = g.seller_earning_id and t.released_at is null)
        on conflict do nothing;
    return null;
end $$;
create trigger unclaimed_earnings_again after update on seller_payout_items
    referencing new table as given for each statement execute function unclaimed_earnings_again();

-- Where what nobody has taken is. For a shop's balance and for claims; the view below says the
-- same of all earnings.
create view unclaimed_states as
select u.earning_id as id, u.seller_id, u.currency, u.amount_minor,
       case when u.order_item_id is null then 'available'
            when i.released_at is null then 'held'
            when exists (select from payments m join disputes d on d.payment_id = m.id
                          where m.order_id = i.order_id and d.status = 'open') then 'disputed'
            else 'available' end as state
  from unclaimed_earnings u left join order_items i on i.id = u.order_item_id;

-- Where each earning is on its way to its shop. One place says so, for what is paid out, for
-- the shop's balance and for its statement.
create view earning_states as
select e.id, e.seller_id, e.currency, e.amount_minor, p.id as payout_id,
       case when p.status = 'paid' then 'paid_out'
            when p.id is not null then 'on_its_way'
            when e.order_item_id is null then 'available'
            when i.released_at is null then 'held'
            when exists (select from payments m join disputes d on d.payment_id = m.id
                          where m.order_id = i.order_id and d.status = 'open') then 'disputed'
            else 'available' end as state
  from seller_earnings e
  left join order_items i on i.id = e.order_item_id
  left join (seller_payout_items t join seller_payouts p on p.id = t.seller_payout_id)
    on t.seller_earning_id = e.id and t.released_at is null;

create view earning_lines as
select e.id, e.seller_id, e.kind as because, e.source_id, i.order_id, o.number as order_number, e.order_item_id,
       i.title, i.quantity, e.base_minor, e.shipping_minor, e.tax_minor, e.commission_minor, i.commission_bps,
       e.amount_minor, e.currency, s.state,
       case when s.state not in ('held', 'disputed') then null
            when exists (select from payments m join disputes d on d.payment_id = m.id
                          where m.order_id = i.order_id and d.status = 'open') then 'dispute_open'
            when exists (select from returns r where r.order_item_id = i.id
                            and r.status in ('requested', 'approved', 'received')) then 'return_open'
            when exists (select from claims c where c.order_item_id = i.id
                            and c.status in ('open', 'answered')) then 'not_received'
            when i.release_after is null then 'not_delivered'
            else 'not_due' end as held_because,
       i.release_after, i.released_at, s.payout_id, e.created_at
  from seller_earnings e
  join earning_states s on s.id = e.id
  left join order_items i on i.id = e.order_item_id
  left join orders o on o.id = i.order_id;
comment on view earning_lines is 'A shop''s statement: what each line brought or took, which fee, and where it is.';

create table webhook_inbox (
    id           uuid primary key,
    provider     text        not null,
    event_id     text        not null check (length(event_id) between 1 and 255),
    kind         text        not null,
    payload      jsonb       not null,
    received_at  timestamptz not null default now(),
    processed_at timestamptz,
    attempts     int         not null default 0,
    not_before   timestamptz not null default now(),
    last_error   text check (length(last_error) <= 500),
    dead_at      timestamptz,
    constraint webhook_inbox_once unique (provider, event_id),
    constraint webhook_inbox_dead_is_not_processed check (dead_at is null or processed_at is null)
);
create index webhook_inbox_due_idx on webhook_inbox (not_before) where processed_at is null and dead_at is null;
create index webhook_inbox_done_idx on webhook_inbox (processed_at) where processed_at is not null;
create index webhook_inbox_dead_idx on webhook_inbox (id) where dead_at is not null;
comment on table webhook_inbox is
    'What providers have told us, once each, until it is worked off. One that came to nothing is dead until an admin '
    'has it tried anew or discards it.';

-- What was tried until nobody tries it any more, without what it says: letters hold addresses.
create view dead_letters as
select id, 'outbox' as kind, topic as source, coalesce(payload ->> 'kind', payload ->> 'letter', '') as what,
       attempts, coalesce(last_error, '') as last_error, created_at, dead_at
  from outbox where dead_at is not null
union all
select id, 'webhook', provider, kind, attempts, coalesce(last_error, ''), received_at, dead_at
  from webhook_inbox where dead_at is not null;

-- The test provider's own books of what goes back and on, beside `test_provider_intents`.
create table test_provider_transfers (
    id           uuid primary key,
    our_id       uuid        not null,
    kind         text        not null check (kind in ('refund', 'payout')),
    payment_id   uuid,
    destination  text,
    amount_minor bigint      not null check (amount_minor > 0),
    currency     text        not null,
    status       text        not null check (status in ('processing', 'succeeded', 'failed', 'returned')),
    failure_code text,
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now(),
    unique (our_id),
    check ((kind = 'refund') = (payment_id is not null)),
    check ((kind = 'payout') = (destination is not null))
);
create index test_provider_transfers_payment_idx on test_provider_transfers (payment_id) where payment_id is not null;

create index test_provider_transfers_due_idx on test_provider_transfers (created_at)
    where status = 'processing' or (status = 'succeeded' and destination = 'test_bank_returns');

create table test_provider_disputes (
    id           uuid primary key,
    payment_id   uuid        not null,
    amount_minor bigint      not null check (amount_minor > 0),
    currency     text        not null,
    status       text        not null check (status in ('open', 'won', 'lost')),
    by_token     boolean     not null default false,
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now()
);
create index test_provider_disputes_payment_idx on test_provider_disputes (payment_id);
create unique index test_provider_disputes_token_key on test_provider_disputes (payment_id) where by_token;
create index test_provider_disputes_due_idx on test_provider_disputes (created_at) where by_token and status = 'open';
create index test_provider_intents_disputed_idx on test_provider_intents (created_at)
    where status = 'succeeded'
      and token in ('test_success_disputed', 'test_success_dispute_won', 'test_success_dispute_lost');

create table test_provider_events (
    id         uuid primary key     default gen_random_uuid(),
    kind       text        not null,
    subject    uuid        not null,
    created_at timestamptz not null default clock_timestamp(),
    not_before timestamptz not null default clock_timestamp(),
    sent_at    timestamptz
);
create index test_provider_events_due_idx on test_provider_events (created_at) where sent_at is null;
create index test_provider_events_sent_idx on test_provider_events (sent_at) where sent_at is not null;
comment on table test_provider_events is
    'What the test provider tells of its books, written with each change of them and sent by a job.';

create trigger account_is_there before insert on cart_items
    for each row execute function refuse_who_has_left('user_id');

-- When an id of version 7 was made, in milliseconds of Unix time.
create function ms_of_id(p_id uuid) returns bigint language sql immutable as $$
    select ('x' || lpad(left(replace(p_id::text, '-', ''), 12), 16, '0'))::bit(64)::bigint
$$;

-- What keeps earnings from being released, in one place.
create function has_open_return(p_item uuid) returns boolean language sql stable as $$
    select exists (select from returns
                    where order_item_id = p_item and status in ('requested', 'approved', 'received'))
$$;
create function has_open_claim(p_item uuid) returns boolean language sql stable as $$
    select exists (select from claims where order_item_id = p_item and status in ('open', 'answered'))
$$;
create function earnings_are_disputed(p_order uuid) returns boolean language sql stable as $$
    select exists (select from payments p join disputes d on d.payment_id = p.id
                    where p.order_id = p_order and d.status = 'open')
$$;
