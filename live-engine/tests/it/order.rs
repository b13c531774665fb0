//! Keeping order in a show: who may, what it does to whom, and what is left of it when the
//! room has another owner.

use shared::error::ErrorCode;
use shared::ids::{GuestId, MessageId, RequestId, SellerId, StreamId, UserId};
use shared::live::RoomNotice;
use shared::outbox;
use shared::protocol::{
    Ban, ClientCommand, Format, HostCommand, Mute, Outcome, Person, Private, RoomEvent, Snapshot, Standing, Unban,
};
use shared::rights::{Right, Rights};
use shared::token::{Part, Viewer};
use uuid::Uuid;

use crate::harness::{World, chat, hears};
use loadtest::live::LiveClient;

/// Appoints somebody for all of the shop's shows, as core-api does.
pub async fn appoint(world: &World, user: UserId, rights: &[Right]) -> Uuid {
    let id = Uuid::now_v7();
    let names = rights.iter().copied().collect::<Rights>().names();
    let insert = "insert into moderators (id, seller_id, user_id, rights, appointed_by) values ($1, $2, $3, $4, $5)";
    let insert = sqlx::query(insert)
        .bind(id)
        .bind(world.shop.seller.0)
        .bind(user.0)
        .bind(names)
        .bind(world.shop.owner.0);
    insert.execute(&world.db.pool).await.expect("appointed");
    tell_moderators(world).await;
    id
}

async fn tell_moderators(world: &World) {
    let mut conn = world.db.pool.acquire().await.expect("a connection");
    outbox::push_to_shows(&mut conn, world.shop.seller, None, &RoomNotice::ModeratorsChanged)
        .await
        .expect("written");
    outbox::hint(&*world.bus).await;
}

/// A moderator who has joined and knows of their rights.
pub async fn moderator(world: &World, name: &str, rights: &[Right]) -> LiveClient {
    let person = world.person(name).await;
    appoint(world, person.user().expect("an account"), rights).await;
    let mut client = world.connect(person, Part::Viewer, Format::MsgPack).await;
    let joined = world.join(&mut client).await;
    let expected: Rights = rights.iter().copied().collect();
    if joined.snapshot.expect("a snapshot").standing.rights != expected {
        // The room was open, and had yet to read of it.
        told(&mut client, |standing| standing.rights == expected).await;
    }
    client
}

pub fn id_of(client: &LiveClient) -> UserId {
    client.hello().user.expect("an account")
}

fn mute(user: UserId) -> Mute {
    Mute {
        user,
        seconds: 600,
        reason: "spam".into(),
    }
}

pub fn ban(who: Person) -> ClientCommand {
    ClientCommand::Ban(Ban {
        who,
        seconds: None,
        reason: "insults".into(),
    })
}

async fn done(client: &mut LiveClient, command: ClientCommand) {
    let answer = client.call(command.clone()).await.expect("answered");
    assert_eq!(answer, Ok(Outcome::Done), "{command:?}");
}

async fn refused(client: &mut LiveClient, command: ClientCommand, code: ErrorCode) -> shared::error::Refusal {
    let answer = client.call(command.clone()).await.expect("answered");
    let refusal = answer.expect_err("refused");
    assert_eq!(refusal.code, code, "{command:?}");
    refusal
}

async fn say(client: &mut LiveClient, text: &str) -> MessageId {
    match client.call(chat(text)).await.expect("answered") {
        Ok(Outcome::Said { message, .. }) => message,
        other => panic!("{other:?}"),
    }
}

async fn look(world: &World, name: &str) -> Snapshot {
    let mut client = world.viewer(name).await;
    world.join(&mut client).await.snapshot.expect("a snapshot")
}

async fn texts(world: &World, name: &str) -> Vec<String> {
    let chat = look(world, name).await.chat;
    chat.into_iter().map(|message| message.text).collect()
}

