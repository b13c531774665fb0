-- What makes retries harmless and after-effects certain.

create table outbox (
    id           uuid primary key,
    topic        text        not null,
    stream_id    uuid references streams,
    payload      jsonb       not null,
    created_at   timestamptz not null default now(),
    attempts     int         not null default 0,
    not_before   timestamptz not null default now(),
    delivered_at timestamptz,
    last_error   text check (length(last_error) <= 500),
    dead_at      timestamptz,
    constraint outbox_dead_rows_are_the_relays check (dead_at is null or (delivered_at is null and stream_id is null))
);
-- Rows of a room are taken by the room's owner, all others by the relay.
create index outbox_rooms_idx on outbox (stream_id, id) where delivered_at is null and stream_id is not null;
create index outbox_relay_idx on outbox (id) where delivered_at is null and dead_at is null and stream_id is null;
-- Letters that somebody waits for are found among however many that nobody does.
create index outbox_letters_idx on outbox (id)
    where delivered_at is null and dead_at is null and stream_id is null and topic = 'mail'
      and payload ->> 'letter' <> 'notification';
create index outbox_dead_idx on outbox (id) where dead_at is not null;
-- What was delivered is deleted a day later, the oldest first.
create index outbox_delivered_idx on outbox (delivered_at) where delivered_at is not null;
comment on table outbox is
    'Events of committed work, delivered at least once. Taken by the mark and not by position: ids commit out of order.';

comment on column outbox.not_before is
    'Rows without a stream: whoever takes one has it until then, and one that failed rests until then.';
comment on column outbox.dead_at is
    'Rows without a stream: when it was tried for the last time. It stays until an admin has it tried anew or discards it.';
comment on column outbox.last_error is 'What it came to, in words of this service: no secret, no address.';

-- What a row says to whoever takes it: names are not stored, but joined here.
create function outbox_as_read(topic text, payload jsonb) returns jsonb language sql stable as $$
    select case when topic = 'purchased' then payload || told_purchase(payload) else payload end
$$;

create table idempotency_keys (
    user_id    uuid        not null references users,
    key        uuid        not null,
    operation  text        not null,
    body_hash  bytea       not null,
    status     smallint    not null,
    response   jsonb       not null,
    created_at timestamptz not null default now(),
    primary key (user_id, key)
);
create index idempotency_keys_age_idx on idempotency_keys (created_at);
comment on table idempotency_keys is
    'Written in the work''s own transaction, so a crash leaves no key that blocks. Kept 24 hours; answers hold no secrets.';

create table audit_log (
    id         uuid primary key,
    actor_id   uuid references users,
    action     text        not null,
    subject_id uuid        not null,
    detail     jsonb       not null default '{}',
    created_at timestamptz not null default now()
);
create index audit_log_subject_idx on audit_log (subject_id, id desc);
create index audit_log_actor_idx on audit_log (actor_id, id desc);
create index audit_log_action_idx on audit_log (action, id desc);
create trigger audit_log_append_only before update or delete on audit_log
    for each row execute function refuse_change();

-- Who has left leaves nothing more behind: a request of theirs that was under way meets
-- the account's lock, and finds it gone. The foreign key alone would only see its row.
create function refuse_who_has_left() returns trigger language plpgsql as $$
begin
    perform from users where id = (to_jsonb(new) ->> tg_argv[0])::uuid and deleted_at is null for key share;
    if not found then
        raise exception 'the account is gone'
            using errcode = 'integrity_constraint_violation', constraint = 'account_is_there';
    end if;
    return new;
end $$;
-- The same for what a shop makes, by its owner.
create function refuse_whose_owner_has_left() returns trigger language plpgsql as $$
begin
    perform from users
      where id = (select user_id from sellers where id = new.seller_id) and deleted_at is null for key share;
    if not found then
        raise exception 'the shop''s owner is gone'
            using errcode = 'integrity_constraint_violation', constraint = 'account_is_there';
    end if;
    return new;
end $$;
-- What others have happen to many people at once passes by who has left.
create function pass_by_who_has_left() returns trigger language plpgsql as $$
begin
    perform from users where id = new.user_id and deleted_at is null for key share;
    if not found then
        return null;
    end if;
    return new;
end $$;
create trigger account_is_there before insert on notifications
    for each row execute function pass_by_who_has_left();
create trigger account_is_there before insert on notification_preferences
    for each row execute function refuse_who_has_left('user_id');
create trigger account_is_there before insert on pictures
    for each row execute function refuse_who_has_left('owner_id');
create trigger account_is_there before insert on addresses
    for each row execute function refuse_who_has_left('user_id');
create trigger account_is_there before insert on refresh_tokens
    for each row execute function refuse_who_has_left('user_id');
create trigger account_is_there before insert on wished_addresses
    for each row execute function refuse_who_has_left('user_id');
create trigger account_is_there before insert on mailed_links
    for each row execute function refuse_who_has_left('user_id');
create trigger account_is_there before insert on sellers
    for each row execute function refuse_who_has_left('user_id');
create trigger account_is_there before insert on follows
    for each row execute function refuse_who_has_left('user_id');
create trigger account_is_there before insert on moderators
    for each row execute function refuse_who_has_left('user_id');
create trigger account_is_there before insert on chat_reviews
    for each row execute function refuse_who_has_left('user_id');
create trigger account_is_there before insert on chat_reports
    for each row execute function refuse_who_has_left('reporter_id');
create trigger account_is_there before insert on product_reviews
    for each row execute function refuse_who_has_left('user_id');
create trigger account_is_there before insert on checkouts
    for each row execute function refuse_who_has_left('user_id');
create trigger account_is_there before insert on orders
    for each row execute function refuse_who_has_left('user_id');
create trigger account_is_there before insert on idempotency_keys
    for each row execute function refuse_who_has_left('user_id');
create trigger account_is_there before insert on products
    for each row execute function refuse_whose_owner_has_left();
create trigger account_is_there before insert on streams
    for each row execute function refuse_whose_owner_has_left();
