//! The newest frames in memory: one ring for all partitions, bounded by bytes. Reads at the tail touch
//! no file. Never a second truth: what it does not have is read from the journal.
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

use crate::{frame_buf::FrameBuf, spare::Spare};

/// Frames below this are copied, so that a large buffer does not lie in the ring for a few bytes.
const COPIED_BELOW: usize = 32 << 10;
/// What a copied frame takes beyond its body, about.
const FRAME_BYTES: usize = 96;

/// See the module.
#[derive(Debug)]
pub(crate) struct Tail {
    bytes_max: usize,
    ring: Mutex<Ring>,
    spare: Arc<Spare>,
}

#[derive(Debug, Default)]
struct Ring {
    /// Of the first frame.
    number: u64,
    frames: VecDeque<(Bytes, usize)>,
    bytes: usize,
}

impl Tail {
    /// `spare` lies within the bound, too.
    pub(crate) fn new(bytes_max: usize, spare: Arc<Spare>) -> Self {
        Self { bytes_max, ring: Mutex::default(), spare }
    }

    /// The body of this frame, if it is still here.
    pub(crate) fn get(&self, number: u64) -> Option<Bytes> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let nth = usize::try_from(number.checked_sub(ring.number)?).ok()?;
        ring.frames.get(nth).map(|(body, _)| body.clone())
    }

    /// What it holds of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }

    /// Leaves a buffer for a frame of about so many bytes.
    pub(crate) fn prepare(&self, len: usize, frame: &mut FrameBuf) {
        if len >= COPIED_BELOW && !frame.suits(len) {
            let other = FrameBuf::of(self.spare.take(len));
            self.spare.keep(std::mem::replace(frame, other).into_memory(0).0);
        }
    }

    /// Takes a frame that was written. Gives its body.
    pub(crate) fn push(&self, number: u64, body_len: usize, frame: &mut FrameBuf) -> Bytes {
        // Copied too if most of the buffer would lie idle.
        let is_copied = body_len < COPIED_BELOW || !frame.suits(body_len);
        let (body, cost) = if is_copied {
            (Bytes::copy_from_slice(frame.body(body_len)), body_len + FRAME_BYTES)
        } else {
            let (buf, body) = std::mem::take(frame).into_memory(body_len);
            let cost = buf.capacity();
            (self.spare.lend(buf, body), cost)
        };
        let mut gone = Vec::new();
        let bytes_max = self.bytes_max.saturating_sub(self.spare.bytes());
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.number + ring.frames.len() as u64 != number {
            gone.extend(ring.frames.drain(..));
            ring.bytes = 0;
            ring.number = number;
        }
        ring.frames.push_back((body.clone(), cost));
        ring.bytes += cost;
        while ring.bytes > bytes_max
            && let Some(oldest) = ring.frames.pop_front()
        {
            ring.number += 1;
            ring.bytes -= oldest.1;
            gone.push(oldest);
        }
        // Dropped after the lock: a buffer may go back to the system.
        drop(ring);
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(bytes_max: usize) -> Tail {
        Tail::new(bytes_max, Arc::new(Spare::new(bytes_max / 4)))
    }

    fn push(tail: &Tail, number: u64, byte: u8, len: usize) {
        let mut frame = FrameBuf::default();
        frame.begin(&[]);
        frame.body_mut().extend(std::iter::repeat_n(byte, len));
        tail.push(number, len, &mut frame);
    }

    #[test]
    fn the_newest_frames_are_there_and_memory_is_bounded() {
        let tail = tail(300_000);
        for number in 5..25 {
            push(&tail, number, number as u8, if number % 2 == 0 { 100 } else { 50_000 });
        }
        assert!(tail.bytes() <= 300_000);
        assert_eq!(tail.get(4), None);
        assert_eq!(tail.get(5), None);
        assert_eq!(tail.get(25), None);
        for number in 20..25 {
            let body = tail.get(number).expect("one of the newest");
            assert!(body.iter().all(|byte| u64::from(*byte) == number));
        }
    }

    #[test]
    fn buffers_go_round_and_do_not_add_up() {
        let tail = tail(1 << 20);
        let mut frame = FrameBuf::default();
        for number in 1..2_000 {
            tail.prepare(100_000, &mut frame);
            frame.begin(&[]);
            frame.body_mut().extend(std::iter::repeat_n(7, 100_000));
            tail.push(number, 100_000, &mut frame);
        }
        assert!(tail.spare.count() <= 2, "{}", tail.spare.count());
        // What made room for small frames counts as long as it waits for large ones.
        for number in 2_000..20_000 {
            push(&tail, number, 7, 100);
        }
        assert!(tail.spare.bytes() > 0 && tail.bytes() + tail.spare.bytes() <= 1 << 20);
    }

    #[test]
    fn a_reader_keeps_its_frame_when_the_ring_has_moved_on() {
        let tail = tail(100_000);
        push(&tail, 1, 7, 60_000);
        let body = tail.get(1).expect("just pushed");
        for number in 2..20 {
            push(&tail, number, 9, 60_000);
        }
        assert!(body.len() == 60_000 && body.iter().all(|byte| *byte == 7));
    }
}
