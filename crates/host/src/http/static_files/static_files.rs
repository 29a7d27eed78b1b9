//! Answers a request with a file of a folder.
//!
//! The folder is opened once. cap-std opens every file relative to it; on Linux the system itself
//! refuses whatever leads out (`openat2` with `RESOLVE_BENEATH`): `..`, links, and links that are
//! swapped meanwhile. Beyond that:
//! * a name is checked before it is looked up ([`path`](super::path)), so that each file has one
//!   path and hidden files are never served;
//! * only regular files are read, and opening anything else does not block ([`find`]);
//! * nothing blocks the worker's thread: lookups and reads run on the runtime's blocking threads;
//! * a file is never in memory as a whole ([`body`]), and the body has the announced length or
//!   fails.

use super::body::{self, FileStream};
use super::find::{self, LookupError};
use super::path::RelativePath;
use super::respond::{self, FileAnswer, FileContent};
use crate::app::{AdmissionPermit, ServedDir};
use crate::http::error_responses;
use crate::telemetry::Cause;
use http::request::Parts;
use http::{HeaderValue, Method, Response};
use std::io;
use std::sync::Arc;
use walnut_engine::Body;
use walnut_manifest::PathRule;

/// Answers a request whose route leads to `dir`.
pub(crate) async fn respond(dir: &Arc<ServedDir>, request: Parts) -> (Cause, Response<Body>) {
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return (Cause::ClientError, error_responses::read_only());
    }
    let Some(path) = relative_path(&dir.rule, request.uri.path()) else {
        return (Cause::NotFound, error_responses::no_file());
    };
    let lookup = Arc::new(FileLookup { dir: dir.clone(), path, request });
    let mut open_file = None;
    loop {
        let Some(permit) = dir.admission.lookups.admit().await else {
            return (Cause::Overloaded, error_responses::overloaded());
        };
        let lookup = lookup.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            lookup.run(open_file)
        });
        let answer = done.await.unwrap_or_else(|_| Some((Cause::HostError, error_responses::server_failed())));
        if let Some(answer) = answer {
            return answer;
        }
        // The lookup is repeated afterwards, so that a waiting request keeps no file open.
        open_file = dir.admission.open_files.admit().await;
        if open_file.is_none() {
            return (Cause::Overloaded, error_responses::overloaded());
        }
    }
}

/// Returns the part of `path` below the route. For a route of a single path that is its last
/// segment.
fn relative_path(rule: &PathRule, path: &str) -> Option<RelativePath> {
    let rest = match rule {
        PathRule::Below(base) => path.strip_prefix(base.as_str())?,
        PathRule::Exact(_) => &path[path.rfind('/')?..],
    };
    RelativePath::parse(rest)
}

struct FileLookup {
    dir: Arc<ServedDir>,
    path: RelativePath,
    request: Parts,
}

impl FileLookup {
    /// Looks the file up and builds the response. Returns `None` if the file must stay open for it
    /// and no permit is free. Blocks.
    fn run(&self, permit: Option<AdmissionPermit>) -> Option<(Cause, Response<Body>)> {
        Some(match respond::respond(&self.dir.dir, &self.path, &self.request) {
            Ok(FileAnswer::File(head, FileContent::Whole(bytes))) => (Cause::Ok, head.map(|()| body::whole(bytes))),
            Ok(FileAnswer::File(head, FileContent::Long { first, file, left })) => {
                let permit = permit.or_else(|| self.dir.admission.open_files.try_admit())?;
                (Cause::Ok, head.map(|()| self.stream(FileStream { first, file, left, permit })))
            }
            Ok(FileAnswer::Folder) => self.redirect(),
            Ok(FileAnswer::Other(response)) => (Cause::Ok, response),
            Err(error) => self.refuse(&error),
        })
    }

    fn refuse(&self, error: &io::Error) -> (Cause, Response<Body>) {
        match find::classify(error) {
            LookupError::Absent => (Cause::NotFound, error_responses::no_file()),
            LookupError::Forbidden => (Cause::NotFound, error_responses::forbidden()),
            LookupError::OutOfResources => (Cause::Overloaded, error_responses::overloaded()),
            LookupError::Failed => {
                (self.dir.on_read_error)(&self.path.path, error);
                (Cause::HostError, error_responses::server_failed())
            }
        }
    }

    /// Redirects from a folder's name to the same name with a slash. A route of a single path names
    /// a file and no folder.
    fn redirect(&self) -> (Cause, Response<Body>) {
        let uri = &self.request.uri;
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let location = HeaderValue::try_from(format!("{}/{query}", uri.path()));
        match (&self.dir.rule, location) {
            (PathRule::Below(_), Ok(location)) => (Cause::Ok, error_responses::redirect(location)),
            _ => (Cause::NotFound, error_responses::no_file()),
        }
    }

    fn stream(&self, stream: FileStream) -> Body {
        let (on_read_error, path) = (self.dir.on_read_error.clone(), self.path.path.clone());
        body::streamed(stream, move |error: &io::Error| on_read_error(&path, error))
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
