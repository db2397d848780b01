//! The thread that writes segments ahead: the writer never waits for blocks to be allocated, and a full
//! disk is known before anything is promised. Keeps one next segment and the reserve ready. Never
//! touches a segment that has a frame.
mod pace;

use std::{
    io,
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use log_contract::LogUnavailable;

use crate::{
    aligned::BLOCK,
    disk::{Disk, is_full},
    journal::{Segment, Zeros, name_segment},
    plan::RETRY_AFTER,
    segment,
};
use pace::Pace;

/// See the module. Dropping it ends the thread.
#[derive(Debug)]
pub(crate) struct Preparer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    segment_bytes: u64,
    reserve_bytes: u64,
    desk: Mutex<Desk>,
    changed: Condvar,
    /// As on the desk, to be seen without waiting for it.
    has_reserve: AtomicBool,
    /// Bytes that the writer's segment has room for.
    room: AtomicU64,
}

/// What lies between the writer and the thread.
#[derive(Debug)]
struct Desk {
    /// Id of the segment that is wanted next.
    next: u64,
    /// That segment. Stays here while a larger one is made, which may fail.
    ready: Option<Segment>,
    /// How large it must be for a frame that waits for it.
    needed: u64,
    /// Bytes of the reserve that is there: it may have been made under another option.
    reserve: Option<u64>,
    /// Why nothing can be prepared right now. Tried again by and by.
    failed: Option<LogUnavailable>,
    is_over: bool,
    pace: Pace,
}

impl Preparer {
    /// `next` is the id of the next segment; `ready` is that segment if it is there already. `reserve`
    /// are the bytes of the reserve's file, if there is one that can become a segment.
    pub(crate) fn start(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        (segment_bytes, reserve_bytes): (u64, u64),
        next: u64,
        ready: Option<Segment>,
        reserve: Option<u64>,
    ) -> io::Result<Self> {
        let desk = Desk {
            next,
            ready,
            needed: 0,
            reserve,
            failed: None,
            is_over: false,
            pace: Pace::default(),
        };
        let has_reserve = AtomicBool::new(reserve.is_some());
        let (desk, changed) = (Mutex::new(desk), Condvar::new());
        let shared = Arc::new(Shared {
            disk,
            dir,
            segment_bytes,
            reserve_bytes,
            desk,
            changed,
            has_reserve,
            room: AtomicU64::new(u64::MAX),
        });
        let works = shared.clone();
        let thread =
            std::thread::Builder::new().name("log-prepare".into()).spawn(move || works.work())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The next segment, with room for at least `capacity` bytes. Waits while it is being prepared.
    ///
    /// # Errors
    /// Why it cannot be prepared now. One that is ready and too small for this frame stays for others.
    pub(crate) fn take(&self, capacity: u64) -> Result<Segment, LogUnavailable> {
        let mut desk = self.shared.desk();
        let mut has_waited = false;
        let taken = loop {
            if let Some(segment) = desk.take_ready(capacity) {
                break Ok(segment);
            }
            if let Some(why) = &desk.failed {
                break Err(why.clone());
            }
            if desk.is_over {
                break Err(LogUnavailable::Closed);
            }
            desk.needed = capacity;
            has_waited = true;
            self.shared.changed.notify_all();
            desk = self.shared.wait(desk);
        };
        desk.needed = 0;
        if let Ok(segment) = &taken {
            // The first ones are small, and one that is made for a large frame says nothing of a hurry.
            let is_late = has_waited && segment.capacity == self.shared.segment_bytes;
            desk.pace.taken(Instant::now(), segment.capacity, is_late);
        }
        self.shared.changed.notify_all();
        taken
    }

    /// How much the writer can write before it needs the next segment.
    pub(crate) fn has_room(&self, bytes: u64) {
        self.shared.room.store(bytes, Ordering::Relaxed);
    }

    /// What everybody must leave free in a segment of this capacity: as long as there is no reserve,
    /// what needs no space must find room there.
    pub(crate) fn kept_free(&self, capacity: u64) -> u64 {
        match self.kept_for_openings() {
            0 => 0,
            kept => self.shared.reserve_bytes.min(capacity / 4).max(kept),
        }
    }

    /// What also those must leave free who need no space.
    pub(crate) fn kept_for_openings(&self) -> u64 {
        let has_reserve = self.shared.has_reserve.load(Ordering::Relaxed);
        if has_reserve { 0 } else { segment::KEPT_FOR_OPENINGS }
    }

    /// Turns the reserve into the next segment, if it is there and large enough. Gives the next segment
    /// itself if that has become ready meanwhile.
    pub(crate) fn take_reserve(&self, capacity: u64) -> Option<Segment> {
        let Shared { disk, dir, .. } = &*self.shared;
        // Under the lock: the thread must not give the same id to another file.
        let mut desk = self.shared.desk();
        if let Some(segment) = desk.take_ready(capacity) {
            self.shared.changed.notify_all();
            return Some(segment);
        }
        if desk.reserve.is_none_or(|bytes| bytes < capacity) {
            return None;
        }
        // Too small, and its name goes to the reserve now.
        desk.ready = None;
        let path = dir.join(segment::RESERVE);
        let segment = disk
            .open(&path)
            .and_then(|file| name_segment(&**disk, dir, segment::RESERVE, file, desk.next));
        // Also after an error it may have another name.
        if segment.is_ok() || disk.open(&path).is_err() {
            desk.reserve = None;
            self.shared.has_reserve.store(false, Ordering::Relaxed);
        }
        self.shared.changed.notify_all();
        match segment {
            Ok(segment) => {
                desk.next += 1;
                Some(segment)
            }
            Err(error) => {
                tracing::warn!(%error, "the reserve of the log cannot be used");
                None
            }
        }
    }
}

impl Desk {
    /// The next segment, if it is there and large enough.
    fn take_ready(&mut self, capacity: u64) -> Option<Segment> {
        let segment = self.ready.take_if(|segment| segment.capacity >= capacity)?;
        self.next += 1;
        Some(segment)
    }

