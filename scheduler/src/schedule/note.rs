//! Where R23 moves or merges ticks.
/// x
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DstNote {}
