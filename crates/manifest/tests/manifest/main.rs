//! Tests of the manifest: reading, messages about errors, and routes.

mod errors;
mod hints;
mod properties;
mod reading;
mod routes;
