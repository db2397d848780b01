//! What the sandbox does with real components: those in `functions/built`, and some that no compiler would
//! make. Behaviour through the public API only.
mod admission;
mod bounds;
mod determinism;
mod hostile;
mod outcomes;
mod state;
mod support;
