//! The HTTP benchmark: how fast requests are answered, against peers.
//!
//! The server has one core and the load generator another. Each server is started anew for its
//! turn, so that no idle server disturbs it. Each file measures one topic and returns a
//! [`ReportSection`](report::ReportSection) of the report.

mod bench;
mod bodies;
mod context;
mod cores;
mod crowd;
mod echo;
mod fixed_rate;
mod latency;
mod load;
mod machine;
mod neighbours;
mod options;
mod overload;
mod report;
mod routes;
mod running;
mod sample;
mod servers;
mod stats;
mod swap;
mod throughput;

pub use bench::run;
pub use cores::CorePinning;
pub use load::{CONNECTIONS, LoadGenerator, WARM_UP};
pub use running::RunningServer;
pub use sample::LoadSample;
pub use servers::{OwnBinaries, ServerSpec};
