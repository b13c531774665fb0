-- Shows: streams, their numbered logs, flash sales and the holds in them.

create table streams (
    id                  uuid primary key,
    seller_id           uuid        not null references sellers,
    title               text        not null check (length(title) between 1 and 120),
    description         text        not null default '' check (length(description) <= 2000),
    cover_url           text        not null default '' check (length(cover_url) <= 2000),
    cover_id            uuid references pictures,
    status              text        not null default 'scheduled'
        check (status in ('scheduled', 'live', 'ended', 'cancelled')),
    scheduled_at        timestamptz not null,
    started_at          timestamptz,
    ended_at            timestamptz,
    featured_product_id uuid references products,
    featured_variant_id uuid references product_variants,
    peak_viewers        int         not null default 0 check (peak_viewers >= 0),
    host_seen_at        timestamptz,
    host_away_since     timestamptz,
    summarised          boolean     not null default false,
    chat_slow_seconds   int         not null default 0 check (chat_slow_seconds between 0 and 3600),
    chat_audience       text        not null default 'everyone'
        check (chat_audience in ('everyone', 'followers', 'buyers')),
    chat_links          text        not null default 'allow' check (chat_links in ('allow', 'moderators')),
    chat_max_chars      int         not null default 500 check (chat_max_chars between 1 and 500),
    command_no          bigint      not null default 0,
    created_at          timestamptz not null default now(),
    check ((status = 'scheduled') = (started_at is null) or status = 'cancelled'),
    check ((status = 'ended') = (ended_at is not null)),
    check (not summarised or status = 'ended'),
    -- What names a show and its shop names both rightly.
    constraint streams_of_seller_key unique (id, seller_id)
);
create unique index streams_cover_key on streams (cover_id) where cover_id is not null;
create index streams_seller_idx on streams (seller_id, id desc);
create index streams_live_idx on streams (started_at desc, id) where status = 'live';
create index streams_scheduled_idx on streams (scheduled_at, id) where status = 'scheduled';
create index streams_unsummarised_idx on streams (ended_at) where status = 'ended' and not summarised;
create index streams_featured_idx on streams (featured_product_id) where featured_product_id is not null;
comment on column streams.host_seen_at is
    'When the host was last known to be in the room, about; null: never, as when a show is run over REST alone.';
comment on column streams.command_no is
    'Counts what commands have caused, in the order of their commits: a room that meets a row late knows what is newer.';
comment on column streams.host_away_since is
    'The clock of a host whose connection is lost: a new owner of the room goes on with it.';

create view streams_at_hand as
select id from streams
 where status = 'live'
    or status = 'scheduled' and scheduled_at between now() - interval '1 day' and now() + interval '1 day';
comment on view streams_at_hand is
    'Shows whose rooms hear of changes of the catalog. A room that opens later reads for itself; one whose show lies long ahead, or was never begun, would only gather rows that nobody takes.';

create table stream_products (
    stream_id  uuid not null references streams,
    product_id uuid not null references products,
    position   int  not null default 0,
    primary key (stream_id, product_id)
);
create index stream_products_product_idx on stream_products (product_id);
comment on table stream_products is 'The line-up: what a show may feature, in order.';

create table moderators (
    id           uuid primary key,
    seller_id    uuid        not null references sellers,
    stream_id    uuid,
    user_id      uuid        not null references users,
    rights       text[]      not null,
    appointed_by uuid        not null references users,
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now(),
    foreign key (stream_id, seller_id) references streams (id, seller_id),
    constraint moderators_rights check (
        cardinality(rights) > 0
        and rights <@ array['delete_messages', 'mute', 'ban', 'pin', 'announce', 'chat_rules', 'review'])
);
-- One appointment a person for the shop, and one for each of its shows.
create unique index moderators_seller_key on moderators (seller_id, user_id) where stream_id is null;
create unique index moderators_stream_key on moderators (stream_id, user_id) where stream_id is not null;
create index moderators_list_idx on moderators (seller_id, id);
create index moderators_user_idx on moderators (user_id);
comment on table moderators is
    'Who may do what in a shop''s shows beside its owner. Rights of the shop and of a show add up.';

