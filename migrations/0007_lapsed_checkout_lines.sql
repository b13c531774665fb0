-- A flash hold keeps its own expiry inside a checkout. When it lapses, the checkout is
-- repriced without the line, and the line stays to say so.

alter table checkout_items add column lapsed_at timestamptz;
comment on column checkout_items.lapsed_at is
    'When the checkout was repriced without this line, because its flash hold had lapsed; such a line costs nothing.';
