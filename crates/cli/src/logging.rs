//! `WALNUT_LOG`: the spans and events of libraries, on standard error.

use crate::error::CommandError;
use crate::exit::ExitReason;
use std::io;
use walnut_engine::{LogFilter, record_host_calls, record_host_calls_and_log};

/// Installs the subscriber of the process: with a log if `WALNUT_LOG` is set, without one else.
pub fn start_logging() -> Result<(), CommandError> {
    let Some(text) = std::env::var_os("WALNUT_LOG").filter(|text| !text.is_empty()) else {
        record_host_calls();
        return Ok(());
    };
    let filter = text.to_string_lossy().parse::<LogFilter>();
    let wrong = |e: walnut_engine::LogFilterError| {
        CommandError::new(ExitReason::Usage, format!("WALNUT_LOG: {e}")).hint(e.hint())
    };
    record_host_calls_and_log(filter.map_err(wrong)?, io::stderr);
    Ok(())
}
