//! SQL of the export: for each section a page of things by their ids. Hashes, keys of
//! idempotency and other people's ids are left out.

use serde_json::Value;
use shared::ids::UserId;
use sqlx::PgConnection;
use uuid::Uuid;

/// Things of one page.
pub(in crate::privacy) const PAGE: usize = 500;
const LIMIT: i64 = 500;

/// A thing of the export.
pub(in crate::privacy) struct Row {
    pub id: Uuid,
    pub value: Value,
}

/// Makes the sections of the export of what each is called there, and of what selects a
/// page of it: `id` and `value` of things of the person `$1`, after `$2`, `$3` at most.
macro_rules! sections {
    ($($section:ident = $name:literal: $page:literal),+ $(,)?) => {
        /// A list of the export.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(in crate::privacy) enum Section { $($section),+ }

        impl Section {
            /// All of them, in the export's order.
            pub(in crate::privacy) const ALL: &'static [Self] = &[$(Self::$section),+];

            /// As the export calls it.
            pub(in crate::privacy) const fn name(self) -> &'static str {
                match self { $(Self::$section => $name),+ }
            }
        }

        /// The page of a section after the thing with this id.
        pub(in crate::privacy) async fn page(
            conn: &mut PgConnection,
            section: Section,
            user: UserId,
            after: Uuid,
        ) -> Result<Vec<Row>, sqlx::Error> {
            match section {
                $(Section::$section => {
                    sqlx::query_as!(Row, $page, user.0, after, LIMIT).fetch_all(conn).await
                })+
            }
        }
    };
}

