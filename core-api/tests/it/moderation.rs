//! Who keeps order in a shop's shows.

use serde_json::{Value, json};
use shared::ids::StreamId;
use uuid::Uuid;

use crate::harness::{App, Session};

async fn show(owner: &Session) -> StreamId {
    let stream: Value = owner.post("/streams", &json!({"title": "Bowls"})).await.created();
    stream["id"].as_str().expect("an id").parse().expect("an id")
}

async fn notices(app: &App, stream: StreamId) -> i64 {
    let count = "select count(*) from outbox where stream_id = $1 and topic = 'moderators_changed'";
    let count = sqlx::query_scalar(count).bind(stream.0).fetch_one(&app.db.pool).await;
    count.expect("the database answers")
}

#[tokio::test]
async fn an_owner_appoints_changes_and_dismisses_moderators() {
    let app = App::start().await;
    let (owner, _) = app.seller("Bowl Shop").await;
    let (first, second) = (show(&owner).await, show(&owner).await);
    let helper = app.register("Helper").await;

    let key = Uuid::now_v7();
    let body = json!({"user_id": helper.id, "rights": ["ban", "mute"]});
    let appointed: Value = owner.post_once("/seller/moderators", key, &body).await.created();
    assert_eq!(appointed["rights"], json!(["mute", "ban"]));
    assert_eq!(
        (&appointed["name"], &appointed["stream_id"]),
        (&json!("Helper"), &Value::Null)
    );
    let again: Value = owner.post_once("/seller/moderators", key, &body).await.created();
    assert_eq!(again, appointed, "a resend");
    let twice = owner.post_once("/seller/moderators", Uuid::now_v7(), &body).await;
    twice.refused(409, "conflict");
    assert_eq!((notices(&app, first).await, notices(&app, second).await), (1, 1));

    let of_first = format!("/streams/{first}/moderators");
    let body = json!({"user_id": helper.id, "rights": ["pin"]});
    let for_show: Value = owner.post_once(&of_first, Uuid::now_v7(), &body).await.created();
    assert_eq!(for_show["stream_id"], json!(first));
    assert_eq!((notices(&app, first).await, notices(&app, second).await), (2, 1));
    let all: Value = owner.get("/seller/moderators").await.ok();
    assert_eq!(all["items"], json!([for_show, appointed]));
    let page: Value = owner.get("/seller/moderators?limit=1").await.ok();
    let next = format!(
        "/seller/moderators?limit=1&cursor={}",
        page["next_cursor"].as_str().expect("more")
    );
    assert_eq!(owner.get(&next).await.ok::<Value>()["items"], json!([appointed]));
    let one: Value = owner.get(&of_first).await.ok();
    assert_eq!(one["items"], json!([for_show]));

    let path = format!("/seller/moderators/{}", for_show["id"].as_str().expect("an id"));
    let changed: Value = owner.patch(&path, &json!({"rights": ["announce"]})).await.ok();
    assert_eq!(changed["rights"], json!(["announce"]));
    owner.delete(&path).await.gone();
    owner.delete(&path).await.refused(404, "not_found");
    assert_eq!((notices(&app, first).await, notices(&app, second).await), (4, 1));
    let actions: Vec<String> = sqlx::query_scalar(
        "select action from audit_log where actor_id = $1 and action like 'moderator.%' order by id",
    )
    .bind(owner.id.0)
    .fetch_all(&app.db.pool)
    .await
    .expect("the database answers");
    assert_eq!(
        actions,
        [
            "moderator.appoint",
            "moderator.appoint",
            "moderator.change",
            "moderator.dismiss"
        ]
    );
}

#[tokio::test]
async fn an_appointment_is_the_owners_and_names_an_account_and_a_right() {
    let app = App::start().await;
    let (owner, _) = app.seller("Bowl Shop").await;
    let (other, _) = app.seller("Other Shop").await;
    let stream = show(&owner).await;
    let helper = app.register("Helper").await;
    let good = json!({"user_id": helper.id, "rights": ["ban"]});
    let appoint = async |who: &Session, path: &str, body: &Value| who.post_once(path, Uuid::now_v7(), body).await;

    appoint(&helper, "/seller/moderators", &good)
        .await
        .refused(403, "forbidden");
    let of_stream = format!("/streams/{stream}/moderators");
    appoint(&other, &of_stream, &good).await.refused(404, "not_found");
    other.get(&of_stream).await.refused(404, "not_found");
    owner
        .post("/seller/moderators", &good)
        .await
        .refused(400, "idempotency_key_missing");
    let nobody = json!({"user_id": Uuid::now_v7(), "rights": ["ban"]});
    appoint(&owner, "/seller/moderators", &nobody)
        .await
        .refused(404, "not_found");
    let herself = json!({"user_id": owner.id, "rights": ["ban"]});
    appoint(&owner, "/seller/moderators", &herself)
        .await
        .refused(409, "conflict");
    for rights in [json!([]), json!(["fly"])] {
        let body = json!({"user_id": helper.id, "rights": rights});
        appoint(&owner, "/seller/moderators", &body)
            .await
            .refused(422, "invalid_body");
    }
    let appointed: Value = appoint(&owner, "/seller/moderators", &good).await.created();
    let path = format!("/seller/moderators/{}", appointed["id"].as_str().expect("an id"));
    other.delete(&path).await.refused(404, "not_found");
    other
        .patch(&path, &json!({"rights": ["pin"]}))
        .await
        .refused(404, "not_found");
    helper.delete(&path).await.refused(403, "forbidden");
}
