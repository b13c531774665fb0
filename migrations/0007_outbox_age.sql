-- What was delivered is deleted a day later, the oldest first: without this, each look
-- for it would read a whole day's rows.
create index outbox_delivered_idx on outbox (delivered_at) where delivered_at is not null;