-- What a person may do in a show as a moderator: the one answer for both services.
create function moderator_rights(the_stream uuid, the_user uuid) returns text[] language sql stable as $$
    select coalesce(array_agg(distinct r.name), '{}')
      from streams s
      join moderators m on m.seller_id = s.seller_id and (m.stream_id is null or m.stream_id = s.id)
      join users u on u.id = m.user_id and u.suspended_at is null
      cross join lateral unnest(m.rights) as r (name)
     where s.id = the_stream and m.user_id = the_user
$$;

-- Whether somebody may change or lift a ban that p_banned_by has made: what the shop's
-- owner has decided, only the owner and those undo who moderate all of the shop's shows
-- with the right to ban.
create function may_lift_ban(p_seller uuid, p_banned_by uuid, p_by uuid) returns boolean language sql stable as $$
    select p_by = s.user_id
           or p_banned_by <> s.user_id
           or exists (select from moderators m join users u on u.id = m.user_id and u.suspended_at is null
                       where m.seller_id = p_seller and m.stream_id is null and m.user_id = p_by
                         and 'ban' = any(m.rights))
      from sellers s where s.id = p_seller
$$;

-- Bans somebody from a shop's shows, or bans them anew: the one rule for both services.
-- Nobody bans the shop's owner, and only the owner bans one of its moderators, who
-- thereby ceases to be one. The shop's row is locked: an appointment at the same time
-- waits. Rooms that are to hear of it get their notice, p_room excepted, which asked.
-- A ban that is made anew keeps its id; one that p_by may not lift stays as it is.
--
-- Answers banned, forbidden, or not_found for an account that there is not.
create function ban_viewer(
    p_id uuid, p_seller uuid, p_user uuid, p_guest uuid, p_seconds int, p_reason text, p_by uuid, p_room uuid
) returns text language plpgsql as $$
declare
    v_owner     uuid;
    v_moderates boolean;
    v_until     timestamptz := clock_timestamp() + make_interval(secs => p_seconds);
begin
    select user_id into v_owner from sellers where id = p_seller for no key update;
    if p_user is not null and not exists (select from users where id = p_user) then
        return 'not_found';
    end if;
    v_moderates := exists (select from moderators where seller_id = p_seller and user_id = p_user);
    if p_user = v_owner or p_user = p_by or (v_moderates and p_by <> v_owner) then
        return 'forbidden';
    end if;
    if v_moderates then
        delete from moderators where seller_id = p_seller and user_id = p_user;
        insert into outbox (id, topic, stream_id, payload)
        select gen_random_uuid(), 'moderators_changed', s.id, '{"notice": "moderators_changed"}'
          from streams s join streams_at_hand h on h.id = s.id where s.seller_id = p_seller;
    end if;
    if exists (select from banned_viewers b
                where b.seller_id = p_seller and (b.user_id = p_user or b.guest_id = p_guest)
                  and (b.until is null or b.until > clock_timestamp())
                  and not may_lift_ban(p_seller, b.banned_by, p_by)) then
        return 'banned';
    end if;
    if p_user is not null then
        update streams s set pinned_message_id = null
          from stream_chat_messages m
         where s.seller_id = p_seller and m.id = s.pinned_message_id and m.user_id = p_user;
        insert into banned_viewers (id, seller_id, user_id, until, reason, banned_by)
        values (p_id, p_seller, p_user, v_until, p_reason, p_by)
        on conflict (seller_id, user_id) where user_id is not null do update
           set until = excluded.until, reason = excluded.reason, banned_by = excluded.banned_by;
        insert into outbox (id, topic, stream_id, payload)
        select gen_random_uuid(), 'banned', s.id, jsonb_build_object('notice', 'banned', 'user', p_user)
          from streams s join streams_at_hand h on h.id = s.id
         where s.seller_id = p_seller and s.id is distinct from p_room;
    else
        insert into banned_viewers (id, seller_id, guest_id, until, reason, banned_by)
        values (p_id, p_seller, p_guest, v_until, p_reason, p_by)
        on conflict (seller_id, guest_id) where guest_id is not null do update
           set until = excluded.until, reason = excluded.reason, banned_by = excluded.banned_by;
    end if;
    return 'banned';
end $$;

create table muted_viewers (
    stream_id  uuid        not null references streams,
    user_id    uuid        not null references users,
    until      timestamptz not null,
    reason     text        not null default '' check (length(reason) <= 200),
    muted_by   uuid        not null references users,
    created_at timestamptz not null default now(),
    primary key (stream_id, user_id)
);
create index muted_viewers_user_idx on muted_viewers (user_id);
create index muted_viewers_until_idx on muted_viewers (until);
comment on table muted_viewers is 'Who may not chat in a show until when. A row past its time counts for nothing.';

