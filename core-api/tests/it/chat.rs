//! Chats over REST: blocked words, and what waits for who runs a show. The room is played
//! by the test; what it does with a command is held in live-engine's tests.

use serde_json::{Value, json};
use shared::ids::{MessageId, RequestId, StreamId, UserId};
use shared::live::{ROOM_REQUESTS, RoomReply, RoomRequest};
use shared::protocol::{ChatAudience, ChatChange, HostCommand, Outcome};
use testkit::fixtures;
use uuid::Uuid;

use crate::harness::{App, Session};

const WORDS: &str = "/seller/blocked-words";

async fn block(owner: &Session, word: &str, action: &str) -> Value {
    let body = json!({"word": word, "action": action});
    owner.post_once(WORDS, Uuid::now_v7(), &body).await.created()
}

/// Notices of other words that rooms were left.
async fn notices(app: &App, stream: StreamId) -> i64 {
    sqlx::query_scalar("select count(*) from outbox where stream_id = $1 and topic = 'words_changed'")
        .bind(stream.0)
        .fetch_one(&app.db.pool)
        .await
        .expect("the database answers")
}

#[tokio::test]
async fn a_shop_blocks_words_and_its_rooms_hear_of_each_change() {
    let app = App::start().await;
    let shop = fixtures::shop(&app.db.pool, 1, 100).await;
    let owner = app.session_of(shop.owner);
    let word = block(&owner, "  Counterfeit ", "refuse").await;
    assert_eq!(
        (&word["word"], &word["matching"], &word["action"]),
        (&json!("Counterfeit"), &json!("word"), &json!("refuse"))
    );
    assert_eq!(notices(&app, shop.stream).await, 1);
    let id = word["id"].as_str().expect("an id");
    let one = format!("{WORDS}/{id}");
    let changed: Value = owner.patch(&one, &json!({"action": "hold"})).await.ok();
    assert_eq!(
        (&changed["action"], &changed["matching"]),
        (&json!("hold"), &json!("word"))
    );
    let list: Value = owner.get(WORDS).await.ok();
    assert_eq!(list["items"], json!([changed]));
    owner.delete(&one).await.gone();
    owner.delete(&one).await.refused(404, "not_found");
    assert_eq!(notices(&app, shop.stream).await, 3);
    let audited: i64 = sqlx::query_scalar("select count(*) from audit_log where action like 'word.%'")
        .fetch_one(&app.db.pool)
        .await
        .expect("the database answers");
    assert_eq!(audited, 3);
    app.stop().await;
}

#[tokio::test]
async fn a_word_is_blocked_once_in_whatever_spelling_and_needs_something_to_look_for() {
    let app = App::start().await;
    let shop = fixtures::shop(&app.db.pool, 1, 100).await;
    let owner = app.session_of(shop.owner);
    block(&owner, "fake", "refuse").await;
    for spelling in ["FAKE", "f4ke", "fаke", "fáke"] {
        let again = json!({"word": spelling, "action": "hold"});
        let refused = owner.post_once(WORDS, Uuid::now_v7(), &again).await;
        refused.refused(409, "conflict");
    }
    for nothing in ["", "   ", "...", "x", "+++", &"x".repeat(61)] {
        let body = json!({"word": nothing, "action": "hold"});
        let refused = owner.post_once(WORDS, Uuid::now_v7(), &body).await;
        refused.refused(422, "invalid_body");
    }
    let body = json!({"word": "other", "action": "applaud"});
    owner
        .post_once(WORDS, Uuid::now_v7(), &body)
        .await
        .refused(422, "invalid_body");
    // Sent again it is one act.
    let (key, body) = (Uuid::now_v7(), json!({"word": "replica", "action": "hold"}));
    let first: Value = owner.post_once(WORDS, key, &body).await.created();
    let second: Value = owner.post_once(WORDS, key, &body).await.created();
    assert_eq!(first, second);
    app.stop().await;
}

