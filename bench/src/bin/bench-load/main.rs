//! The load generator of `cargo benchmarks http`. A program of its own, so that it is optimised and
//! has a core of its own.
//!
//! ```text
//! bench-load closed ADDRESS SECONDS COUNT REQUESTS
//!     COUNT connections that always have a request under way
//! bench-load rate ADDRESS SECONDS RATE [NOISE]
//!     RATE requests a second for the hello, at fixed times
//! bench-load flood ADDRESS SECONDS RATE COUNT
//!     the same on COUNT connections; a refusal is an answer too
//! bench-load trace ADDRESS SECONDS RATE
//!     the same as `rate`, with a report of each request
//! bench-load echo ADDRESS BYTES
//!     one POST to /echo, which must return the body
//!
//! REQUESTS   hello                    the hello at /
//!            routes COUNT             the hello at /0, /1 and so on, in turn
//!            download TARGET BYTES    a response of that length
//!            upload TARGET BYTES      a request of that length, whose bytes the server counts
//! NOISE      request TARGET COUNT     COUNT more connections that always have a request under way
//!            hold TARGET COUNT RATE   COUNT more connections that idle, RATE a second replaced
//! ```
//!
//! The output is one line of JSON. The load of `rate`, `flood` and `trace` is open-loop: a request
//! is due at a fixed time and its latency counts from then, even if no connection was free to send
//! it. A closed-loop generator sends fewer requests to a slow server, and so hides the queue in
//! which users would wait (coordinated omission).

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "its output is its result")]

mod client;
mod closed_loop;
mod echo;
mod error;
mod fixed_rate;
mod flood;
mod latencies;
mod noise;
mod pattern;
mod request;
mod schedule;
mod tasks;
mod trace;

use error::LoadResult;
use noise::NoiseClients;
use request::RequestTemplate;
use serde_json::Value;
use std::time::Duration;

const USAGE: &str = "usage: bench-load closed ADDRESS SECONDS COUNT REQUESTS | rate ADDRESS SECONDS RATE [NOISE] | \
     flood ADDRESS SECONDS RATE COUNT | trace ADDRESS SECONDS RATE | echo ADDRESS BYTES";

fn main() -> LoadResult {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(run(&words))?;
    println!("{report}");
    Ok(())
}

async fn run(words: &[&str]) -> LoadResult<Value> {
    match words {
        ["closed", address, seconds, count, requests @ ..] => {
            closed_loop::closed_loop(address, parse_seconds(seconds)?, count.parse()?, &parse_requests(requests)?).await
        }
        ["rate", address, seconds, rate, noise @ ..] => {
            let noise = start_noise(address, noise).await?;
            let mut report = fixed_rate::fixed_rate(address, parse_seconds(seconds)?, rate.parse()?).await?;
            report["noise"] = noise.map(|noise| noise.report()).into();
            Ok(report)
        }
        ["flood", address, seconds, rate, count] => {
            flood::flood(address, parse_seconds(seconds)?, rate.parse()?, count.parse()?).await
        }
        ["trace", address, seconds, rate] => trace::trace(address, parse_seconds(seconds)?, rate.parse()?).await,
        ["echo", address, bytes] => echo::echo(address, bytes.parse()?).await,
        _ => Err(USAGE.into()),
    }
}

fn parse_seconds(seconds: &str) -> LoadResult<Duration> {
    Ok(Duration::from_secs_f64(seconds.parse()?))
}

fn parse_requests(words: &[&str]) -> LoadResult<RequestTemplate> {
    match words {
        ["hello"] => Ok(RequestTemplate::hello()),
        ["routes", count] => RequestTemplate::routes(count.parse()?),
        ["download", target, bytes] => RequestTemplate::download(target, bytes.parse()?),
        ["upload", target, bytes] => RequestTemplate::upload(target, bytes.parse()?),
        _ => Err(USAGE.into()),
    }
}

async fn start_noise(address: &str, words: &[&str]) -> LoadResult<Option<NoiseClients>> {
    Ok(match words {
        [] => None,
        ["request", target, count] => Some(NoiseClients::request(address, target, count.parse()?).await?),
        ["hold", target, count, per_second] => {
            Some(NoiseClients::hold(address, target, count.parse()?, per_second.parse()?).await?)
        }
        _ => return Err(USAGE.into()),
    })
}
