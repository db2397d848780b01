//! Open while the function says that what it needs is away. Then one record at a time probes.
use crate::{failing::Pause, seam::DeliveryId};
use log_contract::Timestamp;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Circuit {
    Closed,
    Open { until: Timestamp, tries: u32 },
    Probing { probe: DeliveryId, tries: u32 },
}

impl Circuit {
    pub(crate) fn restore(tries: u32) -> Self {
        match tries {
            0 => Self::Closed,
            tries => Self::Open { until: Timestamp(0), tries },
        }
    }

    pub(crate) fn tries(self) -> u32 {
        match self {
            Self::Closed => 0,
            Self::Open { tries, .. } | Self::Probing { tries, .. } => tries,
        }
    }

    pub(crate) fn lets_start(self, now: Timestamp) -> bool {
        match self {
            Self::Closed => true,
            Self::Open { until, .. } => until <= now,
            Self::Probing { .. } => false,
        }
    }

    /// Only the probe's own answer counts: others set out before the circuit opened.
    #[must_use]
    pub(crate) fn unavailable(
        self,
        now: Timestamp,
        from: DeliveryId,
        retry_after: Option<Duration>,
        pause: Pause<'_>,
    ) -> Self {
        let tries = match self {
            Self::Closed => 1,
            Self::Probing { probe, tries } if probe == from => tries.saturating_add(1),
            busy => return busy,
        };
        let wait = pause.retry.backoff(tries, pause.jitter).max(retry_after.unwrap_or_default());
        Self::Open { until: now.after(wait), tries }
    }

    /// The probe never reached the function, or its answer is void: probe again.
    #[must_use]
    pub(crate) fn unproven(self, now: Timestamp, from: Option<DeliveryId>) -> Self {
        match self {
            Self::Probing { probe, tries } if from.is_none_or(|from| from == probe) => {
                Self::Open { until: now, tries }
            }
            other => other,
        }
    }

    #[must_use]
    pub(crate) fn answered(self, from: DeliveryId) -> Self {
        match self {
            Self::Probing { probe, .. } if probe == from => Self::Closed,
            other => other,
        }
    }
}