/// Waits until somebody is told of a standing like this. One that they know already may be
/// told again.
async fn told(client: &mut LiveClient, is_it: impl Fn(&Standing) -> bool) -> Standing {
    let told = client.private(|message| match message {
        Private::Standing(standing) if is_it(standing) => Some(standing.clone()),
        _ => None,
    });
    told.await.expect("told")
}

fn is_nothing(standing: &Standing) -> bool {
    *standing == Standing::default()
}

fn is_muted(standing: &Standing) -> bool {
    standing.muted.is_some()
}

#[tokio::test]
async fn each_command_is_open_to_the_host_and_to_whom_its_right_was_given() {
    let world = World::start().await;
    let (mut host, mut viewer) = (world.host().await, world.joined("Visitor").await);
    let mut target = world.joined("Target").await;
    let message = say(&mut target, "look at this").await;
    let user = id_of(&target);
    let unban = Unban {
        who: Person::User(user),
    };
    let commands = [
        (Right::Mute, ClientCommand::Mute(mute(user))),
        (Right::Mute, ClientCommand::Unmute { user }),
        (Right::Pin, ClientCommand::PinMessage { message }),
        (Right::Pin, ClientCommand::UnpinMessage),
        (Right::Announce, ClientCommand::Announce { text: "Soon".into() }),
        (Right::Mute, ClientCommand::Timeout(mute(user))),
        (Right::Ban, ban(Person::User(user))),
        (Right::Ban, ClientCommand::Unban(unban)),
    ];
    for (index, (right, command)) in commands.into_iter().enumerate() {
        let others: Vec<_> = Right::ALL.iter().copied().filter(|other| *other != right).collect();
        let mut with = moderator(&world, &format!("With {index}"), &[right]).await;
        let mut without = moderator(&world, &format!("Without {index}"), &others).await;
        refused(&mut viewer, command.clone(), ErrorCode::Forbidden).await;
        refused(&mut without, command.clone(), ErrorCode::Forbidden).await;
        let act = RequestId::new();
        for _ in 0..2 {
            let answer = with.call_as(command.clone(), act).await.expect("answered");
            assert_eq!(answer, Ok(Outcome::Done), "{command:?}");
        }
        let audited = "select count(*) from audit_log where actor_id = $1 and subject_id = $2";
        let audited: i64 = sqlx::query_scalar(audited)
            .bind(id_of(&with).0)
            .bind(world.shop.stream.0)
            .fetch_one(&world.db.pool)
            .await
            .expect("the database answers");
        assert_eq!(audited, 1, "{command:?} is done and audited once");
        // What was pinned is gone with the timeout.
        if !matches!(command, ClientCommand::PinMessage { .. }) {
            done(&mut host, command).await;
        }
    }
    world.engine.stop().await;
}

#[tokio::test]
async fn over_the_bus_a_command_needs_its_right_too() {
    let world = World::start().await;
    let target = world.joined("Target").await;
    let command = HostCommand::Mute(mute(id_of(&target)));
    let stranger = world.person("Stranger").await.user().expect("an account");
    let refusal = world
        .over_the_bus(stranger, RequestId::new(), command.clone())
        .await
        .expect_err("refused");
    assert_eq!(refusal.code, ErrorCode::Forbidden);
    let helper = moderator(&world, "Helper", &[Right::Mute]).await;
    let act = RequestId::new();
    for _ in 0..2 {
        let reply = world.over_the_bus(id_of(&helper), act, command.clone()).await;
        assert_eq!(reply, Ok(Outcome::Done));
    }
    world.engine.stop().await;
}

