//! Behaviours of the deciding core, one file each. What random histories show is in `simulation`.
#![expect(unreachable_pub, reason = "modules of a test have no outside")]
mod answers;
mod guarding;
mod holding;
mod limits;
mod memory;
mod recorded;
mod refusals;
mod specs;
mod support;
