//! Pictures: what is taken, what is made of it, how it is shown, and what becomes of it.

mod bucket;
pub mod files;
mod refused;
mod shown;
mod swept;

use std::path::PathBuf;

use core_api::media::Picture;
use image::DynamicImage;
use reqwest::Method;
use testkit::fixtures::{self, Shop};

use crate::harness::{App, Session};

/// A service with a shop, its owner signed in.
struct Place {
    app: App,
    shop: Shop,
    owner: Session,
}

impl Place {
    async fn open() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut core_api::Config)) -> Self {
        let app = App::start_with(change).await;
        let shop = fixtures::shop(&app.db.pool, 10, 1_000).await;
        let owner = app.session_of(shop.owner);
        Self { app, shop, owner }
    }

    fn images(&self) -> String {
        format!("/seller/products/{}/images", self.shop.product)
    }

    fn cover(&self) -> String {
        format!("/streams/{}/cover", self.shop.stream)
    }

    async fn add(&self, file: &[u8]) -> Picture {
        let added = self
            .owner
            .send_file(Method::POST, &self.images(), "image/png", file)
            .await;
        added.created()
    }

    /// A file of the service's, decoded.
    async fn shown(&self, url: &str) -> DynamicImage {
        let (status, _, body) = self.app.get(url).fetch().await;
        assert_eq!(status, 200, "{url}");
        image::load_from_memory(&body).expect("a picture")
    }

    /// Files in the folder.
    fn files(&self) -> Vec<PathBuf> {
        let list = |folder: PathBuf| {
            let entries = std::fs::read_dir(folder).into_iter().flatten();
            entries.map(|entry| entry.expect("an entry").path())
        };
        list(self.app.media.path().join("files")).flat_map(list).collect()
    }

    /// The job's step, on a store of its own over the same folder.
    async fn sweep(&self) {
        let config = core_api::media::MediaConfig {
            folder: Some(self.app.media.path().join("files")),
            ..core_api::media::MediaConfig::default()
        };
        let media = core_api::media::Media::open(&config).expect("the folder is there");
        core_api::media::sweep(&self.app.db.pool, &media, 100)
            .await
            .expect("swept");
    }

    async fn run(&self, sql: &'static str) {
        sqlx::query(sql).execute(&self.app.db.pool).await.expect("done");
    }

    /// As if the time had come of everything that is to go.
    async fn let_time_pass(&self) {
        self.run("update pictures set delete_after = now() where status = 'dropped'")
            .await;
        self.run("update pictures set created_at = now() - interval '2 hours' where status = 'pending'")
            .await;
    }

    async fn count(&self, status: &str) -> i64 {
        let count = sqlx::query_scalar("select count(*) from pictures where status = $1");
        count.bind(status).fetch_one(&self.app.db.pool).await.expect("a count")
    }

    async fn all_is_sound(&self) {
        let report = shared::verify::run(&self.app.db.pool).await.expect("verified");
        assert!(report.is_clean(), "{report:?}");
    }
}

async fn avatar(by: &Session, file: &[u8]) -> Picture {
    by.send_file(Method::PUT, "/users/avatar", "image/png", file).await.ok()
}
