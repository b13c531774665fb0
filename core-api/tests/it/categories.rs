//! The tree of categories: shaped by admins, without cycles, and what may be deleted.

use serde_json::{Value, json};

use crate::catalog::{add, mug};
use crate::harness::{App, Session};

async fn make(admin: &Session, slug: &str, parent: Option<&str>) -> String {
    let body = json!({"name": slug, "slug": slug, "parent_id": parent});
    let made: Value = admin.post("/admin/categories", &body).await.created();
    made["id"].as_str().expect("an id").to_owned()
}

fn path(id: &str) -> String {
    format!("/admin/categories/{id}")
}

async fn tree(app: &App) -> Vec<String> {
    fn walk(nodes: &Value, above: &str, paths: &mut Vec<String>) {
        for node in nodes.as_array().expect("a list") {
            let path = format!("{above}/{}", node["slug"].as_str().expect("a slug"));
            paths.push(path.clone());
            walk(&node["children"], &path, paths);
        }
    }
    let tree: Value = app.get("/categories").send().await.ok();
    let mut paths = Vec::new();
    walk(&tree["items"], "", &mut paths);
    paths
}

#[tokio::test]
async fn a_category_moves_with_what_stands_below_it() {
    let app = App::start().await;
    let admin = app.admin().await;
    let home = make(&admin, "home", None).await;
    let kitchen = make(&admin, "kitchen", Some(&home)).await;
    make(&admin, "mugs", Some(&kitchen)).await;
    let garden = make(&admin, "garden", None).await;
    admin
        .patch(&path(&kitchen), &json!({"parent_id": garden, "name": "Cooking"}))
        .await
        .ok::<Value>();
    assert_eq!(
        tree(&app).await,
        ["/garden", "/garden/kitchen", "/garden/kitchen/mugs", "/home"]
    );
    let top = json!({"parent_id": null, "position": 0, "slug": "cooking"});
    let moved: Value = admin.patch(&path(&kitchen), &top).await.ok();
    assert_eq!((&moved["parent_id"], &moved["name"]), (&json!(null), &json!("Cooking")));
    assert_eq!(tree(&app).await, ["/cooking", "/cooking/mugs", "/garden", "/home"]);
    let problem = admin.patch(&path(&kitchen), &json!({"slug": "home"})).await;
    assert_eq!(problem.refused(409, "conflict")["field"], "slug");
}

#[tokio::test]
async fn a_category_never_stands_below_itself() {
    let app = App::start().await;
    let admin = app.admin().await;
    let a = make(&admin, "a", None).await;
    let b = make(&admin, "b", Some(&a)).await;
    let c = make(&admin, "c", Some(&b)).await;
    for below in [&a, &b, &c] {
        let problem = admin.patch(&path(&a), &json!({"parent_id": below})).await;
        assert_eq!(problem.refused(409, "category_cycle")["field"], "parent_id");
    }
    let nowhere = json!({"parent_id": uuid::Uuid::now_v7()});
    let problem = admin.patch(&path(&a), &nowhere).await;
    assert_eq!(problem.refused(422, "invalid_body")["field"], "parent_id");
    // The database refuses it to whoever writes past the service, too.
    let ring = sqlx::query("update categories set parent_id = $1::uuid where id = $2::uuid")
        .bind(&c)
        .bind(&a);
    let error = ring.execute(&app.db.pool).await.expect_err("a ring");
    let cause = error.as_database_error().expect("of the database");
    assert_eq!(cause.constraint(), Some("categories_no_cycle"));
}

#[tokio::test]
async fn of_two_moves_that_would_close_a_ring_together_one_is_refused() {
    let app = App::start().await;
    let admin = app.admin().await;
    for round in 0..5 {
        let left = make(&admin, &format!("left-{round}"), None).await;
        let right = make(&admin, &format!("right-{round}"), None).await;
        let move_to = async |id: &str, parent: &str| admin.patch(&path(id), &json!({"parent_id": parent})).await;
        let (one, two) = tokio::join!(move_to(&left, &right), move_to(&right, &left));
        let mut statuses = [one.status.as_u16(), two.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409]);
    }
}

#[tokio::test]
async fn a_category_in_use_is_retired_and_an_empty_one_deleted() {
    let app = App::start().await;
    let admin = app.admin().await;
    let (shop, _) = app.seller("Some Shop").await;
    let home = make(&admin, "home", None).await;
    let mugs = make(&admin, "mugs", Some(&home)).await;
    let mut product = mug("Mug", 1);
    product["category_id"] = json!(mugs);
    let product = add(&shop, &product).await;
    for id in [&home, &mugs] {
        admin.delete(&path(id)).await.refused(409, "in_use");
    }

    admin.patch(&path(&home), &json!({"retired": true})).await.ok::<Value>();
    assert!(tree(&app).await.is_empty(), "what stands below is retired too");
    let all: Value = admin.get("/admin/categories").await.ok();
    assert!(
        all["items"]
            .as_array()
            .expect("all")
            .iter()
            .all(|row| row["retired"] == true)
    );
    let mut another = mug("Another", 1);
    another["category_id"] = json!(mugs);
    let problem = shop.post("/seller/products", &another).await;
    assert_eq!(problem.refused(422, "invalid_body")["field"], "category_id");
    let found: Value = app.get("/products?category=home").send().await.ok();
    assert_eq!(found["items"][0]["title"], "Mug", "what stands in it stays");

    // It may be changed where it is, but not come back to be sold there.
    let own = format!("/seller/products/{}", product.id);
    shop.patch(&own, &json!({"title": "Old Mug", "status": "archived"}))
        .await
        .ok::<Value>();
    let problem = shop.patch(&own, &json!({"status": "active"})).await;
    assert_eq!(problem.refused(409, "wrong_state")["field"], "status");
    shop.patch(&own, &json!({"status": "active", "category_id": null}))
        .await
        .ok::<Value>();

    let problem = admin.patch(&path(&mugs), &json!({"retired": false})).await;
    assert_eq!(problem.refused(409, "wrong_state")["field"], "parent_id");
    admin
        .patch(&path(&home), &json!({"retired": false}))
        .await
        .ok::<Value>();
    assert_eq!(tree(&app).await, ["/home"]);
    admin.delete(&path(&mugs)).await.gone();
    admin.delete(&path(&home)).await.gone();
    admin.delete(&path(&home)).await.refused(404, "not_found");
}

#[tokio::test]
async fn only_admins_shape_the_tree() {
    let app = App::start().await;
    let id = make(&app.admin().await, "home", None).await;
    let (shop, _) = app.seller("Some Shop").await;
    shop.get("/admin/categories").await.refused(403, "forbidden");
    shop.patch(&path(&id), &json!({"name": "Mine"}))
        .await
        .refused(403, "forbidden");
    shop.delete(&path(&id)).await.refused(403, "forbidden");
    app.method(reqwest::Method::DELETE, &path(&id))
        .send()
        .await
        .refused(401, "unauthenticated");
}
