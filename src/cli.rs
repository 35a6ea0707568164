//! Commands for people: what a schedule means, what is wrong with a manifest, why a Run does not run, and what can be reached.

pub mod explain;
pub mod manifest;
pub mod next;
pub mod reach;
pub mod validate;

use clap::ValueEnum;

/// Form of what is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}