#[tokio::test]
async fn somebody_elses_words_and_reports_are_not_there() {
    let app = App::start().await;
    let (mine, theirs) = (
        fixtures::shop(&app.db.pool, 1, 100).await,
        fixtures::shop(&app.db.pool, 1, 100).await,
    );
    let (me, them) = (app.session_of(mine.owner), app.session_of(theirs.owner));
    let word = block(&them, "fake", "hold").await;
    let one = format!("{WORDS}/{}", word["id"].as_str().expect("an id"));
    me.delete(&one).await.refused(404, "not_found");
    me.patch(&one, &json!({"action": "refuse"}))
        .await
        .refused(404, "not_found");
    let list: Value = me.get(WORDS).await.ok();
    assert_eq!(list["items"], json!([]));
    let report = report(&app, theirs.stream, theirs.owner).await;
    let settle = format!("/seller/reports/{report}/settle");
    me.post(&settle, &json!({})).await.refused(404, "not_found");
    let list: Value = me.get("/seller/reports").await.ok();
    assert_eq!(list["items"], json!([]));
    for path in ["reports", "reviews"] {
        me.get(&format!("/streams/{}/{path}", theirs.stream))
            .await
            .refused(404, "not_found");
    }
    let visitor = app.session_of(fixtures::user(&app.db.pool, "Visitor").await);
    visitor.get(WORDS).await.refused(403, "forbidden");
    visitor.get("/admin/reports").await.refused(403, "forbidden");
    app.stop().await;
}

/// Somebody's report of a message of `author`'s.
async fn report(app: &App, stream: StreamId, author: UserId) -> Uuid {
    let (id, reporter) = (Uuid::now_v7(), fixtures::user(&app.db.pool, "Reporter").await);
    sqlx::query(
        "insert into chat_reports (id, stream_id, message_id, author_id, reporter_id, reason, text)
         values ($1, $2, $3, $4, $5, 'scam', 'send me your card')",
    )
    .bind(id)
    .bind(stream.0)
    .bind(MessageId::new().0)
    .bind(author.0)
    .bind(reporter.0)
    .execute(&app.db.pool)
    .await
    .expect("reported");
    id
}

#[tokio::test]
async fn a_report_is_settled_once_by_its_shop_or_an_admin() {
    let app = App::start().await;
    let shop = fixtures::shop(&app.db.pool, 1, 100).await;
    let (owner, admin) = (app.session_of(shop.owner), app.admin().await);
    let first = report(&app, shop.stream, shop.owner).await;
    let second = report(&app, shop.stream, shop.owner).await;
    for (session, path) in [
        (&owner, "/seller/reports".to_owned()),
        (&owner, format!("/streams/{}/reports", shop.stream)),
        (&admin, "/admin/reports".to_owned()),
    ] {
        let list: Value = session.get(&format!("{path}?settled=false")).await.ok();
        let ids: Vec<_> = list["items"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|r| &r["id"])
            .collect();
        assert_eq!(ids, [&json!(second), &json!(first)], "{path}");
        assert_eq!(list["items"][0]["text"], "send me your card");
        // Whom a shop could ban for it, it is not told.
        assert_eq!(list["items"][0].get("reporter").is_some(), path.starts_with("/admin"));
    }
    let settle = format!("/seller/reports/{first}/settle");
    let settled: Value = owner.post(&settle, &json!({})).await.ok();
    let again: Value = owner.post(&settle, &json!({})).await.ok();
    assert_eq!(settled, again);
    admin
        .post(&format!("/admin/reports/{second}/settle"), &json!({}))
        .await
        .ok::<Value>();
    let open: Value = admin.get("/admin/reports?settled=false").await.ok();
    assert_eq!(open["items"], json!([]));
    let audited: i64 = sqlx::query_scalar("select count(*) from audit_log where action = 'report.settle'")
        .fetch_one(&app.db.pool)
        .await
        .expect("the database answers");
    assert_eq!(audited, 2);
    app.stop().await;
}

#[tokio::test]
async fn a_report_is_settled_by_who_may_act_on_it_in_its_show_alone() {
    let app = App::start().await;
    let (shop, theirs) = (
        fixtures::shop(&app.db.pool, 1, 100).await,
        fixtures::shop(&app.db.pool, 1, 100).await,
    );
    let [reviewer, pinner, deleter] = [
        moderator(&app, &shop, "review").await,
        moderator(&app, &shop, "pin").await,
        moderator(&app, &shop, "delete_messages").await,
    ];
    let first = report(&app, shop.stream, shop.owner).await;
    let second = report(&app, shop.stream, shop.owner).await;
    let elsewhere = report(&app, theirs.stream, theirs.owner).await;
    let settle = |stream: StreamId, report: Uuid| format!("/streams/{stream}/reports/{report}/settle");
    let stranger = app.session_of(theirs.owner);
    for session in [&pinner, &stranger] {
        let refused = session.post(&settle(shop.stream, first), &json!({})).await;
        refused.refused(404, "not_found");
    }
    let settled: Value = reviewer.post(&settle(shop.stream, first), &json!({})).await.ok();
    let again: Value = deleter.post(&settle(shop.stream, first), &json!({})).await.ok();
    assert_eq!(settled, again, "settled once");
    deleter
        .post(&settle(shop.stream, second), &json!({}))
        .await
        .ok::<Value>();
    // A right in one show is none to the reports of others.
    for stream in [shop.stream, theirs.stream] {
        let refused = reviewer.post(&settle(stream, elsewhere), &json!({})).await;
        refused.refused(404, "not_found");
    }
    let open: Value = reviewer
        .get(&format!("/streams/{}/reports?settled=false", shop.stream))
        .await
        .ok();
    assert_eq!(open["items"], json!([]));
    let audited: i64 = sqlx::query_scalar("select count(*) from audit_log where action = 'report.settle'")
        .fetch_one(&app.db.pool)
        .await
        .expect("the database answers");
    assert_eq!(audited, 2);
    app.stop().await;
}

