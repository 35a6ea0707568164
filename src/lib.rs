//! The shell of the Marmot operator: observe → decide → execute.
//!
//! `scheduler` decides; this crate sees, calls and waits. The walk of one tick: [`watch`] fills [`index`], [`queue`]
//! hands a Run to [`controller`], [`observe`] puts the picture together, `scheduler::decide` answers,
//! [`execute`] calls the API server, and [`ticker`] wakes the Run again when the answer said so.

pub mod admin;
pub mod api_error;
pub mod app;
pub mod args;
pub mod cli;
pub mod clock;
pub mod controller;
pub mod credentials;
pub mod defaults;
pub mod ending;
pub mod events;
pub mod execute;
pub mod index;
pub mod leader;
pub mod lenient;
pub mod light;
pub mod looks;
pub mod marmot;
pub mod memory;
pub mod metrics;
pub mod objects;
pub mod observe;
pub mod parsed;
pub mod pending;
pub mod periodic;
pub mod pipeline;
pub mod places;
pub mod preflight;
pub mod queue;
pub mod runner;
pub mod skew;
pub mod slots;
pub mod start_error;
pub mod status;
pub mod telemetry;
pub mod ticker;
pub mod watch;
