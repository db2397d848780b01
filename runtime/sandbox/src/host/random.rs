//! Randomness that follows from the invocation: the same component, configuration, records and attempt
//! draw the same bytes. Never entropy.
use crate::call::Call;
use log_contract::{Digest, Span};
use rand_core::TryRng;
use std::convert::Infallible;
use wasmtime_wasi::WasiCtxBuilder;

/// Stands for everything that an invocation follows from.
pub(super) struct Seed(Draw);

impl Seed {
    pub(super) fn of(component: Digest, call: &Call) -> Self {
        let mut story = Vec::with_capacity(256);
        story.extend_from_slice(&component.0);
        for text in [&call.trigger, &call.topic] {
            push(&mut story, text.as_bytes());
        }
        for (name, value) in call.environment.iter() {
            push(&mut story, name.as_bytes());
            push(&mut story, value.as_bytes());
        }
        story.extend_from_slice(&call.partition.0.to_le_bytes());
        story.extend_from_slice(&call.attempt.to_le_bytes());
        if let Some(window) = &call.window {
            story.extend_from_slice(&window.start.0.to_le_bytes());
        }
        for (first, last) in ranges(&call.span) {
            story.extend_from_slice(&first.to_le_bytes());
            story.extend_from_slice(&last.to_le_bytes());
        }
        let digest = Digest::of(&story).0;
        let (words, _) = digest.as_chunks::<8>();
        Self(Draw([0, 1, 2, 3].map(|nth| u64::from_le_bytes(words[nth]))))
    }

    pub(super) fn give(mut self, wasi: &mut WasiCtxBuilder) {
        let mut word = || self.0.word();
        let secure = Draw([word(), word(), word(), word()]);
        let insecure = Draw([word(), word(), word(), word()]);
        let seed = u128::from(word()) << 64 | u128::from(word());
        wasi.secure_random(secure).insecure_random(insecure).insecure_random_seed(seed);
    }
}

/// The offsets of the records as ranges without holes, as few as can be: whatever the batches in which they
/// were read, the same records are the same ranges.
fn ranges(span: &Span) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::with_capacity(span.runs().len());
    let mut add = |first: u64, last: u64| match ranges.last_mut() {
        Some((_, end)) if *end + 1 == first => *end = last,
        _ => ranges.push((first, last)),
    };
    for run in span.runs() {
        let (first, last) = (run.head().0, run.last().0);
        if last - first + 1 == run.len() as u64 {
            add(first, last);
        } else {
            run.entries().iter().for_each(|entry| add(entry.offset.0, entry.offset.0));
        }
    }
    ranges
}

fn push(story: &mut Vec<u8>, part: &[u8]) {
    story.extend_from_slice(&(part.len() as u64).to_le_bytes());
    story.extend_from_slice(part);
}

/// xoshiro256**: our own, so that no crate's new version changes what an old invocation drew.
struct Draw([u64; 4]);

impl Draw {
    fn word(&mut self) -> u64 {
        let s = &mut self.0;
        let word = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= shifted;
        s[3] = s[3].rotate_left(45);
        word
    }
}

impl TryRng for Draw {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.word() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.word())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            let word = self.word().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use log_contract::{Entry, Offset, RecordBatch, Timestamp};

    /// Empty records at these offsets, cut into batches.
    fn span(batches: &[&[u64]]) -> Span {
        let mut span = Span::default();
        for offsets in batches {
            let entry = |offset: &u64| Entry {
                offset: Offset(*offset),
                timestamp: Timestamp(0),
                appended_at: Timestamp(0),
                start: 0,
                key_len: Entry::ABSENT,
                value_len: Entry::ABSENT,
            };
            let entries = offsets.iter().map(entry).collect();
            let batch = RecordBatch::from_parts(entries, bytes::Bytes::new(), None).expect("fits");
            (0..batch.len()).for_each(|at| span.push_one(&batch, at));
        }
        span
    }

    #[test]
    fn the_same_records_are_the_same_ranges_however_they_were_read() {
        let whole = ranges(&span(&[&[1, 2, 3, 7, 8]]));
        assert_eq!(whole, [(1, 3), (7, 8)]);
        assert_eq!(ranges(&span(&[&[1, 2], &[3, 7], &[8]])), whole);
        assert_eq!(ranges(&span(&[&[1], &[2, 3, 7, 8]])), whole);
        assert_ne!(ranges(&span(&[&[1, 2, 3, 8]])), whole);
    }

    #[test]
    fn it_draws_what_the_reference_draws() {
        let mut draw = Draw([1, 2, 3, 4]);
        assert_eq!(
            [0; 4].map(|_| draw.word()),
            [11520, 0, 1_509_978_240, 1_215_971_899_390_074_240]
        );
    }
}
