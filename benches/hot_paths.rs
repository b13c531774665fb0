//! Micro-benchmarks of what a busy room does most. They report; nothing here passes or
//! fails by time.

use std::hint::black_box;
use std::ops::ControlFlow;
use std::time::Instant;

use benches::{chat_command, chat_events};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use live_engine::net::deflate::{Deflater, Inflater};
use live_engine::net::reader::{ReadLimits, Reader};
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

/// A client's frame with a mask.
fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let length = u16::try_from(payload.len()).expect("a client's frame is short");
    let mut frame = match payload.len() {
        short @ 0..=125 => vec![first, 0x80 | short as u8],
        _ => [&[first, 0x80 | 126][..], &length.to_be_bytes()].concat(),
    };
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A chat command on its way from the socket's bytes to the parser: whole, in two
/// fragments, and compressed.
fn read_frame(c: &mut Criterion) {
    let limits = ReadLimits {
        message_bytes: 16 * 1024,
        fragments: 1024,
    };
    let command = Format::Json.encode(&chat_command()).expect("a command encodes");
    let (head, tail) = command.split_at(command.len() / 2);
    let packed = Deflater::default().deflate(&command).expect("a command gets smaller");
    let mut inflater = Inflater::default();
    let mut group = c.benchmark_group("read_frame");
    group.throughput(Throughput::Bytes(command.len() as u64));
    for (name, sent) in [
        ("whole", client_frame(0x81, &command)),
        (
            "in two fragments",
            [client_frame(0x01, head), client_frame(0x80, tail)].concat(),
        ),
        ("compressed", client_frame(0xc1, &packed)),
    ] {
        group.bench_function(name, |b| {
            let mut reader = Reader::new(limits, true);
            b.iter_batched_ref(
                || sent.clone(),
                |bytes| {
                    reader.feed(bytes, &mut inflater, |event| {
                        black_box(event);
                        ControlFlow::Continue(())
                    })
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// What compression adds to a tick of 20 messages, once for each format and all viewers.
fn deflate_tick(c: &mut Criterion) {
    let mut group = c.benchmark_group("deflate_tick");
    for format in Format::ALL {
        let bytes = format.encode(&chat_events(20)).expect("events encode");
        let mut deflater = Deflater::default();
        let packed = deflater.deflate(&bytes).expect("events get smaller");
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        let name = format!("{}, {} bytes to {}", format.subprotocol(), bytes.len(), packed.len());
        group.bench_function(name, |b| b.iter(|| deflater.deflate(black_box(&bytes))));
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

criterion_group!(benches, encode_tick, deflate_tick, read_frame, read_command, money);
criterion_main!(benches);
