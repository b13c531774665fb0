//! Shutting people out: a ban, a logout or a suspension closes their sockets wherever they
//! are, and no token that was made before lets them in again.

use std::time::Duration;

use loadtest::live::{Auth, LiveClient, LiveError};
use shared::error::{ErrorCode, Refusal};
use shared::ids::{SellerId, UserId};
use shared::protocol::{ClientCommand, Format, Person, RoomEvent, Unban};
use shared::token::{Access, Part, Ticket, Viewer};
use uuid::Uuid;

use crate::harness::{World, chat, hears};
use crate::order::{ban, guest_of, id_of, second_show};

const BANNED: u16 = 4501;
const TICKET_INVALID: u16 = 4503;
const SUSPENDED: u16 = 4504;

/// A session of the account, as signing in begins one.
async fn session(world: &World, user: UserId) -> Uuid {
    let id = Uuid::now_v7();
    let insert = "insert into refresh_tokens (id, family_id, user_id, token_hash, expires_at)
                  values ($1, $1, $2, $3, now() + interval '1 day')";
    let insert = sqlx::query(insert).bind(id).bind(user.0).bind(id.as_bytes().as_slice());
    insert.execute(&world.db.pool).await.expect("the session is new");
    id
}

fn ticket(world: &World, user: UserId, session: Option<Uuid>) -> String {
    let claims = Ticket {
        jti: Uuid::now_v7(),
        viewer: Viewer::User {
            id: user,
            name: "Visitor".into(),
        },
        session,
        stream: world.shop.stream,
        part: Part::Viewer,
    };
    let now = chrono::Utc::now().timestamp();
    testkit::token_key().sign(claims, now).expect("signed")
}

fn access(user: UserId, session: Uuid) -> String {
    let claims = Access {
        sub: user,
        sid: session,
    };
    let now = chrono::Utc::now().timestamp();
    testkit::token_key().sign(claims, now).expect("signed")
}

async fn come(world: &World, auth: Auth) -> Result<LiveClient, Refusal> {
    match LiveClient::connect(&world.url, Format::Json, auth).await {
        Ok(client) => Ok(client),
        Err(error) => Err(refusal(&error)),
    }
}

fn refusal(error: &anyhow::Error) -> Refusal {
    match error.downcast_ref() {
        Some(LiveError::Refused(refusal)) => refusal.clone(),
        _ => panic!("{error:#}"),
    }
}

async fn joined_with(world: &World, ticket: String) -> LiveClient {
    let mut client = come(world, Auth::Ticket(ticket)).await.expect("the ticket is good");
    world.join(&mut client).await;
    client
}

fn way_back(client: &LiveClient) -> Auth {
    Auth::Resume(client.hello().resume.clone().expect("a way back"))
}

/// The code of a refusal to let somebody in.
async fn refused(world: &World, auth: Auth) -> ErrorCode {
    match come(world, auth).await {
        Err(refusal) => refusal.code,
        Ok(_) => panic!("somebody came in"),
    }
}

async fn close_code(client: &mut LiveClient) -> u16 {
    client.closed().await.expect("closed").code
}

async fn run(world: &World, sql: &'static str, id: Uuid) {
    let done = sqlx::query(sql).bind(id).execute(&world.db.pool).await;
    assert_eq!(done.expect("written").rows_affected(), 1);
}

const SUSPEND: &str = "update users set suspended_at = now() where id = $1";
const REINSTATE: &str = "update users set suspended_at = null where id = $1";
const SIGN_OUT: &str = "update refresh_tokens set revoked_at = now() where id = $1";

/// Bans an account the way core-api does, without a hint.
async fn ban_by_row(conn: &mut sqlx::PgConnection, seller: SellerId, user: UserId, by: UserId) {
    let outcome: String = sqlx::query_scalar("select ban_viewer($1, $2, $3, null, null, 'enough', $4, null)")
        .bind(Uuid::now_v7())
        .bind(seller.0)
        .bind(user.0)
        .bind(by.0)
        .fetch_one(conn)
        .await
        .expect("asked");
    assert_eq!(outcome, "banned");
}

