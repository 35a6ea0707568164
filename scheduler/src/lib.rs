//! The decisions of the operator, without I/O.
