//! Raw pictures of every layout into I420. Pure functions.
