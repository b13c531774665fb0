//! Search: words, typos, narrowing, orders, facets, and pages that stay where they are.

use core_api::catalog::search::model::Sort;
use core_api::catalog::search::{Effort, Filter, Found, prune_words, search_with};
use serde_json::{Value, json};
use shared::ids::SellerId;

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
    let meant = found(&app, "q=Lavendar%20candel%20-red").await;
    assert_eq!(meant.corrected.as_deref(), Some("lavender candle -red"));
    assert_eq!(found(&app, "q=candle").await.corrected, None);
    // The words are there, but not together: nothing else was meant.
    assert!(titles(&app, "q=stoneware%20candle").await.is_empty());
    priced(&shop, "Lavender Soap", "", 500, 1).await;
    priced(&shop, "Lavender Oil", "", 500, 1).await;
    let first = found(&app, "q=lavendar&limit=2").await;
    let cursor = first.next_cursor.expect("more");
    // What is added now would be nearer to what was typed; who reads on reads the same.
    priced(&shop, "Lavendar Field", "", 500, 1).await;
    let second = found(&app, &format!("q=lavendar&limit=2&cursor={cursor}")).await;
    assert_eq!((second.items.len(), second.next_cursor), (1, None));
    assert_eq!(second.corrected.as_deref(), Some("lavender"));
}

#[tokio::test]
async fn a_word_that_nothing_on_sale_has_is_not_what_was_meant() {
    let app = App::start().await;
    let (shop, _) = app.seller("Some Shop").await;
    priced(&shop, "Lavender Candle", "Burns for hours", 2_000, 1).await;
    let gone = add(&shop, &mug("Candels", 1)).await;
    let archived = json!({"status": "archived"});
    let path = format!("/seller/products/{}", gone.id);
    shop.patch(&path, &archived).await.ok::<Value>();
    let meant = found(&app, "q=candel").await;
    assert_eq!(meant.corrected.as_deref(), Some("candle"));
    assert_eq!(meant.items[0].title, "Lavender Candle");

    // The job forgets it, and nothing else.
    let words = "select array_agg(word order by word) from search_words";
    let words = async || -> Vec<String> { sqlx::query_scalar(words).fetch_one(&app.db.pool).await.expect("words") };
    assert_eq!(words().await, ["candels", "candle", "lavender"]);
    assert_eq!(prune_words(&app.db.pool).await.expect("pruned"), 1);
    assert_eq!(words().await, ["candle", "lavender"]);
}

#[tokio::test]
async fn nobody_has_more_sorted_than_they_may_by_a_cursor_of_their_own() {
    let app = App::start().await;
    let (_, seller) = app.seller("Some Shop").await;
    fill(&app, seller, "Lamp %s", 900).await;
    let forged = "q=lamp&cursor=relevance.row.9000000000.0191e2a4-b000-7000-8000-00000000000f";
    assert_eq!(found(&app, forged).await.items.len(), 20);
    fill(&app, seller, "Lamp %s", 1_200).await;
    let refused = app.get(&format!("/products?{forged}")).send().await;
    let refused = refused.refused(400, "invalid_parameter");
    assert_eq!(refused["field"], "cursor");
}

#[tokio::test]
async fn what_is_no_product_of_the_public_teaches_search_no_words() {
    let app = App::start().await;
    let (shop, _) = app.seller("Some Shop").await;
    let mut secret = mug("Zeppelin", 1);
    secret["status"] = json!("draft");
    let secret = add(&shop, &secret).await;
    priced(&shop, "Stoneware Mug", "", 1_000, 1).await;
    assert_eq!(found(&app, "q=mug%20zepelin").await.corrected.as_deref(), Some("mug"));
    let path = format!("/seller/products/{}", secret.id);
    shop.patch(&path, &json!({"status": "active"})).await.ok::<Value>();
    let found = found(&app, "q=zepelin").await;
    assert_eq!((found.items.len(), found.corrected.as_deref()), (1, Some("zeppelin")));
}

