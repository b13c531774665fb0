//! Search: words, typos, narrowing, orders, facets, and pages that stay where they are.

use core_api::catalog::search::Found;
use serde_json::{Value, json};

use crate::catalog::{add, mug};
use crate::harness::{App, Session};

async fn priced(shop: &Session, title: &str, description: &str, price_minor: i64, on_hand: i32) {
    let mut product = mug(title, on_hand);
    product["description"] = json!(description);
    product["variants"][0]["price_minor"] = json!(price_minor);
    add(shop, &product).await;
}

async fn found(app: &App, query: &str) -> Found {
    app.get(&format!("/products?{query}")).send().await.ok()
}

async fn titles(app: &App, query: &str) -> Vec<String> {
    let found = found(app, query).await;
    found.items.into_iter().map(|product| product.title).collect()
}

#[tokio::test]
async fn words_are_found_in_any_form_and_the_best_first() {
    let app = App::start().await;
    let (shop, _) = app.seller("Some Shop").await;
    priced(&shop, "Stoneware Mug", "For tea", 1_000, 1).await;
    priced(&shop, "Tea Towel", "Linen, hangs beside any mugs", 1_000, 1).await;
    priced(&shop, "Crème Brûlée Dish", "Oven-proof", 1_000, 1).await;
    assert_eq!(titles(&app, "q=mugs").await, ["Stoneware Mug", "Tea Towel"]);
    assert_eq!(titles(&app, "q=mugs&sort=newest").await, ["Tea Towel", "Stoneware Mug"]);
    assert_eq!(titles(&app, "q=tea%20-towel").await, ["Stoneware Mug"]);
    assert_eq!(titles(&app, "q=creme%20BRULEE").await, ["Crème Brûlée Dish"]);
    assert_eq!(titles(&app, "q=br%C3%BBl%C3%A9e").await, ["Crème Brûlée Dish"]);
    assert!(titles(&app, "q=bicycle").await.is_empty());
}

#[tokio::test]
async fn typos_find_what_was_meant() {
    let app = App::start().await;
    let (shop, _) = app.seller("Some Shop").await;
    priced(&shop, "Stoneware Mug", "For tea", 1_000, 1).await;
    priced(&shop, "Lavender Candle", "Burns for hours", 2_000, 1).await;
    for typo in ["stonwear", "stonewre", "stoneware%20mgu"] {
        assert_eq!(titles(&app, &format!("q={typo}")).await, ["Stoneware Mug"], "{typo}");
    }
    assert_eq!(titles(&app, "q=lavendar%20candel").await, ["Lavender Candle"]);
    assert_eq!(
        titles(&app, "q=lavendar&sort=price_asc&currency=EUR").await,
        ["Lavender Candle"]
    );
    assert!(titles(&app, "q=lavendar&currency=USD").await.is_empty());
}

#[tokio::test]
async fn prices_narrow_and_order_within_one_currency() {
    let app = App::start().await;
    let (shop, seller) = app.seller("Some Shop").await;
    for (title, price) in [
        ("Ten", 1_000),
        ("Thirty", 3_000),
        ("Twenty", 2_000),
        ("Also Ten", 1_000),
    ] {
        priced(&shop, title, "", price, 1).await;
    }
    assert_eq!(
        titles(&app, "sort=price_asc&currency=EUR").await,
        ["Ten", "Also Ten", "Twenty", "Thirty"]
    );
    assert_eq!(
        titles(&app, &format!("sort=price_desc&seller={seller}")).await,
        ["Thirty", "Twenty", "Also Ten", "Ten"]
    );
    assert_eq!(
        titles(&app, "price_min=1500&price_max=2000&currency=EUR").await,
        ["Twenty"]
    );
    assert!(titles(&app, "price_min=1&currency=USD").await.is_empty());
    let refused = app.get("/products?price_min=1").send().await;
    assert_eq!(refused.refused(400, "invalid_parameter")["field"], "currency");
    for (query, field) in [
        ("sort=relevance", "sort"),
        ("limit=0", "limit"),
        ("cursor=newest.1", "cursor"),
        ("q=%00", "q"),
        ("price_min=-1&currency=EUR", "price_min"),
    ] {
        let refused = app.get(&format!("/products?{query}")).send().await;
        assert_eq!(refused.refused(400, "invalid_parameter")["field"], field);
    }
}

