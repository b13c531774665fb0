//! Micro-benchmarks of what a busy room does most. They report; nothing here passes or
//! fails by time.

use std::hint::black_box;
use std::time::Instant;

use benches::{chat_command, chat_events};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use live_engine::room::batch::Batch;
use live_engine::room::state::Watching;
use shared::money::{BasisPoints, Currency, Money};
use shared::protocol::{Format, Millis, read_client_frame};

/// A point in time, as events carry it.
const NOW: Millis = 1_795_000_000_000;

/// One tick of a room at 200 messages a second and 100 ms: both formats, framed.
fn encode_tick(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode_tick");
    for count in [1, 20] {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("{count} messages, both formats"), |b| {
            b.iter_batched(
                || chat_events(count).into_iter().map(|event| (event, NOW)).collect(),
                |events| Batch::encode(1, 1, events, Vec::new(), Watching::default(), NOW, Instant::now()),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn read_command(c: &mut Criterion) {
    let mut group = c.benchmark_group("read_command");
    for format in Format::ALL {
        let bytes = format.encode(&chat_command()).expect("a command encodes");
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format.subprotocol(), |b| {
            b.iter(|| read_client_frame(format, black_box(&bytes)));
        });
    }
    group.finish();
}

fn money(c: &mut Criterion) {
    let total = Money::new(123_457, Currency::parse("EUR").expect("EUR is in ISO 4217"));
    let weights: Vec<u64> = (1..=12).collect();
    c.bench_function("money/split over 12 lines", |b| {
        b.iter(|| black_box(total).split(&weights));
    });
    let rate = BasisPoints::new(1_250).expect("12.5 % is a rate");
    c.bench_function("money/commission", |b| b.iter(|| black_box(total).rate(rate)));
}

criterion_group!(benches, encode_tick, read_command, money);
criterion_main!(benches);
