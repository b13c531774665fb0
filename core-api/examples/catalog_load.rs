//! What the catalog does with 100,000 products: how long searches take, by which plans, and
//! how many pages a second are read beside an empty handler of the same web framework.
//!
//!     cargo run --release -p core-api --example catalog_load -- [products] [seconds] [kinds] 2> plans.txt
//!
//! It writes the products into a Postgres of its own, in memory, as the tests have it; warms
//! up; then measures each kind of search, which is words (none, in a third of all titles, in
//! all descriptions, rare, in the oldest fifth alone, several, misspelt, nowhere) by what
//! narrows them by order, with facets, and far down the pages; then pages. With `kinds`, such
//! as `"rare; price"`, only searches whose names have that text are measured, and no pages. Figures go to the standard output, and the
//! plan of each kind of search, as it was carried out, to the standard error. It fails when
//! the 99th percentile of a kind misses the target. Client and server share the machine,
//! which should be idle, so what a page costs is also told in the server's CPU time.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is what the program is for"
)]

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::{Context as _, Result, ensure};
use core_api::Config;
use core_api::catalog::search::model::Sort;
use core_api::catalog::search::{Filter, Found, search};
use hdrhistogram::Histogram;
use shared::bus::MemoryBus;
use shared::ids::{ProductId, SellerId};
use shared::telemetry::{LogFormat, init_logs};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What a search may take at the 99th percentile, in milliseconds.
const TARGET_MS: f64 = 50.0;
/// Searches of each kind, two pages of each.
const SEARCHES: u16 = 60;
/// Searches of each kind before they are measured.
const WARM: u16 = 10;
/// Pages of 100 that are gone through one after the other.
const DEEP_PAGES: u16 = 60;
/// Clients of the pages, each with a connection that it keeps.
const CLIENTS: usize = 64;

/// Words of titles, from frequent to rare: each next one stands in fewer products.
const THINGS: [&str; 12] = [
    "mug", "bowl", "lamp", "scarf", "candle", "basket", "teapot", "cushion", "necklace", "planter", "blanket",
    "sundial",
];
const TYPOS: [&str; 8] = [
    "stonwear",
    "candel",
    "baskit",
    "porcelan",
    "neklace",
    "bleu mgu",
    "walnut sundail",
    "teepot",
];

/// A shop for each 500 products, 300 categories in three levels, and two variants each, of
/// which a tenth is sold out; one a minute was put on sale. Products are written in that order
/// and once, as a market writes them over the years: if the variants, which come last, had to
/// change all of them in one statement, half of the table would be dead rows.
const FILL: [&str; 5] = [
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
    "insert into products (id, seller_id, category_id, title, description, option_axes, currency, status,
                           published_at, price_from_minor, price_to_minor, in_stock)
     select md5('product ' || i)::uuid, s.id, md5('category ' || (1 + i % 300))::uuid,
            case when i <= $1 / 5 then 'Vintage'
                 else (array['Blue', 'Quiet', 'Tall', 'Round', 'Woven', 'Glazed', 'Warm'])[1 + i % 7] end || ' '
            || (array['stoneware', 'linen', 'walnut', 'brass', 'porcelain'])[1 + i % 5] || ' '
            || (array['mug', 'bowl', 'lamp', 'scarf', 'candle', 'basket', 'teapot', 'cushion', 'necklace', 'planter',
                      'blanket', 'sundial'])[1 + floor(12 * power((i * 7919 % 10007) / 10007.0, 2))::int] || ' ' || i,
            repeat('Made by hand in small numbers, and it lasts. ', 1 + i % 8), '{Size}', s.currency, 'active',
            now() - make_interval(mins => $1 - i), 500 + i * 31 % 20000, 500 + i * 31 % 20000, i % 10 <> 0
       from generate_series(1, $1) i
       join (select id, currency, row_number() over (order by id) - 1 as n from sellers) s on s.n = i % ($1 / 500)
      order by i",
    "insert into product_variants (id, product_id, sku, options, price_minor, on_hand)
     select gen_random_uuid(), md5('product ' || i)::uuid, 'SKU-' || i || '-' || v, jsonb_build_object('Size', v::text),
            500 + i * 31 % 20000, case when i % 10 = 0 then 0 else 20 end
       from generate_series(1, $1) i, generate_series(1, 2) v",
];

