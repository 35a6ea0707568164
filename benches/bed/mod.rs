//! What the benches share: a control plane, controllers as processes, objects, and what is measured of them.
#![allow(dead_code, reason = "no bench uses all of it")]

pub(crate) mod arrivals;
#[path = "../../tests/support/cluster.rs"]
#[allow(unreachable_pub, clippy::expect_used, clippy::panic, reason = "shared with the tests")]
pub(crate) mod cluster;
pub(crate) mod control_plane;
pub(crate) mod objects;
pub(crate) mod process;
pub(crate) mod requests;
pub(crate) mod writes;
