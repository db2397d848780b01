//! The one thread that writes: takes what waits, has it planned, writes one frame, syncs it, and only
//! then lets anybody see it. The only mutator of the journal and the state. Never a decision of its
//! own, but where a frame finds room.
use std::{
    collections::VecDeque,
    io,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use log_contract::{LogLimits, LogUnavailable};

use crate::{
    disk::LockedFile,
    frame,
    frame_buf::FrameBuf,
    housekeeper::Housekeeper,
    index::Keeper,
    journal::{Journal, Segment, WriteError},
    options::{Fatal, Options},
    plan::{self, Changes, Rules, Storage},
    prepare::Preparer,
    queue::Job,
    request::{Outcome, Request, Right},
    segment,
    shared::Shared,
    snapshot::{self, Due},
    state::Place,
};

/// See the module.
pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) options: Options,
    pub(crate) journal: Journal,
    pub(crate) preparer: Preparer,
    pub(crate) keeper: Keeper,
    pub(crate) housekeeper: Housekeeper,
    /// When the next snapshot is made.
    pub(crate) due: Due,
    pub(crate) dir: PathBuf,
    /// The frame that is being made; its buffer goes round with the tail.
    pub(crate) frame: FrameBuf,
    /// Memory for plans.
    pub(crate) changes: Changes,
    /// Leases that were given back without a word, for want of room: the next one to settle would hear
    /// of a crash. One per seat at most.
    pub(crate) unsaid: Vec<Right>,
    /// The directory is ours until this thread has ended.
    pub(crate) lock: Box<dyn LockedFile>,
}

