-- Shops, and what they sell.

create table sellers (
    id              uuid primary key,
    user_id         uuid        not null references users,
    shop_name       text        not null check (length(shop_name) between 2 and 60),
    slug            text        not null check (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$' and length(slug) <= 60),
    description     text        not null default '' check (length(description) <= 2000),
    country         text        not null check (country ~ '^[A-Z]{2}$'),
    currency        text        not null check (currency ~ '^[A-Z]{3}$'),
    status          text        not null default 'pending'
        check (status in ('pending', 'approved', 'rejected', 'suspended')),
    decided_by      uuid references users,
    decided_at      timestamptz,
    decision_reason text        not null default '',
    created_at      timestamptz not null default now()
);
create unique index sellers_user_key on sellers (user_id);
create unique index sellers_slug_key on sellers (slug);
create index sellers_status_idx on sellers (status, id);

create table follows (
    user_id      uuid        not null references users,
    following_id uuid        not null references sellers,
    created_at   timestamptz not null default now(),
    primary key (user_id, following_id)
);
create index follows_following_idx on follows (following_id, user_id);
comment on column follows.following_id is 'The shop.';

create table blocked_words (
    id         uuid primary key,
    seller_id  uuid        not null references sellers,
    word       text        not null check (length(word) between 1 and 60),
    folded     text        not null check (length(folded) between 2 and 240),
    matching   text        not null check (matching in ('word', 'anywhere')),
    action     text        not null check (action in ('refuse', 'hold')),
    created_by uuid        not null references users,
    created_at timestamptz not null default now(),
    constraint blocked_words_key unique (seller_id, folded)
);
create index blocked_words_seller_idx on blocked_words (seller_id, id desc);
comment on column blocked_words.folded is
    'The word without what a spelling can hide it behind: case, diacritics, look-alike letters, spaces.';

create table banned_viewers (
    id         uuid primary key,
    seller_id  uuid        not null references sellers,
    user_id    uuid        references users,
    guest_id   uuid,
    until      timestamptz,
    reason     text        not null default '' check (length(reason) <= 200),
    banned_by  uuid        not null references users,
    created_at timestamptz not null default now(),
    constraint banned_viewers_who check (num_nonnulls(user_id, guest_id) = 1),
    -- A guest is nobody once their tokens have run out.
    constraint banned_viewers_guests_end check (guest_id is null or until is not null)
);
create unique index banned_viewers_user_key on banned_viewers (seller_id, user_id) where user_id is not null;
create unique index banned_viewers_guest_key on banned_viewers (seller_id, guest_id) where guest_id is not null;
create index banned_viewers_list_idx on banned_viewers (seller_id, id);
create index banned_viewers_person_idx on banned_viewers (user_id);
create index banned_viewers_until_idx on banned_viewers (until);
comment on table banned_viewers is
    'Who is kept out of a shop''s shows and its checkout, until when (null: for good). A row past its time counts for nothing.';

create function is_banned(p_seller uuid, p_user uuid) returns boolean language sql stable as $$
    select exists (select from banned_viewers
                    where seller_id = p_seller and user_id = p_user and (until is null or until > now()))
$$;

create function banned_viewers_tell() returns trigger language plpgsql as $$
declare
    ban banned_viewers := case when tg_op = 'DELETE' then old else new end;
begin
    insert into revocations (subject, seller_id, user_id, guest_id, in_force, until, reason)
    values ('viewer', ban.seller_id, ban.user_id, ban.guest_id, tg_op <> 'DELETE', ban.until, ban.reason);
    return null;
end $$;
create trigger banned_viewers_revoke after insert or update on banned_viewers
    for each row execute function banned_viewers_tell();
-- Clearing away what has run out tells nobody anything.
create trigger banned_viewers_lift after delete on banned_viewers
    for each row when (old.until is null or old.until > clock_timestamp()) execute function banned_viewers_tell();

create table categories (
    id         uuid primary key,
    parent_id  uuid references categories,
    name       text not null check (length(name) between 1 and 60),
    slug       text not null check (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$'),
    position   int  not null default 0,
    check (parent_id is distinct from id)
);
create unique index categories_slug_key on categories (slug);
create index categories_parent_idx on categories (parent_id, position);

-- The tree has no cycles: walking up from a row never meets the row again.
-- Writers are serialised, or two moves could each be fine and close a ring together.
create function categories_refuse_cycle() returns trigger language plpgsql as $$
begin
    perform pg_advisory_xact_lock(hashtext('categories'));
    if exists (
        with recursive up (id, parent_id) as (
            select c.id, c.parent_id from categories c where c.id = new.parent_id
            union
            select c.id, c.parent_id from categories c join up on c.id = up.parent_id
        )
        select 1 from up where up.id = new.id
    ) then
        raise exception 'category % would be its own ancestor', new.id
            using errcode = 'check_violation', constraint = 'categories_no_cycle';
    end if;
    return new;
end $$;
create trigger categories_no_cycle before insert or update of parent_id on categories
    for each row when (new.parent_id is not null) execute function categories_refuse_cycle();

create table shipping_profiles (
    id               uuid primary key,
    seller_id        uuid   not null references sellers,
    name             text   not null check (length(name) between 1 and 60),
    base_minor       bigint not null check (base_minor >= 0),
    extra_item_minor bigint not null default 0 check (extra_item_minor >= 0),
    free_from_minor  bigint check (free_from_minor > 0),
    currency         text   not null check (currency ~ '^[A-Z]{3}$'),
    created_at       timestamptz not null default now()
);
create index shipping_profiles_seller_idx on shipping_profiles (seller_id, id);
comment on column shipping_profiles.free_from_minor is 'Goods of this profile worth at least this ship free; null: never.';

create table products (
    id                  uuid primary key,
    seller_id           uuid        not null references sellers,
    category_id         uuid references categories,
    shipping_profile_id uuid references shipping_profiles,
    title               text        not null check (length(title) between 1 and 120),
    description         text        not null default '' check (length(description) <= 10000),
    image_url           text        not null default '' check (length(image_url) <= 2000),
    currency            text        not null check (currency ~ '^[A-Z]{3}$'),
    status              text        not null default 'draft' check (status in ('draft', 'active', 'archived')),
    version             bigint      not null default 1,
    created_at          timestamptz not null default now(),
    updated_at          timestamptz not null default now()
);
create index products_seller_idx on products (seller_id, id desc);
create index products_public_idx on products (id desc) where status = 'active';
create index products_category_idx on products (category_id, id desc) where status = 'active';
comment on column products.version is 'Raised by every change of the product or a variant; a room drops an older one.';

create table product_variants (
    id          uuid primary key,
    product_id  uuid        not null references products,
    sku         text        not null check (length(sku) between 1 and 64),
    options     jsonb       not null default '{}' check (jsonb_typeof(options) = 'object'),
    price_minor bigint      not null check (price_minor between 0 and 100000000000),
    on_hand     int         not null default 0,
    reserved    int         not null default 0,
    position    int         not null default 0,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    constraint product_variants_stock check (0 <= reserved and reserved <= on_hand),
    constraint product_variants_sku_key unique (product_id, sku)
);
create index product_variants_product_idx on product_variants (product_id, position, id);
comment on column product_variants.on_hand is 'Units in the shop''s hands, promised ones included.';
comment on column product_variants.reserved is
    'Units promised: open checkouts and unpaid orders, and what a flash sale still has set aside.';

create table inventory_movements (
    id         uuid primary key,
    variant_id uuid        not null references product_variants,
    on_hand    int         not null,
    reason     text        not null check (reason in ('initial', 'adjustment', 'sold', 'restocked')),
    order_id   uuid,
    actor_id   uuid references users,
    created_at timestamptz not null default now(),
    check (on_hand <> 0)
);
create index inventory_movements_variant_idx on inventory_movements (variant_id, id);
comment on table inventory_movements is
    'Append-only: why on_hand is what it is. The sum of a variant''s movements equals its on_hand.';

-- Append-only tables refuse to forget.
create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only', tg_table_name using errcode = 'restrict_violation';
end $$;
create trigger inventory_movements_append_only before update or delete on inventory_movements
    for each row execute function refuse_change();
