-- What both services must do to the same rows is written once, here.
--
-- Lock order: sale, reservation, variant (and before them checkout, payment, order).
-- Every function locks the sale first and reads clock_timestamp() after the lock:
-- the database's clock alone decides what has expired, and a statement's own
-- snapshot is taken after the wait. One big statement would see the counters as
-- they were before the wait and grant past the limit.

-- Gives p_quantity held units back: to the pool of an open sale, to the variant's
-- free stock once the sale is closed. The caller has locked the sale's row.
create function flash_sale_return_units(p_sale uuid, p_quantity int) returns void language plpgsql as $$
declare
    v_variant uuid;
begin
    if p_quantity = 0 then
        return;
    end if;
    update flash_sales
       set held = held - p_quantity,
           returned = returned + case when status = 'closed' then p_quantity else 0 end,
           version = version + 1
     where id = p_sale
    returning case when status = 'closed' then variant_id end into v_variant;
    if v_variant is not null then
        update product_variants set reserved = reserved - p_quantity, updated_at = now() where id = v_variant;
    end if;
end $$;

-- Grants holds on one sale, in the order of the arrays, all of it under one lock.
--
-- One row a request, `position` 1-based, `outcome` an error code's name or 'granted':
--   granted                a new hold, or the same request's earlier one (whatever became of it)
--   sale_not_open          before opens_at
--   sale_closed            closed, or after ends_at, or the shop may not sell (any more)
--   own_shop               the buyer is the seller
--   purchase_limit_reached held and bought, this batch included, would exceed per_buyer
--   sold_out               nothing is left
--   not_enough_left        less is left than asked for
--   request_id_reused      the id stands for another request of this person
--   not_found              no such sale
-- Further rows with a null position and outcome 'expired' are the holds that lapsed
-- and were freed on the way. Every row carries the sale's counters after the batch.
create function reserve_flash_units(
    p_sale uuid, p_reservations uuid[], p_users uuid[], p_quantities int[], p_requests uuid[]
) returns table (
    "position" int, outcome text, reservation_id uuid, user_id uuid, quantity int, expires_at timestamptz,
    sale_remaining int, sale_version bigint, next_expiry timestamptz, sale_status text
) language plpgsql as $$
#variable_conflict use_column
declare
    v_sale        flash_sales%rowtype;
    v_now         timestamptz;
    v_expires     timestamptz;
    v_seller_user uuid;
    v_may_sell    boolean;
    v_left        int;
    v_count       int := cardinality(p_users);
    v_closed_code text;
    -- By position: what the buyer has already, the buyer's previous request in
    -- this batch, the same request earlier in it, and the request's stored hold.
    v_have        int[];
    v_prior       int[];
    v_same        int[];
    v_stored      uuid[];
    v_stored_ok   boolean[];
    v_outcome     text[] := array_fill('granted'::text, array[v_count]);
    v_inserted    uuid[];
    v_granted     int := 0;
    v_lapsed      uuid[];
    v_freed       int;
    v_next        timestamptz;