#[tokio::test]
async fn whoever_is_muted_hears_why_and_for_how_long_and_nobody_else_does() {
    let world = World::start().await;
    let (mut host, mut viewer, mut target) = (
        world.host().await,
        world.joined("Visitor").await,
        world.joined("Target").await,
    );
    let (user, act) = (id_of(&target), RequestId::new());
    let said = target
        .call_as(chat("before"), act)
        .await
        .expect("answered")
        .expect("said");
    done(&mut host, ClientCommand::Mute(mute(user))).await;
    let standing = told(&mut target, is_muted).await;
    assert_eq!(standing.muted.expect("muted").reason, "spam");
    let refusal = refused(&mut target, chat("hello?"), ErrorCode::Muted).await;
    assert_eq!(refusal.detail, "spam");
    assert!(refusal.retry_after_ms.is_some_and(|ms| ms > 500_000 && ms <= 600_000));
    let again = target.call_as(chat("before"), act).await.expect("answered");
    assert_eq!(again, Ok(said), "what was said before stays said");
    say(&mut viewer, "others may").await;
    let news = viewer.drain().into_iter().filter(|frame| {
        let frame = format!("{frame:?}");
        frame.contains("Standing(") || frame.contains("Moderation")
    });
    assert_eq!(news.count(), 0);

    // The room's next owner knows it, and tells who comes back.
    let world = world.restart().await;
    let person = Viewer::User {
        id: user,
        name: "Target".into(),
    };
    let mut target = world.connect(person, Part::Viewer, Format::Json).await;
    let snapshot = world.join(&mut target).await.snapshot.expect("a snapshot");
    assert_eq!(snapshot.standing.muted.expect("muted").reason, "spam");
    refused(&mut target, chat("still?"), ErrorCode::Muted).await;
    let mut host = world.host().await;
    done(&mut host, ClientCommand::Unmute { user }).await;
    told(&mut target, is_nothing).await;
    say(&mut target, "thank you").await;
    world.engine.stop().await;
}

#[tokio::test]
async fn a_mute_that_the_room_did_not_hear_of_reaches_it_by_its_row() {
    let world = World::start().await;
    let mut target = world.joined("Target").await;
    let user = id_of(&target);
    let mut tx = world.db.pool.begin().await.expect("begun");
    let insert = "insert into muted_viewers (stream_id, user_id, until, muted_by)
                  values ($1, $2, now() + interval '1 hour', $3)";
    let insert = sqlx::query(insert)
        .bind(world.shop.stream.0)
        .bind(user.0)
        .bind(world.shop.owner.0);
    insert.execute(&mut *tx).await.expect("muted");
    outbox::push(&mut tx, world.shop.stream, &RoomNotice::MuteChanged { user })
        .await
        .expect("written");
    tx.commit().await.expect("committed");
    told(&mut target, is_muted).await;
    refused(&mut target, chat("hello?"), ErrorCode::Muted).await;
    world.engine.stop().await;
}

#[tokio::test]
async fn a_timeout_takes_everything_out_of_view_that_the_person_has_said() {
    let world = World::start().await;
    let (mut host, mut viewer, mut target) = (
        world.host().await,
        world.joined("Visitor").await,
        world.joined("Target").await,
    );
    say(&mut viewer, "stays").await;
    let pinned = say(&mut target, "goes").await;
    done(&mut host, ClientCommand::PinMessage { message: pinned }).await;
    // On its way when the command comes, and not stored then for certain.
    target
        .send(chat("goes too"), Some(RequestId::new()))
        .await
        .expect("sent");
    hears(&mut host, "goes too").await;
    done(&mut host, ClientCommand::Timeout(mute(id_of(&target)))).await;
    let gone = viewer.event(|event| match event {
        RoomEvent::Moderation { user } => Some(*user),
        _ => None,
    });
    assert_eq!(gone.await.expect("told"), id_of(&target));
    refused(&mut target, chat("hello?"), ErrorCode::Muted).await;
    let snapshot = look(&world, "Late").await;
    assert_eq!(snapshot.pinned, None);
    assert_eq!(texts(&world, "Later").await, ["stays"]);
    done(&mut host, ClientCommand::Unmute { user: id_of(&target) }).await;
    say(&mut target, "is heard again").await;

    let world = world.restart().await;
    assert_eq!(texts(&world, "After").await, ["stays", "is heard again"]);
    assert_eq!(look(&world, "After all").await.pinned, None);
    let deleted =
        "select text from stream_chat_messages where deleted_by = $1 and deleted_as = 'moderator' order by id";
    let deleted: Vec<String> = sqlx::query_scalar(deleted)
        .bind(world.shop.owner.0)
        .fetch_all(&world.db.pool)
        .await
        .expect("the database answers");
    assert_eq!(deleted, ["goes", "goes too"]);
    world.engine.stop().await;
}

