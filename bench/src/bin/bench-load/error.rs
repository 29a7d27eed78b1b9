//! Errors of the load generator.

use std::error::Error;

pub type LoadResult<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;
