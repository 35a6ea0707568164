//! What several test binaries share.
#![allow(dead_code, reason = "no test binary uses all of it")]
#![allow(unreachable_pub, reason = "each test binary has this as a private module")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

pub mod cluster;
pub mod election;
pub mod exposed;
pub mod legacy;
pub mod operator;
