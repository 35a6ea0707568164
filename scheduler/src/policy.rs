//! `concurrencyPolicy` (R17, R18).

/// What happens when a run is due while another run of the same Run is unfinished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConcurrencyPolicy {
    /// Both run.
    Allow,
    /// The due tick is consumed and recorded as not run (R17); a trigger waits (R27).
    #[default]
    Forbid,
    /// The unfinished run is deleted and the new one starts when it is gone (R18).
    Replace,
}
