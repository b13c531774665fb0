//! What people are told of: the list, what they want of it, and followers of a shop, told a
//! batch at a time.

use core_api::notifications::announce_some;
use core_api::notifications::model::{Notification, Preference, Preferences, Unread};
use serde_json::{Value, json};
use shared::ids::{NotificationId, StreamId, UserId};
use shared::notification::NotificationKind::{self, ReviewAnswered, ShowScheduled, ShowStarted};
use uuid::Uuid;

use crate::harness::{App, Session};
use crate::market::{Market, still};
use crate::reviews;

/// As many as a batch has, and some.
const CROWD: i64 = core_api::notifications::announce::BATCH + 5;

/// A service whose jobs are still.
async fn quiet() -> App {
    App::start_with(|config| config.commerce = still()).await
}

async fn items(session: &Session, query: &str) -> Vec<Notification> {
    let list: Value = session.get(&format!("/notifications{query}")).await.ok();
    serde_json::from_value(list["items"].clone()).expect("notifications")
}

async fn kinds(session: &Session) -> Vec<NotificationKind> {
    let items = items(session, "").await;
    items.iter().map(|item| item.kind).collect()
}

/// Somebody is told that a show of the market's has begun.
async fn tell(market: &Market, user: UserId) -> NotificationId {
    let id = NotificationId::new();
    let insert = "insert into notifications (id, user_id, kind, subject_id, seller_id, stream_id)
                  values ($1, $2, 'show_started', $1, $3, $4)";
    let insert = sqlx::query(insert).bind(id.0).bind(user.0);
    let insert = insert.bind(market.shop.seller.0).bind(market.shop.stream.0);
    insert.execute(&market.app.db.pool).await.expect("told");
    id
}

/// So many people who follow the market's shop.
async fn crowd(market: &Market, many: i64) {
    let insert = "with u as (
            insert into users (id, email, email_verified_at, password_hash)
            select gen_random_uuid(), 'follower' || n || '@test.hawker.example', now(), 'none'
              from generate_series(1, $2) n returning id),
        p as (insert into profiles (user_id, display_name) select id, 'Follower' from u)
        insert into follows (user_id, following_id) select id, $1 from u";
    let insert = sqlx::query(insert).bind(market.shop.seller.0).bind(many);
    insert.execute(&market.app.db.pool).await.expect("they follow");
}

/// Schedules a show over the API.
async fn schedule(market: &Market) -> StreamId {
    let body = json!({"title": "Kiln opening", "scheduled_at": chrono::Utc::now()});
    let show: Value = market.owner().post("/streams", &body).await.created();
    show["id"].as_str().expect("an id").parse().expect("an id")
}

/// What the room does when a show begins.
async fn begin(market: &Market, stream: StreamId) {
    let mut tx = market.app.db.pool.begin().await.expect("begun");
    sqlx::query("update streams set status = 'live', started_at = now() where id = $1")
        .bind(stream.0)
        .execute(&mut *tx)
        .await
        .expect("on air");
    shared::notification::announce(&mut tx, stream, shared::notification::Announcement::Started)
        .await
        .expect("announced");
    tx.commit().await.expect("committed");
}

/// Works off all that is to be announced; in how many batches.
async fn announced(market: &Market) -> u64 {
    let done = announce_some(&market.app.db.pool, &market.app.bus, 1_000).await;
    done.expect("announced")
}

async fn count(market: &Market, kind: NotificationKind) -> (i64, i64) {
    sqlx::query_as("select count(*), count(distinct user_id) from notifications where kind = $1")
        .bind(kind.as_str())
        .fetch_one(&market.app.db.pool)
        .await
        .expect("counted")
}

