//! The kernel interface of V4L2, thin.
