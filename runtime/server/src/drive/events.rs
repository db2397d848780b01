//! Decisions worth a line, for whoever follows along. Bounded: a follower that is too slow misses some
//! and is told so. Never the only place where something is written.
use log_contract::{PartitionId, Timestamp, TriggerName};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};
use tokio::sync::broadcast;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Happened {
    pub at: Timestamp,
    pub kind: Kind,
    pub trigger: Option<TriggerName>,
    pub partition: Option<PartitionId>,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Scaled,
    StateChanged,
    DeadLettered,
    Dropped,
    Lost,
    Halted,
    Paused,
    Resumed,
    Moved,
    VersionChanged,
    FeedStarted,
    FeedEnded,
}

impl Kind {
    /// `snake_case`, stable.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scaled => "scaled",
            Self::StateChanged => "state_changed",
            Self::DeadLettered => "dead_lettered",
            Self::Dropped => "dropped",
            Self::Lost => "lost",
            Self::Halted => "halted",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Moved => "moved",
            Self::VersionChanged => "version_changed",
            Self::FeedStarted => "feed_started",
            Self::FeedEnded => "feed_ended",
        }
    }
}

/// Everybody who follows, and the newest for who comes late.
#[derive(Debug)]
pub struct Events {
    sender: broadcast::Sender<Arc<Happened>>,
    recent: Mutex<VecDeque<Arc<Happened>>>,
}

const FOLLOWER_BACKLOG: usize = 1_024;
const RECENT: usize = 256;
const SANE: &str = "nothing panics while it holds the ring";

impl Events {
    #[must_use]
    pub fn new() -> Self {
        Self { sender: broadcast::Sender::new(FOLLOWER_BACKLOG), recent: Mutex::default() }
    }

    pub fn tell(&self, happened: Happened) {
        let happened = Arc::new(happened);
        let mut recent = self.recent.lock().expect(SANE);
        if recent.len() == RECENT {
            recent.pop_front();
        }
        recent.push_back(Arc::clone(&happened));
        drop(recent);
        // Nobody follows: nobody misses it.
        drop(self.sender.send(happened));
    }

    /// The newest, oldest first.
    #[must_use]
    pub fn recent(&self) -> Vec<Arc<Happened>> {
        self.recent.lock().expect(SANE).iter().cloned().collect()
    }

    #[must_use]
    pub fn follow(&self) -> broadcast::Receiver<Arc<Happened>> {
        self.sender.subscribe()
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}
