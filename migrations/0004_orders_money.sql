-- From a priced checkout to money that balances.

create table commission_rules (
    id          uuid primary key,
    seller_id   uuid references sellers,
    category_id uuid references categories,
    rate_bps    int         not null check (rate_bps between 0 and 10000),
    valid_from  timestamptz not null default now(),
    created_by  uuid references users,
    created_at  timestamptz not null default now(),
    check (seller_id is null or category_id is null)
);
create index commission_rules_lookup_idx on commission_rules (seller_id, category_id, valid_from desc);
create trigger commission_rules_append_only before update or delete on commission_rules
    for each row execute function refuse_change();
comment on table commission_rules is
    'Append-only. Basis points of an item''s base. The seller''s newest rule wins, else that of the nearest category above the
     product, else the newest of neither.';

create table checkouts (
    id             uuid primary key,
    user_id        uuid        not null references users,
    address_id     uuid        not null references addresses,
    address        jsonb       not null check (jsonb_typeof(address) = 'object'),
    stream_id      uuid references streams,
    currency       text        not null check (currency ~ '^[A-Z]{3}$'),
    status         text        not null default 'open' check (status in ('open', 'placed', 'expired', 'cancelled')),
    discount_code  text,
    from_cart      boolean     not null default false,
    items_minor    bigint      not null check (items_minor >= 0),
    discount_minor bigint      not null default 0 check (discount_minor between 0 and items_minor),
    shipping_minor bigint      not null check (shipping_minor >= 0),
    tax_minor      bigint      not null default 0 check (tax_minor >= 0),
    tax_included   boolean     not null default true,
    tax_remitted_by text       not null default 'platform' check (tax_remitted_by in ('platform', 'seller')),
    total_minor    bigint      not null,
    expires_at     timestamptz not null,
    created_at     timestamptz not null default now(),
    check (total_minor = items_minor - discount_minor + shipping_minor + case when tax_included then 0 else tax_minor end)
);
create index checkouts_user_idx on checkouts (user_id, id desc);
create index checkouts_expiry_idx on checkouts (expires_at) where status = 'open';

comment on column checkouts.address is
    'The address as it was when the checkout was priced: tax, shipping and where it is shipped to at all are of it.';
comment on column checkouts.from_cart is 'Placing it takes what is ordered out of the buyer''s cart.';

create table checkout_items (
    id               uuid primary key,
    checkout_id      uuid   not null references checkouts,
    variant_id       uuid   not null references product_variants,
    reservation_id   uuid references reservations,
    quantity         int    not null check (quantity between 1 and 1000),
    unit_price_minor bigint not null check (unit_price_minor >= 0),
    seller_discount_minor   bigint not null default 0 check (seller_discount_minor >= 0),
    platform_discount_minor bigint not null default 0 check (platform_discount_minor >= 0),
    shipping_minor   bigint not null check (shipping_minor >= 0),
    tax_bps          int    not null default 0 check (tax_bps between 0 and 10000),
    tax_minor        bigint not null default 0 check (tax_minor >= 0),
    shipping_tax_minor bigint not null default 0 check (shipping_tax_minor >= 0),
    lapsed_at        timestamptz,
    check (seller_discount_minor + platform_discount_minor <= unit_price_minor * quantity)
);
create index checkout_items_checkout_idx on checkout_items (checkout_id);
create index checkout_items_reservation_idx on checkout_items (reservation_id) where reservation_id is not null;
comment on column checkout_items.reservation_id is
    'A flash hold keeps its own units and expiry; without one the line reserved its units from the variant.';
comment on column checkout_items.lapsed_at is
    'When the checkout was repriced without this line, because its flash hold had lapsed; such a line costs nothing.';