#[tokio::test]
async fn a_list_is_ones_own_and_is_read_one_by_one_those_that_were_seen_or_whole() {
    let market = Market::open(1, 100).await;
    let (reader, other) = (market.buyer().await.session, market.buyer().await.session);
    let mut told = Vec::new();
    for _ in 0..5 {
        told.push(tell(&market, reader.id).await);
    }
    let foreign = tell(&market, other.id).await;

    let first: Value = reader.get("/notifications?limit=2").await.ok();
    let shown: Vec<Notification> = serde_json::from_value(first["items"].clone()).expect("notifications");
    assert_eq!(shown.iter().map(|item| item.id).collect::<Vec<_>>(), [told[4], told[3]]);
    let show = shown[0].stream.as_ref().expect("a show");
    assert_eq!((show.id, show.title.as_str()), (market.shop.stream, "Test Show"));
    let cursor = first["next_cursor"].as_str().expect("more");
    let rest = items(&reader, &format!("?limit=100&cursor={cursor}")).await;
    assert_eq!(
        rest.iter().map(|item| item.id).collect::<Vec<_>>(),
        [told[2], told[1], told[0]]
    );

    let unread = async |session: &Session| session.get("/notifications/unread").await.ok::<Unread>().count;
    assert_eq!(unread(&reader).await, 5);
    for _ in 0..2 {
        reader
            .post(&format!("/notifications/{}/read", told[4]), &json!({}))
            .await
            .gone();
    }
    reader
        .post(&format!("/notifications/{foreign}/read"), &json!({}))
        .await
        .refused(404, "not_found");
    assert_eq!(unread(&reader).await, 4);
    let left: Unread = reader
        .post("/notifications/read", &json!({"ids": [told[1], told[0], foreign]}))
        .await
        .ok();
    assert_eq!(left.count, 2, "what was not seen stays unread, wherever it stands");
    assert_eq!(unread(&other).await, 1);
    reader
        .post("/notifications/read", &json!({"ids": []}))
        .await
        .refused(422, "invalid_body");
    let unread_ones = items(&reader, "?unread=true").await;
    assert_eq!(
        unread_ones.iter().map(|item| item.id).collect::<Vec<_>>(),
        [told[3], told[2]]
    );
    let left: Unread = reader.post("/notifications/read", &json!({})).await.ok();
    assert_eq!((left.count, unread(&other).await), (0, 1));
    assert!(items(&reader, "?unread=true").await.is_empty());
    assert_eq!(items(&reader, "?unread=false").await.len(), 5);
}

#[tokio::test]
async fn everybody_chooses_what_they_are_told_of_and_how() {
    let app = quiet().await;
    let viewer = app.register("Viewer").await;
    let path = "/notifications/preferences";
    let of = |set: &Preferences, kind| {
        let found = set.preferences.iter().find(|known| known.kind == kind);
        let Preference { in_app, email, .. } = *found.expect("every kind");
        (in_app, email)
    };
    let defaults: Preferences = viewer.get(path).await.ok();
    let known: Vec<_> = defaults.preferences.iter().map(|known| known.kind).collect();
    let mut all = NotificationKind::ALL.to_vec();
    all.sort_by_key(|kind| kind.as_str());
    assert_eq!(known, all, "the database knows the same kinds");
    assert_eq!(of(&defaults, ShowStarted), (true, false));
    assert_eq!(of(&defaults, NotificationKind::ShopRejected), (true, true));

    let wish = |kind: &str, in_app: bool, email: bool| json!({"kind": kind, "in_app": in_app, "email": email});
    let body = json!({"preferences": [wish("show_started", false, true)]});
    for _ in 0..2 {
        let set: Preferences = viewer.put(path, &body).await.ok();
        assert_eq!(
            (of(&set, ShowStarted), of(&set, ShowScheduled)),
            ((false, true), (true, false))
        );
    }
    let set: Preferences = viewer.put(path, &json!({"preferences": []})).await.ok();
    assert_eq!(set, defaults, "what is not named is as it was");
    for (field, wishes) in [
        ("preferences.0.email", json!([wish("waitlist_offer", true, true)])),
        (
            "preferences.1.kind",
            json!([wish("show_started", true, true), wish("show_started", false, true)]),
        ),
    ] {
        let refused = viewer.put(path, &json!({"preferences": wishes})).await;
        assert_eq!(refused.refused(422, "invalid_body")["field"], field);
    }
    let odd = json!({"preferences": [wish("weather", true, true)]});
    viewer.put(path, &odd).await.refused(422, "invalid_body");
    let (one, two) = (json!({"preferences": [wish("show_started", false, false)]}), body);
    let (one, two) = tokio::join!(viewer.put(path, &one), viewer.put(path, &two));
    one.ok::<Value>();
    two.ok::<Value>();
}

