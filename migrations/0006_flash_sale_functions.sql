-- What both services must do to the same rows is written once, here.
--
-- Lock order: sale, reservation, variant, ids sorted where there are several (and before
-- them checkout, payment, order). Every function locks the sale first and reads
-- clock_timestamp() after the lock: the database's clock alone decides what has expired,
-- and a statement's own snapshot is taken after the wait. One big statement would see
-- the counters as they were before the wait and grant past the limit.
--
-- The wait list. Units that come free go to the first in line whom they are enough for,
-- in the transaction that frees them; who wants more than is free keeps their place and
-- is passed over. Only what is enough for nobody in line is there for everybody.

-- Whom a shop does not sell to: a buyer here is refused, and loses the place in line when
-- its turn comes.
create view flash_sale_barred as
    select seller_id, user_id from banned_viewers where user_id is not null and (until is null or until > now());

-- Units of a variant are free again: rooms that show its product hear of it.
create function flash_stock_freed(p_variant uuid, p_quantity int) returns void language sql as $$
    update product_variants set reserved = reserved - p_quantity, updated_at = now() where id = p_variant;
    insert into outbox (id, topic, stream_id, payload)
    select gen_random_uuid(), 'product_changed', h.id,
           jsonb_build_object('notice', 'product_changed', 'product', v.product_id)
      from product_variants v
      join stream_products p on p.product_id = v.product_id
      join streams_at_hand h on h.id = p.stream_id
     where v.id = p_variant;
$$;

-- Gives p_quantity held units back: to the pool of an open sale, to the variant's free
-- stock once the sale is closed. What is free in an open sale then is offered to the wait
-- list: returns the offered places' ids, which are their holds' ids. The caller has
-- locked the sale's row.
create function flash_sale_give_back(p_sale uuid, p_quantity int, p_now timestamptz) returns uuid[]
language plpgsql as $$
declare
    v_sale    flash_sales%rowtype;
    v_left    int;
    v_place   record;
    v_offered uuid[] := '{}';
    v_gone    uuid[] := '{}';
    v_chosen  uuid[];
    v_held    uuid[];
    v_open    boolean;
    v_units   int := 0;
