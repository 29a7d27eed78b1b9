//! The result of one round of load.

use serde_json::{Value, json};

#[derive(Clone, Copy)]
pub struct LoadSample {
    pub requests: f64,
    pub requests_per_second: f64,
    pub p99_us: f64,
    /// Requests without a response.
    pub errors: u64,
    /// Responses other than 2xx. Our own generator also counts those with a wrong body.
    pub refused: u64,
    pub cpu_us_per_request: f64,
    /// Share of its core that the server used. A share far below 1 means that something else was
    /// the limit.
    pub core_used: f64,
}

impl LoadSample {
    /// Responses with 2xx.
    pub fn good_per_second(&self) -> f64 {
        self.requests_per_second * (1.0 - self.refused as f64 / self.requests)
    }

    pub fn failures(&self) -> u64 {
        self.errors + self.refused
    }

    pub fn json(&self) -> Value {
        json!({
            "requests_per_second": self.requests_per_second, "p99_us": self.p99_us,
            "socket_errors": self.errors, "not_2xx": self.refused,
            "cpu_us_per_request": self.cpu_us_per_request, "core_used": self.core_used,
        })
    }
}