#[tokio::test]
async fn a_ban_takes_what_was_said_in_a_waiting_room_out_of_view() {
    let world = World::start().await;
    sqlx::query(
        "update streams set status = 'scheduled', started_at = null, scheduled_at = now() + interval '5 minutes'",
    )
    .execute(&world.db.pool)
    .await
    .expect("scheduled");
    let (mut early, mut watcher) = (world.joined("Early").await, world.joined("Watcher").await);
    early.call(chat("an insult")).await.expect("answered").expect("said");
    hears(&mut watcher, "an insult").await;
    let mut conn = world.db.pool.acquire().await.expect("a connection");
    ban_by_row(&mut conn, world.shop.seller, id_of(&early), world.shop.owner).await;
    let gone = watcher.event(|event| matches!(event, RoomEvent::Moderation { .. }).then_some(()));
    gone.await.expect("told");
    let mut late = world.viewer("Late").await;
    let shown = world.join(&mut late).await.snapshot.expect("a snapshot");
    assert!(shown.chat.is_empty(), "{:?}", shown.chat);
    world.engine.stop().await;
}

#[tokio::test]
async fn what_the_owner_has_banned_only_who_speaks_for_the_shop_lets_in_again() {
    let world = World::start().await;
    let target = world.person("Target").await.user().expect("an account");
    let [of_show, of_shop] = ["Of the show", "Of the shop"].map(|name| world.person(name));
    let (of_show, of_shop) = (of_show.await, of_shop.await);
    for (person, stream) in [(&of_show, Some(world.shop.stream.0)), (&of_shop, None)] {
        sqlx::query(
            "insert into moderators (id, seller_id, stream_id, user_id, rights, appointed_by)
             values (gen_random_uuid(), $1, $2, $3, '{ban}', $4)",
        )
        .bind(world.shop.seller.0)
        .bind(stream)
        .bind(person.user().map(|user| user.0))
        .bind(world.shop.owner.0)
        .execute(&world.db.pool)
        .await
        .expect("appointed");
    }
    let mut of_show = world.connect(of_show, Part::Viewer, Format::Json).await;
    let mut of_shop = world.connect(of_shop, Part::Viewer, Format::Json).await;
    world.join(&mut of_show).await;
    world.join(&mut of_shop).await;
    let mut conn = world.db.pool.acquire().await.expect("a connection");
    ban_by_row(&mut conn, world.shop.seller, target, world.shop.owner).await;
    let lift = ClientCommand::Unban(Unban {
        who: Person::User(target),
    });
    let refused = of_show.call(lift.clone()).await.expect("answered");
    assert_eq!(refused.expect_err("the owner's").code, ErrorCode::Forbidden);
    // Nor by a shorter one in its place.
    let shorter = ClientCommand::Ban(shared::protocol::Ban {
        who: Person::User(target),
        seconds: Some(1),
        reason: String::new(),
    });
    of_show.call(shorter).await.expect("answered").expect("banned already");
    let kept: (Option<i64>, Uuid) =
        sqlx::query_as("select extract(epoch from until)::bigint, banned_by from banned_viewers where user_id = $1")
            .bind(target.0)
            .fetch_one(&mut *conn)
            .await
            .expect("banned");
    assert_eq!(kept, (None, world.shop.owner.0));
    of_shop.call(lift).await.expect("answered").expect("lifted");
    // What a moderator of the show has banned, they let in again.
    let other = Person::User(world.person("Other").await.user().expect("an account"));
    of_show.call(ban(other)).await.expect("answered").expect("banned");
    let lift = ClientCommand::Unban(Unban { who: other });
    of_show.call(lift).await.expect("answered").expect("lifted");
    let left: i64 = sqlx::query_scalar("select count(*) from banned_viewers")
        .fetch_one(&mut *conn)
        .await
        .expect("counted");
    assert_eq!(left, 0);
    world.engine.stop().await;
}