create table orders (
    id             uuid primary key,
    number         bigint      not null generated always as identity,
    user_id        uuid        not null references users,
    checkout_id    uuid        not null references checkouts,
    stream_id      uuid references streams,
    status         text        not null default 'pending_payment'
        check (status in ('pending_payment', 'paid', 'partially_shipped', 'shipped', 'delivered',
                          'completed', 'cancelled', 'expired')),
    currency       text        not null check (currency ~ '^[A-Z]{3}$'),
    discount_code  text,
    items_minor    bigint      not null check (items_minor >= 0),
    discount_minor bigint      not null default 0 check (discount_minor between 0 and items_minor),
    shipping_minor bigint      not null check (shipping_minor >= 0),
    tax_minor      bigint      not null default 0 check (tax_minor >= 0),
    tax_included   boolean     not null default true,
    tax_remitted_by text       not null default 'platform' check (tax_remitted_by in ('platform', 'seller')),
    total_minor    bigint      not null,
    address        jsonb       not null check (jsonb_typeof(address) = 'object'),
    expires_at     timestamptz not null,
    holds_until    timestamptz,
    paid_at        timestamptz,
    created_at     timestamptz not null default now(),
    check (total_minor = items_minor - discount_minor + shipping_minor + case when tax_included then 0 else tax_minor end)
);
create unique index orders_checkout_key on orders (checkout_id);
create unique index orders_number_key on orders (number);
create index orders_user_idx on orders (user_id, id desc);
create index orders_status_idx on orders (status, id desc);
create index orders_expiry_idx on orders (expires_at) where status = 'pending_payment';
create index orders_unpaid_idx on orders (user_id) where status = 'pending_payment';
create index orders_holds_expiry_idx on orders (holds_until) where status = 'pending_payment' and holds_until is not null;
create index orders_stream_idx on orders (stream_id) where stream_id is not null;
alter table notifications add foreign key (order_id) references orders;
comment on column orders.address is 'That of the checkout, which it was priced for.';
comment on column orders.expires_at is 'Until when it may be paid, as far as it alone goes.';
comment on column orders.holds_until is
    'Until when its first flash hold lasts: unpaid by then, it cannot be paid as agreed and its other units are free.';

create table order_items (
    id                      uuid primary key,
    order_id                uuid   not null references orders,
    seller_id               uuid   not null references sellers,
    product_id              uuid   not null references products,
    variant_id              uuid   not null references product_variants,
    reservation_id          uuid references reservations,
    title                   text   not null,
    sku                     text   not null,
    options                 jsonb  not null,
    image_url               text   not null,
    quantity                int    not null check (quantity between 1 and 1000),
    unit_price_minor        bigint not null check (unit_price_minor >= 0),
    gross_minor             bigint not null,
    seller_discount_minor   bigint not null default 0 check (seller_discount_minor >= 0),
    platform_discount_minor bigint not null default 0 check (platform_discount_minor >= 0),
    shipping_minor          bigint not null check (shipping_minor >= 0),
    tax_bps                 int    not null default 0 check (tax_bps between 0 and 10000),
    tax_minor               bigint not null default 0 check (tax_minor >= 0),
    shipping_tax_minor      bigint not null default 0 check (shipping_tax_minor >= 0),
    commission_bps          int    not null check (commission_bps between 0 and 10000),
    commission_minor        bigint not null check (commission_minor >= 0),
    cancelled               int    not null default 0 check (cancelled >= 0),
    shipped                 int    not null default 0 check (shipped >= 0),
    delivered               int    not null default 0 check (delivered between 0 and shipped),
    returned                int    not null default 0 check (returned between 0 and shipped),
    lost                    int    not null default 0 check (lost between 0 and shipped),
    release_after           timestamptz,
    released_at             timestamptz,
    check (shipped + cancelled <= quantity),
    check (gross_minor = unit_price_minor * quantity),
    check (seller_discount_minor + platform_discount_minor <= gross_minor)
);
create index order_items_order_idx on order_items (order_id);
create index order_items_seller_idx on order_items (seller_id, order_id);
create index order_items_image_idx on order_items (image_url) where image_url like '/media/%';
create index order_items_release_idx on order_items (release_after) where released_at is null and release_after is not null;
create index order_items_reservation_idx on order_items (reservation_id) where reservation_id is not null;
comment on column order_items.release_after is
    'From when on what the line earned may be paid out, set once all of it is delivered or on its way; null: not yet.';