    /// The segment that must be made, if any.
    fn wanted(&self, segment_bytes: u64) -> Option<Work> {
        let is_fine = |segment: &Segment| segment.capacity >= self.needed;
        if self.ready.as_ref().is_some_and(is_fine) {
            return None;
        }
        let bytes = bytes_of(self.next, segment_bytes).max(self.needed);
        let bytes = bytes.next_multiple_of(BLOCK as u64);
        Some(Work::Segment { id: self.next, bytes })
    }
}

impl Drop for Preparer {
    fn drop(&mut self) {
        self.shared.desk().is_over = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic there was printed; there is nobody to tell.
            let _ = thread.join();
        }
    }
}

/// What the thread does next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Segment {
        id: u64,
        bytes: u64,
    },
    Reserve,
    /// Removes what was begun of a segment that nobody wants any more.
    Clear,
}

impl Work {
    /// Of a segment that is to be made.
    fn bytes(&self) -> u64 {
        match self {
            Self::Segment { bytes, .. } => *bytes,
            Self::Reserve | Self::Clear => 0,
        }
    }
}

/// What was begun of each.
#[derive(Default)]
struct Begun {
    segment: Option<(Work, Zeros)>,
    reserve: Option<(Work, Zeros)>,
}

impl Begun {
    fn slot(&mut self, work: Work) -> &mut Option<(Work, Zeros)> {
        match work {
            Work::Segment { .. } | Work::Clear => &mut self.segment,
            Work::Reserve => &mut self.reserve,
        }
    }
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, desk: MutexGuard<'a, Desk>) -> MutexGuard<'a, Desk> {
        self.changed.wait(desk).unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut begun = Begun::default();
        while let Some(work) = self.next_work(&begun) {
            if work == Work::Clear {
                begun.segment = None;
                self.forget(work);
                continue;
            }
            let since = Instant::now();
            if let Err(error) = self.do_some(work, &mut begun) {
                let slot = begun.slot(work);
                // Keeps what it has when the disk is full, and goes on there when it is not.
                let is_kept = slot.as_ref().is_some_and(|(_, zeros)| !zeros.is_spoiled);
                if !is_kept || !is_full(&error) {
                    *slot = None;
                    self.forget(work);
                }
                self.fail(&error);
            } else {
                self.rest(&begun, since.elapsed());
            }
        }
    }

