//! Frames that left the ring and were read off the disk, and pieces of such: kept for a while, as a frame
//! holds records of many partitions and each comes for its own, and several may come for the same. Never
//! what was not checked.
use std::{hash::Hash, ops::Range, sync::Arc};

use bytes::Bytes;
use quick_cache::{OptionsBuilder, Weighter, sync::Cache};

use crate::{
    aligned::AlignedBuf,
    spare::Spare,
    state::{BatchAt, Place},
};

/// What it holds beyond a body.
const FRAME_BYTES: u64 = 160;
/// A frame is about so large when it matters how many there are.
const FRAME_BYTES_EXPECTED: usize = 256 << 10;
/// Part of it that is for frames that were asked for again. A frame that is larger than this part is not
/// kept at all, so the largest request (16 MiB, and what joins it) must fit.
const HOT: f64 = 0.6;

/// A cache that is bounded by bytes, of entries of about so many each.
pub(crate) fn by_bytes<K: Eq + Hash, V: Clone, W: Weighter<K, V> + Clone>(
    bytes_max: usize,
    bytes_expected: usize,
    weighter: W,
) -> Cache<K, V, W> {
    let options = OptionsBuilder::new()
        .estimated_items_capacity((bytes_max / bytes_expected).max(16))
        .weight_capacity(bytes_max as u64)
        // What is read once by each of many partitions, soon one after the other, is what it is for.
        .hot_allocation(HOT)
        // In one piece, so that one large entry fits.
        .shards(1)
        .build()
        .expect("both capacities are given");
    Cache::with_options(options, weighter, Default::default(), Default::default())
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Cold {
    kept: Cache<Key, Memory, Weight>,
    spare: Arc<Spare>,
}

/// A frame's body, or a piece of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    frame: u64,
    /// Nothing for a whole body.
    piece: (u32, u32),
}

impl Key {
    pub(crate) fn frame(place: Place) -> Self {
        Self { frame: place.frame, piece: (0, 0) }
    }

    pub(crate) fn piece(batch: &BatchAt) -> Self {
        Self { frame: batch.place.frame, piece: (batch.begin, batch.end) }
    }
}

/// Bytes that were read, and what their buffer takes of memory.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    part: Bytes,
    bytes: u64,
}

#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Key, Memory> for Weight {
    fn weight(&self, _: &Key, memory: &Memory) -> u64 {
        memory.bytes + FRAME_BYTES
    }
}

impl Cold {
    pub(crate) fn new(bytes_max: usize, spare: Arc<Spare>) -> Self {
        Self { kept: by_bytes(bytes_max, FRAME_BYTES_EXPECTED, Weight), spare }
    }

    /// What was read, if it is here.
    pub(crate) fn get(&self, key: Key) -> Option<Bytes> {
        self.kept.get(&key).map(|memory| memory.part)
    }

    /// What was read. Whoever comes while another reads it waits for that.
    pub(crate) fn bytes<E>(
        &self,
        key: Key,
        read: impl FnOnce() -> Result<Memory, E>,
    ) -> Result<Bytes, E> {
        self.kept.get_or_insert_with(&key, read).map(|memory| memory.part)
    }

    /// With room for so many bytes, whatever they are.
    pub(crate) fn buffer(&self, len: usize) -> AlignedBuf {
        AlignedBuf::over(self.spare.take(AlignedBuf::needed(len)), len)
    }

    /// What of such a buffer is of use.
    pub(crate) fn memory(&self, buf: AlignedBuf, part: Range<usize>) -> Memory {
        let (buf, part) = buf.into_memory(part);
        let bytes = buf.capacity() as u64;
        Memory { part: self.spare.lend(buf, part), bytes }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn cold() -> Cold {
        Cold::new(1 << 20, Arc::new(Spare::new(1 << 20)))
    }

    fn key(frame: u64) -> Key {
        Key { frame, piece: (0, 0) }
    }

    fn frame(cold: &Cold, number: u64, len: usize) -> Bytes {
        let read = || {
            let mut buf = cold.buffer(len);
            buf.bytes_mut()[..len].fill(number as u8);
            Ok::<_, Infallible>(cold.memory(buf, 0..len))
        };
        let Ok(body) = cold.bytes(key(number), read);
        body
    }

    #[test]
    fn a_frame_is_read_once_while_it_is_kept_and_memory_is_bounded() {
        let cold = cold();
        let first = frame(&cold, 1, 100_000);
        let Ok(again) =
            cold.bytes(key(1), || -> Result<Memory, Infallible> { unreachable!("kept") });
        assert_eq!(first.as_ptr(), again.as_ptr());
        assert_eq!(cold.get(key(1)).map(|body| body.as_ptr()), Some(first.as_ptr()));
        assert_eq!(cold.get(key(2)), None);
        for number in 2..100 {
            let body = frame(&cold, number, 100_000);
            assert!(body.iter().all(|byte| *byte == number as u8));
        }
        assert!(cold.kept.weight() <= 1 << 20);
        assert!(cold.spare.bytes() <= 1 << 20);
        assert!(first.iter().all(|byte| *byte == 1), "a reader keeps its frame");
    }

    #[test]
    fn the_largest_frame_of_one_request_is_kept() {
        let cold = Cold::new(32 << 20, Arc::new(Spare::new(32 << 20)));
        let body = frame(&cold, 1, 16 << 20);
        let kept = cold.get(key(1)).expect("there is room for it");
        assert_eq!(kept.as_ptr(), body.as_ptr());
    }

    #[test]
    fn a_frame_larger_than_all_room_is_read_each_time() {
        let cold = cold();
        for _ in 0..3 {
            assert_eq!(frame(&cold, 7, 5 << 20).len(), 5 << 20);
        }
        assert!(cold.kept.weight() <= 1 << 20);
    }

    #[test]
    fn who_cannot_read_leaves_nothing_behind() {
        let cold = cold();
        assert_eq!(cold.bytes(key(3), || Err::<Memory, _>("damaged")), Err("damaged"));
        assert_eq!(frame(&cold, 3, 10).len(), 10);
    }
}
