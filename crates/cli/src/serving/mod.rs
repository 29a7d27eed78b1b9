//! Serving: start-up, signals, watched files and reloads.

mod context;
mod front_door;
mod reload;
mod server;
mod sighup;
mod stop_signal;
mod watched_files;

pub use server::{ServeEnd, serve};