begin
    select * into v_sale from flash_sales s where s.id = p_sale;
    if v_sale.status = 'closed' then
        if p_quantity > 0 then
            update flash_sales
               set held = held - p_quantity, returned = returned + p_quantity, version = version + 1
             where id = p_sale;
            perform flash_stock_freed(v_sale.variant_id, p_quantity);
        end if;
        return v_offered;
    end if;

    v_left := v_sale.quantity - v_sale.held - v_sale.sold + p_quantity;
    v_open := v_sale.waiting > 0 and p_now < v_sale.ends_at
              and exists (select from sellers l where l.id = v_sale.seller_id and l.status = 'approved');
    while v_open and v_left > 0 loop
        v_chosen := '{}';
        for v_place in
            select w.id, w.quantity,
                   exists (select from flash_sale_barred b
                            where b.seller_id = v_sale.seller_id and b.user_id = w.user_id)
                   or exists (select from reservations r
                               where r.user_id = w.user_id and r.request_id = w.request_id) as gone
              from reservation_waitlist w
             where w.sale_id = p_sale and w.status = 'waiting' and w.quantity <= v_left
               and w.id <> all (v_gone || v_offered)
             order by w.place
        loop
            continue when v_place.quantity > v_left;
            if v_place.gone then
                v_gone := v_gone || v_place.id;
            else
                v_chosen := v_chosen || v_place.id;
                v_left := v_left - v_place.quantity;
                exit when v_left = 0;
            end if;
        end loop;
        exit when v_chosen = '{}';
        -- The same request may be racing on another sale: the constraint decides, whose
        -- request it was not loses the place, and the units go to the next in line. In
        -- the order of the key, as every insert here: two transactions that wait for each
        -- other's requests wait in one direction.
        with held as (
            insert into reservations (id, sale_id, user_id, request_id, quantity, origin, sale_version,
                                      expires_at, created_at)
            select w.id, p_sale, w.user_id, w.request_id, w.quantity, 'line', v_sale.version + 1,
                   p_now + make_interval(secs => v_sale.hold_seconds), p_now
              from reservation_waitlist w where w.id = any (v_chosen) order by w.user_id, w.request_id
            on conflict on constraint reservations_request_key do nothing
            returning id, quantity
        )
        select coalesce(array_agg(h.id), '{}'), v_units + coalesce(sum(h.quantity), 0)::int
          into v_held, v_units from held h;
        v_offered := v_offered || v_held;
        exit when cardinality(v_held) = cardinality(v_chosen);
        v_gone := v_gone || (select array_agg(c.id) from unnest(v_chosen) c (id) where c.id <> all (v_held));
        v_left := v_sale.quantity - v_sale.held - v_sale.sold + p_quantity - v_units;
    end loop;

    if v_offered <> '{}' then
        update reservation_waitlist set status = 'offered', ended_version = v_sale.version + 1
         where id = any (v_offered);
        -- Who has left the room hears of it elsewhere.
        insert into notifications (id, user_id, kind, subject_id, seller_id, stream_id, product_id)
        select uuid_by_time(), r.user_id, 'waitlist_offer', r.id, v_sale.seller_id, v_sale.stream_id,
               v_sale.product_id
          from reservations r
         where r.id = any (v_offered) and wants_notice(r.user_id, 'waitlist_offer', 'in_app')
         order by r.user_id, r.id
        on conflict do nothing;
    end if;
    if v_gone <> '{}' then
        update reservation_waitlist set status = 'left', ended_version = v_sale.version + 1 where id = any (v_gone);
    end if;
    if p_quantity > 0 or v_offered <> '{}' or v_gone <> '{}' then
        update flash_sales
           set held = held - p_quantity + v_units,
               waiting = waiting - cardinality(v_offered) - cardinality(v_gone),
               version = version + 1
         where id = p_sale;
    end if;
    return v_offered;
end $$;

-- Expires the stale holds of a locked sale and offers what that frees. Empty arrays:
-- nothing was stale.
create function flash_sale_lapse(p_sale uuid, p_now timestamptz, out lapsed uuid[], out offered uuid[])
language plpgsql as $$
declare
    v_freed int;
begin
    with stale as (
        update reservations r set status = 'expired'
         where r.sale_id = p_sale and r.status = 'held' and r.expires_at <= p_now
        returning r.id, r.quantity
    )
    select coalesce(array_agg(id), '{}'), coalesce(sum(quantity), 0)::int into lapsed, v_freed from stale;
    offered := case when v_freed > 0 then flash_sale_give_back(p_sale, v_freed, p_now) else '{}' end;
end $$;

-- Where these places are in their sale's line: 1 is next. Without those that do not wait.
create function flash_sale_line(p_sale uuid, p_places uuid[]) returns table (id uuid, line int)
language sql stable as $$
    select n.id, n.line::int
      from (select w.id, row_number() over (order by w.place) as line
              from reservation_waitlist w where w.sale_id = p_sale and w.status = 'waiting') n
     where n.id = any (p_places)
$$;