#[tokio::test]
async fn followers_are_told_once_when_a_show_is_scheduled_and_when_it_begins() {
    let market = Market::open(1, 100).await;
    let follower = market.buyer().await.session;
    let follow = format!("/sellers/{}/follow", market.shop.seller);
    follower.post(&follow, &json!({})).await.gone();
    market.owner().post(&follow, &json!({})).await.gone();
    crowd(&market, CROWD).await;

    let stream = schedule(&market).await;
    assert_eq!(count(&market, ShowScheduled).await, (0, 0), "nobody in the request");
    assert_eq!(announced(&market).await, 2, "two batches");
    assert_eq!(
        count(&market, ShowScheduled).await,
        (CROWD + 1, CROWD + 1),
        "but for the owner"
    );
    begin(&market, stream).await;
    announced(&market).await;
    assert_eq!(announced(&market).await, 0);
    assert_eq!(count(&market, ShowStarted).await, (CROWD + 1, CROWD + 1));
    assert_eq!(kinds(&follower).await, [ShowStarted, ShowScheduled]);

    let late = market.buyer().await.session;
    late.post(&follow, &json!({})).await.gone();
    announced(&market).await;
    assert!(
        kinds(&late).await.is_empty(),
        "who follows later is told of what comes later"
    );
}

#[tokio::test]
async fn a_job_that_dies_between_batches_goes_on_where_it_was_and_tells_nobody_twice() {
    let market = Market::open(1, 100).await;
    crowd(&market, CROWD).await;
    schedule(&market).await;
    let (db, bus) = (&market.app.db.pool, &market.app.bus);
    assert_eq!(announce_some(db, bus, 1).await.expect("one batch"), 1);
    let (told, _) = count(&market, ShowScheduled).await;
    assert_eq!(told, core_api::notifications::announce::BATCH);

    // A process dies in the middle of the next one: nothing of it is there.
    let mut dying = db.begin().await.expect("begun");
    let taken: i64 = sqlx::query_scalar(
        "with a as (select * from announcements where done_at is null for update),
              told as (insert into notifications (id, user_id, kind, subject_id, seller_id, stream_id)
                       select uuid_by_time(), f.user_id, a.kind, a.stream_id, a.seller_id, a.stream_id
                         from a join follows f on f.following_id = a.seller_id and f.user_id > a.after_user
                       returning 1)
         select count(*) from told",
    )
    .fetch_one(&mut *dying)
    .await
    .expect("told, almost");
    assert_eq!(taken, 5);
    assert_eq!(announced(&market).await, 0, "another process leaves it alone");
    dying.rollback().await.expect("dead");
    // Even if the place that was reached were lost, nobody is told twice.
    sqlx::query("update announcements set after_user = null")
        .execute(db)
        .await
        .expect("lost");
    let [one, two] = [announce_some(db, bus, 9), announce_some(db, bus, 9)];
    let (one, two) = tokio::join!(one, two);
    assert!(one.expect("announced") + two.expect("announced") >= 2);
    while announced(&market).await > 0 {}
    assert_eq!(count(&market, ShowScheduled).await, (CROWD, CROWD));
}

#[tokio::test]
async fn who_has_left_is_banned_suspended_or_does_not_want_it_is_told_nothing() {
    let market = Market::open(1, 100).await;
    let follow = format!("/sellers/{}/follow", market.shop.seller);
    let mut people = Vec::new();
    for _ in 0..6 {
        let person = market.buyer().await.session;
        person.post(&follow, &json!({})).await.gone();
        people.push(person);
    }
    let [told, unfollows, banned, suspended, silent, mailed] = &people[..] else {
        unreachable!("six people");
    };
    schedule(&market).await;
    unfollows.delete(&follow).await.gone();
    let ban = json!({"user": banned.id});
    let ban = market.owner().post_once("/seller/bans", Uuid::now_v7(), &ban).await;
    ban.created::<Value>();
    let suspend = format!("/admin/users/{}/suspend", suspended.id);
    market.app.admin().await.post(&suspend, &json!({})).await.ok::<Value>();
    for (person, email) in [(silent, false), (mailed, true)] {
        let wish = json!({"preferences": [{"kind": "show_scheduled", "in_app": false, "email": email}]});
        person.put("/notifications/preferences", &wish).await.ok::<Value>();
    }
    announced(&market).await;
    assert_eq!(kinds(told).await, [ShowScheduled]);
    for person in [unfollows, banned, silent, mailed] {
        assert!(kinds(person).await.is_empty());
    }
    let rows: Vec<Uuid> = sqlx::query_scalar("select user_id from notifications order by user_id")
        .fetch_all(&market.app.db.pool)
        .await
        .expect("read");
    let mut expected = vec![told.id.0, mailed.id.0];
    expected.sort_unstable();
    assert_eq!(rows, expected);
    let to: String = sqlx::query_scalar("select email from users where id = $1")
        .bind(mailed.id.0)
        .fetch_one(&market.app.db.pool)
        .await
        .expect("an address");
    let letter = market
        .app
        .letter(&to, "A shop that you follow has scheduled a show")
        .await;
    assert!(letter.text.contains("Kiln opening"), "{}", letter.text);
}