comment on column order_items.released_at is
    'Since when what the line earned may be paid out. It holds for all of its earnings: a reversal waits with a sale
     that is held, and counts at once against one that is released.';
comment on column order_items.lost is
    'Units that were sent and paid back because they never came: nobody waits for them any more.';
comment on column order_items.tax_minor is
    'Of the goods, within the price or on top of it as the order says; shipping_tax_minor likewise of the shipping.';

-- What shipping of an order in a show would cost without the show's cap, by cap: of the show's
-- own goods, and only where some of them have one. From it what its orders owe together is
-- known, whichever of them are called off.
create table show_shipping (
    order_id   uuid   not null references orders,
    cap_minor  bigint check (cap_minor >= 0),
    full_minor bigint not null check (full_minor >= 0),
    constraint show_shipping_key unique nulls not distinct (order_id, cap_minor)
);
comment on column show_shipping.cap_minor is
    'The cap of these goods'' shipping profiles when the order was placed; null: of those without one.';

create table order_status_history (
    id         uuid primary key,
    order_id   uuid        not null references orders,
    status     text        not null,
    actor_id   uuid references users,
    created_at timestamptz not null default now()
);
create index order_status_history_order_idx on order_status_history (order_id, id);

create table payments (
    id           uuid primary key,
    order_id     uuid        not null references orders,
    provider     text        not null,
    provider_ref text,
    status       text        not null default 'created'
        check (status in ('created', 'processing', 'requires_action', 'captured', 'failed', 'cancelled')),
    amount_minor bigint      not null check (amount_minor > 0),
    currency     text        not null check (currency ~ '^[A-Z]{3}$'),
    method_token text        not null,
    return_url   text,
    next_action_url text,
    failure_code text,
    fee_minor    bigint check (fee_minor >= 0),
    surplus      boolean     not null default false,
    captured_at  timestamptz,
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now(),
    check ((status = 'captured') = (captured_at is not null)),
    check (next_action_url is null or status = 'requires_action')
);
create index payments_order_idx on payments (order_id, id);
create index payments_unsettled_idx on payments (updated_at)
    where status in ('created', 'processing', 'requires_action');
-- A new attempt needs the former one terminal, and an order is captured once.
create unique index payments_one_attempt_key on payments (order_id)
    where status in ('created', 'processing', 'requires_action', 'captured') and not surplus;
create index payments_without_fee_idx on payments (updated_at) where status = 'captured' and fee_minor is null;
comment on column payments.fee_minor is 'What the provider keeps for itself of a capture; null: it has not told yet.';
comment on column payments.surplus is
    'It had failed or was cancelled, and was captured all the same: all of it goes back, whatever became of its order.';
comment on column payments.id is 'Also the idempotency key with which the provider is called.';
comment on column payments.return_url is 'Where the buyer comes back to from a second step: checked when it was taken.';
comment on column payments.next_action_url is 'Where the buyer is to be sent, while the second step is owed.';
comment on column payments.method_token is 'The provider''s single-use token for the means of payment; no card data.';

create table test_provider_intents (
    id           uuid primary key,
    payment_id   uuid        not null,
    amount_minor bigint      not null,
    currency     text        not null,
    fee_minor    bigint      not null default 0 check (fee_minor >= 0),
    token        text        not null,
    return_url   text,
    status       text        not null
        check (status in ('processing', 'requires_action', 'succeeded', 'declined', 'cancelled')),
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now(),
    unique (payment_id)
);
create index test_provider_intents_due_idx on test_provider_intents (created_at) where status = 'processing';
comment on table test_provider_intents is
    'The built-in test provider''s own books, kept apart so that `hawker verify` can hold ours against them.';