#[tokio::test]
async fn a_pinned_message_is_there_for_who_comes_later_and_after_a_restart() {
    let world = World::start().await;
    let (mut host, mut viewer) = (world.host().await, world.joined("Visitor").await);
    // Pinned as soon as it is heard: the command waits until it is stored.
    viewer
        .send(chat("a good question"), Some(RequestId::new()))
        .await
        .expect("sent");
    let first = host.event(|event| match event {
        RoomEvent::Chat(message) => Some(message.id),
        _ => None,
    });
    let first = first.await.expect("heard");
    done(&mut host, ClientCommand::PinMessage { message: first }).await;
    let second = say(&mut viewer, "a better one").await;
    done(&mut host, ClientCommand::PinMessage { message: second }).await;
    let pinned = viewer.event(|event| match event {
        RoomEvent::Pinned { message } if message.id == second => Some(message.author.name.clone()),
        _ => None,
    });
    assert_eq!(pinned.await.expect("told"), "Visitor");
    assert_eq!(
        look(&world, "Late").await.pinned.map(|message| message.id),
        Some(second)
    );
    let message = MessageId::new();
    let refusal = refused(&mut host, ClientCommand::PinMessage { message }, ErrorCode::NotFound).await;
    assert_eq!(refusal.field.as_deref(), Some("message"));

    let world = world.restart().await;
    assert_eq!(
        look(&world, "After").await.pinned.map(|message| message.id),
        Some(second)
    );
    // What is kept of a pin says which message it is, and nothing of it.
    let kept: Vec<serde_json::Value> =
        sqlx::query_scalar("select payload from stream_events where kind = 'pinned' order by seq")
            .fetch_all(&world.db.pool)
            .await
            .expect("the database answers");
    let pin = |message: MessageId| serde_json::json!({ "type": "pinned", "message": message });
    assert_eq!(kept, [pin(first), pin(second)]);
    let (mut host, mut watcher) = (world.host().await, world.joined("Watcher").await);
    done(&mut host, ClientCommand::DeleteMessage { message: second }).await;
    let deleted = watcher.event(|event| matches!(event, RoomEvent::MessageDeleted { .. }).then_some(()));
    deleted.await.expect("told");
    assert_eq!(
        look(&world, "Nothing pinned").await.pinned,
        None,
        "deleted messages are not"
    );
    done(&mut host, ClientCommand::PinMessage { message: first }).await;
    done(&mut host, ClientCommand::UnpinMessage).await;
    let unpinned = watcher.event(|event| matches!(event, RoomEvent::Unpinned).then_some(()));
    unpinned.await.expect("told");
    assert_eq!(look(&world, "Nothing again").await.pinned, None);
    world.engine.stop().await;
}

#[tokio::test]
async fn an_announcement_reaches_everybody_with_who_made_it() {
    let world = World::start().await;
    let mut guest = world.guest().await;
    let mut helper = moderator(&world, "Helper", &[Right::Announce]).await;
    let text = "  We go on\nin five minutes ".to_owned();
    done(&mut helper, ClientCommand::Announce { text }).await;
    let notice = guest.event(|event| match event {
        RoomEvent::Notice { author, text } => Some((author.clone(), text.clone())),
        _ => None,
    });
    let (author, text) = notice.await.expect("told");
    assert_eq!(text, "We go on in five minutes");
    assert_eq!(
        (author.name.as_str(), author.moderator, author.host),
        ("Helper", true, false)
    );
    let nothing = ClientCommand::Announce { text: " ".into() };
    refused(&mut helper, nothing, ErrorCode::InvalidBody).await;
    // Whoever moderates is seen to.
    say(&mut helper, "I am here").await;
    let author = guest.event(|event| match event {
        RoomEvent::Chat(message) => Some(message.author.clone()),
        _ => None,
    });
    assert!(author.await.expect("heard").moderator);
    world.engine.stop().await;
}

