//! What the catalog does with 100,000 products: how long searches take, by which plans, and
//! how many pages a second are read beside an empty handler of the same web framework.
//!
//!     cargo run --release -p core-api --example catalog_load -- [products] [seconds]
//!
//! It prints figures and, at the end and to the standard error, the plan of each kind of
//! search. It fails when a kind of search is too slow. Postgres is the
//! tests' own, in memory; client and server share the machine, which should be idle.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is what the program is for"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::{Context as _, Result, ensure};
use core_api::Config;
use core_api::catalog::search::model::Sort;
use core_api::catalog::search::{Filter, search};
use hdrhistogram::Histogram;
use shared::bus::MemoryBus;
use shared::ids::ProductId;
use shared::telemetry::{LogFormat, init_logs};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What a search may take at the 99th percentile, in milliseconds.
const TARGET_MS: f64 = 50.0;
/// Searches of each kind.
const SEARCHES: u16 = 300;
/// Clients of the pages, each with a connection that it keeps.
const CLIENTS: usize = 64;

/// Words of titles, from frequent to rare: each next one stands in fewer products.
const THINGS: [&str; 12] = [
    "mug", "bowl", "lamp", "scarf", "candle", "basket", "teapot", "cushion", "necklace", "planter", "blanket",
    "sundial",
];

/// A shop for each 500 products, 300 categories in three levels, and two variants each, of
/// which a tenth is sold out.
const FILL: [&str; 6] = [
    "insert into users (id, email, password_hash)
     select gen_random_uuid(), 'seller' || i || '@load.hawker.example', 'none' from generate_series(1, $1 / 500) i",
    "insert into sellers (id, user_id, shop_name, slug, country, currency, status, decided_at)
     select gen_random_uuid(), u.id, 'Shop ' || n, 'shop-' || n, 'DE', (array['EUR', 'EUR', 'EUR', 'USD'])[1 + n % 4],
            'approved', now()
       from (select id, row_number() over () as n from users where $1 > 0) u",
    "insert into categories (id, parent_id, name, slug)
     select md5('category ' || i)::uuid, case when i > 10 then md5('category ' || (i / 10))::uuid end,
            'Category ' || i, 'category-' || i
       from generate_series(1, 300) i where $1 > 0",
    "insert into products (id, seller_id, category_id, title, description, currency, status)
     select md5('product ' || i)::uuid, s.id, md5('category ' || (1 + i % 300))::uuid,
            (array['Blue', 'Quiet', 'Tall', 'Round', 'Woven', 'Glazed', 'Warm'])[1 + i % 7] || ' '
            || (array['stoneware', 'linen', 'walnut', 'brass', 'porcelain'])[1 + i % 5] || ' '
            || (array['mug', 'bowl', 'lamp', 'scarf', 'candle', 'basket', 'teapot', 'cushion', 'necklace', 'planter',
                      'blanket', 'sundial'])[1 + floor(12 * power((i * 7919 % 10007) / 10007.0, 2))::int] || ' ' || i,
            repeat('Made by hand in small numbers, and it lasts. ', 1 + i % 8), s.currency, 'active'
       from generate_series(1, $1) i
       join (select id, currency, row_number() over (order by id) - 1 as n from sellers) s on s.n = i % ($1 / 500)",
    "insert into product_variants (id, product_id, sku, options, price_minor, on_hand)
     select gen_random_uuid(), md5('product ' || i)::uuid, 'SKU-' || i || '-' || v, jsonb_build_object('Size', v::text),
            500 + i * 31 % 20000, case when i % 10 = 0 then 0 else 20 end
       from generate_series(1, $1) i, generate_series(1, 2) v",
    "update products set option_axes = '{Size}' where $1 > 0",
];

#[tokio::main]
async fn main() -> Result<()> {
    init_logs(LogFormat::Text, "warn,sqlx::postgres::notice=trace");
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u64>());
    let products = args.next().transpose()?.unwrap_or(100_000);
    let seconds = args.next().transpose()?.unwrap_or(10);
    let db = testkit::database().await;
    fill(&db.pool, i32::try_from(products)?).await?;
    let pool = shared::db::connect(&db.url, &testkit::db_options()).await?;
    let mut slow = 0;
    for (name, make) in kinds() {
        slow += u32::from(!measure(&pool, name, make).await?);
    }
    reads(&db.url, Duration::from_secs(seconds)).await?;
    plans(&db.url).await?;
    ensure!(
        slow == 0,
        "{slow} kinds of search take more than {TARGET_MS} ms at the 99th percentile"
    );
    Ok(())
}