create table seller_earnings (
    id               uuid primary key,
    seller_id        uuid        not null references sellers,
    order_item_id    uuid references order_items,
    kind             text        not null check (kind in ('sale', 'refund', 'refund_failed', 'dispute', 'dispute_won', 'write_off')),
    source_id        uuid        not null,
    base_minor       bigint      not null,
    shipping_minor   bigint      not null,
    tax_minor        bigint      not null default 0,
    commission_minor bigint      not null,
    amount_minor     bigint      not null,
    currency         text        not null check (currency ~ '^[A-Z]{3}$'),
    created_at       timestamptz not null default now(),
    check (amount_minor = base_minor + shipping_minor + tax_minor - commission_minor),
    check ((order_item_id is null) = (kind = 'write_off'))
);
create index seller_earnings_seller_idx on seller_earnings (seller_id, id);
create unique index seller_earnings_source_key on seller_earnings (source_id, kind, order_item_id);
create index seller_earnings_item_idx on seller_earnings (order_item_id);
comment on table seller_earnings is
    'What each line brought or took from its shop, signed. Their sum is what the books owe the shop before payouts.';
comment on column seller_earnings.source_id is
    'What it comes from: the order of a sale, the refund, the dispute, the write-off''s ledger transaction.';
comment on column seller_earnings.tax_minor is 'Tax that the shop remits itself; else the platform owes it.';
create trigger seller_earnings_append_only before update or delete on seller_earnings
    for each row execute function refuse_change();

create table ledger_accounts (
    id        uuid primary key,
    kind      text not null
        check (kind in ('provider_clearing', 'seller_payable', 'platform_commission', 'platform_discounts',
                        'tax_payable', 'refunds_payable', 'payouts_payable', 'disputed', 'dispute_losses',
                        'write_offs', 'provider_fees', 'paid_outside')),
    seller_id uuid references sellers,
    currency  text not null check (currency ~ '^[A-Z]{3}$'),
    check ((kind = 'seller_payable') = (seller_id is not null))
);
create unique index ledger_accounts_platform_key on ledger_accounts (kind, currency) where seller_id is null;
create unique index ledger_accounts_seller_key on ledger_accounts (kind, seller_id, currency)
    where seller_id is not null;

create table ledger_transactions (
    id         uuid primary key,
    kind       text        not null
        check (kind in ('capture', 'late_capture', 'refund', 'refund_paid', 'refund_returned', 'refund_failed',
                        'payout', 'payout_paid', 'payout_undone', 'payout_returned', 'dispute_opened', 'dispute_won', 'dispute_lost',
                        'write_off', 'provider_fee')),
    subject_id uuid        not null,
    order_id   uuid references orders,
    created_at timestamptz not null default now(),
    constraint ledger_transactions_once unique (subject_id, kind)
);
create index ledger_transactions_order_idx on ledger_transactions (order_id, id) where order_id is not null;
comment on table ledger_transactions is
    'Why money moved in the books. What happens to a payment, a refund, a payout or a dispute is booked once.';
comment on column ledger_transactions.subject_id is 'The payment, refund, payout, dispute or write-off.';
create trigger ledger_transactions_append_only before update or delete on ledger_transactions
    for each row execute function refuse_change();

create table ledger_entries (
    id             uuid primary key,
    transaction_id uuid        not null references ledger_transactions,
    account_id     uuid        not null references ledger_accounts,
    amount_minor   bigint      not null check (amount_minor <> 0),
    currency       text        not null check (currency ~ '^[A-Z]{3}$'),
    order_item_id  uuid references order_items,
    created_at     timestamptz not null default now()
);
create index ledger_entries_transaction_idx on ledger_entries (transaction_id);
-- With the amount: an account's balance is read from the index alone.
create index ledger_entries_account_idx on ledger_entries (account_id, id) include (amount_minor);
comment on column ledger_entries.amount_minor is 'Debits are positive, credits negative.';
create trigger ledger_entries_append_only before update or delete on ledger_entries
    for each row execute function refuse_change();

-- Checked at commit, once the transaction's last entry is there.
create function ledger_refuse_imbalance() returns trigger language plpgsql as $$
begin
    if exists (
        select 1 from ledger_entries where transaction_id = new.transaction_id
        group by currency having sum(amount_minor) <> 0
    ) then
        raise exception 'ledger transaction % does not balance', new.transaction_id
            using errcode = 'check_violation', constraint = 'ledger_entries_balance';
    end if;
    return null;
end $$;
create constraint trigger ledger_entries_balance after insert on ledger_entries
    deferrable initially deferred for each row execute function ledger_refuse_imbalance();

