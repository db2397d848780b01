//! The threads that guests run on, and those who wait for guests all the time: an answer is looked at, and
//! the next guest begun, without another thread being woken. Below the log's writer and HTTP in priority, so
//! that a guest that burns holds up no one but guests.
use std::{future::Future, io};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinHandle,
};

/// Below the log's writer and HTTP.
const NICENESS: i32 = 5;
/// After so many turns a worker looks at timers and at what others handed over. A turn of a guest that
/// burns is as long as a tick, so the usual 61 would be half a second.
const TURNS: u32 = 1;

/// Workers beyond those that `turns` lets run guests: somebody must be free to see that one has come, and
/// for what is no guest.
const SPARE: usize = 1;

pub(crate) struct GuestRuntime {
    runtime: Option<Runtime>,
    handle: Handle,
}

/// Ends its task when it is dropped: a guest does not outlive whoever asked for it.
struct Task<T>(JoinHandle<T>);

impl GuestRuntime {
    pub(crate) fn start(threads: usize) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1) + SPARE)
            .thread_name("guest")
            .enable_time()
            .event_interval(TURNS)
            .global_queue_interval(TURNS)
            .on_thread_start(|| {
                // On Linux this is the thread's alone. Without the right to it guests merely compete.
                let _ = rustix::process::setpriority_process(None, NICENESS);
            })
            .build()?;
        let handle = runtime.handle().clone();
        Ok(Self { runtime: Some(runtime), handle })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// `None` if the work panicked or the runtime is going down.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let mut task = Task(self.handle.spawn(work));
        (&mut task.0).await.ok()
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for GuestRuntime {
    fn drop(&mut self) {
        // Waiting here would block whoever drops, which may be a worker of another runtime. Guests left are
        // aborted at their next turn.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
