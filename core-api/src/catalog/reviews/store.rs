//! SQL of `product_reviews`.

use shared::Timestamp;
use shared::ids::{OrderItemId, ProductId, ReviewId, SellerId, UserId};
use sqlx::PgConnection;

use super::model::{Answer, NewReview, Review, ReviewChange, WholeReview};
use crate::http::Page;

struct Row {
    id: ReviewId,
    product_id: ProductId,
    author: String,
    rating: i16,
    body: String,
    answer: String,
    answered_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
    order_item_id: OrderItemId,
    hidden: bool,
}

impl Row {
    fn whole(self) -> WholeReview {
        let text = self.answer;
        WholeReview {
            review: Review {
                id: self.id,
                product_id: self.product_id,
                author: self.author,
                rating: self.rating,
                body: self.body,
                answer: self.answered_at.map(|answered_at| Answer { text, answered_at }),
                created_at: self.created_at,
                updated_at: self.updated_at,
            },
            order_item_id: self.order_item_id,
            hidden: self.hidden,
        }
    }
}

/// Reviews that their authors have not taken back, as [`Row`]s; the text says which of them.
macro_rules! reviews {
    ($which:literal, $($value:expr),+) => {
        sqlx::query_as!(
            Row,
            r#"select r.id as "id: ReviewId", r.product_id as "product_id: ProductId", f.display_name as author,
                      r.rating, r.body, r.answer, r.answered_at, r.created_at, r.updated_at,
                      r.order_item_id as "order_item_id: OrderItemId", r.hidden_at is not null as "hidden!"
                 from product_reviews r join profiles f on f.user_id = r.user_id
                where r.deleted_at is null and "# + $which,
            $($value),+
        )
    };
}

/// Those that everybody may see.
pub(super) async fn of_product(
    conn: &mut PgConnection,
    product: ProductId,
    page: &Page,
) -> Result<Vec<WholeReview>, sqlx::Error> {
    let rows = reviews!(
        "r.product_id = $1 and r.hidden_at is null and ($2::uuid is null or r.id < $2) order by r.id desc limit $3",
        product.0,
        page.cursor,
        page.rows()
    );
    Ok(rows.fetch_all(conn).await?.into_iter().map(Row::whole).collect())
}

pub(super) async fn of_author(
    conn: &mut PgConnection,
    author: UserId,
    page: &Page,
) -> Result<Vec<WholeReview>, sqlx::Error> {
    let rows = reviews!(
        "r.user_id = $1 and ($2::uuid is null or r.id < $2) order by r.id desc limit $3",
        author.0,
        page.cursor,
        page.rows()
    );
    Ok(rows.fetch_all(conn).await?.into_iter().map(Row::whole).collect())
}

pub(super) async fn of_shop(
    conn: &mut PgConnection,
    seller: SellerId,
    page: &Page,
) -> Result<Vec<WholeReview>, sqlx::Error> {
    let rows = reviews!(
        "r.seller_id = $1 and ($2::uuid is null or r.id < $2) order by r.id desc limit $3",
        seller.0,
        page.cursor,
        page.rows()
    );
    Ok(rows.fetch_all(conn).await?.into_iter().map(Row::whole).collect())
}

pub(super) async fn all(
    conn: &mut PgConnection,
    hidden: Option<bool>,
    page: &Page,
) -> Result<Vec<WholeReview>, sqlx::Error> {
    let rows = reviews!(
        "($1::boolean is null or $1 = (r.hidden_at is not null)) and ($2::uuid is null or r.id < $2)
          order by r.id desc limit $3",
        hidden,
        page.cursor,
        page.rows()
    );
    Ok(rows.fetch_all(conn).await?.into_iter().map(Row::whole).collect())
}

pub(super) async fn get(conn: &mut PgConnection, id: ReviewId) -> Result<Option<WholeReview>, sqlx::Error> {
    let row = reviews!("r.id = $1", id.0).fetch_optional(conn).await?;
    Ok(row.map(Row::whole))
}

/// A line of an order of somebody's.
pub(super) struct Bought {
    pub seller: SellerId,
    /// Whether the shop is theirs.
    pub own: bool,
    pub delivered: bool,
}

/// A line of an order of `buyer`'s with this product. What a refund or a return takes back
/// was theirs all the same.
pub(super) async fn bought(
    conn: &mut PgConnection,
    buyer: UserId,
    product: ProductId,
    item: OrderItemId,
) -> Result<Option<Bought>, sqlx::Error> {
    sqlx::query_as!(
        Bought,
        r#"select i.seller_id as "seller: SellerId", s.user_id = $1 as "own!",
                  order_item_is_delivered(i.id) as "delivered!"
             from order_items i join orders o on o.id = i.order_id join sellers s on s.id = i.seller_id
            where o.user_id = $1 and i.product_id = $2 and i.id = $3"#,
        buyer.0,
        product.0,
        item.0
    )
    .fetch_optional(conn)
    .await
}

/// Adds a review; `None`: the line has one. Where one was taken back, it is written anew and
/// stays what others have made of it: hidden, answered.
pub(super) async fn insert(
    tx: &mut PgConnection,
    id: ReviewId,
    author: UserId,
    product: ProductId,
    bought: &Bought,
    new: &NewReview,
) -> Result<Option<ReviewId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"insert into product_reviews as r (id, product_id, seller_id, order_item_id, user_id, rating, body)
           values ($1, $2, $3, $4, $5, $6, $7)
           on conflict (order_item_id) do update
              set rating = excluded.rating, body = excluded.body, deleted_at = null, updated_at = now()
            where r.deleted_at is not null
           returning id as "id: ReviewId""#,
        id.0,
        product.0,
        bought.seller.0,
        new.order_item_id.0,
        author.0,
        new.rating,
        new.body.trim()
    )
    .fetch_optional(tx)
    .await
}

pub(super) async fn update(
    tx: &mut PgConnection,
    id: ReviewId,
    author: UserId,
    change: &ReviewChange,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update product_reviews set rating = coalesce($3, rating), body = coalesce($4, body), updated_at = now()
          where id = $1 and user_id = $2 and deleted_at is null",
        id.0,
        author.0,
        change.rating,
        change.body.as_deref().map(str::trim)
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes an author's review back, and its text is gone; of which product it was.
pub(super) async fn delete(
    conn: &mut PgConnection,
    id: ReviewId,
    author: UserId,
) -> Result<Option<ProductId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"update product_reviews set deleted_at = now(), body = ''
            where id = $1 and user_id = $2 and deleted_at is null returning product_id as "product_id: ProductId""#,
        id.0,
        author.0
    )
    .fetch_optional(conn)
    .await
}

/// Sets the shop's answer; empty: there is none. Whose review it is.
pub(super) async fn answer(
    tx: &mut PgConnection,
    id: ReviewId,
    seller: SellerId,
    text: &str,
) -> Result<Option<UserId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"update product_reviews set answer = $3, answered_at = case when $3 = '' then null else now() end
            where id = $1 and seller_id = $2 and deleted_at is null
           returning user_id as "user: UserId""#,
        id.0,
        seller.0,
        text
    )
    .fetch_optional(tx)
    .await
}

/// Hides or shows a review; false: it is so, or not there.
pub(super) async fn hide(tx: &mut PgConnection, id: ReviewId, hidden: bool) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update product_reviews set hidden_at = case when $2 then now() end
          where id = $1 and deleted_at is null and (hidden_at is not null) <> $2",
        id.0,
        hidden
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}