/// Somebody who moderates a shop's shows with one right.
async fn moderator(app: &App, shop: &fixtures::Shop, right: &str) -> Session {
    let user = fixtures::user(&app.db.pool, "Moderator").await;
    sqlx::query("insert into moderators (id, seller_id, user_id, rights, appointed_by) values ($1, $2, $3, $4, $5)")
        .bind(Uuid::now_v7())
        .bind(shop.seller.0)
        .bind(user.0)
        .bind(vec![right])
        .bind(shop.owner.0)
        .execute(&app.db.pool)
        .await
        .expect("appointed");
    app.session_of(user)
}

/// Something that was said in a show.
async fn said(app: &App, stream: StreamId, author: UserId, seq: i64) -> MessageId {
    let id = MessageId::new();
    sqlx::query(
        "insert into stream_chat_messages (id, stream_id, epoch, seq, user_id, text, created_at)
         values ($1, $2, 1, $3, $4, 'hello', now())",
    )
    .bind(id.0)
    .bind(stream.0)
    .bind(seq)
    .bind(author.0)
    .execute(&app.db.pool)
    .await
    .expect("said");
    id
}

/// A room that notes what it is told and does it.
fn room(app: &App) -> tokio::sync::mpsc::Receiver<RoomRequest> {
    let (told, heard) = tokio::sync::mpsc::channel(8);
    let bus = app.bus.clone();
    tokio::spawn(async move {
        let mut requests = bus.serve(ROOM_REQUESTS).await.expect("served");
        while let Some(request) = requests.next().await {
            let asked: RoomRequest = serde_json::from_slice(&request.message).expect("a request");
            let reply: RoomReply = Ok(Outcome::Done);
            request.reply(serde_json::to_vec(&reply).expect("JSON").into());
            if told.send(asked).await.is_err() {
                return;
            }
        }
    });
    heard
}

#[tokio::test]
async fn what_is_done_to_a_chat_over_rest_is_a_command_to_its_room() {
    let app = App::start().await;
    let shop = fixtures::shop(&app.db.pool, 1, 100).await;
    let owner = app.session_of(shop.owner);
    let author = app.session_of(fixtures::user(&app.db.pool, "Author").await);
    let mut room = room(&app);
    let (key, message) = (Uuid::now_v7(), MessageId::new());
    let at = format!("/streams/{}", shop.stream);
    let rules: Value = app.get(&format!("{at}/chat-rules")).send().await.ok();
    assert_eq!(
        rules,
        json!({"slow_seconds": 0, "audience": "everyone", "links": "allow", "max_chars": 500})
    );
    let change = json!({"slow_seconds": 10, "audience": "buyers"});
    let call = owner.call(reqwest::Method::PATCH, &format!("{at}/chat-rules"));
    call.key(key).json(&change).send().await.ok::<Value>();
    let approve = format!("{at}/reviews/{message}/approve");
    owner.post(&approve, &json!({})).await.ok::<Value>();
    owner
        .post(&format!("{at}/reviews/{message}/reject"), &json!({}))
        .await
        .ok::<Value>();
    // An author may ask for what is their own, and opens no room for anything else.
    let own = said(&app, shop.stream, author.id, 1).await;
    let others = said(&app, shop.stream, shop.owner, 2).await;
    author
        .delete(&format!("{at}/chat/{message}"))
        .await
        .refused(404, "not_found");
    author
        .delete(&format!("{at}/chat/{others}"))
        .await
        .refused(403, "forbidden");
    author.delete(&format!("{at}/chat/{own}")).await.gone();
    sqlx::query(
        "update stream_chat_messages set deleted_at = now(), deleted_by = user_id, deleted_as = 'author' where id = $1",
    )
    .bind(own.0)
    .execute(&app.db.pool)
    .await
    .expect("deleted");
    author.delete(&format!("{at}/chat/{own}")).await.gone();
    author.post(&approve, &json!({})).await.refused(403, "forbidden");
    let rules = ChatChange {
        slow_seconds: Some(10),
        audience: Some(ChatAudience::Buyers),
        ..ChatChange::default()
    };
    let commands = [
        (shop.owner, HostCommand::ChatRules(rules)),
        (shop.owner, HostCommand::Review { message, approve: true }),
        (
            shop.owner,
            HostCommand::Review {
                message,
                approve: false,
            },
        ),
        (author.id, HostCommand::DeleteMessage { message: own }),
    ];
    for (index, (user, command)) in commands.into_iter().enumerate() {
        let told = room.recv().await.expect("told");
        assert_eq!((told.stream, told.user, told.command), (shop.stream, user, command));
        assert_eq!(told.request_id == RequestId(key), index == 0);
    }
    assert!(room.try_recv().is_err(), "nothing more was asked of the room");
    app.stop().await;
}

