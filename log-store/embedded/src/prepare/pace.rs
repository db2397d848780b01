//! Decides how segments are made ready: with zeros or without, and with rests or without. Pure: time and
//! sizes come from outside.
use std::time::{Duration, Instant};

/// From here on each byte is written once: a sync where no zeros were written costs 0.2 ms more per MiB,
/// and zeros cost 0.4 ms of the disk's time.
const HURRIED: u64 = 128 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the writer took the last segment, and how large that is.
    taken: Option<(Instant, u64)>,
    is_hurried: bool,
}

impl Pace {
    /// The writer takes a segment of so many bytes. `is_late`: one of ordinary size, and it had to wait.
    pub(super) fn taken(&mut self, now: Instant, bytes: u64, is_late: bool) {
        let before = self.taken.replace((now, bytes));
        let is_fast = before.is_some_and(|(since, bytes)| per_second(bytes, now - since) > HURRIED);
        // A disk that cannot keep up with zeros never fills a segment fast.
        self.is_hurried = is_fast || is_late;
    }

    /// Segments fill so fast that zeros would take what the disk has: blocks are taken without any.
    pub(super) fn is_hurried(&self) -> bool {
        self.is_hurried
    }
}

/// Whether there is time to rest, with `left` bytes to prepare and `room` in the writer's segment: it
/// would not have to wait if it went on twice as fast as this.
pub(super) fn has_time(left: u64, room: u64) -> bool {
    left <= room / 2
}

fn per_second(bytes: u64, time: Duration) -> u64 {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
    bytes.saturating_mul(1_000_000) / micros
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn zeros_are_left_out_while_segments_fill_fast_or_come_late() {
        let begun = Instant::now();
        let at = |millis| begun + Duration::from_millis(millis);
        let mut pace = Pace::default();
        pace.taken(at(0), 64 * MIB, false);
        assert!(!pace.is_hurried(), "nobody knows yet");
        pace.taken(at(400), 64 * MIB, false);
        assert!(pace.is_hurried(), "160 MiB/s");
        pace.taken(at(1_000), 64 * MIB, false);
        assert!(!pace.is_hurried(), "107 MiB/s");
        pace.taken(at(2_000), 64 * MIB, true);
        assert!(pace.is_hurried(), "64 MiB/s, and the disk can do no more");
        pace.taken(at(2_000), MIB, false);
        assert!(pace.is_hurried(), "in no time at all");
    }

    #[test]
    fn there_is_time_while_the_writer_has_twice_the_room() {
        assert!(has_time(32 * MIB, 64 * MIB) && has_time(0, 0));
        assert!(!has_time(32 * MIB + 1, 64 * MIB) && !has_time(1, 0));
    }
}
