//! A shop's catalog as a file, which imported again changes nothing, whatever is sold
//! meanwhile.

use std::collections::HashMap;

use actix_web::web::Bytes;
use csv::Writer;
use futures_util::Stream;
use shared::ids::{CategoryId, ShippingProfileId};
use shared::money::Money;
use sqlx::PgPool;
use uuid::Uuid;

use super::table::{COLUMNS, Column, STOCK_COLUMNS, decimal, guarded};
use crate::catalog::products::model::SellerVariant;
use crate::catalog::products::{self, SellerProduct};
use crate::catalog::{categories, shipping};
use crate::http::{Error, Page, Result, Shopkeeper};

/// Products read at once.
const BATCH: i64 = 100;

/// Where the writing stands.
struct Exporting {
    db: PgPool,
    shop: Shopkeeper,
    columns: Vec<(&'static str, Column)>,
    names: Names,
    cursor: Option<Uuid>,
    begun: bool,
    done: bool,
}

/// How a file calls what products refer to by id.
struct Names {
    categories: HashMap<CategoryId, String>,
    profiles: HashMap<ShippingProfileId, String>,
}

/// The shop's products, the newest first, a batch at a time: no more than that is held in
/// memory, whatever the shop has. `stock`: with how many units there are.
///
/// # Errors
/// When the database fails; also in the stream.
pub async fn export(db: &PgPool, shop: Shopkeeper, stock: bool) -> Result<impl Stream<Item = Result<Bytes>> + use<>> {
    let conn = &mut *db.acquire().await?;
    let categories = categories::by_slug(conn).await?;
    let profiles = shipping::by_name(conn, shop.seller).await?;
    let state = Exporting {
        db: db.clone(),
        shop,
        columns: COLUMNS
            .into_iter()
            .chain(STOCK_COLUMNS.into_iter().filter(|_| stock))
            .collect(),
        names: Names {
            categories: categories.into_iter().map(|(slug, id)| (id, slug)).collect(),
            profiles: profiles.into_iter().map(|profile| (profile.id, profile.name)).collect(),
        },
        cursor: None,
        begun: false,
        done: false,
    };
    Ok(futures_util::stream::try_unfold(state, |mut state| async move {
        if state.done {
            return Ok(None);
        }
        let bytes = state.next().await?;
        Ok(Some((bytes, state)))
    }))
}

impl Exporting {
    async fn next(&mut self) -> Result<Bytes> {
        let page = Page {
            cursor: self.cursor,
            limit: BATCH,
        };
        let list = products::list_own(&self.db, self.shop.seller, None, &page).await?;
        self.cursor = list.next_cursor;
        self.done = list.next_cursor.is_none();
        let mut table = Writer::from_writer(Vec::new());
        if !self.begun {
            self.begun = true;
            let names = self.columns.iter().map(|(name, _)| name);
            table.write_record(names).map_err(fault)?;
        }
        for product in &list.items {
            for variant in &product.variants {
                let cells = self.columns.iter();
                let cells = cells.map(|(_, column)| guarded(&self.names.cell(product, variant, *column)));
                table.write_record(cells).map_err(fault)?;
            }
        }
        Ok(table.into_inner().map_err(|error| fault(error.into_error()))?.into())
    }
}

fn fault(error: impl Into<anyhow::Error>) -> Error {
    Error::Fault(error.into())
}

impl Names {
    fn cell(&self, product: &SellerProduct, variant: &SellerVariant, column: Column) -> String {
        let price = |money: Money| decimal(money.minor, money.currency);
        match column {
            Column::ProductKey => product.external_key.clone().unwrap_or_else(|| product.id.to_string()),
            Column::Title => product.title.clone(),
            Column::Description => product.description.clone(),
            Column::Category => named(&self.categories, product.category_id),
            Column::ShippingProfile => named(&self.profiles, product.shipping_profile_id),
            Column::ImageUrl => product.image_url.clone(),
            Column::Status => product.status.to_string(),
            Column::Sku => variant.sku.clone(),
            Column::OptionName(i) => product.option_axes.get(i).cloned().unwrap_or_default(),
            Column::OptionValue(i) => {
                let value = product.option_axes.get(i).and_then(|axis| variant.options.get(axis));
                value.cloned().unwrap_or_default()
            }
            Column::Price => price(variant.price),
            Column::CompareAtPrice => variant.compare_at.map(price).unwrap_or_default(),
            Column::OnHand | Column::OnHandWas => variant.on_hand.to_string(),
        }
    }
}

fn named<K: std::hash::Hash + Eq>(names: &HashMap<K, String>, id: Option<K>) -> String {
    id.and_then(|id| names.get(&id)).cloned().unwrap_or_default()
}
