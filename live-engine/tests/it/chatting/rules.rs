//! The chat's rules: how often, who, and what.

use std::time::Duration;

use shared::error::{ErrorCode, Refusal};
use shared::ids::RequestId;
use shared::protocol::{ChatAudience, ChatRules, ClientCommand, Links, Outcome, RoomEvent};
use shared::rights::Right;
use shared::token::Viewer;
use uuid::Uuid;

use super::{again, done, moderator, refused, say, snapshot, try_to_say};
use crate::harness::{World, chat, hears};

const fn slow(seconds: u32) -> ClientCommand {
    ClientCommand::SlowMode { seconds }
}

const fn mode(audience: Option<ChatAudience>, links: Option<Links>, max_chars: Option<u32>) -> ClientCommand {
    ClientCommand::ChatMode {
        audience,
        links,
        max_chars,
    }
}

async fn refusal(client: &mut loadtest::live::LiveClient, text: &str) -> Refusal {
    let said = client.call(chat(text)).await.expect("answered");
    said.expect_err("refused")
}

#[tokio::test]
async fn slow_mode_binds_a_person_on_all_their_connections_and_nobody_who_runs_the_show() {
    let world = World::start().await;
    let person = world.person("Author").await;
    let (mut one, mut two) = (again(&world, &person).await, again(&world, &person).await);
    let mut host = world.host().await;
    done(&mut host, slow(30)).await;
    say(&mut one, "first").await;
    for client in [&mut one, &mut two] {
        let refusal = refusal(client, "second").await;
        assert_eq!(refusal.code, ErrorCode::RateLimited);
        let wait = refusal.retry_after_ms.expect("when to come back");
        assert!((20_000..=30_000).contains(&wait), "{wait}");
    }
    for text in ["a", "b"] {
        say(&mut host, text).await;
    }
    // What is refused for its text is not counted.
    let mut other = world.joined("Other").await;
    assert_eq!(try_to_say(&mut other, "\u{202e}").await, Err(ErrorCode::InvalidBody));
    say(&mut other, "hello").await;
    // Neither does another owner of the room forget it.
    drop((one, two, host, other));
    let world = world.restart().await;
    assert_eq!(snapshot(&world).await.rules.slow_seconds, 30);
    let mut one = again(&world, &person).await;
    assert_eq!(refusal(&mut one, "second").await.code, ErrorCode::RateLimited);
    let mut host = world.host().await;
    done(&mut host, slow(0)).await;
    say(&mut one, "second").await;
    world.engine.stop().await;
}

#[tokio::test]
async fn rules_are_told_to_all_and_only_who_may_changes_them() {
    let world = World::start().await;
    let (_, mut ruler) = moderator(&world, &[Right::ChatRules]).await;
    let mut viewer = world.joined("Viewer").await;
    assert_eq!(snapshot(&world).await.rules, ChatRules::default());
    let (_, mut pinner) = moderator(&world, &[Right::Pin]).await;
    for client in [&mut viewer, &mut pinner] {
        assert_eq!(refused(client, slow(5)).await, ErrorCode::Forbidden);
    }
    done(&mut ruler, slow(5)).await;
    done(
        &mut ruler,
        mode(Some(ChatAudience::Buyers), Some(Links::Moderators), Some(80)),
    )
    .await;
    let rules = ChatRules {
        slow_seconds: 5,
        audience: ChatAudience::Buyers,
        links: Links::Moderators,
        max_chars: 80,
    };
    let told = viewer.event(|event| (*event == RoomEvent::ChatRules(rules)).then_some(()));
    told.await.expect("heard");
    assert_eq!(snapshot(&world).await.rules, rules);
    for wrong in [
        slow(3_601),
        mode(None, None, None),
        mode(None, None, Some(0)),
        mode(None, None, Some(501)),
    ] {
        assert_eq!(refused(&mut ruler, wrong).await, ErrorCode::InvalidBody);
    }
    // The same again is one act, and one that changes nothing tells nothing.
    let act = RequestId::new();
    for _ in 0..2 {
        let outcome = ruler.call_as(slow(0), act).await.expect("answered");
        assert_eq!(outcome, Ok(Outcome::Done));
    }
    done(&mut ruler, slow(0)).await;
    let told = super::count(&world, "select count(*) from stream_events where kind = 'chat_rules'").await;
    assert_eq!(told, 3);
    world.engine.stop().await;
}