#[tokio::test]
async fn of_a_show_that_is_called_off_over_or_of_a_suspended_shop_nobody_more_is_told() {
    let market = Market::open(1, 100).await;
    crowd(&market, CROWD).await;
    let (db, bus) = (&market.app.db.pool, &market.app.bus);
    let first = core_api::notifications::announce::BATCH;

    let called_off = schedule(&market).await;
    assert_eq!(announce_some(db, bus, 1).await.expect("one batch"), 1);
    let cancel = format!("/streams/{called_off}/cancel");
    market.owner().post(&cancel, &json!({})).await.ok::<Value>();
    announced(&market).await;
    assert_eq!(count(&market, ShowScheduled).await.0, first, "no further");

    let over = schedule(&market).await;
    begin(&market, over).await;
    market
        .sql(
            "update streams set status = 'ended', ended_at = now() where id = $1",
            over.0,
        )
        .await;
    announced(&market).await;
    assert_eq!(count(&market, ShowStarted).await.0, 0);

    schedule(&market).await;
    let suspend = format!("/admin/sellers/{}/suspend", market.shop.seller);
    market.app.admin().await.post(&suspend, &json!({})).await.ok::<Value>();
    announced(&market).await;
    assert_eq!(count(&market, ShowScheduled).await.0, first);
    assert_eq!(announced(&market).await, 0, "they are done");
}

#[tokio::test]
async fn who_leaves_while_followers_are_told_has_nothing_left() {
    let market = Market::open(1, 100).await;
    let leaving = market.app.register("Leaving").await;
    let follow = format!("/sellers/{}/follow", market.shop.seller);
    leaving.post(&follow, &json!({})).await.gone();
    schedule(&market).await;
    // As a deletion does that is under way.
    let mut deleting = market.app.db.pool.begin().await.expect("begun");
    sqlx::query("update users set suspended_at = now(), deleted_at = now() where id = $1")
        .bind(leaving.id.0)
        .execute(&mut *deleting)
        .await
        .expect("gone");
    tokio::join!(announced(&market), async {
        market.app.somebody_waits().await;
        deleting.commit().await.expect("committed");
    });
    assert_eq!(count(&market, ShowScheduled).await, (0, 0));
}

#[tokio::test]
async fn a_shops_owner_is_told_what_admins_decide_and_why_not() {
    let app = quiet().await;
    let (owner, admin) = (app.register("Owner").await, app.admin().await);
    let application = json!({"shop_name": "Töpferei am Kai", "country": "DE", "currency": "EUR"});
    let shop: Value = owner.post("/sellers/apply", &application).await.created();
    let act = |verb: &str| format!("/admin/sellers/{}/{verb}", shop["id"].as_str().expect("an id"));
    let refused = admin.post(&act("reject"), &json!({"reason": " "})).await;
    assert_eq!(refused.refused(422, "invalid_body")["field"], "reason");
    let why = json!({"reason": "the pictures are missing"});
    admin.post(&act("reject"), &why).await.ok::<Value>();
    owner.post("/sellers/apply", &application).await.created::<Value>();
    admin
        .post(&act("approve"), &json!({"reason": "as agreed"}))
        .await
        .ok::<Value>();
    for verb in ["suspend", "reinstate", "suspend"] {
        admin
            .post(&act(verb), &json!({"reason": "a complaint"}))
            .await
            .ok::<Value>();
    }
    let told: Vec<_> = items(&owner, "").await.into_iter().rev().collect();
    let told: Vec<(&str, &str)> = told
        .iter()
        .map(|item| (item.kind.as_str(), item.reason.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("shop_rejected", "the pictures are missing"),
            ("shop_approved", ""),
            ("shop_suspended", "a complaint"),
            ("shop_reinstated", ""),
            ("shop_suspended", "a complaint"),
        ]
    );
    app.mail_is_done().await;
    let letters = app.letters(&owner.email);
    let turned_down = letters.iter().filter(|letter| letter.subject.contains("turned down"));
    assert_eq!(turned_down.count(), 1);
    let suspended = letters
        .iter()
        .filter(|letter| letter.subject == "Your shop is suspended");
    assert_eq!(suspended.count(), 2, "each decision is one of its own");
}