#[tokio::test]
async fn nobody_keeps_the_host_a_moderator_or_themselves_quiet() {
    let world = World::start().await;
    let mut host = world.host().await;
    let (rights, owner) = ([Right::Mute, Right::Ban], world.shop.owner);
    let mut helper = moderator(&world, "Helper", &rights).await;
    let other = id_of(&moderator(&world, "Other", &[Right::Pin]).await);
    for user in [owner, other, id_of(&helper)] {
        for command in [
            ClientCommand::Mute(mute(user)),
            ClientCommand::Timeout(mute(user)),
            ban(Person::User(user)),
        ] {
            refused(&mut helper, command, ErrorCode::Forbidden).await;
        }
    }
    refused(&mut host, ban(Person::User(owner)), ErrorCode::Forbidden).await;
    refused(&mut host, ClientCommand::Mute(mute(UserId::new())), ErrorCode::NotFound).await;
    refused(&mut host, ban(Person::User(UserId::new())), ErrorCode::NotFound).await;
    let too_long = Mute {
        seconds: 86_401,
        ..mute(other)
    };
    let refusal = refused(&mut host, ClientCommand::Mute(too_long), ErrorCode::InvalidBody).await;
    assert_eq!(refusal.field.as_deref(), Some("seconds"));
    // The host does it to a moderator, who is none any more when banned.
    done(&mut host, ban(Person::User(other))).await;
    let left: i64 = sqlx::query_scalar("select count(*) from moderators")
        .fetch_one(&world.db.pool)
        .await
        .expect("the database answers");
    assert_eq!(left, 1);
    world.engine.stop().await;
}

#[tokio::test]
async fn whoever_is_dismissed_loses_the_right_and_is_told() {
    let world = World::start().await;
    let target = world.joined("Target").await;
    let command = ClientCommand::Mute(mute(id_of(&target)));
    let mut helper = moderator(&world, "Helper", &[Right::Mute]).await;
    done(&mut helper, command.clone()).await;
    sqlx::query("update moderators set rights = '{pin}'")
        .execute(&world.db.pool)
        .await
        .expect("changed");
    // The room has not heard of it, and the command's own transaction refuses.
    refused(&mut helper, command.clone(), ErrorCode::Forbidden).await;
    tell_moderators(&world).await;
    let pin: Rights = [Right::Pin].into_iter().collect();
    told(&mut helper, |standing| standing.rights == pin).await;
    sqlx::query("delete from moderators")
        .execute(&world.db.pool)
        .await
        .expect("dismissed");
    tell_moderators(&world).await;
    told(&mut helper, is_nothing).await;
    refused(&mut helper, command, ErrorCode::Forbidden).await;
    world.engine.stop().await;
}

#[tokio::test]
async fn who_comes_back_without_a_snapshot_is_told_their_standing() {
    let world = World::start().await;
    let mut helper = moderator(&world, "Helper", &[Right::Mute]).await;
    let at = helper.position();
    done(&mut helper, ClientCommand::Leave).await;
    let joined = helper.join(world.shop.stream, at).await.expect("joined");
    assert_eq!(joined.snapshot, None, "replayed");
    told(&mut helper, |standing| standing.rights.has(Right::Mute)).await;
    world.engine.stop().await;
}

/// A second show of the shop, on air.
pub async fn second_show(world: &World, seller: SellerId) -> StreamId {
    let stream = StreamId::new();
    let insert = "insert into streams (id, seller_id, title, status, scheduled_at, started_at)
                  values ($1, $2, 'Second Show', 'live', now(), now())";
    let insert = sqlx::query(insert).bind(stream.0).bind(seller.0);
    insert.execute(&world.db.pool).await.expect("the show is new");
    stream
}

/// A guest's id as their hello names it.
pub fn guest_of(client: &LiveClient) -> GuestId {
    client.hello().guest.expect("a guest")
}
