//! `millstream bench`.
mod limits;
mod load;
mod report;