#[tokio::test]
async fn the_author_of_a_review_is_told_once_that_it_was_answered() {
    let market = Market::open(5, 100).await;
    let buyer = market.buyer().await;
    let author = buyer.session.clone();
    let line = reviews::item(&market, &reviews::delivered(&market, &buyer).await).await;
    let written: Value = reviews::write(&market, &author, line, 5).await.created();
    let review: Uuid = written["id"].as_str().expect("an id").parse().expect("an id");
    let path = format!("/seller/reviews/{review}/answer");
    for text in ["Thank you", "Thank you!"] {
        market.owner().put(&path, &json!({"text": text})).await.ok::<Value>();
        market.owner().delete(&path).await.ok::<Value>();
    }
    let mut told = items(&author, "").await;
    told.retain(|told| told.order.is_none());
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].kind, told[0].subject_id), (ReviewAnswered, review));
    assert_eq!(
        told[0].product.as_ref().map(|product| product.id),
        Some(market.shop.product)
    );
}

#[tokio::test]
async fn notifications_are_kept_for_a_time_and_pruned_in_batches() {
    let market = Market::open(1, 100).await;
    let reader = market.buyer().await.session;
    for days in [89, 91, 92] {
        let id = tell(&market, reader.id).await;
        sqlx::query("update notifications set created_at = now() - make_interval(days => $2) where id = $1")
            .bind(id.0)
            .bind(days)
            .execute(&market.app.db.pool)
            .await
            .expect("old");
    }
    let prune = async || {
        core_api::notifications::prune(&market.app.db.pool, 1)
            .await
            .expect("pruned")
    };
    assert_eq!([prune().await, prune().await, prune().await], [1, 1, 0]);
    assert_eq!(items(&reader, "").await.len(), 1);
}

#[tokio::test]
async fn whose_turn_in_a_line_has_come_is_told_elsewhere_too() {
    let market = Market::open(10, 1_000).await;
    let sale = market.sale(1, 500, 1).await;
    let (first, second) = (market.buyer().await, market.buyer().await);
    let held = first.hold(sale, 1).await;
    // A wait comes over the socket; here is its row.
    let waiting = stand_in_line(&market, sale.0, second.session.id).await;
    let path = format!("/flash-sales/{sale}/holds/{}", held.reservation);
    first.session.delete(&path).await.gone();
    let told = items(&second.session, "").await;
    assert_eq!(told.len(), 1, "the turn has come");
    assert_eq!(
        (told[0].kind, told[0].subject_id),
        (NotificationKind::WaitlistOffer, waiting)
    );
    assert!(items(&first.session, "").await.is_empty());
}

/// Puts somebody in a sale's line.
async fn stand_in_line(market: &Market, sale: Uuid, user: UserId) -> Uuid {
    let id = Uuid::now_v7();
    let stand = "with place as (
            insert into reservation_waitlist (id, sale_id, user_id, request_id, quantity, place, joined_version)
            select $1, id, $3, $1, 1, line_last + 1, version + 1 from flash_sales where id = $2)
        update flash_sales set waiting = waiting + 1, line_last = line_last + 1, version = version + 1,
               entries = entries + 1 where id = $2";
    sqlx::query(stand)
        .bind(id)
        .bind(sale)
        .bind(user.0)
        .execute(&market.app.db.pool)
        .await
        .expect("in line");
    id
}