create table room_leases (
    stream_id  uuid primary key references streams,
    epoch      bigint      not null check (epoch > 0),
    node_id    uuid        not null,
    expires_at timestamptz not null
);
comment on table room_leases is
    'Who owns a room. Taking it raises the epoch, and every write of a room is fenced by its epoch.';

create table stream_chat_messages (
    id         uuid        not null,
    stream_id  uuid        not null references streams,
    epoch      bigint      not null,
    seq        bigint      not null check (seq > 0),
    user_id    uuid        not null references users,
    request_id uuid,
    body_hash  bigint,
    reply_to   uuid,
    text       text        not null check (length(text) between 1 and 500),
    created_at timestamptz not null,
    deleted_at timestamptz,
    deleted_by uuid references users,
    deleted_as text check (deleted_as in ('author', 'moderator')),
    primary key (stream_id, epoch, seq),
    check ((deleted_at is null) = (deleted_by is null) and (deleted_at is null) = (deleted_as is null))
);
create unique index stream_chat_messages_id_key on stream_chat_messages (id);
alter table streams add column pinned_message_id uuid references stream_chat_messages (id);
comment on column streams.pinned_message_id is 'The message above the chat.';
create index stream_chat_messages_recent_idx on stream_chat_messages (stream_id, id desc);
-- An act is said once, however late it comes again: the last word, where the room's memory
-- and its look-up are the first. What one person has said is taken out of view together,
-- which needs the same order.
create unique index stream_chat_messages_act_key on stream_chat_messages (user_id, stream_id, request_id);
-- What one person has said, in order: they take it along.
create index stream_chat_messages_author_idx on stream_chat_messages (user_id, id);
-- Replay reads by time; epoch and seq make the order whole.
create index stream_chat_messages_time_idx on stream_chat_messages (stream_id, created_at, epoch, seq);
comment on column stream_chat_messages.request_id is
    'The author''s name for the act; null for a message that was held: its review has the name.';
comment on column stream_chat_messages.body_hash is
    'Tells another message under the same request_id: of what its author sent, which may have been changed since.';
comment on column stream_chat_messages.deleted_at is
    'A deleted message is shown to nobody. Its text stays for whoever has to judge a report of it.';

create table chat_reviews (
    message_id uuid primary key,
    stream_id  uuid        not null references streams,
    user_id    uuid        not null references users,
    request_id uuid        not null,
    body_hash  bigint      not null,
    reply_to   uuid,
    text       text        not null check (length(text) <= 500),
    cause      text        not null check (cause in ('word', 'hook')),
    detail     text        not null default '' check (length(detail) <= 200),
    status     text        not null default 'waiting' check (status in ('waiting', 'approved', 'rejected')),
    decided_by uuid references users,
    decided_at timestamptz,
    created_at timestamptz not null default now(),
    constraint chat_reviews_request_key unique (user_id, request_id),
    check ((status = 'waiting') = (decided_at is null) and (status = 'waiting') = (decided_by is null)),
    constraint chat_reviews_waits_with_text check (text <> '' or status <> 'waiting')
);
create index chat_reviews_stream_idx on chat_reviews (stream_id, message_id desc);
create index chat_reviews_waiting_idx on chat_reviews (stream_id, message_id) where status = 'waiting';
create index chat_reviews_kept_idx on chat_reviews (decided_at) where decided_at is not null and text <> '';
comment on column chat_reviews.text is
    'What was held. Empty 30 days after it was decided about, and when its author has left before anybody saw it.';
comment on table chat_reviews is
    'Messages that were held: nobody saw them unless a moderator approved them. Written before their author is answered.';