async fn fill(pool: &PgPool, products: i32) -> Result<()> {
    let began = Instant::now();
    let mut conn = pool.acquire().await?;
    sqlx::query("set statement_timeout = 0").execute(&mut *conn).await?;
    for statement in FILL {
        sqlx::query(statement)
            .bind(products)
            .execute(&mut *conn)
            .await
            .context(statement)?;
    }
    for statement in ["truncate product_changes", "vacuum analyze"] {
        sqlx::raw_sql(statement).execute(&mut *conn).await?;
    }
    println!("{products} products written in {:.1} s", began.elapsed().as_secs_f64());
    Ok(())
}

type Kind = (&'static str, fn(u16) -> Filter);

/// Each kind of search; the number varies what is searched for.
fn kinds() -> Vec<Kind> {
    fn word(n: u16) -> &'static str {
        THINGS[usize::from(n) % THINGS.len()]
    }
    fn thing(n: u16) -> Option<String> {
        Some(word(n).to_owned())
    }
    fn euros() -> Filter {
        Filter {
            currency: Some("EUR".to_owned()),
            ..Filter::default()
        }
    }
    vec![
        ("newest", |_| Filter::default()),
        ("newest with facets", |_| Filter {
            facets: Some(true),
            ..Filter::default()
        }),
        ("one word", |n| Filter {
            q: thing(n),
            ..Filter::default()
        }),
        ("one word with facets", |n| Filter {
            q: thing(n),
            facets: Some(true),
            ..Filter::default()
        }),
        ("two words", |n| Filter {
            q: Some(format!("walnut {}", word(n))),
            ..Filter::default()
        }),
        ("a word and a number", |n| Filter {
            q: Some(format!("{} {}", word(n), u32::from(n) * 331)),
            ..Filter::default()
        }),
        ("a typo", |n| Filter {
            q: Some(["stonwear", "candel", "baskit", "porcelan", "neklace"][usize::from(n % 5)].to_owned()),
            facets: Some(true),
            ..Filter::default()
        }),
        ("nothing at all", |n| Filter {
            q: Some(format!("zyxw{n}vuts")),
            ..Filter::default()
        }),
        ("category with its subtree", |n| Filter {
            category: Some(format!("category-{}", 1 + n % 300)),
            facets: Some(true),
            ..Filter::default()
        }),
        ("a shop's", |n| Filter {
            q: thing(n),
            category: Some(format!("category-{}", 1 + n % 9)),
            in_stock: Some(true),
            ..Filter::default()
        }),
        ("cheapest", |_| Filter {
            sort: Some(Sort::PriceAsc),
            ..euros()
        }),
        ("dearest of a word, in stock", |n| Filter {
            q: thing(n),
            sort: Some(Sort::PriceDesc),
            in_stock: Some(true),
            ..euros()
        }),
        ("price range, sold out", |n| Filter {
            price_min: Some(1_000 + 10 * i64::from(n)),
            price_max: Some(9_000),
            in_stock: Some(false),
            facets: Some(true),
            ..euros()
        }),
    ]
}

/// The first page and one further of each search. True: fast enough.
async fn measure(pool: &PgPool, name: &str, make: fn(u16) -> Filter) -> Result<bool> {
    let mut times = Histogram::<u64>::new(3)?;
    for n in 0..SEARCHES {
        let mut filter = make(n);
        for _ in 0..2 {
            let began = Instant::now();
            let found = search(pool, &filter)
                .await
                .map_err(|error| anyhow::anyhow!("{name}: {error}"))?;
            times.record(u64::try_from(began.elapsed().as_micros())?)?;
            filter.cursor = found.next_cursor;
            if filter.cursor.is_none() {
                break;
            }
        }
    }
    let ms = |micros: u64| micros as f64 / 1_000.0;
    let p99 = ms(times.value_at_quantile(0.99));
    let met = if p99 <= TARGET_MS { "reached" } else { "MISSED" };
    println!(
        "{name:30} p50 {:7.2} ms  p99 {p99:7.2} ms  max {:7.2} ms  target ≤ {TARGET_MS}: {met}",
        ms(times.value_at_quantile(0.5)),
        ms(times.max())
    );
    Ok(p99 <= TARGET_MS)
}

