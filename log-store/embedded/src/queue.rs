//! What waits for the writer: requests in the order of the calls. Bounded by the bytes that callers had
//! to get leave for; giving back a lease needs none, as leases are bounded themselves.
use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::request::{Outcome, Request};

/// A request on its way.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) request: Request,
    /// Who waits for the answer, if anybody.
    pub(crate) reply: Option<oneshot::Sender<Outcome>>,
    /// Its share of the bound, until it is answered.
    pub(crate) _leave: Option<OwnedSemaphorePermit>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    jobs: VecDeque<Job>,
    /// Nothing more is taken.
    is_closed: bool,
    /// The writer ends without a last word.
    is_abandoned: bool,
    /// The writer sleeps: somebody must wake it.
    is_waiting: bool,
}

impl Queue {
    /// Puts a job at the end; gives it back if the log is closed. After a [`Request::Close`] nothing
    /// more is taken.
    pub(crate) fn push(&self, job: Job) -> Result<(), Box<Job>> {
        let mut inner = self.lock();
        if inner.is_closed {
            return Err(Box::new(job));
        }
        inner.is_closed = matches!(job.request, Request::Close);
        inner.jobs.push_back(job);
        let is_waiting = std::mem::take(&mut inner.is_waiting);
        drop(inner);
        if is_waiting {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Moves all that waits to the end of `into`; waits for something if `into` is empty. `false`: the
    /// writer must end now.
    pub(crate) fn take(&self, into: &mut VecDeque<Job>) -> bool {
        let mut inner = self.lock();
        loop {
            if inner.is_abandoned {
                return false;
            }
            if !inner.jobs.is_empty() || !into.is_empty() {
                into.append(&mut inner.jobs);
                return true;
            }
            inner.is_waiting = true;
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nothing more is taken, and what waits is dropped.
    pub(crate) fn abandon(&self) {
        let mut inner = self.lock();
        inner.is_closed = true;
        inner.is_abandoned = true;
        let jobs = std::mem::take(&mut inner.jobs);
        drop(inner);
        drop(jobs);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