sections! {
    Account = "account":
        r#"select u.id, jsonb_build_object(
                  'id', u.id, 'email', u.email, 'email_confirmed_at', u.email_verified_at, 'role', u.role,
                  'suspended_at', u.suspended_at, 'created_at', u.created_at, 'handle', p.handle,
                  'display_name', p.display_name, 'bio', p.bio, 'avatar_id', p.avatar_id,
                  'show_purchases', p.show_purchases) as "value!"
             from users u join profiles p on p.user_id = u.id
            where u.id = $1 and u.id > $2 order by u.id limit $3"#,
    Wishes = "wished_addresses":
        r#"select user_id as id, jsonb_build_object('email', email, 'since', created_at) as "value!"
             from wished_addresses where user_id = $1 and user_id > $2 limit $3"#,
    Addresses = "addresses":
        r#"select id, to_jsonb(a) - 'user_id' as "value!" from addresses a
            where user_id = $1 and id > $2 order by id limit $3"#,
    Sessions = "sessions":
        r#"select f.id, jsonb_build_object(
                  'session', f.id, 'created_at', f.created_at, 'ended_at', f.revoked_at,
                  'last_used_at', max(t.created_at), 'expires_at', max(t.expires_at),
                  'user_agents', array_agg(distinct t.user_agent)) as "value!"
             from refresh_tokens f join refresh_tokens t on t.family_id = f.id
            where f.user_id = $1 and f.id = f.family_id and f.id > $2
            group by f.id order by f.id limit $3"#,
    Pictures = "pictures":
        r#"select id, picture_json(p) || jsonb_build_object(
                  'url', '/media/' || id || '-large.' || case format when 'jpeg' then 'jpg' else format end,
                  'created_at', created_at) as "value!"
             from pictures p where owner_id = $1 and status in ('shown', 'kept') and id > $2
            order by id limit $3"#,
    Shop = "shop":
        r#"select id, to_jsonb(s) - 'user_id' - 'decided_by' as "value!" from sellers s
            where user_id = $1 and id > $2 order by id limit $3"#,
    Follows = "follows":
        r#"select following_id as id, jsonb_build_object('seller_id', following_id, 'since', created_at) as "value!"
             from follows where user_id = $1 and following_id > $2 order by following_id limit $3"#,
    Cart = "cart":
        r#"select variant_id as id, to_jsonb(c) - 'user_id' as "value!" from cart_items c
            where user_id = $1 and variant_id > $2 order by variant_id limit $3"#,
    Notifications = "notifications":
        r#"select id, to_jsonb(n) - 'user_id' - 'xid' as "value!" from notifications n
            where user_id = $1 and id > $2 order by id limit $3"#,
    // One of each kind: fewer than a page, in whatever order; none comes after the last.
    NotificationPreferences = "notification_preferences":
        r#"select $1::uuid as "id!", jsonb_build_object('kind', kind, 'in_app', in_app, 'email', email) as "value!"
             from notification_preferences where user_id = $1 and $2::uuid < $1 order by kind limit $3"#,
    Moderates = "moderates":
        r#"select id, to_jsonb(m) - 'user_id' - 'appointed_by' as "value!" from moderators m
            where user_id = $1 and id > $2 order by id limit $3"#,
    Bans = "bans":
        r#"select id, to_jsonb(b) - 'user_id' - 'guest_id' - 'banned_by' as "value!" from banned_viewers b
            where user_id = $1 and id > $2 order by id limit $3"#,
    Mutes = "mutes":
        r#"select stream_id as id, to_jsonb(m) - 'user_id' - 'muted_by' as "value!" from muted_viewers m
            where user_id = $1 and stream_id > $2 order by stream_id limit $3"#,
    ChatMessages = "chat_messages":
        r#"select id, jsonb_build_object('id', id, 'stream_id', stream_id, 'text', text, 'created_at', created_at,
                                         'deleted_at', deleted_at) as "value!"
             from stream_chat_messages where user_id = $1 and id > $2 order by id limit $3"#,
    HeldMessages = "held_messages":
        r#"select message_id as id, jsonb_build_object('stream_id', stream_id, 'text', text, 'status', status,
                                                       'created_at', created_at) as "value!"
             from chat_reviews where user_id = $1 and message_id > $2 order by message_id limit $3"#,
    Reports = "reports":
        r#"select id, jsonb_build_object('stream_id', stream_id, 'reason', reason, 'note', note,
                                         'created_at', created_at) as "value!"
             from chat_reports where reporter_id = $1 and id > $2 order by id limit $3"#,
    Holds = "flash_sale_holds":
        r#"select id, jsonb_build_object('sale_id', sale_id, 'quantity', quantity, 'status', status,
                                         'created_at', created_at) as "value!"
             from reservations where user_id = $1 and id > $2 order by id limit $3"#,
    Places = "flash_sale_places":
        r#"select id, jsonb_build_object('sale_id', sale_id, 'quantity', quantity, 'status', status,
                                         'created_at', created_at) as "value!"
             from reservation_waitlist where user_id = $1 and id > $2 order by id limit $3"#,
    Reviews = "reviews":
        r#"select id, jsonb_build_object('product_id', product_id, 'rating', rating, 'body', body,
                                         'answer', answer, 'hidden_at', hidden_at, 'deleted_at', deleted_at,
                                         'created_at', created_at, 'updated_at', updated_at) as "value!"
             from product_reviews where user_id = $1 and id > $2 order by id limit $3"#,
    Checkouts = "checkouts":
        r#"select id, jsonb_build_object('id', id, 'status', status, 'address', address, 'stream_id', stream_id,
                                         'currency', currency, 'total_minor', total_minor,
                                         'created_at', created_at) as "value!"
             from checkouts where user_id = $1 and id > $2 order by id limit $3"#,
    Orders = "orders":
        r#"select o.id, to_jsonb(o) - 'user_id' - 'holds_until' || jsonb_build_object(
                  'items', (select coalesce(jsonb_agg(jsonb_build_object(
                                'id', i.id, 'title', i.title, 'sku', i.sku, 'options', i.options, 'quantity', i.quantity,
                                'unit_price_minor', i.unit_price_minor, 'shipping_minor', i.shipping_minor)
                                order by i.id), '[]')
                              from order_items i where i.order_id = o.id),
                  'parcels', (select coalesce(jsonb_agg(jsonb_build_object(
                                'carrier', s.carrier, 'tracking', s.tracking, 'shipped_at', s.shipped_at,
                                'delivered_at', s.delivered_at) order by s.id), '[]')
                              from shipments s where s.order_id = o.id),
                  'returns', (select coalesce(jsonb_agg(jsonb_build_object(
                                'order_item_id', t.order_item_id, 'quantity', t.quantity, 'status', t.status,
                                'reason', t.reason, 'answer', t.answer, 'carrier', t.carrier, 'tracking', t.tracking,
                                'created_at', t.created_at, 'answered_at', t.answered_at, 'sent_at', t.sent_at,
                                'received_at', t.received_at) order by t.id), '[]')
                              from returns t where t.order_id = o.id),
                  'claims', (select coalesce(jsonb_agg(jsonb_build_object(
                                'order_item_id', c.order_item_id, 'quantity', c.quantity, 'status', c.status,
                                'reason', c.reason, 'answer', c.answer, 'decision', c.decision,
                                'created_at', c.created_at, 'answered_at', c.answered_at, 'decided_at', c.decided_at)
                                order by c.id), '[]')
                              from claims c where c.order_id = o.id),
                  'refunds', (select coalesce(jsonb_agg(jsonb_build_object(
                                'kind', f.kind, 'status', f.status, 'amount_minor', f.amount_minor,
                                'currency', f.currency, 'reason', f.reason, 'created_at', f.created_at,
                                'settled_at', f.settled_at) order by f.id), '[]')
                              from refunds f where f.order_id = o.id),
                  'payments', (select coalesce(jsonb_agg(jsonb_build_object(
                                'provider', p.provider, 'status', p.status, 'amount_minor', p.amount_minor,
                                'currency', p.currency, 'created_at', p.created_at, 'captured_at', p.captured_at)
                                order by p.id), '[]')
                              from payments p where p.order_id = o.id)) as "value!"
             from orders o where o.user_id = $1 and o.id > $2 order by o.id limit $3"#,
}
