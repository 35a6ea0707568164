//! The Run API: `runs.marmotdata.io/v1alpha1`, kind `Run` (R1–R6).
//!
//! [`Run`] is what users write and the operator answers; [`crd`] is its `CustomResourceDefinition`, committed as
//! `crds/runs.yaml` and tested for drift.
//!
//! Field documentation is written once, on the Rust types: it becomes the descriptions of the schema and so the text
//! of `kubectl explain run.spec`. It therefore holds no Rust links and no rule numbers.

mod names;
mod raw;
#[allow(unreachable_pub, reason = "the derive puts Run beside RunSpec, and both are exported")]
mod run;
mod schema;
mod status;

pub use names::*;
pub use raw::Raw;
pub use run::{ConcurrencyPolicy, ImagePullPolicy, Run, RunSpec};
pub use schema::{crd, crd_yaml};
pub use status::{
    ActiveJob, Claim, OneShot, Outcome, Phase, RunKind, RunResult, RunStatus, ScheduleInForce, SkippedTicks, TakeOver,
    TakenTrigger, Teardown,
};
