-- People: who they are, where they live, and the sessions they hold.
-- Ids are UUIDv7, made by the services, so that rows sort by age and no
-- sequence is shared. Times are timestamptz; the database's clock decides.

create table users (
    id                uuid        primary key,
    email             text        not null,
    email_verified_at timestamptz,
    password_hash     text        not null,
    role              text        not null default 'user' check (role in ('user', 'admin')),
    suspended_at      timestamptz,
    deleted_at        timestamptz,
    created_at        timestamptz not null default now(),
    check (email = lower(email) and length(email) between 3 and 254),
    constraint users_deleted_are_suspended check (deleted_at is null or suspended_at is not null)
);
create unique index users_email_key on users (email);
comment on table users is 'Credentials and role. Logs and chat rows carry only the id; names join when read.';
comment on column users.password_hash is 'argon2id in PHC format.';
comment on column users.email is
    'As accounts are found by: in small letters, its domain as the name service has it (xn--…).';
comment on column users.email_verified_at is 'When somebody proved that they read its mail; null: nobody has.';
comment on column users.deleted_at is
    'The account is gone: its row stays, without a name, for orders and ledger. It is suspended for good, too.';

-- For who names no handle: 48 random bits, so that nobody meets another's.
create function generated_handle() returns text language sql volatile as $$
    select 'user_' || substr(replace(gen_random_uuid()::text, '-', ''), 1, 12)
$$;

create table pictures (
    id           uuid primary key,
    owner_id     uuid        not null references users,
    kind         text        not null check (kind in ('avatar', 'shop', 'product', 'cover')),
    status       text        not null default 'pending' check (status in ('pending', 'shown', 'dropped', 'kept')),
    format       text        not null check (format in ('jpeg', 'webp')),
    width        int         not null check (width > 0),
    height       int         not null check (height > 0),
    source_hash  bytea       not null check (length(source_hash) = 32),
    size_bytes   bigint      not null check (size_bytes > 0),
    created_at   timestamptz not null default now(),
    delete_after timestamptz,
    constraint pictures_dropped_are_due check ((status = 'dropped') = (delete_after is not null))
);
create index pictures_owner_idx on pictures (owner_id, id);
create index pictures_pending_idx on pictures (created_at) where status = 'pending';
create index pictures_due_idx on pictures (delete_after) where status = 'dropped';
comment on table pictures is
    'What is in the store of uploads: every file there is of a picture with a row here, committed before it was '
    'written and deleted after it was.';
comment on column pictures.status is
    'pending: its files are being written; shown: something refers to it; dropped: nothing does, and its files go; '
    'kept: only orders show it.';
comment on column pictures.width is 'Of its large size, as height; the others follow from it.';
comment on column pictures.source_hash is 'SHA-256 of the file that was sent, by which the same one is known again.';

-- A picture as answers have it, from which its addresses follow.
create function picture_json(p pictures) returns jsonb language sql immutable as $$
    select jsonb_build_object('id', p.id, 'kind', p.kind, 'format', p.format, 'width', p.width, 'height', p.height)
$$;

-- An id that sorts by time, where the database makes it itself (RFC 9562, 5.7).
create function uuid_by_time() returns uuid language sql volatile as $$
    select encode(
        set_bit(set_bit(
            overlay(uuid_send(gen_random_uuid())
                    placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
                    from 1 for 6),
            52, 1), 53, 1), 'hex')::uuid
$$;

create table profiles (
    user_id           uuid primary key references users,
    handle            text        not null default generated_handle()
        check (handle ~ '^[a-z][a-z0-9]*(_[a-z0-9]+)*$' and length(handle) between 3 and 30),
    handle_changed_at timestamptz,
    display_name      text        not null check (length(display_name) between 1 and 40),
    bio               text        not null default '' check (length(bio) <= 500),
    avatar_id         uuid references pictures,
    show_purchases    boolean     not null default false,
    updated_at        timestamptz not null default now()
);
create unique index profiles_handle_key on profiles (handle);
create unique index profiles_avatar_key on profiles (avatar_id) where avatar_id is not null;
comment on column profiles.handle_changed_at is 'When its owner chose it; null: it was made for them.';
comment on column profiles.show_purchases is 'Opt-in: a purchase in a show names its buyer.';

create table former_handles (
    handle_hash bytea primary key,
    user_id     uuid        not null references users,
    until       timestamptz not null
);
create index former_handles_until_idx on former_handles (until);
comment on table former_handles is
    'Handles that were given up, by their SHA-256: for a while nobody else gets them and passes for who had them.';