begin
    select * into v_sale from flash_sales s where s.id = p_sale for update;
    if not found then
        return query select i, 'not_found', null::uuid, p_users[i], p_quantities[i], null::timestamptz,
                            0, 0::bigint, null::timestamptz, 'closed'::text
                       from generate_series(1, v_count) i;
        return;
    end if;
    v_now := clock_timestamp();
    v_expires := v_now + make_interval(secs => v_sale.hold_seconds);

    with lapsed as (
        update reservations r set status = 'expired'
         where r.sale_id = p_sale and r.status = 'held' and r.expires_at <= v_now
        returning r.id, r.quantity
    )
    select coalesce(array_agg(id), '{}'), coalesce(sum(quantity), 0)::int into v_lapsed, v_freed from lapsed;
    perform flash_sale_return_units(p_sale, v_freed);

    v_left := case when v_sale.status = 'open'
                   then v_sale.quantity - v_sale.held - v_sale.sold + v_freed else 0 end;
    select s.user_id, s.status = 'approved' into v_seller_user, v_may_sell
      from sellers s where s.id = v_sale.seller_id;
    v_closed_code := case
        when v_sale.status = 'closed' or v_now >= v_sale.ends_at or not v_may_sell then 'sale_closed'
        when v_now < v_sale.opens_at then 'sale_not_open'
    end;

    select array_agg(coalesce(h.n, 0) order by q.i), array_agg(q.prior order by q.i),
           array_agg(q.same order by q.i), array_agg(e.id order by q.i),
           array_agg(e.sale_id = p_sale and e.quantity = q.quantity order by q.i)
      into v_have, v_prior, v_same, v_stored, v_stored_ok
      from (
        select t.i::int, t.buyer, t.quantity, t.request,
               (lag(t.i) over (partition by t.buyer order by t.i))::int as prior,
               (first_value(t.i) over (partition by t.buyer, t.request order by t.i))::int as same
          from unnest(p_users, p_quantities, p_requests) with ordinality t (buyer, quantity, request, i)
      ) q
      left join (
        select r.user_id, sum(r.quantity)::int as n from reservations r
         where r.sale_id = p_sale and r.user_id = any (p_users)
           and r.status in ('held', 'paying', 'converted')
         group by r.user_id
      ) h on h.user_id = q.buyer
      left join reservations e on e.user_id = q.buyer and e.request_id = q.request;

    for i in 1 .. v_count loop
        -- What this buyer has, grants earlier in this batch included.
        if v_prior[i] is not null then
            v_have[i] := v_have[v_prior[i]];
        end if;
        if v_stored[i] is not null then
            v_outcome[i] := case when v_stored_ok[i] then 'stored' else 'request_id_reused' end;
        elsif v_same[i] <> i then
            v_outcome[i] := case when p_quantities[i] = p_quantities[v_same[i]]
                                 then v_outcome[v_same[i]] else 'request_id_reused' end;
            if v_outcome[i] = 'granted' then
                v_outcome[i] := 'same';
            end if;
        elsif v_closed_code is not null then
            v_outcome[i] := v_closed_code;
        elsif p_users[i] = v_seller_user then
            v_outcome[i] := 'own_shop';
        elsif v_have[i] + p_quantities[i] > v_sale.per_buyer then
            v_outcome[i] := 'purchase_limit_reached';
        elsif v_left = 0 then
            v_outcome[i] := 'sold_out';
        elsif v_left < p_quantities[i] then
            v_outcome[i] := 'not_enough_left';
        else
            v_left := v_left - p_quantities[i];
            v_have[i] := v_have[i] + p_quantities[i];
        end if;
    end loop;

    -- The same request may be racing on another sale; the constraint decides, and
    -- only what was inserted counts as granted.
    with granted as (
        insert into reservations (id, sale_id, user_id, request_id, quantity, expires_at, created_at)
        select t.id, p_sale, t.buyer, t.request, t.quantity, v_expires, v_now
          from unnest(p_reservations, p_users, p_requests, p_quantities, v_outcome)
               with ordinality t (id, buyer, request, quantity, outcome, i)
         where t.outcome = 'granted'
         order by t.i
        on conflict on constraint reservations_request_key do nothing
        returning id, reservations.quantity
    )
    select coalesce(array_agg(id), '{}'), coalesce(sum(quantity), 0)::int
      into v_inserted, v_granted from granted;

    if v_granted > 0 then
        update flash_sales s set held = s.held + v_granted, version = s.version + 1 where s.id = p_sale;
    end if;
    select * into v_sale from flash_sales s where s.id = p_sale;
    select min(r.expires_at) into v_next from reservations r where r.sale_id = p_sale and r.status = 'held';

    return query
        select q.i,
               case when q.id is null then q.outcome
                    when q.outcome = 'stored' or q.id = any (v_inserted) then 'granted'
                    else 'request_id_reused' end,
               r.id, q.buyer, q.quantity, r.expires_at,
               case when v_sale.status = 'open' then v_sale.quantity - v_sale.held - v_sale.sold else 0 end,
               v_sale.version, v_next, v_sale.status
          from (
            select t.i::int, t.outcome, t.buyer, t.quantity,
                   case t.outcome when 'granted' then t.id
                                  when 'same' then p_reservations[v_same[t.i]]
                                  when 'stored' then v_stored[t.i] end as id
              from unnest(p_reservations, p_users, p_quantities, v_outcome)
                   with ordinality t (id, buyer, quantity, outcome, i)
          ) q
          left join reservations r on r.id = q.id
        union all
        select null, 'expired', r.id, r.user_id, r.quantity, r.expires_at,
               case when v_sale.status = 'open' then v_sale.quantity - v_sale.held - v_sale.sold else 0 end,
               v_sale.version, v_next, v_sale.status
          from reservations r where r.id = any (v_lapsed)
         order by 1;