-- Grants holds on one sale, in the order of the arrays, all of it under one lock. Whose
-- p_waits is true is put in line when the units cannot be had.
--
-- One row a request, `position` 1-based, `outcome` an error code's name or 'granted' or
-- 'waiting':
--   granted                a new hold, or the same request's earlier one (whatever became of it)
--   waiting                in line at place_in_line, or the same request's place (whatever became of it)
--   sale_not_open          before opens_at
--   sale_closed            closed, or after ends_at, or the shop may not sell (any more)
--   own_shop               the buyer is the seller
--   banned                 the shop does not sell to this buyer
--   already_waiting        in line already, by another request
--   purchase_limit_reached held, bought and waited for, this batch included, would exceed per_buyer
--   sold_out               nothing is left
--   not_enough_left        less is left than asked for, or for a place in line than can ever come free
--   waitlist_full          too many are in line
--   request_id_reused      the id stands for another request of this person
--   not_found              no such sale
-- Further rows with a null position are holds that changed on the way: outcome 'expired'
-- for those that lapsed, 'offered' for those that went to the wait list. Every row carries
-- the sale's counters after the batch.
--
-- A batch must cost the same whatever the tables' sizes were when its plans were made, so
-- plans that read whole tables are not considered.
create function reserve_flash_units(
    p_sale uuid, p_reservations uuid[], p_users uuid[], p_quantities int[], p_requests uuid[],
    p_waits boolean[] default null
) returns table (
    "position" int, outcome text, reservation_id uuid, user_id uuid, quantity int, expires_at timestamptz,
    hold_status text, offered boolean, wait_status text, place_in_line int,
    sale_remaining int, sale_version bigint, next_expiry timestamptz, sale_status text, sale_waiting int,
    sale_opens_at timestamptz, sale_entries_before bigint, sale_entries bigint
) language plpgsql set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
    v_sale        flash_sales%rowtype;
    v_now         timestamptz;
    v_seller_user uuid;
    v_may_sell    boolean;
    v_left        int;
    v_waiting     int;
    v_count       int := cardinality(p_users);
    v_waits       boolean[] := coalesce(p_waits, array_fill(false, array[v_count]));
    v_closed_code text;
    -- By position: what the buyer has already and whether they are in line, the buyer's
    -- previous request in this batch, the same request earlier in it, the request's
    -- stored hold or place and whether that is what is asked for, whether the buyer may buy.
    v_have        int[];
    v_in_line     boolean[];
    v_prior       int[];
    v_same        int[];
    v_stored      uuid[];
    v_stored_ok   boolean[];
    v_place       uuid[];
    v_taken       boolean[];
    v_barred      boolean[];
    v_outcome     text[] := array_fill('granted'::text, array[v_count]);
    v_line        int[] := array_fill(null::int, array[v_count]);
    v_inserted    uuid[] := '{}';
    v_joined      uuid[] := '{}';
    v_granted     int := 0;
    v_entries     bigint;
    v_places      boolean := false;
    v_changed     record;
    v_next        timestamptz;
