//! The block code.