end $$;

-- Expires a sale's stale holds and, past ends_at, closes it. For the sweep at the
-- earliest expiry. One row for each lapsed hold (null reservation_id: none), each
-- with the sale's state afterwards.
create function sweep_flash_sale(p_sale uuid) returns table (
    reservation_id uuid, user_id uuid, quantity int,
    sale_status text, sale_remaining int, sale_version bigint, next_expiry timestamptz
) language plpgsql as $$
#variable_conflict use_column
declare
    v_sale   flash_sales%rowtype;
    v_now    timestamptz;
    v_lapsed uuid[];
    v_freed  int;
begin
    select * into v_sale from flash_sales s where s.id = p_sale for update;
    if not found then
        return;
    end if;
    v_now := clock_timestamp();
    with lapsed as (
        update reservations r set status = 'expired'
         where r.sale_id = p_sale and r.status = 'held' and r.expires_at <= v_now
        returning r.id, r.quantity
    )
    select coalesce(array_agg(id), '{}'), coalesce(sum(quantity), 0)::int into v_lapsed, v_freed from lapsed;
    perform flash_sale_return_units(p_sale, v_freed);
    if v_sale.status = 'open' and v_now >= v_sale.ends_at then
        perform close_flash_sale(p_sale);
    end if;
    return query
        select r.id, r.user_id, r.quantity, s.status,
               case when s.status = 'open' then s.quantity - s.held - s.sold else 0 end, s.version,
               (select min(n.expires_at) from reservations n where n.sale_id = p_sale and n.status = 'held')
          from flash_sales s left join reservations r on r.id = any (v_lapsed)
         where s.id = p_sale;
end $$;

-- Sets a sale's units aside and opens it (now, or at opens_at). False: the variant
-- has not that many free units, or is not one of the seller's active products.
create function open_flash_sale(
    p_sale uuid, p_stream uuid, p_seller uuid, p_variant uuid, p_quantity int, p_price_minor bigint,
    p_per_buyer int, p_hold_seconds int, p_opens_at timestamptz, p_ends_at timestamptz
) returns boolean language plpgsql as $$
declare
    v_product  uuid;
    v_currency text;
begin
    select p.id, p.currency into v_product, v_currency
      from product_variants v join products p on p.id = v.product_id
     where v.id = p_variant and p.seller_id = p_seller and p.status = 'active';
    if not found then
        return false;
    end if;
    update product_variants set reserved = reserved + p_quantity, updated_at = now()
     where id = p_variant and on_hand - reserved >= p_quantity;
    if not found then
        return false;
    end if;
    insert into flash_sales (id, stream_id, seller_id, product_id, variant_id, quantity, price_minor, currency,
                             per_buyer, hold_seconds, opens_at, ends_at)
    values (p_sale, p_stream, p_seller, v_product, p_variant, p_quantity, p_price_minor, v_currency,
            p_per_buyer, p_hold_seconds, p_opens_at, p_ends_at);
    return true;