/// Writes products past the service, put on sale one after the other.
async fn fill(app: &App, seller: SellerId, title: &str, count: i32) {
    let products = "insert into products (id, seller_id, title, currency, status)
                    select gen_random_uuid(), $1, format($2, lpad(i::text, 4, '0')), 'EUR', 'active'
                      from generate_series(1, $3) i";
    let products = sqlx::query(products).bind(seller.0).bind(title).bind(count);
    products.execute(&app.db.pool).await.expect("written");
    let variants = "insert into product_variants (id, product_id, sku, price_minor, on_hand)
                    select gen_random_uuid(), id, id::text, 1000, 1 from products p
                     where not exists (select from product_variants v where v.product_id = p.id)";
    sqlx::query(variants).execute(&app.db.pool).await.expect("written");
}

/// All pages of a query, by their titles.
async fn all_pages(app: &App, query: &str) -> Vec<String> {
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = found(app, &format!("{query}&limit=100{cursor}")).await;
        seen.extend(page.items.into_iter().map(|product| product.title));
        let Some(next) = page.next_cursor else { return seen };
        cursor = format!("&cursor={next}");
    }
}

#[tokio::test]
async fn every_product_is_reached_by_relevance_and_an_old_exact_title_comes_first() {
    let app = App::start().await;
    let (shop, seller) = app.seller("Some Shop").await;
    priced(&shop, "Mug", "The first of all", 1_000, 1).await;
    priced(&shop, "Plate", "Goes with any mug", 1_000, 1).await;
    fill(&app, seller, "Blue mug %s", 600).await;
    let ranked = all_pages(&app, "q=mug").await;
    assert_eq!((ranked.len(), ranked[0].as_str()), (602, "Mug"));
    assert_eq!(ranked.last().map(String::as_str), Some("Plate"));

    // More than are ranked: by class, and the newest of each first.
    fill(&app, seller, "Tall mug %s", 1_500).await;
    let classed = all_pages(&app, "q=mugs").await;
    let first = ["Tall mug 1500", "Tall mug 1499"];
    assert_eq!((classed.len(), &classed[..2]), (2_102, &first.map(str::to_owned)[..]));
    assert_eq!(classed.last().map(String::as_str), Some("Plate"));
    let each: std::collections::HashSet<&String> = classed.iter().collect();
    assert_eq!(each.len(), classed.len(), "each once");
    assert_eq!(titles(&app, "q=mug&limit=2").await, ["Mug", "Tall mug 1500"]);
    let facets = found(&app, "q=mug&facets=true").await.facets.expect("asked for");
    assert_eq!((facets.counted, facets.complete, facets.in_stock), (2_102, true, 2_102));
}

#[tokio::test]
async fn whichever_way_a_search_goes_it_finds_the_same() {
    let app = App::start().await;
    let (shop, seller) = app.seller("Some Shop").await;
    fill(&app, seller, "Vase %s", 1_010).await;
    priced(&shop, "Plate", "Goes with any vase", 1_000, 1).await;
    priced(&shop, "Vase", "", 1_000, 1).await;
    fill(&app, seller, "Mug %s", 60).await;
    sqlx::query("update product_variants set price_minor = 1000 + (hashtext(id::text) & 63)")
        .execute(&app.db.pool)
        .await
        .expect("priced");
    let effort = |near, gathered| Effort { near, gathered };
    // Near, from what was looked up, and along an index to the end.
    let ways = [effort(10_000, 0), effort(1, 10_000), effort(1, 0), effort(50, 500)];
    for sort in [Sort::Relevance, Sort::Newest, Sort::PriceAsc, Sort::PriceDesc] {
        let filter = Filter {
            q: Some("vases".to_owned()),
            currency: Some("EUR".to_owned()),
            sort: Some(sort),
            limit: Some(100),
            ..Filter::default()
        };
        let mut all = Vec::new();
        for way in ways {
            let mut ids = Vec::new();
            let mut filter = filter.clone();
            loop {
                let page = search_with(&app.db.pool, &filter, way).await.expect("found");
                ids.extend(page.items.iter().map(|product| product.id));
                filter.cursor = page.next_cursor;
                if filter.cursor.is_none() {
                    break;
                }
            }
            all.push(ids);
        }
        assert_eq!(all[0].len(), 1_012, "{sort:?}");
        assert!(all.iter().all(|ids| *ids == all[0]), "{sort:?}");
    }
}

