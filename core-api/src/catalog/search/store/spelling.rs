//! SQL of `search_words`: the words of titles, for what is spelt nearly so.

use sqlx::PgConnection;

/// What there is instead of a word.
pub(in crate::catalog::search) struct Near {
    /// It needs nothing instead: some product has it, or it is one that search passes over.
    pub known: bool,
    /// Words of titles that are spelt nearly so, the most alike first.
    pub words: Vec<String>,
}

/// From here on in this transaction, words are looked up in the index of words alone. Where one
/// product is enough, the planner takes a frequent word to be met soon in any order, and reads
/// 80,000 products where the word stands in the oldest alone.
pub(in crate::catalog::search) async fn look_words_up(conn: &mut PgConnection, only: bool) -> Result<(), sqlx::Error> {
    match only {
        true => sqlx::query!("set local enable_indexscan = off").execute(conn).await?,
        false => sqlx::query!("set local enable_indexscan = on").execute(conn).await?,
    };
    Ok(())
}

/// What is spelt nearly like `word`, or is one of `others`.
pub(in crate::catalog::search) async fn near(
    conn: &mut PgConnection,
    word: &str,
    others: &[String],
) -> Result<Near, sqlx::Error> {
    sqlx::query_as!(
        Near,
        r#"select numnode(q) = 0 or exists (select from products where status = 'active' and search @@ q) as "known!",
                  array(select s.word from search_words s where s.word % $1 or s.word = any($2)
                         order by similarity(s.word, $1) desc, s.word limit 50) as "words!"
             from plainto_tsquery('pg_catalog.english', $1) q"#,
        word,
        others
    )
    .fetch_one(conn)
    .await
}

/// Whether a product that everybody may see has such a word.
pub(in crate::catalog::search) async fn is_found(conn: &mut PgConnection, word: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from products p join sellers s on s.id = p.seller_id and s.status = 'approved'
                           where p.status = 'active'
                             and p.search @@ plainto_tsquery('pg_catalog.english', $1)) as "found!""#,
        word
    )
    .fetch_one(conn)
    .await
}

/// Deletes, of so many words of titles that are drawn, those that no title on sale has. One
/// that a title takes up in this very moment is taught again with its next change.
pub(in crate::catalog::search) async fn delete_unused_words(
    conn: &mut PgConnection,
    looked_at: i64,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "delete from search_words w
          using (select word from search_words order by random() limit $1) drawn
          where w.word = drawn.word and numnode(plainto_tsquery('pg_catalog.english', w.word)) > 0
            and not exists (select from products p
                             where p.status = 'active'
                               and p.title_words @@ plainto_tsquery('pg_catalog.english', w.word))",
        looked_at
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
