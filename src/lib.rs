//! The operator shell.
