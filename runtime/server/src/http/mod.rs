//! The HTTP face. To be.