#[tokio::test]
async fn a_ban_closes_every_socket_of_the_person_in_the_shops_shows() {
    let world = World::start().await;
    let mut host = world.host().await;
    let user = world.person("Visitor").await.user().expect("an account");
    let session = session(&world, user).await;
    let mut first = joined_with(&world, ticket(&world, user, Some(session))).await;
    let mut second = joined_with(&world, ticket(&world, user, Some(session))).await;
    // With an access token, in another show of the shop.
    let other_show = second_show(&world, world.shop.seller).await;
    let mut third = come(&world, Auth::Bearer(access(user, session))).await.expect("let in");
    third.join(other_show, None).await.expect("joined");
    // Who has a ticket for it, but has not joined.
    let mut fourth = come(&world, Auth::Ticket(ticket(&world, user, Some(session))))
        .await
        .expect("let in");
    let mut watching = world.joined("Watcher").await;
    first.call(chat("one more")).await.expect("answered").expect("said");
    hears(&mut watching, "one more").await;
    let (way_back, unused) = (way_back(&first), ticket(&world, user, Some(session)));

    host.call(ban(Person::User(user)))
        .await
        .expect("answered")
        .expect("banned");
    for client in [&mut first, &mut second, &mut third, &mut fourth] {
        assert_eq!(close_code(client).await, BANNED);
    }
    let gone = watching.event(|event| matches!(event, RoomEvent::Moderation { .. }).then_some(()));
    gone.await.expect("told");
    assert_eq!(refused(&world, way_back.clone()).await, ErrorCode::Banned);
    assert_eq!(refused(&world, Auth::Ticket(unused)).await, ErrorCode::Banned);
    // An access token opens the rooms of other shops only.
    let mut fifth = come(&world, Auth::Bearer(access(user, session))).await.expect("let in");
    let refused_to_join = fifth.join(world.shop.stream, None).await.expect_err("banned");
    let why = refusal(&refused_to_join);
    assert_eq!((why.code, why.detail.as_ref()), (ErrorCode::Banned, "insults"));

    let unban = Unban {
        who: Person::User(user),
    };
    let unbanned = host.call(ClientCommand::Unban(unban)).await.expect("answered");
    unbanned.expect("unbanned");
    // Good again as soon as this node has heard of it, which takes a second at most.
    eventually(async || match fifth.join(world.shop.stream, None).await {
        Ok(_) => Ok(()),
        Err(error) => Err(refusal(&error)),
    })
    .await;
    joined_with(&world, ticket(&world, user, Some(session))).await;
    world.join(&mut come(&world, way_back).await.expect("let in")).await;
    world.engine.stop().await;
}

#[tokio::test]
async fn a_ban_made_elsewhere_reaches_open_rooms() {
    let world = World::start().await;
    let (mut viewer, mut watching) = (world.joined("Visitor").await, world.joined("Watcher").await);
    viewer.call(chat("hello")).await.expect("answered").expect("said");
    hears(&mut watching, "hello").await;
    let mut conn = world.db.pool.acquire().await.expect("a connection");
    ban_by_row(&mut conn, world.shop.seller, id_of(&viewer), world.shop.owner).await;
    let closed = viewer.closed().await.expect("closed");
    assert_eq!((closed.code, closed.reason.as_str()), (BANNED, "enough"));
    let gone = watching.event(|event| match event {
        RoomEvent::Moderation { user } => Some(*user),
        _ => None,
    });
    assert_eq!(gone.await.expect("told"), id_of(&viewer));
    let late = world.join(&mut world.viewer("Late").await).await;
    assert_eq!(late.snapshot.expect("a snapshot").chat, []);
    world.engine.stop().await;
}

#[tokio::test]
async fn a_banned_guest_cannot_come_back() {
    let world = World::start().await;
    let (mut host, mut guest, mut other) = (world.host().await, world.guest().await, world.guest().await);
    let (who, back) = (Person::Guest(guest_of(&guest)), way_back(&guest));
    host.call(ban(who)).await.expect("answered").expect("banned");
    assert_eq!(close_code(&mut guest).await, BANNED);
    assert_eq!(refused(&world, back).await, ErrorCode::Banned);
    let react = ClientCommand::React {
        kind: "heart".into(),
        count: 1,
    };
    other.call(react).await.expect("answered").expect("still there");
    // As long as their tokens last, however long was asked for.
    let lasts: f64 = sqlx::query_scalar("select extract(epoch from until - now())::float8 from banned_viewers")
        .fetch_one(&world.db.pool)
        .await
        .expect("the database answers");
    assert!((1_100.0..=1_200.0).contains(&lasts), "{lasts}");
    world.engine.stop().await;
}