/// Why the thread ends.
enum End {
    Closed,
    Abandoned,
    Fatal { what: &'static str, error: io::Error },
}

/// A frame that is planned: its body lies in the writer's buffer.
struct Planned {
    outcomes: Vec<Outcome>,
    body_len: usize,
}

impl Writer {
    /// The thread's whole life.
    pub(crate) fn run(mut self) {
        raise_priority();
        let mut jobs = VecDeque::new();
        let result =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.work(&mut jobs)));
        let end = result.unwrap_or_else(|_| End::Fatal {
            what: "plan a frame for",
            error: io::Error::other("the thread that writes panicked"),
        });
        let Self { shared, options, preparer, keeper, housekeeper, dir, lock, .. } = self;
        if let End::Fatal { what, error } = end {
            (options.on_fatal)(&Fatal { what, dir, error });
        }
        shared.close();
        drop(jobs);
        drop(housekeeper);
        drop(preparer);
        drop(keeper);
        drop(lock);
        shared.ended.send_replace(true);
    }

    fn work(&mut self, jobs: &mut VecDeque<Job>) -> End {
        while self.shared.queue.take(jobs) {
            match self.commit(jobs) {
                Ok(false) => {}
                Ok(true) => {
                    self.snapshot();
                    return End::Closed;
                }
                Err(WriteError { what, error }) => return End::Fatal { what, error },
            }
        }
        End::Abandoned
    }

    /// Makes one frame of the first jobs and answers them; whether the log is closed now.
    fn commit(&mut self, jobs: &mut VecDeque<Job>) -> Result<bool, WriteError> {
        let mut planned = self.plan(jobs, Storage::Plenty);
        let mut has_said = !self.unsaid.is_empty();
        let mut is_exhausted = false;
        if let Err(why) = self.find_room(planned.body_len) {
            has_said = false;
            planned = self.plan(jobs, Storage::Reserve(why.clone()));
            let is_close = matches!(jobs.front(), Some(Job { request: Request::Close, .. }));
            if !self.find_reserve(planned.body_len, is_close) {
                planned = self.plan(jobs, Storage::Exhausted(why));
                is_exhausted = true;
            }
        }
        if let Some(place) = self.write(planned.body_len)? {
            self.publish(place, planned.body_len);
        }
        if has_said {
            self.unsaid.clear();
        }
        let mut is_closed = false;
        for outcome in planned.outcomes {
            let Some(Job { request, reply, .. }) = jobs.pop_front() else { break };
            match &request {
                Request::Release(right) => {
                    if is_exhausted {
                        self.keep_unsaid(right);
                    }
                    self.shared.leases.release(&self.shared.state(), right);
                }
                Request::DeleteCursor(cursor) if outcome == Outcome::DeleteCursor(Ok(())) => {
                    self.shared.leases.cursor_deleted(&self.shared.state(), cursor);
                }
                Request::Close => {
                    is_closed = true;
                    if is_exhausted {
                        tracing::warn!("the disk is full: a clean end will look like a crash");
                    }
                }
                _ => {}
            }
            if is_closed {
                self.shared.close();
            }
            if let Some(reply) = reply {
                // Whoever dropped the call does not want to know.
                let _ = reply.send(outcome);
            }
        }
        Ok(is_closed)
    }

    fn keep_unsaid(&mut self, right: &Right) {
        self.unsaid.retain(|unsaid| unsaid.seat != right.seat);
        self.unsaid.push(right.clone());
    }

    fn plan(&mut self, jobs: &VecDeque<Job>, storage: Storage) -> Planned {
        self.shared.tail.prepare(self.weight_of(jobs), &mut self.frame);
        self.journal.begin(&mut self.frame);
        let leases = &self.shared.leases;
        let rules = Rules {
            now: self.options.clock.now(),
            limits: LogLimits::OURS,
            storage,
            body_bytes_max: self.options.group_bytes,
            state_bytes_max: self.options.state_bytes_max,
            unsaid: &self.unsaid,
            is_current: &|right| leases.is_current(right),
            is_in_use: &|cursor| leases.is_in_use(cursor),
        };
        let requests = jobs.iter().map(|job| &job.request);
        let (body, changes) = (self.frame.body_mut(), &mut self.changes);
        let outcomes = plan::plan(&self.shared.state(), &rules, requests, body, changes);
        Planned { outcomes, body_len: self.frame.body_len() }
    }

    /// About how long the frame of these jobs will be: room for it is better found once.
    fn weight_of(&self, jobs: &VecDeque<Job>) -> usize {
        let mut bytes = 0;
        for job in jobs {
            bytes += job.request.weight() + REQUEST_BYTES;
            if bytes >= self.options.group_bytes {
                break;
            }
        }
        bytes
    }

    /// Sees to it that a frame fits where everybody may write.
    fn find_room(&mut self, body_len: usize) -> Result<(), LogUnavailable> {
        if body_len == 0 {
            return Ok(());
        }
        let Segment { capacity, is_reserve, .. } = self.journal.segment;
        let kept_free = self.preparer.kept_free(capacity);
        if self.journal.fits_before(kept_free, body_len) && !is_reserve {
            return Ok(());
        }
        let next = self.preparer.take(capacity_for(body_len))?;
        self.count_segment(next.capacity);
        self.journal.advance(next);
        Ok(())
    }

    /// The same for what may use the reserve. The last word may use what is kept for openings, too: it
    /// comes as seldom.
    fn find_reserve(&mut self, body_len: usize, is_close: bool) -> bool {
        let kept_free = if is_close { 0 } else { self.preparer.kept_for_openings() };
        if body_len == 0 || self.journal.fits_before(kept_free, body_len) {
            return true;
        }
        let Some(reserve) = self.preparer.take_reserve(capacity_for(body_len)) else {
            return false;
        };
        tracing::warn!("the disk is full: only progress, trims and deletes are stored");
        self.count_segment(reserve.capacity);
        self.journal.advance(reserve);
        true
    }

    fn count_segment(&self, bytes: u64) {
        self.shared.segments.fetch_add(1, Ordering::Relaxed);
        self.shared.journal_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Writes the frame and syncs it. `None`: there was nothing to write.
    fn write(&mut self, body_len: usize) -> Result<Option<Place>, WriteError> {
        if body_len == 0 {
            return Ok(None);
        }
        let place = self.journal.write(&mut self.frame)?;
        let begun = Instant::now();
        self.journal.sync(place)?;
        self.preparer.has_room(self.journal.room());
        self.options.observer.synced(begun.elapsed(), place.len as usize);
        Ok(Some(place))
    }

    fn publish(&mut self, place: Place, body_len: usize) {
        let body = self.shared.tail.push(place.frame, body_len, &mut self.frame);
        self.due.wrote(place.len);
        if let Some(index) = self.shared.apply(place, &body).sealed {
            self.keeper.keep(index);
        }
        let is_first_of_segment = place.at as usize == segment::HEADER_LEN;
        if is_first_of_segment && self.due.is_now() {
            self.snapshot();
        }
    }
}

impl Writer {
    /// Has all that is known written to its file.
    fn snapshot(&mut self) {
        let Segment { id, salt, capacity, .. } = self.journal.segment;
        let before = self.shared.journal_bytes.load(Ordering::Relaxed).saturating_sub(capacity);
        let file = {
            let state = self.shared.state();
            // Of a segment without frames it could not be said that the journal goes on there.
            if state.state_bytes > snapshot::STATE_BYTES_MAX || state.end.segment != id {
                return;
            }
            snapshot::encode(&state, salt, before)
        };
        self.due.made(file.len());
        self.keeper.keep_snapshot(id, file);
    }
}

/// What a request takes of a frame beyond its records.
const REQUEST_BYTES: usize = 4 << 10;

/// A segment that holds a frame of this body, and what is kept.
fn capacity_for(body_len: usize) -> u64 {
    (segment::HEADER_LEN + frame::total(body_len)) as u64 + segment::KEPT_FOR_OPENINGS
}

/// A thread that waits for the disk must not wait for a guest's time slice as well. Where it is not
/// allowed, it is merely slower.
fn raise_priority() {
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), -15);
}
