//! The command line. To be.
