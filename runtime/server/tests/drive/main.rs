//! The program in process, on the memory log, with real components: what a trigger does from the append
//! to the output topic. Never HTTP, never a sleep: conditions with deadlines.
mod bench;
mod bounds;
mod control;
mod failures;
mod flow;