begin
    select * into v_sale from flash_sales s where s.id = p_sale for no key update;
    if not found then
        return query select i, 'not_found', null::uuid, p_users[i], p_quantities[i], null::timestamptz,
                            null::text, false, null::text, null::int,
                            0, 0::bigint, null::timestamptz, 'closed'::text, 0, null::timestamptz, 0::bigint, 0::bigint
                       from generate_series(1, v_count) i;
        return;
    end if;
    v_now := clock_timestamp();
    v_entries := v_sale.entries;
    select l.lapsed, l.offered into v_changed from flash_sale_lapse(p_sale, v_now) l;
    if v_changed.lapsed <> '{}' then
        select * into v_sale from flash_sales s where s.id = p_sale;
    end if;

    v_left := case when v_sale.status = 'open' then v_sale.quantity - v_sale.held - v_sale.sold else 0 end;
    v_waiting := v_sale.waiting;
    select s.user_id, s.status = 'approved' into v_seller_user, v_may_sell
      from sellers s where s.id = v_sale.seller_id;
    v_closed_code := case
        when v_sale.status = 'closed' or v_now >= v_sale.ends_at or not v_may_sell then 'sale_closed'
        when v_now < v_sale.opens_at then 'sale_not_open'
    end;

    select array_agg(coalesce(h.n, 0) + coalesce(l.quantity, 0) order by q.i),
           array_agg(l.quantity is not null order by q.i),
           array_agg(q.prior order by q.i), array_agg(q.same order by q.i), array_agg(e.id order by q.i),
           array_agg(coalesce(e.sale_id, w.sale_id) = p_sale and coalesce(e.quantity, w.quantity) = q.quantity
                     and coalesce(e.origin <> 'buy', true) = q.waits order by q.i),
           array_agg(w.id order by q.i),
           array_agg(k.taken order by q.i), array_agg(b.barred order by q.i),
           coalesce(bool_or(w.id is not null), false)
      into v_have, v_in_line, v_prior, v_same, v_stored, v_stored_ok, v_place, v_taken, v_barred, v_places
      from (
        select t.i::int, t.buyer, t.quantity, t.request, t.waits,
               (lag(t.i) over (partition by t.buyer order by t.i))::int as prior,
               (first_value(t.i) over (partition by t.buyer, t.request order by t.i))::int as same
          from unnest(p_users, p_quantities, p_requests, v_waits)
               with ordinality t (buyer, quantity, request, waits, i)
      ) q
      cross join lateral (
        select sum(r.quantity)::int as n from reservations r
         where r.sale_id = p_sale and r.user_id = q.buyer and r.status in ('held', 'paying', 'converted')
      ) h
      left join reservation_waitlist l
        on v_waiting > 0 and l.sale_id = p_sale and l.user_id = q.buyer and l.status = 'waiting'
      left join reservations e on e.user_id = q.buyer and e.request_id = q.request
      left join reservation_waitlist w on w.user_id = q.buyer and w.request_id = q.request
      cross join lateral (
        select exists (select from idempotency_keys k where k.user_id = q.buyer and k.key = q.request) as taken
      ) k
      cross join lateral (
        select exists (select from flash_sale_barred b
                        where b.seller_id = v_sale.seller_id and b.user_id = q.buyer) as barred
      ) b;

    if v_places then
        select array_agg(n.line order by p.i) into v_line
          from unnest(v_place) with ordinality p (id, i)
          left join flash_sale_line(p_sale, v_place) n on n.id = p.id;
    end if;

    for i in 1 .. v_count loop
        -- What this buyer has, what is granted earlier in this batch included.
        if v_prior[i] is not null then
            v_have[i] := v_have[v_prior[i]];
            v_in_line[i] := v_in_line[v_prior[i]];
        end if;
        if v_stored[i] is not null or v_place[i] is not null then
            v_outcome[i] := case when not v_stored_ok[i] then 'request_id_reused'
                                 when v_stored[i] is not null then 'stored'
                                 else 'place' end;
        elsif v_same[i] <> i then
            v_outcome[i] := case when p_quantities[i] <> p_quantities[v_same[i]] or v_waits[i] <> v_waits[v_same[i]]
                                 then 'request_id_reused'
                                 else v_outcome[v_same[i]] end;
            v_line[i] := v_line[v_same[i]];
            if v_outcome[i] in ('granted', 'joins') then
                v_outcome[i] := 'same';
            end if;
        elsif v_taken[i] then
            v_outcome[i] := 'request_id_reused';
        elsif v_closed_code is not null then
            v_outcome[i] := v_closed_code;
        elsif p_users[i] = v_seller_user then
            v_outcome[i] := 'own_shop';
        elsif v_barred[i] then
            v_outcome[i] := 'banned';
        elsif v_waits[i] and v_in_line[i] then
            v_outcome[i] := 'already_waiting';
        elsif v_have[i] + p_quantities[i] > v_sale.per_buyer then
            v_outcome[i] := 'purchase_limit_reached';
        elsif v_left >= p_quantities[i] then
            v_left := v_left - p_quantities[i];
            v_have[i] := v_have[i] + p_quantities[i];
        elsif not v_waits[i] then
            v_outcome[i] := case when v_left = 0 then 'sold_out' else 'not_enough_left' end;
        elsif p_quantities[i] > v_sale.quantity - v_sale.sold then
            v_outcome[i] := 'not_enough_left';
        elsif v_waiting >= 5000 then
            v_outcome[i] := 'waitlist_full';
        else
            v_waiting := v_waiting + 1;
            v_outcome[i] := 'joins';
            v_line[i] := v_waiting;
            v_have[i] := v_have[i] + p_quantities[i];
            v_in_line[i] := true;
        end if;
    end loop;

    -- The same request may be racing on another sale; the constraint decides, and
    -- only what was inserted counts as granted. What each gets is decided above, so the
    -- rows go in in the order of the key: a batch of another sale that waits for one of
    -- these requests never holds one that this batch waits for.
    with granted as (
        insert into reservations (id, sale_id, user_id, request_id, quantity, origin, sale_version,
                                  expires_at, created_at)
        select t.id, p_sale, t.buyer, t.request, t.quantity, case when t.waits then 'wait' else 'buy' end,
               v_sale.version + 1, v_now + make_interval(secs => v_sale.hold_seconds), v_now
          from unnest(p_reservations, p_users, p_requests, p_quantities, v_waits, v_outcome)
               t (id, buyer, request, quantity, waits, outcome)
         where t.outcome = 'granted'
         order by t.buyer, t.request
        on conflict on constraint reservations_request_key do nothing
        returning id, reservations.quantity
    )
    select coalesce(array_agg(id), '{}'), coalesce(sum(quantity), 0)::int
      into v_inserted, v_granted from granted;
    if v_waiting > v_sale.waiting then
        with joined as (
            insert into reservation_waitlist (id, sale_id, user_id, request_id, quantity, place, joined_version,
                                              created_at)
            select t.id, p_sale, t.buyer, t.request, t.quantity, v_sale.line_last + t.line - v_sale.waiting,
                   v_sale.version + 1, v_now
              from unnest(p_reservations, p_users, p_requests, p_quantities, v_line, v_outcome)
                   t (id, buyer, request, quantity, line, outcome)
             where t.outcome = 'joins'
             order by t.buyer, t.request
            on conflict on constraint reservation_waitlist_request_key do nothing
            returning id
        )
        select coalesce(array_agg(id), '{}') into v_joined from joined;
    end if;
    if v_granted > 0 or v_joined <> '{}' then
        update flash_sales s
           set held = s.held + v_granted, waiting = s.waiting + cardinality(v_joined),
               entries = s.entries + cardinality(v_inserted) + cardinality(v_joined),
               line_last = s.line_last + v_waiting - v_sale.waiting, version = s.version + 1
         where s.id = p_sale
        returning * into v_sale;
    end if;
    select min(r.expires_at) into v_next from reservations r where r.sale_id = p_sale and r.status = 'held';

    return query
        select q.i,
               case when q.outcome in ('granted', 'joins', 'same', 'stored', 'place')
                    then case when r.id is not null then 'granted'
                              when w.id is not null then 'waiting'
                              else 'request_id_reused' end
                    else q.outcome end,
               r.id, q.buyer, q.quantity, r.expires_at, r.status, coalesce(r.origin = 'line', false),
               w.status, case when w.status = 'waiting' then q.line end,
               case when v_sale.status = 'open' then v_sale.quantity - v_sale.held - v_sale.sold else 0 end,
               v_sale.version, v_next, v_sale.status, v_sale.waiting, v_sale.opens_at, v_entries, v_sale.entries
          from (
            select t.i::int, t.outcome, t.buyer, t.quantity, t.line,
                   case t.outcome when 'granted' then t.id
                                  when 'joins' then t.id
                                  when 'same' then p_reservations[v_same[t.i]]
                                  when 'stored' then v_stored[t.i]
                                  when 'place' then v_place[t.i] end as id
              from unnest(p_reservations, p_users, p_quantities, v_outcome, v_line)
                   with ordinality t (id, buyer, quantity, outcome, line, i)
          ) q
          left join reservations r on r.id = q.id
          left join reservation_waitlist w on (v_places or v_joined <> '{}') and w.id = q.id
        union all
        select null, case when r.status = 'expired' then 'expired' else 'offered' end,
               r.id, r.user_id, r.quantity, r.expires_at, r.status, r.origin = 'line', null, null,
               case when v_sale.status = 'open' then v_sale.quantity - v_sale.held - v_sale.sold else 0 end,
               v_sale.version, v_next, v_sale.status, v_sale.waiting, v_sale.opens_at, v_entries, v_sale.entries
          from reservations r where r.id = any (v_changed.lapsed || v_changed.offered);