/// Pages a second: one that all want, a thousand of them, and an empty handler.
async fn reads(url: &str, time: Duration) -> Result<()> {
    let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let pool = shared::db::connect(url, &testkit::db_options()).await?;
    let ids: Vec<ProductId> = sqlx::query_scalar("select id from products limit 1000")
        .fetch_all(&pool)
        .await?;
    let mut config = Config::new(bind, testkit::token_key(), "ws://127.0.0.1:1/ws".to_owned());
    config.limits.reads_per_minute = std::num::NonZeroU32::MAX;
    let service = core_api::start(config, pool, MemoryBus::shared(), None).await?;
    let pages: Vec<String> = ids.iter().map(|id| format!("/products/{id}")).collect();
    let hot = rate(service.addr(), Arc::new(pages[..1].to_vec()), time).await?;
    let many = rate(service.addr(), Arc::new(pages), time).await?;
    service.stop().await;

    let empty = HttpServer::new(|| App::new().route("/", web::get().to(async || HttpResponse::Ok().finish())))
        .disable_signals()
        .bind(bind)?;
    let addr = *empty.addrs().first().context("it listens")?;
    let server = empty.run();
    let handle = server.handle();
    let serving = tokio::spawn(server);
    let bare = rate(addr, Arc::new(vec!["/".to_owned()]), time).await?;
    handle.stop(false).await;
    serving.await??;
    println!(
        "reads a second, {CLIENTS} connections: empty handler {bare:.0}, one page {hot:.0}, 1,000 pages {many:.0}"
    );
    println!("one page beside the empty handler: {:.2}", hot / bare);
    Ok(())
}

/// Answers a second.
async fn rate(addr: SocketAddr, paths: Arc<Vec<String>>, time: Duration) -> Result<f64> {
    let answers = Arc::new(AtomicU64::new(0));
    let end = Instant::now() + time;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| tokio::spawn(client(addr, paths.clone(), n, end, answers.clone())))
        .collect();
    for client in clients {
        client.await??;
    }
    Ok(answers.load(Ordering::Relaxed) as f64 / time.as_secs_f64())
}

async fn client(
    addr: SocketAddr,
    paths: Arc<Vec<String>>,
    first: usize,
    end: Instant,
    answers: Arc<AtomicU64>,
) -> Result<()> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 256 * 1024];
    for n in (first..).step_by(CLIENTS) {
        if Instant::now() >= end {
            break;
        }
        let request = format!("GET {} HTTP/1.1\r\nHost: load\r\n\r\n", paths[n % paths.len()]);
        stream.write_all(request.as_bytes()).await?;
        let mut filled = 0;
        loop {
            let read = stream.read(&mut buffer[filled..]).await?;
            ensure!(read > 0, "the server has closed the connection");
            filled += read;
            if is_whole(&buffer[..filled])? {
                break;
            }
        }
        answers.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Whether an answer is there to its end, and a 200.
fn is_whole(answer: &[u8]) -> Result<bool> {
    let Some(head) = answer.windows(4).position(|end| end == b"\r\n\r\n") else {
        return Ok(false);
    };
    let text = std::str::from_utf8(&answer[..head])?.to_ascii_lowercase();
    ensure!(text.starts_with("http/1.1 200"), "{text}");
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.context("an answer has a length")?.trim().parse()?;
    Ok(answer.len() >= head + 4 + length)
}

/// Has Postgres tell the plan of each kind of search, as it was carried out.
async fn plans(url: &str) -> Result<()> {
    let options: sqlx::postgres::PgConnectOptions = url.parse()?;
    let options = options.options([
        ("session_preload_libraries", "auto_explain"),
        ("auto_explain.log_min_duration", "0"),
        ("auto_explain.log_analyze", "on"),
        ("client_min_messages", "log"),
    ]);
    let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await?;
    for (name, make) in kinds() {
        // Beside the plans, which come as the database's notices.
        eprintln!("\n== {name}");
        search(&pool, &make(2))
            .await
            .map_err(|error| anyhow::anyhow!("{name}: {error}"))?;
    }
    Ok(())
}