#[tokio::test]
async fn who_has_just_followed_may_chat_at_once_where_only_followers_may() {
    let world = World::start().await;
    let person = world.person("Fan").await;
    let (mut fan, mut host) = (again(&world, &person).await, world.host().await);
    let mut stranger = world.joined("Stranger").await;
    done(&mut host, mode(Some(ChatAudience::Followers), None, None)).await;
    assert_eq!(try_to_say(&mut fan, "hello").await, Err(ErrorCode::ChatRestricted));
    let follow = sqlx::query("insert into follows (user_id, following_id) values ($1, $2)")
        .bind(person.user().expect("an account").0)
        .bind(world.shop.seller.0);
    follow.execute(&world.db.pool).await.expect("followed");
    say(&mut fan, "hello").await;
    say(&mut host, "welcome").await;
    assert_eq!(
        try_to_say(&mut stranger, "me too").await,
        Err(ErrorCode::ChatRestricted)
    );
    // What is said while it is being asked stays in order.
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(
            fan.send(chat(&format!("{n}")), Some(RequestId::new()))
                .await
                .expect("sent"),
        );
    }
    for n in 0..5 {
        hears(&mut stranger, &format!("{n}")).await;
    }
    for id in ids {
        fan.answer(id).await.expect("answered").expect("said");
    }
    done(&mut host, mode(Some(ChatAudience::Everyone), None, None)).await;
    say(&mut stranger, "at last").await;
    world.engine.stop().await;
}

#[tokio::test]
async fn who_has_paid_an_order_may_chat_where_only_buyers_may() {
    let world = World::start().await;
    let (buyer, lurker) = (world.person("Buyer").await, world.person("Lurker").await);
    let order = order(&world, &buyer).await;
    order_of(&world, order, "pending_payment").await;
    let (mut client, mut other) = (again(&world, &buyer).await, again(&world, &lurker).await);
    let mut host = world.host().await;
    done(&mut host, mode(Some(ChatAudience::Buyers), None, None)).await;
    assert_eq!(try_to_say(&mut client, "hello").await, Err(ErrorCode::ChatRestricted));
    order_of(&world, order, "paid").await;
    say(&mut client, "hello").await;
    assert_eq!(try_to_say(&mut other, "hello").await, Err(ErrorCode::ChatRestricted));
    world.engine.stop().await;
}

async fn order(world: &World, viewer: &Viewer) -> Uuid {
    let (user, id) = (viewer.user().expect("an account"), Uuid::now_v7());
    let address = testkit::fixtures::address(&world.db.pool, user).await;
    let (pool, shop) = (&world.db.pool, &world.shop);
    sqlx::query(
        "with c as (
             insert into checkouts (id, user_id, address_id, address, currency, status, items_minor, shipping_minor,
                                    total_minor, expires_at)
             values ($1, $2, $3, '{}', 'EUR', 'placed', 900, 0, 900, now()) returning id),
         o as (
             insert into orders (id, user_id, checkout_id, currency, items_minor, shipping_minor, total_minor,
                                 address, expires_at)
             select id, $2, id, 'EUR', 900, 0, 900, '{}', now() from c returning id)
         insert into order_items (id, order_id, seller_id, product_id, variant_id, title, sku, options, image_url,
                                  quantity, unit_price_minor, gross_minor, shipping_minor, commission_bps,
                                  commission_minor)
         select $1, id, $4, $5, $6, 'Bowl', 'B', '{}', '', 1, 900, 900, 0, 0, 0 from o",
    )
    .bind(id)
    .bind(user.0)
    .bind(address.0)
    .bind(shop.seller.0)
    .bind(shop.product.0)
    .bind(shop.variant.0)
    .execute(pool)
    .await
    .expect("an order");
    id
}

async fn order_of(world: &World, order: Uuid, status: &str) {
    let update = sqlx::query("update orders set status = $2 where id = $1")
        .bind(order)
        .bind(status);
    update.execute(&world.db.pool).await.expect("moved on");
}

