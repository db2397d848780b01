//! What a user can see of the whole, each file a behaviour, against a real server process over HTTP.
mod bad_input;
mod components;
mod demo;
mod exactly_once;
mod hang_up;
mod hostile;
mod operating;
mod readme;
mod retention;
mod stuck_key;
mod tidy;