-- Read by both services: the room tells its host at the end, REST tells the shop later.
create view stream_commerce as
select s.id as stream_id,
       (select count(*) from flash_sales f where f.stream_id = s.id) as sales,
       h.holds,
       h.held_units,
       o.orders,
       o.paid_orders,
       o.sold_units,
       (select coalesce(jsonb_object_agg(c.currency, c.minor), '{}')
          from (select p.currency,
                       sum(i.gross_minor - i.seller_discount_minor - i.platform_discount_minor
                           - round((i.gross_minor - i.seller_discount_minor - i.platform_discount_minor)::numeric
                                   * i.cancelled / i.quantity))::bigint as minor
                  from orders p join order_items i on i.order_id = p.id
                 where p.stream_id = s.id and p.paid_at is not null and i.seller_id = s.seller_id
                 group by p.currency) c) as revenue_minor
  from streams s
 cross join lateral (
       select count(*) as holds, coalesce(sum(r.quantity), 0) as held_units
         from flash_sales f join reservations r on r.sale_id = f.id where f.stream_id = s.id) h
 cross join lateral (
       select count(distinct p.id) as orders,
              count(distinct p.id) filter (where p.paid_at is not null and i.cancelled < i.quantity) as paid_orders,
              coalesce(sum(i.quantity - i.cancelled) filter (where p.paid_at is not null), 0) as sold_units
         from orders p join order_items i on i.order_id = p.id
        where p.stream_id = s.id and i.seller_id = s.seller_id) o;
comment on view stream_commerce is
    'What a show has sold of its own shop''s goods, as the rows are now. Without shipping; discounts and what was '
    'called off are taken off.';

-- One place says what has arrived, for whoever depends on it.
create function order_item_is_delivered(p_item uuid) returns boolean language sql stable as $$
    select exists (select from order_items where id = p_item and delivered > 0)
$$;

create table product_reviews (
    id            uuid primary key,
    product_id    uuid        not null references products,
    seller_id     uuid        not null references sellers,
    order_item_id uuid        not null references order_items,
    user_id       uuid        not null references users,
    rating        smallint    not null check (rating between 1 and 5),
    body          text        not null default '' check (length(body) <= 5000),
    answer        text        not null default '' check (length(answer) <= 2000),
    answered_at   timestamptz,
    hidden_at     timestamptz,
    deleted_at    timestamptz,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    constraint product_reviews_item_key unique (order_item_id),
    check ((answer = '') = (answered_at is null)),
    check (deleted_at is null or body = '')
);
create index product_reviews_product_idx on product_reviews (product_id, id desc)
    where hidden_at is null and deleted_at is null;
create index product_reviews_seller_idx on product_reviews (seller_id, id desc);
create index product_reviews_user_idx on product_reviews (user_id, id desc);
comment on table product_reviews is
    'Of what was delivered, by who bought it. products.rating_sum and rating_count count those that everybody may see.';
comment on column product_reviews.deleted_at is
    'Taken back by its author: the text is gone. The row stays, so that one who writes anew for the line is still '
    'hidden where an admin has hidden it, and still has the shop''s answer.';

-- The product's sum is kept where the review changes, so that no path can forget it.
create function product_reviews_rate() returns trigger language plpgsql as $$
declare
    v_product uuid := case when tg_op = 'DELETE' then old.product_id else new.product_id end;
    v_was     int  := case when tg_op = 'INSERT' or old.hidden_at is not null or old.deleted_at is not null
                           then null else old.rating end;
    v_is      int  := case when tg_op = 'DELETE' or new.hidden_at is not null or new.deleted_at is not null
                           then null else new.rating end;
begin
    if v_was is distinct from v_is then
        update products
           set rating_sum = rating_sum + coalesce(v_is, 0) - coalesce(v_was, 0),
               rating_count = rating_count + (v_is is not null)::int - (v_was is not null)::int
         where id = v_product;
    end if;
    return null;
end $$;
create trigger product_reviews_rate after insert or update or delete on product_reviews
    for each row execute function product_reviews_rate();
