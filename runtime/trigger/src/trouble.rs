//! Why a feed that could go on does not: faults that are ours, in words. Gone when what failed works.
use crate::stand::Reason;
use log_contract::Timestamp;
use std::sync::Arc;

#[derive(Debug, Default)]
pub(crate) struct Trouble {
    /// Nothing starts before.
    pub(crate) held_until: Timestamp,
    /// The host could not run the function.
    pub(crate) host: Option<Arc<str>>,
    /// The log did not settle, and the function has no part in it.
    pub(crate) log: Option<Arc<str>>,
    /// The log called a settlement invalid. Nothing starts or settles until an operator lets it.
    pub(crate) bug: Option<Arc<str>>,
    /// What the function needs is away.
    pub(crate) away: Option<Arc<str>>,
}

impl Trouble {
    /// What holds the feed now, the worst first.
    pub(crate) fn reason(&self, now: Timestamp) -> Option<Reason> {
        let host = self.host.clone().filter(|_| now < self.held_until);
        let bug = self.bug.clone().map(Reason::Invalid);
        bug.or_else(|| self.log.clone().map(Reason::NotSettled))
            .or_else(|| host.map(Reason::HostFault))
    }
}