#[tokio::main]
async fn main() -> Result<()> {
    init_logs(LogFormat::Text, "warn,sqlx::postgres::notice=trace");
    // Counted as in service: that is part of what an answer costs.
    let _metrics = shared::telemetry::init_metrics();
    let mut args = std::env::args().skip(1).take(2).map(|arg| arg.parse::<u64>());
    let products = args.next().transpose()?.unwrap_or(100_000);
    let seconds = args.next().transpose()?.unwrap_or(10);
    let named = std::env::args().nth(3);
    let db = testkit::database().await;
    fill(&db.pool, i32::try_from(products)?).await?;
    let pool = shared::db::connect(&db.url, &testkit::db_options()).await?;
    let shops: Vec<SellerId> = sqlx::query_scalar("select id from sellers order by id")
        .fetch_all(&pool)
        .await?;
    let mut kinds = kinds(&Arc::new(shops));
    kinds.retain(|kind| named.as_ref().is_none_or(|named| kind.name.contains(named)));
    let mut slow = 0;
    for kind in &kinds {
        slow += u32::from(!measure(&pool, kind).await?);
    }
    for kind in kinds.iter().filter(|kind| kind.is_deep) {
        slow += u32::from(!go_deep(&pool, kind).await?);
    }
    if named.is_none() {
        reads(&db.url, Duration::from_secs(seconds)).await?;
    }
    plans(&db.url, &kinds).await?;
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

/// A kind of search; the number varies what is searched for.
struct Kind {
    name: String,
    /// It is also measured far down its pages.
    is_deep: bool,
    make: Box<dyn Fn(u16) -> Filter>,
}

type Change = (&'static str, Box<dyn Fn(u16, &mut Filter)>);

fn change(name: &'static str, change: impl Fn(u16, &mut Filter) + 'static) -> Change {
    (name, Box::new(change))
}

/// What is typed.
fn texts() -> Vec<Change> {
    fn of(list: &[&str], n: u16) -> String {
        list[usize::from(n) % list.len()].to_owned()
    }
    fn text(name: &'static str, q: impl Fn(u16) -> String + 'static) -> Change {
        change(name, move |n, filter| filter.q = Some(q(n)))
    }
    vec![
        change("no words", |_, _| {}),
        text("common", |n| of(&THINGS[..3], n)),
        text("in all", |n| of(&["hand", "small numbers", "lasts"], n)),
        text("rare", |n| match n % 2 {
            0 => of(&THINGS[9..], n / 2),
            _ => (u32::from(n) * 331).to_string(),
        }),
        text("old", |n| match n % 2 {
            0 => "vintage".to_owned(),
            _ => format!("vintage {}", of(&THINGS, n / 2)),
        }),
        text("two", |n| format!("walnut {}", of(&THINGS, n))),
        text("three", |n| format!("blue linen {}", of(&THINGS, n))),
        text("not one", |n| format!("{} -walnut", of(&THINGS, n))),
        text("typo", |n| of(&TYPOS, n)),
        text("nowhere", |n| format!("zyxw{n}vuts")),
    ]
}

/// What narrows it.
fn narrowings(shops: &Arc<Vec<SellerId>>) -> Vec<Change> {
    let shops = shops.clone();
    vec![
        change("", |_, _| {}),
        change("category", |n, filter| {
            filter.category = Some(format!("category-{}", 1 + n % 300));
        }),
        change("top category, in stock", |n, filter| {
            filter.category = Some(format!("category-{}", 1 + n % 9));
            filter.in_stock = Some(true);
        }),
        change("price range", |n, filter| {
            filter.currency = Some("EUR".to_owned());
            filter.price_min = Some(1_000 + 10 * i64::from(n));
            filter.price_max = Some(9_000);
        }),
        change("shop", move |n, filter| {
            filter.seller = shops.get(usize::from(n) % shops.len()).copied();
        }),
    ]
}

/// In which order, or with what beside it.
fn orders() -> Vec<Change> {
    vec![
        change("", |_, _| {}),
        change("newest", |_, filter| filter.sort = Some(Sort::Newest)),
        change("cheapest", |_, filter| {
            filter.currency = Some("EUR".to_owned());
            filter.sort = Some(Sort::PriceAsc);
        }),
        change("facets", |_, filter| filter.facets = Some(true)),
    ]
}

fn kinds(shops: &Arc<Vec<SellerId>>) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for text in 0..texts().len() {
        for narrowing in 0..narrowings(shops).len() {
            for order in 0..orders().len() {
                let parts = [
                    texts().swap_remove(text),
                    narrowings(shops).swap_remove(narrowing),
                    orders().swap_remove(order),
                ];
                let names = parts.iter().map(|(name, _)| *name).filter(|name| !name.is_empty());
                kinds.push(Kind {
                    name: names.collect::<Vec<_>>().join("; "),
                    is_deep: narrowing < 2 && order < 3,
                    make: Box::new(move |n| {
                        let mut filter = Filter::default();
                        parts.iter().for_each(|(_, change)| change(n, &mut filter));
                        filter
                    }),
                });
            }
        }
    }
    kinds
}

async fn find(pool: &PgPool, name: &str, filter: &Filter) -> Result<Found> {
    let found = search(pool, filter).await;
    found.map_err(|error| anyhow::anyhow!("{name}: {error}"))
}

/// The first page and one further of each search. True: fast enough.
async fn measure(pool: &PgPool, kind: &Kind) -> Result<bool> {
    let (mut times, mut hits) = (Histogram::<u64>::new(3)?, 0);
    for n in 0..WARM {
        find(pool, &kind.name, &(kind.make)(n)).await?;
    }
    for n in 0..SEARCHES {
        let mut filter = (kind.make)(n);
        for _ in 0..2 {
            let began = Instant::now();
            let found = find(pool, &kind.name, &filter).await?;
            times.record(u64::try_from(began.elapsed().as_micros())?)?;
            hits += found.items.len();
            filter.cursor = found.next_cursor;
            if filter.cursor.is_none() {
                break;
            }
        }
    }
    Ok(report(&kind.name, &times, hits))
}

/// One search, page after page. True: fast enough.
async fn go_deep(pool: &PgPool, kind: &Kind) -> Result<bool> {
    let (mut times, mut hits) = (Histogram::<u64>::new(3)?, 0);
    let mut filter = Filter {
        limit: Some(100),
        ..(kind.make)(2)
    };
    for _ in 0..DEEP_PAGES {
        let began = Instant::now();
        let found = find(pool, &kind.name, &filter).await?;
        times.record(u64::try_from(began.elapsed().as_micros())?)?;
        hits += found.items.len();
        filter.cursor = found.next_cursor;
        if filter.cursor.is_none() {
            break;
        }
    }
    Ok(report(&format!("{}; far down", kind.name), &times, hits))
}

fn report(name: &str, times: &Histogram<u64>, hits: usize) -> bool {
    let ms = |micros: u64| micros as f64 / 1_000.0;
    let p99 = ms(times.value_at_quantile(0.99));
    let met = if p99 <= TARGET_MS { "reached" } else { "MISSED" };
    println!(
        "{name:50} p50 {:6.2} ms  p99 {p99:6.2} ms  max {:6.2} ms  found {hits:5}  target ≤ {TARGET_MS}: {met}",
        ms(times.value_at_quantile(0.5)),
        ms(times.max())
    );
    p99 <= TARGET_MS
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

    let empty = HttpServer::new(|| App::new().route("/", web::get().to(async || HttpResponse::Ok().json(()))))
        .disable_signals()
        .bind(bind)?;
    let addr = *empty.addrs().first().context("it listens")?;
    let server = empty.run();
    let handle = server.handle();
    let serving = tokio::spawn(server);
    let bare = rate(addr, Arc::new(vec!["/".to_owned()]), time).await?;
    handle.stop(false).await;
    serving.await??;
    for (name, rate) in [
        ("an empty JSON handler", bare),
        ("one page", hot),
        ("1,000 pages", many),
    ] {
        println!(
            "{name:30} {:8.0} answers/s over {CLIENTS} connections, {:6.2} µs of the server's CPU each",
            rate.a_second, rate.cpu_micros
        );
    }
    println!(
        "one page beside the empty handler: {:.2} of its answers a second, {:.2} of its answers per CPU second",
        hot.a_second / bare.a_second,
        bare.cpu_micros / hot.cpu_micros
    );
    Ok(())
}

/// How fast answers came.
#[derive(Clone, Copy)]
struct Rate {
    a_second: f64,
    /// What one took of the server's threads.
    cpu_micros: f64,
}

async fn rate(addr: SocketAddr, paths: Arc<Vec<String>>, time: Duration) -> Result<Rate> {
    let answers = Arc::new(AtomicU64::new(0));
    let (before, end) = (server_cpu()?, Instant::now() + time);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| tokio::spawn(client(addr, paths.clone(), n, end, answers.clone())))
        .collect();
    for client in clients {
        client.await??;
    }
    let answers = answers.load(Ordering::Relaxed) as f64;
    // Threads of a server that was measured before may have ended meanwhile.
    let nanos: u64 = server_cpu()?
        .into_iter()
        .map(|(thread, nanos)| nanos.saturating_sub(before.get(&thread).copied().unwrap_or_default()))
        .sum();
    Ok(Rate {
        a_second: answers / time.as_secs_f64(),
        cpu_micros: nanos as f64 / 1_000.0 / answers,
    })
}

/// CPU time, in nanoseconds, of each of this process's threads that serve HTTP now, which
/// actix names.
fn server_cpu() -> Result<HashMap<PathBuf, u64>> {
    let mut threads = HashMap::new();
    for task in std::fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        let name = std::fs::read_to_string(task.join("comm")).unwrap_or_default();
        if name.starts_with("actix-server") {
            let times = std::fs::read_to_string(task.join("schedstat")).unwrap_or_default();
            let nanos = times.split(' ').next().and_then(|nanos| nanos.parse().ok());
            threads.insert(task, nanos.unwrap_or_default());
        }
    }
    Ok(threads)
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
async fn plans(url: &str, kinds: &[Kind]) -> Result<()> {
    let options: sqlx::postgres::PgConnectOptions = url.parse()?;
    let options = options.options([
        ("session_preload_libraries", "auto_explain"),
        ("auto_explain.log_min_duration", "0"),
        ("auto_explain.log_analyze", "on"),
        ("client_min_messages", "log"),
    ]);
    let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await?;
    for Kind { name, make, .. } in kinds {
        // Beside the plans, which come as the database's notices.
        eprintln!("\n== {name}");
        find(&pool, name, &make(2)).await?;
    }
    Ok(())
}
