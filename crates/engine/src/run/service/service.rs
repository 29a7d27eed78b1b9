//! `serve`: a component that answers HTTP requests.
//!
//! The task of a request drives its guest until the response is there. A guest that has more to do
//! then, such as streaming a body, goes on as a task of its own.

use crate::compile::prepared::{Prepared, Ready};
use crate::component::world::World;
use crate::failure::error::{Failure, LoadError};
use crate::http::body::SizeLimited;
use crate::http::content_length::content_length;
use crate::observer::LimitReporter;
use crate::request_id::RequestId;
use crate::run::command::{REBUILD, of_draft};
use crate::run::service::concurrent::ConcurrentSandboxes;
use crate::run::service::isolated::IsolatedSandboxes;
use crate::run::service::response::{Answer, Body, BodyError, FailureReporter, GuardedBody, ResponseTail};
use crate::sandbox::setup::Setup;
use crate::scheduler::turns;
use bytes::Bytes;
use http_body::Body as HttpBody;
use http_body_util::{BodyExt, Empty};
use parking_lot::RwLock;
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};
use walnut_policy::{Limit, Limits};
use wasmtime_wasi_http::Error as HttpError;

/// A component that answers HTTP requests.
pub struct Service {
    running: RwLock<Arc<ServiceKind>>,
    setup: Arc<Setup>,
    /// Requests that a sandbox takes one after another.
    reuse: u32,
    /// Receives failures of guests whose response had begun.
    report: FailureReporter,
}

/// A component with its code and its sandboxes.
enum ServiceKind {
    /// WASI 0.2: a request has a sandbox to itself.
    Isolated(Arc<IsolatedSandboxes>),
    /// WASI 0.3: a sandbox takes many requests at once.
    Concurrent(ConcurrentSandboxes),
}

impl ServiceKind {
    fn new(ready: Ready, reuse: u32, report: &FailureReporter) -> Result<Self, LoadError> {
        let wrong = |reason: String| LoadError::WrongWorld {
            name: ready.name.clone(),
            verb: "served",
            reason,
            hint: match ready.code.worlds.is_empty() {
                true => format!("`walnut inspect {}` tells what it is", ready.name),
                false => format!("run it: `walnut run {}`", ready.name),
            },
        };
        if let Some(export) = ready.code.draft.as_deref().filter(|_| ready.code.worlds.is_empty()) {
            let (name, hint) = (ready.name.clone(), REBUILD.to_owned());
            return Err(LoadError::WrongWorld { name, verb: "served", reason: of_draft(export), hint });
        }
        let unfit = |e: wasmtime::Error| wrong(format!("its handler has another type: {:#}", e));
        let kind = if ready.code.worlds.contains(&World::Service0_3) {
            if reuse > 1 {
                return Err(LoadError::WrongWorld {
                    name: ready.name.clone(),
                    verb: "served with `reuse`",
                    reason: "it is of WASI 0.3, where one sandbox takes many requests anyway".into(),
                    hint: "leave `reuse` out".into(),
                });
            }
            ServiceKind::Concurrent(ConcurrentSandboxes::new(&ready, report).map_err(unfit)?)
        } else if ready.code.worlds.contains(&World::Service0_2) {
            ServiceKind::Isolated(IsolatedSandboxes::new(&ready, reuse, report).map_err(unfit)?)
        } else {
            let what = if ready.code.worlds.is_empty() {
                "it exports no HTTP handler"
            } else {
                "it is a command, not an HTTP service"
            };
            return Err(wrong(what.into()));
        };
        Ok(kind)
    }

    /// Ends the idle sandboxes, since other code takes the next requests. Requests under way end on
    /// the code that they began on.
    fn retire(&self) {
        match self {
            ServiceKind::Isolated(sandboxes) => sandboxes.retire(),
            ServiceKind::Concurrent(sandboxes) => sandboxes.retire(),
        }
    }
}

impl Service {
    /// Creates a service. A sandbox takes up to `reuse` requests, one after another, if the
    /// component does not decide that itself. `report` receives failures of guests whose response
    /// had begun, with the request if it is known.
    ///
    /// # Errors
    /// A component that does not answer HTTP requests.
    pub fn new(
        ready: Ready,
        reuse: u32,
        report: impl Fn(&Failure, Option<RequestId>) + Send + Sync + 'static,
    ) -> Result<Self, LoadError> {
        let (setup, report): (_, FailureReporter) = (ready.setup.clone(), Arc::new(report));
        let running = Arc::new(ServiceKind::new(ready, reuse, &report)?);
        Ok(Service { running: RwLock::new(running), setup, reuse, report })
    }

