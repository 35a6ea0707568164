//! Commands that need no cluster: what a schedule means, and what is wrong with a manifest.

pub mod manifest;
pub mod next;
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