#[tokio::test]
async fn stock_that_comes_and_goes_is_seen_by_search() {
    let app = App::start().await;
    let (shop, _) = app.seller("Some Shop").await;
    let own = add(&shop, &mug("Mug", 1)).await;
    let path = format!("/seller/variants/{}/stock", own.variants[0].id);
    assert_eq!(titles(&app, "in_stock=true").await, ["Mug"]);
    shop.post_once(&path, uuid::Uuid::now_v7(), &json!({"delta": -1}))
        .await
        .ok::<Value>();
    assert!(titles(&app, "in_stock=true").await.is_empty());
    assert_eq!(titles(&app, "in_stock=false").await, ["Mug"]);
    shop.post_once(&path, uuid::Uuid::now_v7(), &json!({"delta": 3}))
        .await
        .ok::<Value>();
    assert_eq!(titles(&app, "in_stock=true").await, ["Mug"]);
}

#[tokio::test]
async fn pages_stay_where_they_are_while_products_are_added() {
    let app = App::start().await;
    let (shop, _) = app.seller("Some Shop").await;
    for i in 0..7 {
        priced(&shop, &format!("Mug {i}"), "", 1_000 + 100 * (i % 3), 1).await;
    }
    for query in [
        "sort=newest",
        "sort=price_asc&currency=EUR",
        "sort=price_desc&currency=EUR",
        "q=mug",
        "q=mug&sort=price_asc&currency=EUR",
    ] {
        let whole = titles(&app, &format!("{query}&limit=100")).await;
        assert_eq!(whole.iter().filter(|title| title.starts_with("Mug")).count(), 7);
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = found(&app, &format!("{query}&limit=2{cursor}")).await;
            seen.extend(page.items.into_iter().map(|product| product.title));
            let Some(next) = page.next_cursor else { break };
            cursor = format!("&cursor={next}");
            // It would stand before what was seen, in each of these orders.
            priced(&shop, "Added Mug", "", 1_000, 1).await;
        }
        let stayed: Vec<_> = seen.iter().filter(|title| title.starts_with("Mug")).collect();
        let expected: Vec<_> = whole.iter().filter(|title| title.starts_with("Mug")).collect();
        assert_eq!(stayed, expected, "{query}: each once, in the order of the first look");
    }
}

#[tokio::test]
async fn facets_count_what_was_found() {
    let app = App::start().await;
    let admin = app.admin().await;
    let ((one, one_id), (two, _)) = (app.seller("One").await, app.seller("Two").await);
    let category: Value = admin
        .post("/admin/categories", &json!({"name": "Mugs", "slug": "mugs"}))
        .await
        .created();
    for i in 0..4 {
        let mut product = mug(&format!("Mug {i}"), i);
        product["category_id"] = category["id"].clone();
        add(&one, &product).await;
    }
    priced(&two, "Tall Mug", "", 5_000, 1).await;
    priced(&two, "Lamp", "", 9_000, 1).await;
    for query in ["q=mug&facets=true", "facets=true&price_max=5000&currency=EUR"] {
        let facets = found(&app, query).await.facets.expect("asked for");
        assert_eq!((facets.counted, facets.complete), (5, true), "{query}");
        assert_eq!((facets.in_stock, facets.out_of_stock), (4, 1));
        assert_eq!((facets.sellers[0].seller.id, facets.sellers[0].count), (one_id, 4));
        let counts: Vec<_> = facets
            .categories
            .iter()
            .map(|c| (c.category_id.is_some(), c.count))
            .collect();
        assert_eq!(counts, [(true, 4), (false, 1)]);
        let prices: Vec<_> = facets
            .prices
            .iter()
            .map(|r| (r.from.minor, r.to.minor, r.count))
            .collect();
        assert_eq!(prices, [(1_999, 1_999, 4), (5_000, 5_000, 1)]);
    }
    assert!(found(&app, "q=mug").await.facets.is_none());
    let page = app
        .get(&format!("/sellers/{one_id}/products?facets=true&limit=1"))
        .send()
        .await;
    let page: Found = page.ok();
    assert_eq!(
        (page.items.len(), page.facets.map(|facets| facets.counted)),
        (1, Some(4))
    );
}