create table chat_reports (
    id          uuid primary key,
    stream_id   uuid        not null references streams,
    message_id  uuid        not null,
    author_id   uuid        not null references users,
    reporter_id uuid        not null references users,
    reason      text        not null check (reason in ('spam', 'harassment', 'scam', 'illegal', 'other')),
    note        text        not null default '' check (length(note) <= 200),
    text        text        not null check (length(text) between 1 and 500),
    settled_by  uuid references users,
    settled_at  timestamptz,
    created_at  timestamptz not null default now(),
    -- One a person and message, however often it is sent.
    constraint chat_reports_reporter_key unique (message_id, reporter_id),
    check ((settled_at is null) = (settled_by is null))
);
create index chat_reports_stream_idx on chat_reports (stream_id, id desc);
create index chat_reports_open_idx on chat_reports (id desc) where settled_at is null;
create index chat_reports_reporter_idx on chat_reports (reporter_id, id);
comment on column chat_reports.text is 'The message as it was when it was reported.';

create table stream_events (
    stream_id  uuid        not null references streams,
    epoch      bigint      not null,
    seq        bigint      not null check (seq > 0),
    kind       text        not null,
    payload    jsonb       not null,
    created_at timestamptz not null,
    primary key (stream_id, epoch, seq)
);
create index stream_events_time_idx on stream_events (stream_id, created_at, epoch, seq);
-- Which sales the log says are open.
create index stream_events_sales_idx on stream_events (stream_id) where kind in ('sale_opened', 'sale_closed');
comment on table stream_events is
    'Numbered events other than chat, as they were sent, but for names and pinned texts: those are joined when they are
     read. With the chat rows an epoch''s numbers have no gap.';

-- A purchase as it is told: with the buyer's name in the place of who they are, while they
-- let purchases show it. The one answer for both services.
create function told_purchase(purchase jsonb) returns jsonb language sql stable as $$
    select (purchase - 'buyer') || coalesce(
        (select jsonb_build_object('name', p.display_name) from profiles p
          where p.user_id = (purchase ->> 'buyer')::uuid and p.show_purchases), '{}')
$$;

create table stream_reactions (
    stream_id uuid        not null references streams,
    kind      text        not null,
    minute    timestamptz not null,
    count     bigint      not null check (count > 0),
    primary key (stream_id, kind, minute)
);
comment on table stream_reactions is 'Aggregates: accepted reactions per kind and minute. A crash may lose the last tick.';

create table reaction_writers (
    id         uuid primary key,
    last_write bigint      not null,
    written_at timestamptz not null default now()
);
create index reaction_writers_age_idx on reaction_writers (written_at);
comment on table reaction_writers is
    'The last sums that each process of the engine has added: an addition whose answer was lost is not made twice.';

create table stream_viewers (
    stream_id   uuid        not null references streams,
    minute      timestamptz not null,
    peak        int         not null check (peak >= 0),
    peak_people int         not null check (peak_people >= 0),
    samples     int         not null check (samples > 0),
    viewers_sum bigint      not null check (viewers_sum >= 0),
    primary key (stream_id, minute)
);
comment on table stream_viewers is
    'Connections in a room on air, sampled once a second: the most in a minute, and the sum for the average.';

create table stream_attendance (
    stream_id uuid    not null references streams,
    person_id uuid    not null,
    account   boolean not null,
    primary key (stream_id, person_id)
);
comment on table stream_attendance is
    'Who has been in a show, each account and guest once: the exact count of people, across restarts and nodes.';

create table stream_summaries (
    stream_id       uuid primary key references streams,
    peak_viewers    int    not null,
    average_viewers int    not null,
    accounts        bigint not null,
    guests          bigint not null,
    chat_messages   bigint not null,
    chatters        bigint not null,
    reactions       jsonb  not null check (jsonb_typeof(reactions) = 'object'),
    created_at      timestamptz not null default now()
);
comment on table stream_summaries is
    'What a show came to, written once when its last event is stored. What it sold is read from orders and holds.';

-- Counts a show that is over, once; false when that is done already, or it is not over. Its
-- room does so when its last event is stored, or whoever finds that no room has.
create function summarise_show(the_stream uuid) returns boolean language plpgsql as $$
begin
    perform from streams where id = the_stream and status = 'ended' and not summarised for no key update;
    if not found then
        return false;
    end if;
    insert into stream_summaries (stream_id, peak_viewers, average_viewers, accounts, guests,
                                  chat_messages, chatters, reactions)
    select s.id, greatest(s.peak_viewers, coalesce(v.peak, 0)), coalesce(v.average, 0), a.accounts, a.guests,
           c.messages, c.chatters, r.counts
      from streams s
     cross join lateral (
           select max(peak) as peak, round(sum(viewers_sum)::numeric / sum(samples))::int as average
             from stream_viewers where stream_id = s.id) v
     cross join lateral (
           select count(*) filter (where account) as accounts, count(*) filter (where not account) as guests
             from stream_attendance where stream_id = s.id) a
     cross join lateral (
           select count(*) as messages, count(distinct user_id) as chatters
             from stream_chat_messages where stream_id = s.id and deleted_at is null) c
     cross join lateral (
           select coalesce(jsonb_object_agg(k.kind, k.sum), '{}') as counts
             from (select kind, sum(count) as sum from stream_reactions where stream_id = s.id group by kind) k) r
     where s.id = the_stream;
    update streams s set summarised = true, peak_viewers = t.peak_viewers
      from stream_summaries t where s.id = the_stream and t.stream_id = s.id;
    return true;
