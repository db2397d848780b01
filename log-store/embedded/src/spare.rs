//! Buffers whose pages are there already: the first touch of fresh memory costs more than what is done with
//! it. Bounded by bytes; never what is in them.
use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

/// A new buffer's capacity is a multiple of this, so that frames of about one length fit each other's.
const ROUND: usize = 64 << 10;
/// Smaller ones are not worth a place.
const LEAST: usize = 32 << 10;
/// A buffer of so many times what is needed is not taken for it.
const WASTE: usize = 4;

/// See the module.
#[derive(Debug)]
pub(crate) struct Spare {
    bytes_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The oldest first.
    bufs: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Spare {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, kept: Mutex::default() }
    }

    /// With room for so many bytes, and whatever it held before.
    pub(crate) fn take(&self, len: usize) -> Vec<u8> {
        let mut kept = self.kept();
        // The newest first, as some of it may still be near a core.
        let found = kept.bufs.iter().rposition(|buf| Self::suits(buf, len));
        if let Some(buf) = found.and_then(|found| kept.bufs.remove(found)) {
            kept.bytes -= buf.capacity();
            return buf;
        }
        drop(kept);
        Vec::with_capacity(len.next_multiple_of(ROUND))
    }

    /// Whether a buffer has room for so many bytes, and not much more.
    pub(crate) fn suits(buf: &Vec<u8>, len: usize) -> bool {
        buf.capacity() >= len && buf.capacity() / WASTE <= len.next_multiple_of(ROUND)
    }

    pub(crate) fn keep(&self, buf: Vec<u8>) {
        if buf.capacity() < LEAST {
            return;
        }
        let mut kept = self.kept();
        kept.bytes += buf.capacity();
        kept.bufs.push_back(buf);
        let mut gone = Vec::new();
        while kept.bytes > self.bytes_max
            && let Some(oldest) = kept.bufs.pop_front()
        {
            kept.bytes -= oldest.capacity();
            gone.push(oldest);
        }
        // They go back to the system after the lock.
        drop(kept);
    }

    /// Part of a buffer, which comes home when the last reader lets go of it.
    pub(crate) fn lend(self: &Arc<Self>, buf: Vec<u8>, part: Range<usize>) -> Bytes {
        Bytes::from_owner(Lent { buf, part, home: self.clone() })
    }

    /// What waits here.
    pub(crate) fn bytes(&self) -> usize {
        self.kept().bytes
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.kept().bufs.len()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Lent {
    buf: Vec<u8>,
    part: Range<usize>,
    home: Arc<Spare>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.buf.get(self.part.clone()).unwrap_or_default()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.keep(std::mem::take(&mut self.buf));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_if_it_suits_and_not_too_many_are_kept() {
        let spare = Spare::new(4 << 20);
        let buf = spare.take(1_000_000);
        let (at, capacity) = (buf.as_ptr(), buf.capacity());
        spare.keep(buf);
        let (small, large) = (spare.take(10), spare.take(2_000_000));
        assert!(small.capacity() < capacity && large.capacity() > capacity);
        let fits = spare.take(900_000);
        assert_eq!(fits.as_ptr(), at);
        for _ in 0..100 {
            spare.keep(Vec::with_capacity(200_000));
        }
        assert!(spare.bytes() <= 4 << 20);
        assert_eq!(spare.count(), spare.bytes() / 200_000);
        spare.keep(Vec::with_capacity(5 << 20));
        assert_eq!(spare.bytes(), 0, "what is larger than all room pushes out all, and itself");
        for len in [0, 100, LEAST - 1] {
            spare.keep(Vec::with_capacity(len));
        }
        assert_eq!(spare.count(), 0, "nothing that no frame would take");
    }
}