end $$;

-- Leaves a sale's wait list, and says what became of the last place there: 'left', now or
-- earlier; 'offered': the turn had come, and the units are held; 'ended': the sale is over;
-- null: was never in line. The caller answers a request that comes again from what it
-- keeps: this one would take the place that was got since.
create function flash_sale_unwait(p_sale uuid, p_user uuid) returns text language plpgsql as $$
begin
    -- Who has nothing to leave does not wait for the sale's row, nor makes others wait.
    if exists (select from reservation_waitlist w
                where w.sale_id = p_sale and w.user_id = p_user and w.status = 'waiting') then
        perform 1 from flash_sales s where s.id = p_sale for no key update;
        update reservation_waitlist w set status = 'left', ended_version = s.version + 1
          from flash_sales s
         where s.id = p_sale and w.sale_id = p_sale and w.user_id = p_user and w.status = 'waiting';
        if found then
            update flash_sales set waiting = waiting - 1, version = version + 1 where id = p_sale;
            return 'left';
        end if;
    end if;
    return (select w.status from reservation_waitlist w
             where w.sale_id = p_sale and w.user_id = p_user order by w.place desc limit 1);
end $$;

-- Expires a sale's stale holds, offers what that frees to the wait list and, past
-- ends_at, closes it. For the sweep at the earliest expiry. One row for each hold that
-- changed, outcome 'expired' or 'offered' (null: none), each with the sale's state
-- afterwards.
create function sweep_flash_sale(p_sale uuid) returns table (
    outcome text, reservation_id uuid, user_id uuid, quantity int, expires_at timestamptz,
    sale_status text, sale_remaining int, sale_version bigint, sale_waiting int, next_expiry timestamptz
) language plpgsql as $$
#variable_conflict use_column
declare
    v_sale    flash_sales%rowtype;
    v_now     timestamptz;
    v_changed record;
