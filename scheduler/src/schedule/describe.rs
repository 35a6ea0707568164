//! In words.