end $$;

-- Closes a sale: what is neither sold nor held goes back to the variant's free
-- stock now, what is held follows when it lapses. Closing twice changes nothing.
create function close_flash_sale(p_sale uuid) returns boolean language plpgsql as $$
declare
    v_variant uuid;
    v_back    int;
begin
    select s.variant_id, s.quantity - s.held - s.sold into v_variant, v_back
      from flash_sales s where s.id = p_sale and s.status = 'open' for update;
    if not found then
        return false;
    end if;
    update flash_sales set status = 'closed', closed_at = clock_timestamp(), returned = v_back, version = version + 1
     where id = p_sale;
    update product_variants set reserved = reserved - v_back, updated_at = now() where id = v_variant;
    return true;
end $$;

-- Gives up a hold. Null: not this person's, or no longer held.
create function release_flash_hold(p_reservation uuid, p_user uuid) returns uuid language plpgsql as $$
declare
    v_sale     uuid;
    v_quantity int;
begin
    select r.sale_id into v_sale from reservations r where r.id = p_reservation and r.user_id = p_user;
    if not found then
        return null;
    end if;
    perform 1 from flash_sales s where s.id = v_sale for update;
    update reservations set status = 'released'
     where id = p_reservation and user_id = p_user and status = 'held'
    returning quantity into v_quantity;
    if v_quantity is null then
        return null;
    end if;
    perform flash_sale_return_units(v_sale, v_quantity);
    return v_sale;
end $$;

-- held → paying for an order's holds, all or none: false when one of them has lapsed.
-- A hold that is paying never expires before its payment's outcome is known.
create function flash_holds_start_paying(p_reservations uuid[]) returns boolean language plpgsql as $$
declare
    v_now   timestamptz;
    v_moved int;
begin
    perform 1 from flash_sales s
      where s.id in (select r.sale_id from reservations r where r.id = any (p_reservations))
      order by s.id for update;
    v_now := clock_timestamp();
    perform 1 from reservations r where r.id = any (p_reservations) order by r.id for update;
    if exists (select 1 from reservations r where r.id = any (p_reservations)
                and (r.status <> 'held' or r.expires_at <= v_now)) then
        return false;
    end if;
    update reservations set status = 'paying' where id = any (p_reservations);
    get diagnostics v_moved = row_count;
    return v_moved = cardinality(p_reservations);
end $$;

-- paying → converted, at capture: the units leave the shop.
-- The caller writes the inventory movement.
create function flash_holds_convert(p_reservations uuid[]) returns int language plpgsql as $$
declare
    v_moved int;
begin
    perform 1 from flash_sales s
      where s.id in (select r.sale_id from reservations r where r.id = any (p_reservations))
      order by s.id for update;
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
    return v_moved;
end $$;

-- paying → held while time is left, else → released with the units given back: the
-- payment has ended without money. Returns the ids that are held again.
create function flash_holds_payment_failed(p_reservations uuid[]) returns uuid[] language plpgsql as $$
declare
    v_now  timestamptz;
    v_held uuid[];
    v_gone record;
begin
    perform 1 from flash_sales s
      where s.id in (select r.sale_id from reservations r where r.id = any (p_reservations))
      order by s.id for update;
    v_now := clock_timestamp();
    with again as (
        update reservations r set status = 'held'
         where r.id = any (p_reservations) and r.status = 'paying' and r.expires_at > v_now
        returning r.id
    )
    select coalesce(array_agg(id), '{}') into v_held from again;
    for v_gone in
        with gone as (
            update reservations r set status = 'released'
             where r.id = any (p_reservations) and r.status = 'paying'
            returning r.sale_id, r.quantity
        )
        select sale_id, sum(quantity)::int as quantity from gone group by sale_id order by sale_id
    loop
        perform flash_sale_return_units(v_gone.sale_id, v_gone.quantity);
    end loop;
    return v_held;
end $$;
