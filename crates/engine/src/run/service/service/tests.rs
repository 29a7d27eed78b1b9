//! Lives of sandboxes that take more than one request.

use super::*;
use crate::compile::config::{EngineConfig, Tiers};
use crate::compile::engine::Engine;
use crate::component::artifact_source::{ArtifactSource, LocalArtifacts};
use crate::gate::gate::Gate;
use crate::sandbox::stdio::Stdio;
use http_body_util::Empty;
use std::num::NonZeroU128;
use std::time::Duration;
use walnut_policy::Policy;
use walnut_test_programs::{Guest, RUST_P2_HTTP_BAD, RUST_P3_HTTP_ECHO};

const HOUR: Duration = Duration::from_secs(3600);

/// An engine with room for six sandboxes.
fn engine() -> Arc<Engine> {
    let limits = Limits { memory: 64 << 20, ..Limits::for_service() };
    Engine::new(&EngineConfig { tiers: Tiers::Baseline, ..EngineConfig::service(limits, 2) }, None)
}

/// A service whose sandboxes have 64 MiB and are kept idle for `idle`.
fn service(guest: Guest, idle: Duration) -> Service {
    service_on(&engine(), guest, idle)
}

fn service_on(engine: &Engine, guest: Guest, idle: Duration) -> Service {
    let artifact = LocalArtifacts.load(&guest.path().as_path().into()).unwrap();
    let limits = Limits { memory: 64 << 20, ..Limits::for_service() };
    let gate = Gate::new("test", Policy::sealed(), Vec::new());
    let mut setup = Setup::new(gate, limits, Stdio::Lines(Arc::new(|_| {})), false).unwrap();
    setup.idle = idle;
    let ready = engine.prepare(&artifact, None).unwrap().ready(setup).unwrap();
    let reuse = if ready.code.worlds.contains(&World::Service0_3) { 1 } else { 100 };
    Service::new(ready, reuse, |_, _| {}).unwrap()
}

/// Returns the body of the response to a GET, once its sandbox is done.
async fn get(service: &Service, path: &str) -> String {
    let request = http::Request::get(format!("http://test{path}")).body(Empty::<Bytes>::new()).unwrap();
    let id = RequestId::new(NonZeroU128::MIN, None);
    let slot = Arc::new(());
    let response = service.handle(request, id, slot.clone()).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    while Arc::strong_count(&slot) > 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    String::from_utf8(body.to_vec()).unwrap()
}

/// Waits until no sandbox lives.
async fn has_none(service: &Service) {
    let ended = async {
        while service.live_sandboxes() != Some(0) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ended).await.expect("it ends");
}

#[tokio::test]
async fn a_sandbox_that_waits_for_too_long_ends() {
    for guest in [RUST_P2_HTTP_BAD, RUST_P3_HTTP_ECHO] {
        let brief = service(guest, Duration::from_millis(1));
        let patient = service(guest, HOUR);
        assert_eq!(get(&patient, "/count").await, "1\n");
        for _ in 0..3 {
            assert_eq!(get(&brief, "/count").await, "1\n");
            has_none(&brief).await;
        }
        assert_eq!(patient.live_sandboxes(), Some(1));
        assert_eq!(get(&patient, "/count").await, "2\n");
    }
}

#[tokio::test]
async fn a_sandbox_with_little_memory_left_takes_no_more() {
    let service = service(RUST_P2_HTTP_BAD, HOUR);
    assert_eq!(get(&service, "/memory?mib=24").await, "touched 24 MiB\n");
    assert_eq!(get(&service, "/count").await, "2\n");
    assert_eq!(get(&service, "/memory?mib=40").await, "touched 40 MiB\n");
    has_none(&service).await;
    assert_eq!(get(&service, "/count").await, "1\n");
}

/// Each component keeps an idle sandbox.
#[tokio::test]
async fn sandboxes_that_idle_make_room_for_those_with_a_request() {
    for guest in [RUST_P2_HTTP_BAD, RUST_P3_HTTP_ECHO] {
        let engine = engine();
        let services: Vec<_> = (0..20).map(|_| service_on(&engine, guest, HOUR)).collect();
        for service in &services {
            assert_eq!(get(service, "/count").await, "1\n");
        }
        let live: usize = services.iter().filter_map(Service::live_sandboxes).sum();
        assert!((1..=6).contains(&live), "{live} live");
    }
}
