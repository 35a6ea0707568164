//! The Run API.