begin
    select * into v_sale from flash_sales s where s.id = p_sale for no key update;
    if not found then
        return;
    end if;
    v_now := clock_timestamp();
    select l.lapsed, l.offered into v_changed from flash_sale_lapse(p_sale, v_now) l;
    if v_sale.status = 'open' and v_now >= v_sale.ends_at then
        perform close_flash_sale(p_sale);
    end if;
    return query
        select case when r.status = 'expired' then 'expired' when r.id is not null then 'offered' end,
               r.id, r.user_id, r.quantity, r.expires_at, s.status,
               case when s.status = 'open' then s.quantity - s.held - s.sold else 0 end, s.version, s.waiting,
               (select min(n.expires_at) from reservations n where n.sale_id = p_sale and n.status = 'held')
          from flash_sales s left join reservations r on r.id = any (v_changed.lapsed || v_changed.offered)
         where s.id = p_sale;
end $$;

-- Sets a sale's units aside and opens it (now, or at opens_at), at p_price_minor or, where
-- that is null, at p_percent_off the variant's price of now. False: the variant has not
-- that many free units, or is not one of the seller's active products.
create function open_flash_sale(
    p_sale uuid, p_stream uuid, p_seller uuid, p_variant uuid, p_quantity int, p_price_minor bigint,
    p_per_buyer int, p_hold_seconds int, p_opens_at timestamptz, p_ends_at timestamptz, p_percent_off int default null
) returns boolean language plpgsql as $$
declare
    v_product  uuid;
    v_currency text;
    v_usual    bigint;