create table addresses (
    id                  uuid primary key,
    user_id             uuid        not null references users,
    recipient           text        not null check (length(recipient) between 1 and 100),
    line1               text        not null check (length(line1) between 1 and 120),
    line2               text        not null default '' check (length(line2) <= 120),
    city                text        not null check (length(city) between 1 and 80),
    region              text        not null default '' check (length(region) <= 80),
    postal_code         text        not null check (length(postal_code) <= 20),
    country             text        not null check (country ~ '^[A-Z]{2}$'),
    phone               text        not null default '' check (length(phone) <= 32),
    is_default_shipping boolean     not null default false,
    is_default_billing  boolean     not null default false,
    created_at          timestamptz not null default now(),
    deleted_at          timestamptz
);
create index addresses_user_idx on addresses (user_id, id);
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
    next_seed  bytea,
    user_agent text        not null default '' check (length(user_agent) <= 200),
    place      text        not null default '' check (length(place) <= 64),
    revoked_at timestamptz,
    created_at timestamptz not null default now(),
    check ((used_at is null) = (next_seed is null)),
    -- A session is over by the row that began it, and by no other.
    constraint refresh_tokens_revoked_is_first check (revoked_at is null or id = family_id)
);
create unique index refresh_tokens_hash_key on refresh_tokens (token_hash);
create index refresh_tokens_family_idx on refresh_tokens (family_id, id desc);
create index refresh_tokens_user_idx on refresh_tokens (user_id, id);
create index refresh_tokens_place_idx on refresh_tokens (user_id, place) where place <> '';
-- Sessions, and what is left of renewals: the oldest are forgotten first.
create index refresh_tokens_begun_idx on refresh_tokens (expires_at) where id = family_id;
create index refresh_tokens_spent_idx on refresh_tokens (used_at) where used_at is not null and id <> family_id;
comment on table refresh_tokens is
    'Rotating: each use spends the row and adds one of the same family. A spent token seen again revokes its family.';
comment on column refresh_tokens.place is
    'A keyed fingerprint of the network that asked: from there, passwords are tried apart from those of strangers.';
comment on column refresh_tokens.revoked_at is
    'Of the row that began the session, whose id is the session''s: when it was ended before its time.';
comment on column refresh_tokens.next_seed is
    'With the token that was spent it makes the next one: two tabs that renew at once get the same. Alone it is nothing.';
comment on column refresh_tokens.token_hash is 'SHA-256 of the token; the token itself is never stored.';

create table wished_addresses (
    user_id    uuid primary key references users,
    email      text        not null check (length(email) between 3 and 254),
    created_at timestamptz not null default now()
);
comment on table wished_addresses is
    'What a person has yet to confirm: the address that they gave, or another that they asked to have.';

create table mailed_links (
    token_hash bytea primary key,
    user_id    uuid        not null references users,
    purpose    text        not null check (purpose in ('email', 'password')),
    email      text        not null check (length(email) between 3 and 254),
    expires_at timestamptz not null,
    created_at timestamptz not null default clock_timestamp()
);
create index mailed_links_user_idx on mailed_links (user_id, purpose, created_at);
create index mailed_links_expiry_idx on mailed_links (expires_at);
comment on table mailed_links is
    'Links under way, a few of a purpose a person: a newer one leaves older ones good, and the first that is used spends
     them all. Whoever has one reads the mail of its address.';
comment on column mailed_links.token_hash is
    'SHA-256 of what the link carries. The link is made when its letter is written.';

-- Who may not come in any more, for those who hold signed tokens in good faith: sockets
-- are closed and tokens refused by it. Its rows write themselves, whoever changes what
-- they tell of, an operator at a prompt included.
create table revocations (
    id         uuid        primary key default gen_random_uuid(),
    -- A reader goes on from the oldest transaction that was under way when it read last:
    -- ids and times commit out of order, and what had no place yet would be passed by.
    xid        xid8        not null default pg_current_xact_id(),
    subject    text        not null check (subject in ('account', 'session', 'viewer')),
    user_id    uuid,
    session_id uuid,
    seller_id  uuid,
    guest_id   uuid,
    in_force   boolean     not null,
    until      timestamptz,
    reason     text        not null default '',
    created_at timestamptz not null default clock_timestamp(),
    constraint revocations_whom check (
        case subject
            when 'account' then user_id is not null
            when 'session' then session_id is not null
            else seller_id is not null and num_nonnulls(user_id, guest_id) = 1
        end)
);
create index revocations_xid_idx on revocations (xid, id);
create index revocations_age_idx on revocations (created_at);
comment on table revocations is
    'Suspensions, logouts and bans as they happen, and what lifts them; the newest of a subject counts. Kept an hour.';

create function users_tell_suspension() returns trigger language plpgsql as $$
begin
    insert into revocations (subject, user_id, in_force) values ('account', new.id, new.suspended_at is not null);
    return null;
end $$;
create trigger users_suspension after update of suspended_at on users
    for each row when ((old.suspended_at is null) <> (new.suspended_at is null))
    execute function users_tell_suspension();

-- A session is revoked with the token that began it.
create function refresh_tokens_tell_logout() returns trigger language plpgsql as $$
begin
    insert into revocations (subject, user_id, session_id, in_force) values ('session', new.user_id, new.id, true);
    return null;
end $$;
create trigger refresh_tokens_logout after update of revoked_at on refresh_tokens
    for each row when (new.id = new.family_id and old.revoked_at is null and new.revoked_at is not null)
    execute function refresh_tokens_tell_logout();
