//! Every entry comes back as it was written, and no bytes make the decoder panic.
use std::ops::Range;

use log_contract::{BatchBuilder, Headers, Timestamp, route::Route};
use proptest::prelude::*;

use super::*;
use crate::block;

fn bytes() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from)
}

fn seat() -> impl Strategy<Value = Seat> {
    ("[A-Za-z0-9-][A-Za-z0-9._-]{0,20}", any::<u64>(), any::<u32>()).prop_map(
        |(cursor, source, partition)| Seat {
            cursor: CursorName::parse(&cursor).expect("a name"),
            source: TopicId(source),
            partition: PartitionId(partition),
        },
    )
}

fn progress() -> impl Strategy<Value = Progress> {
    (0..1_u64 << 60, prop::collection::vec((1..1_000_u64, 1..1_000_u64), 0..30)).prop_map(
        |(next, gaps)| {
            let mut at = next;
            let range = |(gap, len): (u64, u64)| -> Range<Offset> {
                let start = at + gap;
                at = start + len;
                Offset(start)..Offset(at)
            };
            let ahead = gaps.into_iter().map(range).collect();
            Progress::from_parts(Offset(next), ahead).expect("sorted and apart")
        },
    )
}

fn write() -> impl Strategy<Value = StateWrite> {
    (prop::option::of(bytes()), ".{0,10}", prop::option::of(bytes())).prop_map(
        |(key, name, value)| StateWrite { at: StateKey { key, name: name.into() }, value },
    )
}

fn topic() -> impl Strategy<Value = TopicInfo> {
    let retention =
        (prop::option::of(0..1_u64 << 50), prop::option::of(any::<u64>()), any::<bool>());
    ("[a-z_.][a-z0-9._-]{0,40}", any::<u64>(), any::<u32>(), retention, any::<bool>()).prop_map(
        |(name, id, partitions, (age, bytes, hold_for_triggers), compacted)| TopicInfo {
            id: TopicId(id),
            spec: TopicSpec {
                name: TopicName::parse_internal(&name).expect("a name"),
                partitions,
                retention: Retention {
                    age: age.map(Duration::from_millis),
                    bytes,
                    hold_for_triggers,
                },
                compacted,
            },
        },
    )
}

fn only(body: &[u8]) -> Entry<'_> {
    let mut entries: Vec<_> = Entries::of(body).collect();
    assert_eq!(entries.len(), 1);
    entries.pop().expect("one").expect("it is whole").1
}

proptest! {
    #[test]
    fn a_settlement_comes_back(
        seat in seat(), generation: u64, first in progress(), others in prop::collection::vec(
            (any::<u64>(), progress()), 0..3,
        ), memo in bytes(), state in prop::collection::vec(write(), 0..5), records in 0..3_usize,
    ) {
        let mut batch = BatchBuilder::default();
        for _ in 0..records {
            batch.push_new(Timestamp(1), None, Some(b"v"), Headers::NONE);
        }
        let batch = batch.build();
        let mut progress = vec![(seat.source, first)];
        progress.extend(others.into_iter().map(|(topic, progress)| (TopicId(topic), progress)));
        let to = PartitionRef::new(TopicId(9), PartitionId(2));
        let (memo, mut body) = (Memo(memo), Vec::new());
        let given = progress.clone().into_iter();
        Put(&mut body).settled(&seat, Generation(generation), given, &memo, &state, |into| {
            if records > 0 {
                let route = Route { partition: PartitionId(2), batch: &batch, start: 0, end: records };
                block::put(into, to, Offset(7), Timestamp(8), None, &[route]);
            }
        });
        let Entry::Settled(back) = only(&body) else { panic!("it is a settlement") };
        prop_assert_eq!(back.seat, seat);
        prop_assert_eq!(back.generation, Generation(generation));
        prop_assert_eq!(back.progress, progress);
        prop_assert_eq!(back.memo, memo);
        prop_assert_eq!(back.state, state);
        let blocks: Vec<_> = back.outputs.map(|block| block.expect("whole")).collect();
        let alone: Vec<_> = RecordBlocks::of(&body).map(|block| block.expect("whole")).collect();
        prop_assert_eq!(&alone, &blocks);
        prop_assert_eq!(blocks.len(), records.min(1));
        prop_assert!(blocks.iter().all(|block| block.partition == to && block.base == Offset(7)));
    }

    #[test]
    fn a_topic_comes_back(topic in topic()) {
        let mut body = Vec::new();
        Put(&mut body).topic(Kind::TopicAltered, &topic);
        let Entry::TopicAltered(back) = only(&body) else { panic!("it is a topic") };
        prop_assert_eq!(back, topic);
    }

    #[test]
    fn a_document_comes_back(key in ".{0,20}", version: u64, value in prop::option::of(bytes())) {
        let mut body = Vec::new();
        Put(&mut body).document(&key, version, value.as_deref());
        let Entry::DocumentPut { key: back, version: of, value: is } = only(&body) else {
            panic!("it is a document")
        };
        prop_assert_eq!((back, of, is), (&*key, version, value.as_deref()));
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(
        seat in seat(), progress in progress(), write in write(), topic in topic(),
        at: prop::sample::Index, with: u8, cut: prop::sample::Index,
    ) {
        let mut body = Vec::new();
        let given = [(seat.source, progress)].into_iter();
        let mut put = Put(&mut body);
        put.topic(Kind::TopicCreated, &topic);
        put.settled(&seat, Generation(1), given, &Memo::default(), &[write], |_| {});
        put.trimmed(PartitionRef::new(TopicId(1), PartitionId(1)), Offset(1), 1);
        put.released(&seat);
        let at = at.index(body.len());
        body[at] = with;
        body.truncate(cut.index(body.len()) + 1);
        RecordBlocks::of(&body).for_each(drop);
        for entry in Entries::of(&body) {
            if let Ok((_, Entry::Appended(blocks))) = entry {
                blocks.for_each(drop);
            }
        }
    }
}

#[test]
fn an_entry_of_an_unknown_kind_is_refused() {
    let mut body = Vec::new();
    Put(&mut body).opened(1);
    body[4] = 200;
    assert!(Entries::of(&body).next().expect("one").is_err());
}
