//! Accounts as those who run the market find them.

use serde_json::{Value, json};

use crate::harness::App;

fn items(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().expect("items").iter();
    items
        .map(|item| item["display_name"].as_str().expect("a name"))
        .collect()
}

#[tokio::test]
async fn an_admin_finds_accounts_by_the_beginning_of_their_address_or_their_handle() {
    let app = App::start().await;
    let admin = app.admin().await;
    let (mug, cup) = (app.register("Mug").await, app.register("Cup").await);
    mug.patch("/auth/profile", &json!({"handle": "mug_fan"}))
        .await
        .ok::<Value>();
    for (q, found) in [
        (mug.email.to_uppercase(), vec!["Mug"]),
        (cup.email[..cup.email.len() - 5].to_owned(), vec!["Cup"]),
        ("Mug_Fan".to_owned(), vec!["Mug"]),
        ("%".to_owned(), vec![]),
        ("mug_fa".to_owned(), vec![]),
        ("  ".to_owned(), vec!["Cup", "Mug", "Admin"]),
    ] {
        let query = q.replace('%', "%25").replace(' ', "%20");
        let list: Value = admin.get(&format!("/admin/users?q={query}")).await.ok();
        assert_eq!(items(&list), found, "{q}");
    }
    admin
        .get("/admin/users?q=a%00b")
        .await
        .refused(400, "invalid_parameter");
    let one: Value = admin.get(&format!("/admin/users/{}", mug.id)).await.ok();
    assert_eq!(
        (one["handle"].as_str(), one["email"].as_str()),
        (Some("mug_fan"), Some(mug.email.as_str()))
    );
    let unknown = format!("/admin/users/{}", uuid::Uuid::now_v7());
    admin.get(&unknown).await.refused(404, "not_found");
}

#[tokio::test]
async fn accounts_come_a_page_at_a_time() {
    let app = App::start().await;
    let admin = app.admin().await;
    for name in ["A", "B", "C"] {
        app.register(name).await;
    }
    let first: Value = admin.get("/admin/users?limit=2").await.ok();
    assert_eq!(items(&first), ["C", "B"]);
    let cursor = first["next_cursor"].as_str().expect("more");
    let rest: Value = admin.get(&format!("/admin/users?limit=2&cursor={cursor}")).await.ok();
    assert_eq!(items(&rest), ["A", "Admin"]);
    assert_eq!(rest["next_cursor"], Value::Null);
}

#[tokio::test]
async fn nobody_else_looks_accounts_up() {
    let app = App::start().await;
    let viewer = app.register("Viewer").await;
    for path in ["/admin/users".to_owned(), format!("/admin/users/{}", viewer.id)] {
        viewer.get(&path).await.refused(403, "forbidden");
        app.get(&path).send().await.refused(401, "unauthenticated");
    }
}