#[tokio::test]
async fn links_and_length_are_for_the_show_to_say() {
    let world = World::start().await;
    let (mut viewer, mut host) = (world.joined("Viewer").await, world.host().await);
    say(&mut viewer, "see https://shop.example/bowls").await;
    done(&mut host, mode(None, Some(Links::Moderators), Some(30))).await;
    for link in [
        "see https://a.example",
        "hxxps://evil[.]com",
        "go to evil . com evil.com",
    ] {
        let refusal = refusal(&mut viewer, link).await;
        assert_eq!(
            (refusal.code, refusal.field.as_deref()),
            (ErrorCode::MessageRefused, Some("text")),
            "{link}"
        );
    }
    say(&mut viewer, "nice. really").await;
    say(&mut host, "see https://a.example").await;
    assert_eq!(
        try_to_say(&mut viewer, &"ü".repeat(31)).await,
        Err(ErrorCode::InvalidBody)
    );
    say(&mut viewer, &"ü".repeat(30)).await;
    world.engine.stop().await;
}

#[tokio::test]
async fn a_person_with_two_connections_says_no_more_than_with_one() {
    let world = World::start_with(|config| config.limits.chat = "1/4".parse().expect("a rate")).await;
    let person = world.person("Author").await;
    let (mut one, mut two) = (again(&world, &person).await, again(&world, &person).await);
    let mut said = 0;
    for n in 0..6 {
        for client in [&mut one, &mut two] {
            said += usize::from(try_to_say(client, &format!("{n}")).await.is_ok());
        }
    }
    // The burst, and one for each second that the test may have taken.
    assert!((4..=6).contains(&said), "{said}");
    world.engine.stop().await;
}

#[tokio::test]
async fn a_room_that_is_too_busy_tells_authors_to_wait_and_leaves_nothing_out() {
    let world = World::start_with(|config| {
        config.limits.room_chat = "1/5".parse().expect("a rate");
    })
    .await;
    let mut listener = world.joined("Listener").await;
    let mut said = Vec::new();
    for n in 0..4 {
        let mut author = world.joined(&format!("Author {n}")).await;
        for m in 0..4 {
            let text = format!("{n}.{m}");
            match author.call(chat(&text)).await.expect("answered") {
                Ok(_) => said.push(text),
                Err(refusal) => {
                    assert_eq!(refusal.code, ErrorCode::RateLimited);
                    assert!(refusal.retry_after_ms.is_some());
                }
            }
        }
    }
    assert!((5..16).contains(&said.len()), "{said:?}");
    for text in said {
        hears(&mut listener, &text).await;
    }
    // Not for who runs the show.
    say(&mut world.host().await, "order!").await;
    world.engine.stop().await;
}

#[tokio::test]
async fn a_guest_watches_and_says_deletes_and_reports_nothing() {
    let world = World::start().await;
    let mut author = world.joined("Author").await;
    let message = say(&mut author, "hello").await;
    let mut guest = world.guest().await;
    assert_eq!(try_to_say(&mut guest, "hello").await, Err(ErrorCode::Unauthenticated));
    let report = ClientCommand::Report {
        message,
        reason: shared::protocol::ReportReason::Spam,
        note: String::new(),
    };
    assert_eq!(refused(&mut guest, report).await, ErrorCode::Unauthenticated);
    for command in [ClientCommand::DeleteMessage { message }, slow(5)] {
        assert_eq!(refused(&mut guest, command).await, ErrorCode::Forbidden);
    }
    world.engine.stop().await;
}

#[tokio::test]
async fn a_database_that_is_away_keeps_nobody_in_doubt_whether_they_may_chat() {
    use crate::proxy::{Line, Proxy};

    let db = testkit::database().await;
    let proxy = Proxy::before(&db.url).await;
    let url = proxy.url.clone();
    let world = World::start_in(db, shared::bus::MemoryBus::shared(), |config| {
        config.database_url = shared::config::Secret::new(url);
    })
    .await;
    let (mut viewer, mut host) = (world.joined("Viewer").await, world.host().await);
    done(&mut host, mode(Some(ChatAudience::Followers), None, None)).await;
    proxy.set(Line::Silent);
    let begun = std::time::Instant::now();
    assert_eq!(
        try_to_say(&mut viewer, "hello").await,
        Err(ErrorCode::DatabaseUnavailable)
    );
    assert!(begun.elapsed() < Duration::from_secs(8));
    proxy.set(Line::Open);
    world.engine.stop().await;
}