end $$;

create table persist_rejects (
    id         uuid primary key,
    stream_id  uuid        not null,
    epoch      bigint      not null,
    seq        bigint      not null,
    payload    jsonb,
    error      text        not null,
    created_at timestamptz not null default now()
);
create index persist_rejects_stream_idx on persist_rejects (stream_id, epoch, seq);
create index persist_rejects_age_idx on persist_rejects (created_at) where payload is not null;
comment on table persist_rejects is
    'Rows that the database refused, kept so that the batch around them could go on and nothing vanished. After 30 days the payload goes; the row stays, as its number''s place in the epoch.';

create table spent_tickets (
    id         uuid primary key,
    expires_at timestamptz not null
);
create index spent_tickets_expiry_idx on spent_tickets (expires_at);
comment on table spent_tickets is 'Ids of used tickets, until the tickets would have expired anyway.';

create table flash_sales (
    id                uuid primary key,
    stream_id         uuid        not null references streams,
    seller_id         uuid        not null references sellers,
    product_id        uuid        not null references products,
    variant_id        uuid        not null references product_variants,
    quantity          int         not null check (quantity between 1 and 1000000),
    price_minor       bigint      not null check (price_minor between 0 and 100000000000),
    usual_price_minor bigint      not null check (usual_price_minor >= 0),
    percent_off       int         check (percent_off between 1 and 100),
    currency          text        not null check (currency ~ '^[A-Z]{3}$'),
    per_buyer         int         not null check (per_buyer between 1 and 1000),
    hold_seconds      int         not null check (hold_seconds between 1 and 3600),
    opens_at          timestamptz not null,
    ends_at           timestamptz not null,
    status            text        not null default 'open' check (status in ('open', 'closed')),
    held              int         not null default 0 check (held >= 0),
    sold              int         not null default 0 check (sold >= 0),
    returned          int         not null default 0 check (returned >= 0),
    waiting           int         not null default 0,
    line_last         bigint      not null default 0,
    entries           bigint      not null default 0,
    version           bigint      not null default 1,
    closed_at         timestamptz,
    created_at        timestamptz not null default now(),
    check (opens_at < ends_at),
    -- No unit is promised twice.
    constraint flash_sales_no_oversell check (held + sold + returned <= quantity),
    constraint flash_sales_line_bound check (waiting between 0 and 5000),
    -- Rounded half up, once.
    constraint flash_sales_percent_off
        check (percent_off is null or price_minor = (usual_price_minor * (100 - percent_off) + 50) / 100),
    check ((status = 'closed') = (closed_at is not null)),
    check (status = 'closed' or returned = 0),
    check (status = 'open' or waiting = 0)
);
create index flash_sales_stream_idx on flash_sales (stream_id, id);
create index flash_sales_open_idx on flash_sales (ends_at) where status = 'open';
create index flash_sales_variant_idx on flash_sales (variant_id);
comment on column flash_sales.usual_price_minor is 'The variant''s price when the sale was set up.';
comment on column flash_sales.returned is 'After closing: units given back to the variant.';
comment on column flash_sales.waiting is 'People in the wait list.';
comment on column flash_sales.line_last is 'The last place in line that was given out.';
comment on column flash_sales.entries is
    'Holds asked for and places in line, all that ever were: whoever knows so many knows everybody who has got something.';
comment on column flash_sales.version is
    'Raised with every change of the counters and of the wait list: a room drops an older one, and rows that keep it
     can be put in order without trusting a clock.';

