-- Shops, and what they sell.

create table sellers (
    id              uuid primary key,
    user_id         uuid        not null references users,
    shop_name       text        not null check (length(shop_name) between 2 and 60),
    slug            text        not null check (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$' and length(slug) <= 60),
    description     text        not null default '' check (length(description) <= 2000),
    picture_id      uuid references pictures,
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
create unique index sellers_picture_key on sellers (picture_id) where picture_id is not null;

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

-- Search finds words (tsvector) and, where there are none, what is spelt nearly so (trigrams).
do $$ begin
    -- What search folds is Unicode.
    if getdatabaseencoding() <> 'UTF8' then
        raise exception 'Hawker needs a database whose encoding is UTF8, and this one''s is %', getdatabaseencoding()
            using hint = 'create database ... encoding ''UTF8'' template template0';
    end if;
    create extension if not exists pg_trgm;
exception
    when undefined_file or feature_not_supported or insufficient_privilege then
        raise exception 'Hawker needs the Postgres extension pg_trgm, which this server does not offer: %', sqlerrm
            using hint = 'Install Postgres''s contrib modules (Debian has them in the package postgresql-NN), '
                         'or have a superuser run: create extension pg_trgm';
end $$;

-- Text as search compares it: small letters without marks, whatever the spelling. It needs no
-- extension (unaccent is not everywhere) and is immutable, so columns can be generated by it.
create function folded(p_text text) returns text language sql immutable strict parallel safe as $$
    select translate(replace(lower(regexp_replace(normalize(p_text, NFKD), '[\u0300-\u036f]', '', 'g')), 'ß', 'ss'),
                     'øłđı', 'oldi')
$$;

create table categories (
    id         uuid primary key,
    parent_id  uuid references categories,
    name       text not null check (length(name) between 1 and 60),
    slug       text not null check (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$'),
    position   int  not null default 0,
    retired_at timestamptz,
    check (parent_id is distinct from id)
);
create unique index categories_slug_key on categories (slug);
create index categories_parent_idx on categories (parent_id, position);
comment on column categories.retired_at is
    'Since when it takes no more products and is not in the public tree. What stands below a retired one is retired too.';

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
    show_cap_minor   bigint check (show_cap_minor >= 0),
    regions          text[] not null default '{}'
        check (cardinality(regions) <= 250 and array_to_string(regions, ',', '?') ~ '^([A-Z]{2}(,[A-Z]{2})*)?$'),
    currency         text   not null check (currency ~ '^[A-Z]{3}$'),
    archived_at      timestamptz,
    created_at       timestamptz not null default now()
);
create index shipping_profiles_seller_idx on shipping_profiles (seller_id, id);
comment on column shipping_profiles.free_from_minor is 'Goods of this profile worth at least this ship free; null: never.';
comment on column shipping_profiles.show_cap_minor is
    'What shipping of everything that one buyer has sent to one address from one show may cost; null: no cap.';
comment on column shipping_profiles.regions is 'Countries that it ships to; none: everywhere.';
comment on column shipping_profiles.archived_at is 'Products that have it keep it; no other gets it.';

create table products (
    id                  uuid primary key,
    seller_id           uuid        not null references sellers,
    category_id         uuid references categories,
    shipping_profile_id uuid references shipping_profiles,
    external_key        text check (length(external_key) between 1 and 64),
    title               text        not null check (length(title) between 1 and 120),
    description         text        not null default '' check (length(description) <= 10000),
    image_url           text        not null default '' check (length(image_url) <= 2000),
    option_axes         text[]      not null default '{}' check (cardinality(option_axes) <= 3),
    currency            text        not null check (currency ~ '^[A-Z]{3}$'),
    status              text        not null default 'draft' check (status in ('draft', 'active', 'archived')),
    version             bigint      not null default 1,
    published_at        timestamptz,
    price_from_minor    bigint      not null default 0,
    price_to_minor      bigint      not null default 0,
    in_stock            boolean     not null default false,
    rating_sum          bigint      not null default 0,
    rating_count        int         not null default 0,
    created_at          timestamptz not null default now(),
    updated_at          timestamptz not null default now(),
    folded_title        text        not null generated always as (folded(title)) stored,
    title_words         tsvector    not null generated always as (
        to_tsvector('pg_catalog.english', folded(title))) stored,
    other_words         tsvector    not null generated always as (
        to_tsvector('pg_catalog.english', folded(description))) stored,
    search              tsvector    not null generated always as (
        setweight(to_tsvector('pg_catalog.english', folded(title)), 'A')
        || setweight(to_tsvector('pg_catalog.english', folded(description)), 'C')) stored,
    constraint products_published check (status <> 'active' or published_at is not null),
    constraint products_external_key_key unique (seller_id, external_key),
    constraint products_rating check (rating_sum between rating_count and rating_count::bigint * 5)
);
create index products_seller_idx on products (seller_id, id desc);
create index products_category_all_idx on products (category_id);
create index products_shipping_profile_idx on products (shipping_profile_id);
-- One index for each order in which products are listed, and for each way to narrow them.
create index products_public_idx on products (published_at desc, id desc) where status = 'active';
create index products_category_idx on products (category_id, published_at desc, id desc) where status = 'active';
create index products_public_seller_idx on products (seller_id, published_at desc, id desc) where status = 'active';
-- The highest price is there so that what is too cheap is passed over without being looked at.
create index products_price_idx on products (currency, price_from_minor, id, price_to_minor) where status = 'active';
-- Of all products, not only of those on sale: what has words and a price between two is where both indexes meet,
-- and the planner never takes two indexes together of which each has the condition of the other.
create index products_prices_idx on products (currency, price_from_minor, price_to_minor);
create index products_title_idx on products (folded_title, published_at desc, id desc) where status = 'active';
create index products_title_words_idx on products using gin (title_words) where status = 'active';
create index products_other_words_idx on products using gin (other_words) where status = 'active';
create index products_search_idx on products using gin (search) where status = 'active';
comment on column products.version is 'Raised by every change of the product or a variant; a room drops an older one.';
comment on column products.external_key is 'The shop''s name for it in files; where there is none, the id is.';
comment on column products.option_axes is 'What its variants differ in, in the order in which a buyer chooses.';
comment on column products.published_at is 'Since when it has been on sale, the first time: a trigger says so. The newest are those put on sale last.';
comment on column products.price_from_minor is
    'The lowest price of a variant, price_to_minor the highest, in_stock whether one is free: kept by triggers, for search.';
comment on column products.title_words is
    'The title alone, and other_words the description: what has a word in its title fits it better. Both are there for '
    'their indexes and statistics, which tell how many have a word where; search has the two together.';
comment on column products.rating_sum is 'Of the reviews that are shown; kept in the transaction that changes a review.';

create function products_publish() returns trigger language plpgsql as $$
begin
    new.published_at := coalesce(new.published_at, clock_timestamp());
    return new;
end $$;
create trigger products_publish before insert or update of status on products
    for each row when (new.status = 'active') execute function products_publish();

-- Words of titles that are on sale, for what is spelt nearly so: there are few of them, however
-- many products. Who adds one waits for nobody: that a word may be there twice is no matter, and
-- waiting for the other's commit could be in a ring. Those that no title on sale has any more are
-- taken out by a job, a few at a time; until then they are passed over when they are met.
create table search_words (
    word text not null
);
create index search_words_word_idx on search_words (word);
create index search_words_spelling_idx on search_words using gin (word gin_trgm_ops);

create function products_teach_words() returns trigger language plpgsql as $$
begin
    insert into search_words (word)
    select distinct w.word from regexp_split_to_table(folded(new.title), '[^[:alnum:]]+') w (word)
     where length(w.word) between 3 and 40 and w.word !~ '^[0-9]+$'
       and not exists (select from search_words s where s.word = w.word);
    return null;
end $$;
create trigger products_teach_words after insert or update of title, status on products
    for each row when (new.status = 'active') execute function products_teach_words();

create table product_pictures (
    picture_id uuid     primary key references pictures,
    product_id uuid     not null references products,
    position   smallint not null check (position between 0 and 9),
    -- Checked at the end, so that an order can be changed in one statement.
    constraint product_pictures_position_key unique (product_id, position) deferrable initially deferred
);
comment on table product_pictures is
    'Pictures that were uploaded for a product, in order; the first one is its image_url, too.';

create table product_variants (
    id               uuid primary key,
    product_id       uuid        not null references products,
    seller_id        uuid        not null references sellers,
    sku              text        not null check (length(sku) between 1 and 64),
    options          jsonb       not null default '{}' check (jsonb_typeof(options) = 'object'),
    price_minor      bigint      not null check (price_minor between 0 and 100000000000),
    compare_at_minor bigint check (compare_at_minor <= 100000000000),
    on_hand          int         not null default 0,
    reserved         int         not null default 0,
    position         int         not null default 0,
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),
    constraint product_variants_stock check (0 <= reserved and reserved <= on_hand),
    constraint product_variants_compare_at check (compare_at_minor >= price_minor),
    constraint product_variants_sku_key unique (seller_id, sku),
    constraint product_variants_options_key unique (product_id, options)
);
create index product_variants_product_idx on product_variants (product_id, position, id);
comment on column product_variants.seller_id is 'The product''s shop, so that its SKUs are unique: set by a trigger.';
comment on column product_variants.compare_at_minor is 'What it cost before, to be shown struck through; null: nothing.';
comment on column product_variants.on_hand is 'Units in the shop''s hands, promised ones included.';
comment on column product_variants.reserved is
    'Units promised: open checkouts and unpaid orders, and what a flash sale still has set aside.';

create function product_variants_set_seller() returns trigger language plpgsql as $$
begin
    select seller_id into strict new.seller_id from products where id = new.product_id;
    return new;
end $$;
create trigger product_variants_seller before insert or update of product_id, seller_id on product_variants
    for each row execute function product_variants_set_seller();

create view product_view as
select p.id, p.seller_id, s.shop_name, s.status as seller_status, p.category_id, p.shipping_profile_id,
       p.external_key, p.title, p.description, p.image_url, p.option_axes, p.currency, p.status, p.version,
       p.rating_sum, p.rating_count, p.created_at,
       (select coalesce(jsonb_agg(picture_json(i) order by pp.position), '[]')
          from product_pictures pp join pictures i on i.id = pp.picture_id
         where pp.product_id = p.id) as images,
       (select coalesce(jsonb_agg(jsonb_build_object(
                   'id', v.id, 'sku', v.sku, 'options', v.options, 'price_minor', v.price_minor,
                   'compare_at_minor', v.compare_at_minor, 'on_hand', v.on_hand, 'reserved', v.reserved)
                   order by v.position, v.id), '[]')
          from product_variants v where v.product_id = p.id) as variants
  from products p join sellers s on s.id = p.seller_id;
comment on view product_view is 'A product with its shop and its variants in order, in one reading.';

create table product_changes (
    id         bigint      generated always as identity primary key,
    xid        xid8        not null default pg_current_xact_id(),
    product_id uuid,
    seller_id  uuid,
    created_at timestamptz not null default now(),
    constraint product_changes_what check (num_nonnulls(product_id, seller_id) = 1)
);
create index product_changes_xid_idx on product_changes (xid);
create index product_changes_age_idx on product_changes (created_at);
comment on table product_changes is
    'What the public sees of these has changed, or of all products of a shop: read by whoever keeps copies, of '
    'the transactions that were committed since their last reading. Kept for minutes. Triggers write it, so nothing '
    'that changes a product can forget to.';

-- What search reads of a product's variants. Products are locked in the order of their ids, and
-- after variants, as everywhere; the second statement sees what the first waited for.
create function products_refresh(p_products uuid[]) returns void language plpgsql as $$
begin
    perform 1 from products where id = any(p_products) order by id for no key update;
    update products p set price_from_minor = v.lowest, price_to_minor = v.highest, in_stock = v.free
      from (select product_id, min(price_minor) as lowest, max(price_minor) as highest,
                   bool_or(on_hand > reserved) as free
              from product_variants where product_id = any(p_products) group by product_id) v
     where p.id = v.product_id
       and (p.price_from_minor, p.price_to_minor, p.in_stock) is distinct from (v.lowest, v.highest, v.free);
end $$;

create function product_variants_added() returns trigger language plpgsql as $$
begin
    perform products_refresh(array(select distinct product_id from added));
    insert into product_changes (product_id) select distinct product_id from added;
    return null;
end $$;
create trigger product_variants_added after insert on product_variants
    referencing new table as added for each statement execute function product_variants_added();

create function product_variants_changed() returns trigger language plpgsql as $$
declare
    v_changed uuid[];
    v_stale   uuid[];
begin
    select array_agg(distinct n.product_id),
           array_agg(distinct n.product_id) filter (
               where n.price_minor <> o.price_minor or (n.on_hand > n.reserved) <> (o.on_hand > o.reserved))
      into v_changed, v_stale
      from now_so n join was_so o on o.id = n.id
     where (n.sku, n.options, n.price_minor, n.compare_at_minor, n.on_hand - n.reserved, n.position)
           is distinct from (o.sku, o.options, o.price_minor, o.compare_at_minor, o.on_hand - o.reserved, o.position);
    if v_changed is null then
        return null;
    end if;
    if v_stale is not null then
        perform products_refresh(v_stale);
    end if;
    insert into product_changes (product_id) select unnest(v_changed);
    return null;
end $$;
create trigger product_variants_changed after update on product_variants
    referencing old table as was_so new table as now_so
    for each statement execute function product_variants_changed();

create function products_changed() returns trigger language plpgsql as $$
begin
    insert into product_changes (product_id) values (new.id);
    return null;
end $$;
create trigger products_changed after update on products for each row
    when ((new.category_id, new.title, new.description, new.image_url, new.option_axes, new.status, new.version,
           new.rating_sum, new.rating_count)
          is distinct from
          (old.category_id, old.title, old.description, old.image_url, old.option_axes, old.status, old.version,
           old.rating_sum, old.rating_count))
    execute function products_changed();

create function sellers_changed() returns trigger language plpgsql as $$
begin
    insert into product_changes (seller_id) values (new.id);
    return null;
end $$;
create trigger sellers_changed after update of status, shop_name on sellers for each row
    when ((new.status, new.shop_name) is distinct from (old.status, old.shop_name))
    execute function sellers_changed();

create table inventory_movements (
    id         uuid primary key,
    variant_id uuid        not null references product_variants,
    on_hand    int         not null,
    reason     text        not null
        check (reason in ('initial', 'adjustment', 'received', 'counted', 'damaged', 'lost', 'import',
                          'sold', 'restocked')),
    note       text        not null default '' check (length(note) <= 200),
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

create table product_imports (
    id          uuid primary key,
    seller_id   uuid        not null references sellers,
    user_id     uuid        not null references users,
    status      text        not null default 'queued' check (status in ('queued', 'running', 'done')),
    file        bytea,
    total_lines int         not null check (total_lines between 1 and 10000),
    done_lines  int         not null default 0,
    created     int         not null default 0,
    updated     int         not null default 0,
    unchanged   int         not null default 0,
    refused     int         not null default 0,
    created_at  timestamptz not null default now(),
    started_at  timestamptz,
    finished_at timestamptz,
    check (done_lines between 0 and total_lines),
    check (done_lines = created + updated + unchanged + refused),
    check ((status = 'done') = (finished_at is not null)),
    check ((status = 'done') = (file is null))
);
create index product_imports_seller_idx on product_imports (seller_id, id desc);
create unique index product_imports_one_key on product_imports (seller_id) where status <> 'done';
create index product_imports_waiting_idx on product_imports (id) where status <> 'done';
comment on column product_imports.file is 'As it was sent; given up when all of it is done.';

create table product_import_lines (
    import_id uuid not null references product_imports on delete cascade,
    line      int  not null,
    sku       text not null,
    outcome   text not null check (outcome in ('created', 'updated', 'unchanged', 'refused')),
    code      text,
    field     text,
    detail    text,
    primary key (import_id, line),
    check ((outcome = 'refused') = (code is not null))
);
create index product_import_lines_outcome_idx on product_import_lines (import_id, outcome, line);
