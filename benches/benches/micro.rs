//! Small operations, each beside a limit that it cannot beat: what is left between the two is ours to
//! answer for. `cargo bench -p steadfast-benches` shows the distributions; `cargo xtask bench micro`
//! makes rows of the medians.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use steadfast::prelude::*;
use steadfast_journal::{Batch, End, Journal, Level, Options};
use steadfast_snapshotter::Image;
use steadfast_wm::codec::v1;
use steadfast_wm::{CommitSeq, Counters, FactHandle, Record, SafePoint, Seq, TypeTag};

#[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Item {
    #[fact(key)]
    id: i64,
    value: i64,
}

#[rule]
fn odd(#[when(item.value % 2 == 1)] item: &Item) {
    black_box(item.id);
}

ruleset!(items = 1: odd);

const ITEMS: i64 = 10_000;

fn insertion(number: u64, bytes: &[u8]) -> Record<'_> {
    Record::Insert {
        handle: FactHandle::new(number),
        kind: TypeTag::new(0),
        version: 1,
        bytes,
        seq: Seq::new(number),
        origin: None,
        stated: true,
        clock: 0,
    }
}

/// What an insertion holds.
type Plain<'a> = (u64, u32, u32, &'a [u8], u64, Option<u32>, bool, i64);

/// The same numbers and bytes without an envelope, as postcard writes them by itself.
fn codec(criterion: &mut Criterion) {
    let value = [7_u8; 64];
    let mut bytes = Vec::with_capacity(1 << 10);
    let mut group = criterion.benchmark_group("encode an insertion");
    group.bench_function("ours", |bencher| {
        bencher.iter(|| {
            bytes.clear();
            v1::encode(black_box(&insertion(1_000_000, &value)), &mut bytes);
        });
    });
    let plain = (1_000_000_u64, 0_u32, 1_u32, &value[..], 1_000_000_u64, None::<u32>, true, 0_i64);
    let mut buffer = [0; 1 << 10];
    group.bench_function("postcard alone", |bencher| {
        bencher.iter(|| postcard::to_slice(black_box(&plain), &mut buffer).map(|out| out.len()));
    });
    group.finish();

    bytes.clear();
    v1::encode(&insertion(1_000_000, &value), &mut bytes);
    let payload = postcard::to_allocvec(&plain).expect("plain values serialize");
    let mut group = criterion.benchmark_group("decode an insertion");
    group.bench_function("ours", |bencher| bencher.iter(|| v1::decode(black_box(&bytes)).is_ok()));
    group.bench_function("postcard alone", |bencher| {
        bencher.iter(|| postcard::from_bytes::<Plain<'_>>(black_box(&payload)).is_ok());
    });
    group.finish();
}

/// A group of ten records of 100 bytes into the page cache, beside a copy with one checksum.
fn append(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = Options::new().level(Level::Process);
    let (journal, _) = Journal::open(dir.path().join("j"), options).expect("a new journal");
    let mut batch = Batch::new();
    for _ in 0..10 {
        batch.push(1, 1, &[7; 97]).expect("a short record");
    }
    let mut group = criterion.benchmark_group("append ten records");
    group.bench_function("ours", |bencher| {
        bencher.iter(|| journal.append(&batch, End::SafePoint).expect("room on the disk"));
    });
    let (bytes, mut copy) = ([7; 1000], Vec::with_capacity(1 << 11));
    group.bench_function("copy and checksum", |bencher| {
        bencher.iter(|| {
            copy.clear();
            copy.extend_from_slice(black_box(&bytes));
            crc32c::crc32c(&copy)
        });
    });
    group.finish();
}

/// A commit of a thousand insertions into an image, beside decoding them alone.
fn fold(criterion: &mut Criterion) {
    let mut bytes = Vec::new();
    v1::encode(&Record::Type { tag: TypeTag::new(0), name: "Item" }, &mut bytes);
    (1..=1000).for_each(|number| v1::encode(&insertion(number, &[7; 64]), &mut bytes));
    v1::encode(&Record::Evaluated, &mut bytes);
    let (commit, point) = (CommitSeq::new(1), SafePoint::Evaluated);
    v1::encode(&Record::Commit { commit, point, counters: Counters::default() }, &mut bytes);
    let each = |mut look: Box<dyn FnMut(&Record<'_>) + '_>| {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (record, after) = v1::decode(rest).expect("what was encoded");
            look(&record);
            rest = after;
        }
    };
    let mut group = criterion.benchmark_group("fold a thousand insertions");
    group.bench_function("ours", |bencher| {
        bencher.iter_batched_ref(
            Image::default,
            |image| each(Box::new(|record| image.apply(record).expect("a legal history"))),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("decode alone", |bencher| {
        bencher.iter(|| each(Box::new(|record| _ = black_box(record))));
    });
    group.finish();
}

/// An update that fires a rule, in memory and journaled, beside a hash map's.
fn update(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let durable = Session::durable(dir.path().join("s")).sync(Sync::Process).open(items());
    let mut sessions = [
        ("ours", Session::memory(items()).expect("valid rules")),
        ("ours at Process", durable.expect("a new session")),
    ];
    let mut group = criterion.benchmark_group("update and fire");
    for (name, session) in &mut sessions {
        let handles = session.transact(|tx| {
            (0..ITEMS)
                .map(|id| Ok(tx.insert(Item { id, value: 0 })?))
                .collect::<Result<Vec<_>, _>>()
        });
        let handles = handles.expect("the workload has no errors");
        let mut at = 0;
        group.bench_function(*name, |bencher| {
            bencher.iter(|| {
                at = (at + 7919) % handles.len();
                session.update(handles[at], |item| item.value += 1).expect("it lives");
                session.fire_all().expect("nothing fails")
            });
        });
    }
    let mut map: HashMap<i64, i64> = (0..ITEMS).map(|id| (id, 0)).collect();
    let mut at = 0;
    group.bench_function("hash map", |bencher| {
        bencher.iter(|| {
            at = (at + 7919) % ITEMS;
            let value = map.entry(at).and_modify(|value| *value += 1).or_default();
            (*value % 2 == 1).then(|| black_box(at))
        });
    });
    group.finish();
}

fn config() -> Criterion {
    let time = Duration::from_secs(2);
    Criterion::default()
        .measurement_time(time)
        .warm_up_time(time / 4)
        .sample_size(30)
        .without_plots()
}

criterion_group!(name = micro; config = config(); targets = codec, append, fold, update);
criterion_main!(micro);