#[tokio::test]
async fn held_messages_are_listed_for_who_decides() {
    let app = App::start().await;
    let shop = fixtures::shop(&app.db.pool, 1, 100).await;
    let owner = app.session_of(shop.owner);
    let (author, reviewer, pinner) = (
        fixtures::user(&app.db.pool, "Author").await,
        fixtures::user(&app.db.pool, "Reviewer").await,
        fixtures::user(&app.db.pool, "Pinner").await,
    );
    for (user, right) in [(reviewer, "review"), (pinner, "pin")] {
        sqlx::query(
            "insert into moderators (id, seller_id, user_id, rights, appointed_by) values ($1, $2, $3, $4, $5)",
        )
        .bind(Uuid::now_v7())
        .bind(shop.seller.0)
        .bind(user.0)
        .bind(vec![right.to_owned()])
        .bind(shop.owner.0)
        .execute(&app.db.pool)
        .await
        .expect("appointed");
    }
    for (text, status) in [("one", "waiting"), ("two", "rejected")] {
        sqlx::query(
            "insert into chat_reviews (message_id, stream_id, user_id, request_id, body_hash, text, cause, detail, status,
                                       decided_by, decided_at)
             select $1, $2, $3, $4, 1, $5, 'word', 'cheap', $6, d.by, d.at
               from (select case when $6 = 'waiting' then null else $7::uuid end as by,
                            case when $6 = 'waiting' then null else now() end as at) d",
        )
        .bind(MessageId::new().0)
        .bind(shop.stream.0)
        .bind(author.0)
        .bind(Uuid::now_v7())
        .bind(text)
        .bind(status)
        .bind(shop.owner.0)
        .execute(&app.db.pool)
        .await
        .expect("held");
    }
    let path = format!("/streams/{}/reviews", shop.stream);
    for session in [&owner, &app.session_of(reviewer)] {
        let list: Value = session.get(&path).await.ok();
        let shown: Vec<_> = list["items"].as_array().expect("a list").iter().collect();
        assert_eq!(shown.len(), 2);
        assert_eq!(
            (&shown[0]["text"], &shown[0]["approved"]),
            (&json!("two"), &json!(false))
        );
        assert_eq!(
            (&shown[1]["name"], &shown[1]["approved"]),
            (&json!("Author"), &Value::Null)
        );
        let waiting: Value = session.get(&format!("{path}?waiting=true")).await.ok();
        assert_eq!(waiting["items"].as_array().expect("a list").len(), 1);
        assert_eq!(waiting["items"][0]["detail"], "cheap");
    }
    for stranger in [pinner, author] {
        app.session_of(stranger).get(&path).await.refused(404, "not_found");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_shop_is_followed_once_and_left_again() {
    let app = App::start().await;
    let (owner, seller) = app.seller("Harbour Lane").await;
    let fan = app.register("Fan").await;
    let follow = format!("/sellers/{seller}/follow");
    let followers = async || {
        sqlx::query_scalar::<_, i64>("select count(*) from follows")
            .fetch_one(&app.db.pool)
            .await
            .expect("the database answers")
    };
    for _ in 0..2 {
        fan.post(&follow, &json!({})).await.gone();
    }
    owner.post(&follow, &json!({})).await.gone();
    assert_eq!(followers().await, 2);
    for _ in 0..2 {
        fan.delete(&follow).await.gone();
    }
    assert_eq!(followers().await, 1);
    fan.post(&format!("/sellers/{}/follow", Uuid::now_v7()), &json!({}))
        .await
        .refused(404, "not_found");
    app.stop().await;
}
