//! The decisions of the operator, without I/O.
//!
//! [`decide`] turns an [`Observation`] and the time into a
//! [`Decision`]. Nothing here reads a clock, a file, an environment variable or the network, and
//! nothing depends on hash order: the same observation always gives the same decision.
//!
//! 1. One Job per tick: a Job's name is derived from the tick, and a create happens only under a recorded claim (R32).
//! 2. The mark never moves back, and no tick at or before it is looked at again (R12).
//! 3. A tick that is due either runs or stands in the ledger (R16).
//! 4. A decision that changes nothing writes nothing (R7).

pub mod caps;
pub mod claim;
mod decide;
pub mod decision;
pub mod explain;
pub mod names;
pub mod observation;
pub mod policy;
pub mod report;
pub mod schedule;
pub mod state;
pub mod sweep;
pub mod wake;

pub use decide::{decide, legacy_kind};
pub use decision::{Decision, Effect};
pub use observation::Observation;