    /// Changes over to new code of the same component. Requests under way end on the code that they
    /// began on.
    ///
    /// # Errors
    /// Code that does not answer HTTP requests.
    pub fn change_over(&self, to: &Prepared) -> Result<(), LoadError> {
        let running = Arc::new(ServiceKind::new(to.with(self.setup.clone()), self.reuse, &self.report)?);
        let mut current = self.running.write();
        let before = std::mem::replace(&mut *current, running);
        drop(current);
        before.retire();
        Ok(())
    }

    fn running(&self) -> Arc<ServiceKind> {
        self.running.read().clone()
    }

    /// Answers one request. The response's body may go on streaming after this returns.
    ///
    /// The URI has scheme and authority, which guests see. Output of the guest is attributed to
    /// `id`. `slot` is dropped with the sandbox; callers count sandboxes with it.
    ///
    /// # Errors
    /// The failure of a guest whose response had not begun.
    pub async fn handle<B>(
        &self,
        request: http::Request<B>,
        id: RequestId,
        slot: impl Send + Sync + 'static,
    ) -> Result<http::Response<Body>, Failure>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    {
        let limits = self.limits();
        let most = limits.request_body;
        let request = request.map(|inner| {
            if inner.is_end_stream() {
                // Most requests have no body; they need no allocation.
                return Empty::new().map_err(|never| match never {}).boxed_unsync();
            }
            let setup = self.setup.clone();
            let too_large = move || {
                setup.exceeded(Limit::RequestBody);
                HttpError::HttpRequestBodySize(None)
            };
            SizeLimited { inner, left: most, too_large, broken: |_| HttpError::ConnectionTerminated }.boxed_unsync()
        });
        let now = Instant::now();
        let until = now + limits.deadline;
        let turn = match turns::before(self.setup.flow, now.into()) {
            Some(turn) => timeout_at(until, turn).await.map_err(|_| Failure::Busy)?.ok(),
            None => None,
        };
        let running = self.running();
        Ok(match &*running {
            ServiceKind::Isolated(sandboxes) => self.bounded(sandboxes.handle(request, id, turn, slot, until).await?),
            ServiceKind::Concurrent(sandboxes) => self.bounded(sandboxes.handle(request, id, turn, slot, until).await?),
        })
    }

    /// Limits the response, and keeps the work behind it until it ends.
    fn bounded<T: ResponseTail>(&self, (response, tail): Answer<T>) -> http::Response<Body> {
        let (left, setup) = (self.limits().response_body, self.setup.clone());
        let too_large = move || {
            setup.exceeded(Limit::ResponseBody);
            BodyError::TooLarge(Limit::ResponseBody)
        };
        let broken = |e: HttpError| BodyError::Guest(e.to_string());
        let announced = content_length(response.headers());
        response.map(|inner| {
            GuardedBody::new(SizeLimited { inner, left, too_large, broken }, announced, tail).boxed_unsync()
        })
    }

    /// Returns the limits of each request.
    pub fn limits(&self) -> &Limits {
        &self.setup.limits
    }

    /// Returns the number of live sandboxes, if they are not one for each request.
    pub fn live_sandboxes(&self) -> Option<usize> {
        match &*self.running() {
            ServiceKind::Isolated(sandboxes) => sandboxes.count(),
            ServiceKind::Concurrent(sandboxes) => Some(sandboxes.count()),
        }
    }

    /// Ends the idle sandboxes, since another version of the component takes the next requests.
    pub fn retire(&self) {
        self.running().retire();
    }

    /// Reports a request that was refused because its body would exceed the limit.
    pub fn refused_body(&self) {
        self.setup.exceeded(Limit::RequestBody);
    }

    /// Reports a failure that [`Service::handle`] returned for `id`. Later failures are reported by
    /// the service itself.
    pub fn report(&self, failure: &Failure, id: RequestId) {
        (self.report)(failure, Some(id));
    }
}

#[cfg(test)]
mod tests;