begin
    select p.id, p.currency into v_product, v_currency
      from product_variants v join products p on p.id = v.product_id
     where v.id = p_variant and p.seller_id = p_seller and p.status = 'active';
    if not found then
        return false;
    end if;
    update product_variants set reserved = reserved + p_quantity, updated_at = now()
     where id = p_variant and on_hand - reserved >= p_quantity
    returning price_minor into v_usual;
    if not found then
        return false;
    end if;
    insert into flash_sales (id, stream_id, seller_id, product_id, variant_id, quantity, price_minor,
                             usual_price_minor, percent_off, currency, per_buyer, hold_seconds, opens_at, ends_at)
    values (p_sale, p_stream, p_seller, v_product, p_variant, p_quantity,
            coalesce(p_price_minor, (v_usual * (100 - p_percent_off) + 50) / 100),
            v_usual, case when p_price_minor is null then p_percent_off end, v_currency,
            p_per_buyer, p_hold_seconds, p_opens_at, p_ends_at);
    return true;
end $$;

-- Closes a sale: what is neither sold nor held goes back to the variant's free stock now,
-- what is held follows when it lapses; nobody waits any more. Closing twice changes
-- nothing.
create function close_flash_sale(p_sale uuid) returns boolean language plpgsql as $$
declare
    v_sale flash_sales%rowtype;
    v_back int;
begin
    select * into v_sale from flash_sales s where s.id = p_sale and s.status = 'open' for no key update;
    if not found then
        return false;
    end if;
    v_back := v_sale.quantity - v_sale.held - v_sale.sold;
    update flash_sales
       set status = 'closed', closed_at = clock_timestamp(), returned = v_back, waiting = 0, version = version + 1
     where id = p_sale;
    if v_sale.waiting > 0 then
        update reservation_waitlist set status = 'ended', ended_version = v_sale.version + 1
         where sale_id = p_sale and status = 'waiting';
    end if;
    if v_back > 0 then
        perform flash_stock_freed(v_sale.variant_id, v_back);
    end if;
    return true;
end $$;

-- Gives up a hold. No row: not this person's, or no longer held. `offered` are the holds
-- that its units became.
create function release_flash_hold(p_reservation uuid, p_user uuid) returns table (sale_id uuid, offered uuid[])
language plpgsql as $$
#variable_conflict use_column
declare
    v_sale     uuid;
    v_quantity int;
begin
    -- One that ended long ago does not make the sale wait.
    select r.sale_id into v_sale from reservations r
     where r.id = p_reservation and r.user_id = p_user and r.status = 'held';
    if not found then
        return;
    end if;
    perform 1 from flash_sales s where s.id = v_sale for no key update;
    update reservations set status = 'released'
     where id = p_reservation and user_id = p_user and status = 'held'
    returning quantity into v_quantity;
    if v_quantity is not null then
        return query select v_sale, flash_sale_give_back(v_sale, v_quantity, clock_timestamp());
    end if;
end $$;

-- Locks the sales of these holds, then the holds, each in the order of their ids.
create function flash_holds_lock(p_reservations uuid[]) returns void language plpgsql as $$
begin
    perform 1 from flash_sales s
      where s.id in (select r.sale_id from reservations r where r.id = any (p_reservations))
      order by s.id for no key update;
    perform 1 from reservations r where r.id = any (p_reservations) order by r.id for no key update;
end $$;

-- held → paying for an order's holds, all or none: false when one of them has lapsed.
-- A hold that is paying never expires before its payment's outcome is known; and it gets
-- more time, once, so that one whose payment is declined in the last second can be paid
-- for otherwise: as long as a hold of the sale lasts, at most a minute from now.
create function flash_holds_start_paying(p_reservations uuid[]) returns boolean language plpgsql as $$
declare
    v_now   timestamptz;
    v_moved int;
