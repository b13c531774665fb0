-- People: who they are, where they live, and the sessions they hold.
-- Ids are UUIDv7, made by the services, so that rows sort by age and no
-- sequence is shared. Times are timestamptz; the database's clock decides.

create table users (
    id            uuid primary key,
    email         text        not null,
    password_hash text        not null,
    role          text        not null default 'user' check (role in ('user', 'admin')),
    suspended_at  timestamptz,
    created_at    timestamptz not null default now(),
    check (email = lower(email) and length(email) between 3 and 254)
);
create unique index users_email_key on users (email);
comment on table users is 'Credentials and role. Logs and chat rows carry only the id; names join when read.';
comment on column users.password_hash is 'argon2id in PHC format.';

create table profiles (
    user_id        uuid primary key references users,
    display_name   text        not null check (length(display_name) between 1 and 40),
    bio            text        not null default '' check (length(bio) <= 500),
    show_purchases boolean     not null default false,
    updated_at     timestamptz not null default now()
);
comment on column profiles.show_purchases is 'Opt-in: a purchase in a show names its buyer.';

create table addresses (
    id                  uuid primary key,
    user_id             uuid        not null references users,
    recipient           text        not null check (length(recipient) between 1 and 100),
    line1               text        not null check (length(line1) between 1 and 120),
    line2               text        not null default '' check (length(line2) <= 120),
    city                text        not null check (length(city) between 1 and 80),
    region              text        not null default '' check (length(region) <= 80),
    postal_code         text        not null check (length(postal_code) between 1 and 20),
    country             text        not null check (country ~ '^[A-Z]{2}$'),
    phone               text        not null default '' check (length(phone) <= 32),
    is_default_shipping boolean     not null default false,
    is_default_billing  boolean     not null default false,
    created_at          timestamptz not null default now(),
    deleted_at          timestamptz
);
create index addresses_user_idx on addresses (user_id, id) where deleted_at is null;
-- One default of each kind a person, whatever two requests race.
create unique index addresses_default_shipping_key on addresses (user_id)
    where is_default_shipping and deleted_at is null;
create unique index addresses_default_billing_key on addresses (user_id)
    where is_default_billing and deleted_at is null;

create table refresh_tokens (
    id         uuid primary key,
    family_id  uuid        not null,
    user_id    uuid        not null references users,
    token_hash bytea       not null,
    expires_at timestamptz not null,
    used_at    timestamptz,
    revoked_at timestamptz,
    created_at timestamptz not null default now()
);
create unique index refresh_tokens_hash_key on refresh_tokens (token_hash);
create index refresh_tokens_family_idx on refresh_tokens (family_id);
create index refresh_tokens_user_idx on refresh_tokens (user_id) where revoked_at is null;
comment on table refresh_tokens is
    'Rotating: each use spends the row and adds one of the same family. A spent token seen again revokes its family.';
comment on column refresh_tokens.token_hash is 'SHA-256 of the token; the token itself is never stored.';
