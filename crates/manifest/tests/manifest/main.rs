//! The manifest's own tests: what is read, what is said of what cannot be read, and where requests go.

mod errors;
mod hints;
mod properties;
mod reading;
mod routes;