create table reservations (
    id           uuid primary key,
    sale_id      uuid        not null references flash_sales,
    user_id      uuid        not null references users,
    request_id   uuid        not null,
    quantity     int         not null check (quantity between 1 and 1000),
    status       text        not null default 'held'
        check (status in ('held', 'paying', 'converted', 'expired', 'released')),
    origin       text        not null default 'buy' check (origin in ('buy', 'wait', 'line')),
    sale_version bigint      not null,
    expires_at   timestamptz not null,
    extended_at  timestamptz,
    created_at   timestamptz not null default now(),
    constraint reservations_request_key unique (user_id, request_id)
);
comment on column reservations.origin is
    'What it was asked by: `buy`; `wait`, and there were units; or it was offered to the place in line with its id.';
comment on column reservations.sale_version is 'What the sale''s version became with the grant.';
comment on column reservations.extended_at is 'When it got more time because a payment began; once.';
-- What a buyer holds or has bought counts against the limit; a show's summary counts all,
-- and who has any row here may be sending a request again.
create index reservations_buyer_idx on reservations (sale_id, user_id);
create index reservations_expiry_idx on reservations (sale_id, expires_at) where status = 'held';
create index reservations_user_idx on reservations (user_id, id desc);

create table reservation_waitlist (
    id             uuid primary key,
    sale_id        uuid        not null references flash_sales,
    user_id        uuid        not null references users,
    request_id     uuid        not null,
    quantity       int         not null check (quantity between 1 and 1000),
    place          bigint      not null check (place > 0),
    status         text        not null default 'waiting' check (status in ('waiting', 'offered', 'left', 'ended')),
    joined_version bigint      not null,
    ended_version  bigint,
    created_at     timestamptz not null default now(),
    constraint reservation_waitlist_request_key unique (user_id, request_id),
    constraint reservation_waitlist_place_key unique (sale_id, place),
    check ((status = 'waiting') = (ended_version is null)),
    check (ended_version > joined_version)
);
create unique index reservation_waitlist_person_key on reservation_waitlist (sale_id, user_id)
    where status = 'waiting';
create index reservation_waitlist_line_idx on reservation_waitlist (sale_id, place) where status = 'waiting';
comment on table reservation_waitlist is
    'The line before a sale that is sold out, in the order of `place`. Who has left it stays as a record of the order.
     An offered place''s hold has its id.';

-- What people are told of. A kind has its channels for who has not said otherwise; a letter
-- that would come too late to be of use is not offered.
create view notification_kinds (kind, in_app, email, has_email) as values
    ('show_scheduled',  true, false, true),
    ('show_started',    true, false, true),
    ('shop_approved',   true, true,  true),
    ('shop_rejected',   true, true,  true),
    ('shop_suspended',  true, true,  true),
    ('shop_reinstated', true, true,  true),
    ('waitlist_offer',  true, false, false),
    ('review_answered', true, false, true),
    ('order_paid',      true, false, true),
    ('order_shipped',   true, false, true),
    ('order_delivered', true, false, true),
    ('order_cancelled', true, true,  true),
    ('refund_paid',     true, false, true),
    ('return_requested', true, false, true),
    ('return_answered', true, true,  true),
    ('return_sent',     true, false, true),
    ('return_waits',    true, true,  true),
    ('return_lapsed',   true, true,  true),
    ('claim_opened',    true, true,  true),
    ('claim_answered',  true, true,  true),
    ('claim_decided',   true, true,  true),
    ('payout_paid',     true, true,  true),
    ('payout_failed',   true, true,  true),
    ('dispute_opened',  true, true,  true),
    ('dispute_won',     true, true,  true),
    ('dispute_lost',    true, true,  true);

