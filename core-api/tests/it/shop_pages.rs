//! Shops' pages: in step with what they count, and cheap in a rush.

use std::sync::Arc;
use std::time::{Duration, Instant};

use core_api::sellers::SellerPage;
use core_api::sellers::model::FollowedShop;
use serde_json::{Value, json};
use shared::bus::MemoryBus;
use testkit::fixtures;

use crate::harness::App;
use crate::market::Market;
use crate::{pages, reviews};

/// Long enough for the slowest machine; what is awaited takes a second.
const DEADLINE: Duration = Duration::from_secs(20);

/// The page, once it is so.
async fn page_when(market: &Market, what: &str, is_so: impl Fn(&SellerPage) -> bool) -> SellerPage {
    let (path, began) = (format!("/sellers/{}", market.shop.seller), Instant::now());
    loop {
        let page: SellerPage = market.app.get(&path).send().await.ok();
        if is_so(&page) {
            return page;
        }
        assert!(began.elapsed() < DEADLINE, "not in time: {what}");
        tokio::task::yield_now().await;
    }
}

async fn schedule(market: &Market, title: &str, in_hours: i64) -> String {
    let at = chrono::Utc::now() + chrono::TimeDelta::hours(in_hours);
    let body = json!({"title": title, "scheduled_at": at});
    let show: Value = market.owner().post("/streams", &body).await.created();
    show["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn a_shops_page_is_in_step_with_its_followers_reviews_and_shows() {
    let market = Market::open(5, 100).await;
    let buyer = market.buyer().await;
    let path = format!("/sellers/{}", market.shop.seller);
    let page = page_when(&market, "at first", |page| page.live_stream.is_some()).await;
    assert_eq!(
        (page.follower_count, page.rating.count, page.rating.average),
        (0, 0, None)
    );
    assert_eq!(page.live_stream.map(|show| show.id), Some(market.shop.stream));
    assert_eq!((page.next_streams.len(), page.followed), (0, None));

    let own = async || buyer.session.get(&path).await.ok::<SellerPage>().followed;
    assert_eq!(own().await, Some(false));
    let follow = format!("{path}/follow");
    for _ in 0..2 {
        buyer.session.post(&follow, &json!({})).await.gone();
    }
    assert_eq!(own().await, Some(true), "at once for whom it is about");
    let line = reviews::item(&market, &reviews::delivered(&market, &buyer).await).await;
    let written: Value = reviews::write(&market, &buyer.session, line, 4).await.created();
    let later = schedule(&market, "Later", 48).await;
    let called_off = schedule(&market, "Called off", 2).await;
    let next = schedule(&market, "Next", 24).await;
    let cancel = format!("/streams/{called_off}/cancel");
    market.owner().post(&cancel, &json!({})).await.ok::<Value>();
    let page = page_when(&market, "all of it", |page| {
        page.follower_count == 1 && page.rating.count == 1 && page.next_streams.len() == 2
    })
    .await;
    assert_eq!(page.rating.average, Some(4.0));
    let shows: Vec<_> = page.next_streams.iter().map(|show| show.id.to_string()).collect();
    assert_eq!(shows, [next, later]);

    buyer.session.delete(&follow).await.gone();
    let review = format!("/reviews/{}", written["id"].as_str().expect("an id"));
    buyer.session.delete(&review).await.gone();
    page_when(&market, "neither any more", |page| {
        page.follower_count == 0 && page.rating.count == 0
    })
    .await;
}

#[tokio::test]
async fn a_shop_has_one_page_by_id_and_by_name_and_none_while_it_is_suspended() {
    let market = Market::open(1, 100).await;
    let by_id = format!("/sellers/{}", market.shop.seller);
    let first = market.app.get(&by_id).send().await;
    let page: SellerPage = first.ok();
    let by_slug = format!("/sellers/by-slug/{}", page.seller.slug);
    let named: SellerPage = market.app.get(&by_slug).send().await.ok();
    assert_eq!(named.seller.id, page.seller.id);
    let again = market.app.get(&by_id).header("If-None-Match", first.header("etag"));
    assert_eq!(again.send().await.status, 304);
    let own = market.owner().get(&by_id).await;
    assert_eq!(own.header("cache-control"), "private, no-store");
    for odd in ["no-such-shop", "A%00", "%2e%2e"] {
        let path = format!("/sellers/by-slug/{odd}");
        market.app.get(&path).send().await.refused(404, "not_found");
    }
    let suspend = format!("/admin/sellers/{}/suspend", market.shop.seller);
    market.app.admin().await.post(&suspend, &json!({})).await.ok::<Value>();
    for path in [&by_id, &by_slug] {
        market.app.get(path).send().await.refused(404, "not_found");
        market.owner().get(path).await.refused(404, "not_found");
    }
}

#[tokio::test]
async fn what_one_follows_comes_a_page_at_a_time() {
    let app = App::start().await;
    let reader = app.register("Reader").await;
    let mut shops = Vec::new();
    for _ in 0..3 {
        let shop = fixtures::shop(&app.db.pool, 1, 100).await;
        let follow = format!("/sellers/{}/follow", shop.seller);
        reader.post(&follow, &json!({})).await.gone();
        shops.push(shop);
    }
    let list = async |query: &str| -> (Vec<FollowedShop>, Option<String>) {
        let list: Value = reader.get(&format!("/users/follows{query}")).await.ok();
        let cursor = list["next_cursor"].as_str().map(str::to_owned);
        (serde_json::from_value(list["items"].clone()).expect("shops"), cursor)
    };
    let ids = |shown: &[FollowedShop]| shown.iter().map(|shop| shop.id).collect::<Vec<_>>();
    let (first, cursor) = list("?limit=2").await;
    assert_eq!(ids(&first), [shops[2].seller, shops[1].seller]);
    assert_eq!(first[0].live_stream_id, Some(shops[2].stream));
    let (rest, cursor) = list(&format!("?limit=2&cursor={}", cursor.expect("more"))).await;
    assert_eq!((ids(&rest), cursor), (vec![shops[0].seller], None));
    let suspend = format!("/admin/sellers/{}/suspend", shops[1].seller);
    app.admin().await.post(&suspend, &json!({})).await.ok::<Value>();
    assert_eq!(ids(&list("").await.0), [shops[2].seller, shops[0].seller]);
    app.get("/users/follows").send().await.refused(401, "unauthenticated");
}

#[tokio::test]
async fn a_rush_on_a_shops_page_costs_a_few_readings() {
    let app = App::start().await;
    let shop = fixtures::shop(&app.db.pool, 1, 100).await;
    let path = format!("/sellers/{}", shop.seller);
    let twin = Arc::new(app.twin(MemoryBus::shared()).await);
    let mut stop = app.db.pool.begin().await.expect("a transaction");
    sqlx::query("lock table follows in access exclusive mode")
        .execute(&mut *stop)
        .await
        .expect("locked");
    let rush: Vec<_> = (0..200)
        .map(|_| {
            let (twin, path) = (twin.clone(), path.clone());
            tokio::spawn(async move { twin.get(&path).await })
        })
        .collect();
    let began = Instant::now();
    while pages::waiting(&app).await == 0 {
        assert!(began.elapsed() < DEADLINE, "nobody reads the page");
    }
    // One reading a second, however many ask.
    for _ in 0..20 {
        let most = 2 + i64::try_from(began.elapsed().as_secs()).expect("seconds");
        let waiting = pages::waiting(&app).await;
        assert!(waiting <= most, "{waiting} readings after {:?}", began.elapsed());
    }
    stop.commit().await.expect("unlocked");
    for reply in rush {
        reply.await.expect("answered").ok::<SellerPage>();
    }
}