#[tokio::test]
async fn a_logout_closes_the_sockets_of_that_session_only() {
    let world = World::start().await;
    let user = world.person("Visitor").await.user().expect("an account");
    let [first, second] = [session(&world, user).await, session(&world, user).await];
    let mut by_ticket = joined_with(&world, ticket(&world, user, Some(first))).await;
    let mut by_access = come(&world, Auth::Bearer(access(user, first))).await.expect("let in");
    let mut stays = joined_with(&world, ticket(&world, user, Some(second))).await;
    let (back, unused) = (way_back(&by_ticket), ticket(&world, user, Some(first)));
    run(&world, SIGN_OUT, first).await;
    assert_eq!(close_code(&mut by_ticket).await, TICKET_INVALID);
    assert_eq!(close_code(&mut by_access).await, TICKET_INVALID);
    for auth in [back, Auth::Ticket(unused), Auth::Bearer(access(user, first))] {
        assert_eq!(refused(&world, auth).await, ErrorCode::TicketInvalid);
    }
    stays.call(chat("still here")).await.expect("answered").expect("said");
    world.engine.stop().await;
}

#[tokio::test]
async fn a_suspension_closes_all_sockets_of_the_account_until_it_is_lifted() {
    let world = World::start().await;
    let user = world.person("Visitor").await.user().expect("an account");
    let session = session(&world, user).await;
    let mut first = joined_with(&world, ticket(&world, user, Some(session))).await;
    let mut second = joined_with(&world, ticket(&world, user, None)).await;
    let back = way_back(&first);
    run(&world, SUSPEND, user.0).await;
    assert_eq!(close_code(&mut first).await, SUSPENDED);
    assert_eq!(close_code(&mut second).await, SUSPENDED);
    for auth in [
        back,
        Auth::Ticket(ticket(&world, user, None)),
        Auth::Bearer(access(user, session)),
    ] {
        assert_eq!(refused(&world, auth).await, ErrorCode::AccountSuspended);
    }
    run(&world, REINSTATE, user.0).await;
    eventually(async || come(&world, Auth::Ticket(ticket(&world, user, None))).await.map(drop)).await;
    world.engine.stop().await;
}

/// Asks until it is granted.
async fn eventually(mut ask: impl AsyncFnMut() -> Result<(), Refusal>) {
    let granted = async {
        while let Err(refusal) = ask().await {
            assert!(
                matches!(refusal.code, ErrorCode::Banned | ErrorCode::AccountSuspended),
                "{refusal}"
            );
        }
    };
    tokio::time::timeout(Duration::from_secs(20), granted)
        .await
        .expect("granted in the end");
}

#[tokio::test]
async fn what_commits_late_is_not_passed_by() {
    let world = World::start().await;
    let (mut slow, mut quick) = (world.joined("Slow").await, world.joined("Quick").await);
    let mut late = world.db.pool.begin().await.expect("begun");
    ban_by_row(&mut late, world.shop.seller, id_of(&slow), world.shop.owner).await;
    run(&world, SUSPEND, id_of(&quick).0).await;
    // What has begun later is committed and read now.
    assert_eq!(close_code(&mut quick).await, SUSPENDED);
    late.commit().await.expect("committed");
    assert_eq!(close_code(&mut slow).await, BANNED);
    world.engine.stop().await;
}

#[tokio::test]
async fn an_engine_that_starts_knows_who_was_shut_out_before() {
    let world = World::start().await;
    let viewer = world.joined("Visitor").await;
    let (user, back) = (id_of(&viewer), way_back(&viewer));
    run(&world, SUSPEND, user.0).await;
    let world = world.restart().await;
    assert_eq!(refused(&world, back).await, ErrorCode::AccountSuspended);
    world.engine.stop().await;
}