#[tokio::test]
async fn the_newest_are_those_put_on_sale_last() {
    let app = App::start().await;
    let (shop, _) = app.seller("Some Shop").await;
    let mut draft = mug("Long prepared", 1);
    draft["status"] = json!("draft");
    let draft = add(&shop, &draft).await;
    let path = format!("/seller/products/{}", draft.id);
    for title in ["One", "Two", "Three"] {
        priced(&shop, title, "", 1_000, 1).await;
    }
    let first = found(&app, "limit=2").await;
    let cursor = first.next_cursor.expect("more");
    shop.patch(&path, &json!({"status": "active"})).await.ok::<Value>();
    assert_eq!(titles(&app, &format!("limit=2&cursor={cursor}")).await, ["One"]);
    assert_eq!(
        titles(&app, "sort=newest").await,
        ["Long prepared", "Three", "Two", "One"]
    );
    // Who takes it off and puts it on again does not come first by it.
    priced(&shop, "Four", "", 1_000, 1).await;
    for status in ["archived", "active"] {
        shop.patch(&path, &json!({"status": status})).await.ok::<Value>();
    }
    assert_eq!(titles(&app, "limit=2").await, ["Four", "Long prepared"]);
}

#[tokio::test]
async fn a_price_is_one_of_a_variant() {
    let app = App::start().await;
    let (shop, _) = app.seller("Some Shop").await;
    let mut product = mug("Mug", 1);
    let mut large = product["variants"][0].clone();
    (large["sku"], large["options"]) = (json!("LARGE"), json!({"Colour": "Green"}));
    (product["variants"][0]["price_minor"], large["price_minor"]) = (json!(500), json!(5_000));
    let variants = product["variants"].as_array_mut().expect("a list");
    variants.push(large);
    let own = add(&shop, &product).await;
    for (range, hit) in [
        ("price_min=1000", true),
        ("price_min=5001", false),
        ("price_max=499", false),
        ("price_max=1000", true),
        ("price_min=1000&price_max=2000", false),
        ("price_min=400&price_max=2000", true),
        ("price_min=1000&price_max=5000", true),
    ] {
        let count = titles(&app, &format!("{range}&currency=EUR")).await.len();
        assert_eq!(count, usize::from(hit), "{range}");
    }
    let variant = own.variants.iter().find(|v| v.sku == "LARGE").expect("it").id;
    let path = format!("/seller/variants/{variant}");
    shop.patch(&path, &json!({"price_minor": 900})).await.ok::<Value>();
    assert!(titles(&app, "price_min=1000&currency=EUR").await.is_empty());
}

#[tokio::test]
async fn a_category_counts_what_stands_below_it() {
    let app = App::start().await;
    let admin = app.admin().await;
    let (shop, _) = app.seller("Some Shop").await;
    let category = async |name: &str, parent: &Value| -> Value {
        let body = json!({"name": name, "slug": name, "parent_id": parent});
        let made: Value = admin.post("/admin/categories", &body).await.created();
        made["id"].clone()
    };
    let kitchen = category("kitchen", &Value::Null).await;
    let mugs = category("mugs", &kitchen).await;
    let tall = category("tall-mugs", &mugs).await;
    for (title, category) in [
        ("Spoon", &kitchen),
        ("Mug", &mugs),
        ("Tall Mug", &tall),
        ("Stone", &Value::Null),
    ] {
        let mut product = mug(title, 1);
        product["category_id"] = category.clone();
        add(&shop, &product).await;
    }
    let facets = found(&app, "facets=true").await.facets.expect("asked for");
    let counts: Vec<_> = facets
        .categories
        .iter()
        .map(|c| (json!(c.category_id), c.count))
        .collect();
    let sorted = [(kitchen, 3), (mugs.clone(), 2)];
    assert_eq!(counts[..2], sorted);
    assert!(counts[2..].contains(&(tall, 1)) && counts[2..].contains(&(Value::Null, 1)));
    let below = found(&app, "facets=true&category=mugs")
        .await
        .facets
        .expect("asked for");
    assert_eq!(below.counted, 2);
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