begin
    perform flash_holds_lock(p_reservations);
    v_now := clock_timestamp();
    if exists (select 1 from reservations r where r.id = any (p_reservations)
                and (r.status <> 'held' or r.expires_at <= v_now)) then
        return false;
    end if;
    update reservations r
       set status = 'paying',
           expires_at = case when t.extends then t.until else r.expires_at end,
           extended_at = case when t.extends then v_now else r.extended_at end
      from (
        select h.id, u.until, h.extended_at is null and u.until > h.expires_at as extends
          from reservations h join flash_sales s on s.id = h.sale_id
          cross join lateral (select v_now + make_interval(secs => least(s.hold_seconds, 60)) as until) u
         where h.id = any (p_reservations)
      ) t
     where r.id = t.id;
    get diagnostics v_moved = row_count;
    return v_moved = cardinality(p_reservations);
end $$;

-- Locks the variants of these holds' sales, in the order of their ids. The sales are locked.
create function flash_holds_lock_variants(p_reservations uuid[]) returns void language plpgsql as $$
begin
    perform 1 from product_variants v
      where v.id in (select s.variant_id from reservations r join flash_sales s on s.id = r.sale_id
                      where r.id = any (p_reservations))
      order by v.id for no key update;
end $$;

-- paying → converted, at capture: the units leave the shop. A sale of which every unit is
-- sold is over. The caller writes the inventory movement.
create function flash_holds_convert(p_reservations uuid[]) returns int language plpgsql as $$
declare
    v_moved int;
    v_over  uuid;
begin
    perform flash_holds_lock(p_reservations);
    perform flash_holds_lock_variants(p_reservations);
    with moved as (
        update reservations r set status = 'converted'
         where r.id = any (p_reservations) and r.status = 'paying'
        returning r.sale_id, r.quantity
    ), per_sale as (
        select sale_id, sum(quantity)::int as quantity, count(*)::int as holds from moved group by sale_id
    ), counted as (
        update flash_sales s set held = s.held - p.quantity, sold = s.sold + p.quantity, version = s.version + 1
          from per_sale p where s.id = p.sale_id
        returning s.variant_id, p.quantity, p.holds
    ), per_variant as (
        select variant_id, sum(quantity)::int as quantity, sum(holds)::int as holds from counted group by variant_id
    ), stocked as (
        update product_variants v
           set on_hand = v.on_hand - p.quantity, reserved = v.reserved - p.quantity, updated_at = now()
          from per_variant p where v.id = p.variant_id
        returning p.holds
    )
    select coalesce(sum(holds), 0)::int into v_moved from stocked;
    for v_over in
        select s.id from flash_sales s
         where s.id in (select r.sale_id from reservations r where r.id = any (p_reservations))
           and s.status = 'open' and s.sold = s.quantity
    loop
        perform close_flash_sale(v_over);
    end loop;
    return v_moved;
end $$;

-- paying → held while time is left, else → released with the units given back, to the wait
-- list first: the payment has ended without money. `held` are those that are held again,
-- `offered` the holds that the others' units became.
create function flash_holds_payment_failed(p_reservations uuid[], out held uuid[], out offered uuid[])
language plpgsql as $$
#variable_conflict use_column
declare
    v_now  timestamptz;
    v_gone record;
begin
    perform flash_holds_lock(p_reservations);
    perform flash_holds_lock_variants(p_reservations);
    v_now := clock_timestamp();
    offered := '{}';
    with again as (
        update reservations r set status = 'held'
         where r.id = any (p_reservations) and r.status = 'paying' and r.expires_at > v_now
        returning r.id
    )
    select coalesce(array_agg(id), '{}') into held from again;
    for v_gone in
        with gone as (
            update reservations r set status = 'released'
             where r.id = any (p_reservations) and r.status = 'paying'
            returning r.sale_id, r.quantity
        )
        select sale_id, sum(quantity)::int as quantity from gone group by sale_id order by sale_id
    loop
        offered := offered || flash_sale_give_back(v_gone.sale_id, v_gone.quantity, v_now);
    end loop;
end $$;