    /// As long as the last piece took, as the disk is the writer's first; unless it waits, or would if it
    /// went on twice as fast as this.
    fn rest(&self, begun: &Begun, time: Duration) {
        let left = |desk: &Desk| match (desk.wanted(self.segment_bytes), &begun.segment) {
            (Some(next), Some((of, zeros))) if *of == next => zeros.left_of(next.bytes()),
            (next, _) => next.map_or(0, |next| next.bytes()),
        };
        let in_no_hurry = |desk: &mut Desk| {
            let has_time = pace::has_time(left(desk), self.room.load(Ordering::Relaxed));
            desk.needed == 0 && !desk.is_over && has_time
        };
        let rested = self.changed.wait_timeout_while(self.desk(), time, in_no_hurry);
        drop(rested.unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits for work. `None`: it is over.
    fn next_work(&self, begun: &Begun) -> Option<Work> {
        let mut desk = self.desk();
        loop {
            if desk.is_over {
                return None;
            }
            if let Some(work) = desk.wanted(self.segment_bytes) {
                return Some(work);
            }
            if begun.segment.is_some() {
                return Some(Work::Clear);
            }
            if desk.reserve.is_none() && self.reserve_bytes > 0 {
                return Some(Work::Reserve);
            }
            // Whatever failed is not wanted any more: who asks next has it tried.
            desk.failed = None;
            desk = self.wait(desk);
        }
    }

    /// A piece of the work, so that what is wanted more comes first.
    fn do_some(&self, work: Work, begun: &mut Begun) -> io::Result<()> {
        let (name, bytes) = match work {
            Work::Segment { bytes, .. } => (segment::UNFINISHED, bytes),
            Work::Reserve => (segment::RESERVE_UNFINISHED, self.reserve_bytes),
            Work::Clear => return Ok(()),
        };
        let slot = begun.slot(work);
        if slot.as_ref().is_none_or(|(of, _)| *of != work) {
            *slot = Some((work, Zeros::begin(&*self.disk, &self.dir.join(name))?));
        }
        let Some((_, zeros)) = slot else { return Ok(()) };
        // The reserve is for a full disk: nothing may be wanted then but what it has.
        let is_hurried = work != Work::Reserve && self.desk().pace.is_hurried();
        let is_whole = (is_hurried && zeros.allocate(bytes)?) || zeros.step(bytes)?;
        if !is_whole {
            return Ok(());
        }
        let Some((_, zeros)) = slot.take() else { return Ok(()) };
        let mut desk = self.desk();
        match work {
            Work::Segment { id, .. } if desk.wanted(self.segment_bytes) == Some(work) => {
                // What was ready loses its name, perhaps also when this fails.
                desk.ready = None;
                let file = zeros.into_file();
                desk.ready = Some(name_segment(&*self.disk, &self.dir, name, file, id)?);
            }
            // Wanted no more: begun again under its new number, or not at all.
            Work::Segment { .. } | Work::Clear => {}
            Work::Reserve => {
                self.disk.rename(&self.dir.join(name), &self.dir.join(segment::RESERVE))?;
                self.disk.sync_dir(&self.dir)?;
                desk.reserve = Some(bytes);
                self.has_reserve.store(true, Ordering::Relaxed);
            }
        }
        if desk.failed.take().is_some() {
            tracing::info!("the log can write ahead again");
        }
        self.changed.notify_all();
        Ok(())
    }

    fn forget(&self, work: Work) {
        let name = match work {
            Work::Segment { .. } | Work::Clear => segment::UNFINISHED,
            Work::Reserve => segment::RESERVE_UNFINISHED,
        };
        // At worst it takes room until the next opening.
        let _ = self.disk.remove(&self.dir.join(name));
    }

    fn fail(&self, error: &io::Error) {
        let why = unavailable(error);
        let mut desk = self.desk();
        if desk.failed.is_none() {
            tracing::warn!(%error, "the log cannot write ahead");
        }
        desk.failed = Some(why);
        self.changed.notify_all();
        let waited = self.changed.wait_timeout_while(desk, RETRY_AFTER, |desk| !desk.is_over);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// The first segments are small: the first is there at once, and each one while the one before is
/// being filled. A store that holds little takes little.
pub(crate) fn bytes_of(id: u64, segment_bytes: u64) -> u64 {
    let doublings =
        u32::try_from(id.saturating_sub(1)).unwrap_or(u32::MAX).saturating_mul(2).min(20);
    segment_bytes.min(FIRST_SEGMENT_BYTES << doublings)
}

/// Of the first segment of all.
const FIRST_SEGMENT_BYTES: u64 = 1 << 20;

/// What an error of the file system means for those who wanted to store something.
pub(crate) fn unavailable(error: &io::Error) -> LogUnavailable {
    if is_full(error) {
        LogUnavailable::StorageFull { retry_after: RETRY_AFTER }
    } else {
        LogUnavailable::Away { why: error.to_string(), retry_after: RETRY_AFTER }
    }
}

#[cfg(test)]
mod tests;