create table notifications (
    id         uuid primary key,
    user_id    uuid        not null references users,
    kind       text        not null check (kind in (
        'show_scheduled', 'show_started', 'shop_approved', 'shop_rejected', 'shop_suspended', 'shop_reinstated',
        'waitlist_offer', 'review_answered', 'order_paid', 'order_shipped', 'order_delivered', 'order_cancelled',
        'refund_paid', 'return_requested', 'return_answered', 'return_sent', 'return_waits', 'return_lapsed',
        'claim_opened', 'claim_answered', 'claim_decided',
        'payout_paid', 'payout_failed', 'dispute_opened', 'dispute_won', 'dispute_lost')),
    subject_id uuid        not null,
    seller_id  uuid references sellers,
    stream_id  uuid references streams,
    product_id uuid references products,
    order_id   uuid,
    reason     text        not null default '' check (length(reason) <= 500),
    listed     boolean     not null default true,
    xid        xid8        not null default pg_current_xact_id(),
    created_at timestamptz not null default now(),
    read_at    timestamptz,
    -- Nobody is told of one thing twice, whoever tells it and however often.
    constraint notifications_once_key unique (user_id, kind, subject_id),
    constraint notifications_about check (
        case kind
            when 'show_scheduled' then num_nulls(seller_id, stream_id) = 0
            when 'show_started' then num_nulls(seller_id, stream_id) = 0
            when 'waitlist_offer' then num_nulls(seller_id, stream_id, product_id) = 0
            when 'review_answered' then num_nulls(seller_id, product_id) = 0
            when 'order_paid' then num_nulls(seller_id, order_id) = 0
            when 'order_shipped' then num_nulls(seller_id, order_id) = 0
            when 'order_delivered' then num_nulls(seller_id, order_id) = 0
            when 'order_cancelled' then num_nulls(seller_id, order_id) = 0
            when 'refund_paid' then num_nulls(seller_id, order_id) = 0
            when 'return_requested' then num_nulls(seller_id, order_id) = 0
            when 'return_answered' then num_nulls(seller_id, order_id) = 0
            when 'return_sent'     then num_nulls(seller_id, order_id) = 0
            when 'return_waits'    then num_nulls(seller_id, order_id) = 0
            when 'return_lapsed'   then num_nulls(seller_id, order_id) = 0
            when 'claim_opened' then num_nulls(seller_id, order_id) = 0
            when 'claim_answered' then num_nulls(seller_id, order_id) = 0
            when 'claim_decided' then num_nulls(seller_id, order_id) = 0
            when 'dispute_opened' then num_nulls(seller_id, order_id) = 0
            when 'dispute_won' then num_nulls(seller_id, order_id) = 0
            when 'dispute_lost' then num_nulls(seller_id, order_id) = 0
            else seller_id is not null
        end)
);
create index notifications_list_idx on notifications (user_id, id desc) where listed;
create index notifications_unread_idx on notifications (user_id, id desc) where listed and read_at is null;
create index notifications_news_idx on notifications (xid, id);
create index notifications_age_idx on notifications (created_at);
comment on table notifications is
    'What a person was told, by id alone: names join when it is read. Kept for 90 days.';
comment on column notifications.subject_id is
    'What it tells of, once: the show, the hold, the review, the order, the parcel, the payout, the dispute, or the decision''s own id.';
comment on column notifications.listed is
    'False: it went by mail alone, as the person wants, and is here so that it does so once.';
comment on column notifications.xid is
    'Sockets are told of what has become visible since the last reading, whatever the order of the commits.';

create table notification_preferences (
    user_id uuid    not null references users,
    kind    text    not null,
    in_app  boolean not null,
    email   boolean not null,
    primary key (user_id, kind)
);
comment on table notification_preferences is
    'What somebody has chosen otherwise than notification_kinds has it; a kind without a row is as there.';

-- Whether somebody wants to be told of a kind over a channel: the one rule for all who tell.
create function wants_notice(p_user uuid, p_kind text, p_channel text) returns boolean language sql stable as $$
    select case p_channel when 'in_app' then coalesce(p.in_app, k.in_app)
                          else k.has_email and coalesce(p.email, k.email) end
      from notification_kinds k
      left join notification_preferences p on p.kind = k.kind and p.user_id = p_user
     where k.kind = p_kind
$$;

create table announcements (
    id         uuid primary key,
    kind       text        not null check (kind in ('show_scheduled', 'show_started')),
    stream_id  uuid        not null references streams,
    seller_id  uuid        not null references sellers,
    after_user uuid,
    batches    int         not null default 0,
    told       int         not null default 0,
    created_at timestamptz not null default now(),
    done_at    timestamptz,
    constraint announcements_once_key unique (stream_id, kind)
);
create index announcements_due_idx on announcements (batches, id) where done_at is null;
create index announcements_done_idx on announcements (done_at) where done_at is not null;
comment on table announcements is
    'What a shop''s followers are to be told, a batch at a time: written with what it tells of, done by a job.';
comment on column announcements.after_user is
    'Followers up to this one were told, in the order of their ids; moved in the transaction that tells them.';
