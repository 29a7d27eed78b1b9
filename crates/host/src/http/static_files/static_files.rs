//! Answers requests with the files of a folder: `dir` in a route of a manifest.
//!
//! The folder is opened once, and every file from there by cap-std, which on Linux has the system itself refuse whatever
//! leads out (`openat2`, `RESOLVE_BENEATH`): no `..`, no link, also not one that is swapped meanwhile. What must stay true
//! besides:
//! * a name is checked before it is looked up ([`path`]), so that one file has one path and nothing hidden is served;
//! * only regular files are read, and opening what is none waits for nobody ([`find`]);
//! * nothing blocks the thread that serves: looking up and reading happen on the runtime's threads for that;
//! * a file is never in memory as a whole ([`body`]), and what was announced is what comes, or the answer breaks off.

use super::body::{self, Reading};
use super::find;
use super::path::Wanted;
use super::respond::{self, Answer, Content};
use crate::app::node::{Admission, Limits, Node, Place};
use crate::http::error_responses;
use crate::telemetry::cause::Cause;
use crate::telemetry::metrics::Measures;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use http::request::Parts;
use http::{HeaderValue, Method, Response};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use walnut_engine::Body;
use walnut_manifest::{PathRule, Route};

/// Files of one route that are open at once, how many requests wait for one to be closed, and how long. A client that
/// reads slowly keeps one open, and what the system gives a process may be little more. What is read at one go needs no
/// such place, so that slow clients do not keep others from it.
const OPEN: Limits = Limits { sandboxes: 512, queue: 1000, patience: Duration::from_secs(10) };
/// Look-ups at once: enough for any disk, and not more than there are threads for them.
const LOOK_UPS: Limits = Limits { sandboxes: 256, queue: 10_000, patience: Duration::from_secs(10) };

/// Is told of a file that the system could not read, by its path below the folder.
type Report = dyn Fn(&str, &io::Error) + Send + Sync;

/// The places of a route, which its folders that are served one after another share: answers that are under way from the
/// one before count.
struct Places {
    look_ups: Admission,
    open: Admission,
}

/// A folder whose files answer the requests of a route.
pub struct Files {
    /// Where it is.
    pub place: PathBuf,
    dir: Dir,
    rule: PathRule,
    places: Arc<Places>,
    measures: Arc<Measures>,
    report: Arc<Report>,
}

impl Files {
    /// Opens the folder at `place` for `route` of `app`, to be served by `node`. `report` is told what the system could not
    /// read.
    pub fn open(
        node: &Node,
        app: &str,
        route: &Route,
        place: &Path,
        report: impl Fn(&str, &io::Error) + Send + Sync + 'static,
    ) -> io::Result<Arc<Self>> {
        // A label that no component can have.
        let measures = node.measures(app, &format!("files:{route}"));
        let mut served = node.files().into_iter().map(|(files, _)| files);
        let before = served.find(|files| Arc::ptr_eq(&files.measures, &measures));
        let places = before.map_or_else(
            || Arc::new(Places { look_ups: Admission::new(LOOK_UPS), open: Admission::new(OPEN) }),
            |files| files.places.clone(),
        );
        Ok(Arc::new(Files {
            place: place.to_owned(),
            dir: Dir::open_ambient_dir(place, ambient_authority())?,
            rule: route.path.clone(),
            places,
            measures,
            report: Arc::new(report),
        }))
    }

    pub(crate) fn measures(&self) -> &Measures {
        &self.measures
    }

    pub(crate) fn shared_measures(&self) -> Arc<Measures> {
        self.measures.clone()
    }

    /// Its places for open files.
    pub(crate) fn admission(&self) -> &Admission {
        &self.places.open
    }

    fn wanted(&self, path: &str) -> Option<Wanted> {
        let rest = match &self.rule {
            PathRule::Below(base) => path.strip_prefix(base.as_str())?,
            // Of one path alone, the last name counts.
            PathRule::Exact(_) => &path[path.rfind('/')?..],
        };
        Wanted::parse(rest)
    }

    /// Answers a request that this route is for.
    pub(crate) async fn answer(self: &Arc<Self>, request: Parts) -> (Cause, Response<Body>) {
        if !matches!(request.method, Method::GET | Method::HEAD) {
            return (Cause::ClientError, error_responses::only_read());
        }
        let Some(wanted) = self.wanted(request.uri.path()) else {
            return (Cause::NotFound, error_responses::no_file());
        };
        let asked = Arc::new((wanted, request));
        let mut place = None;
        loop {
            let Some(turn) = self.places.look_ups.admit().await else {
                return (Cause::Overloaded, error_responses::overloaded());
            };
            let (files, asked) = (self.clone(), asked.clone());
            let looked_up = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                files.look_up(&asked.0, &asked.1, place)
            });
            let answer = looked_up.await.unwrap_or_else(|_| Some((Cause::HostError, error_responses::server_failed())));
            if let Some(answer) = answer {
                return answer;
            }
            // Then it is looked up again, so that what waits keeps nothing open.
            place = self.places.open.admit().await;
            if place.is_none() {
                return (Cause::Overloaded, error_responses::overloaded());
            }
        }
    }

    /// The answer. `None` when the file must stay open for it, and there is no place. Blocks.
    fn look_up(&self, wanted: &Wanted, request: &Parts, place: Option<Place>) -> Option<(Cause, Response<Body>)> {
        Some(match respond::respond(&self.dir, wanted, request) {
            Ok(Answer::File(head, Content::Whole(bytes))) => (Cause::Ok, head.map(|()| body::whole(bytes))),
            Ok(Answer::File(head, Content::Long { first, file, left })) => {
                let place = place.or_else(|| self.places.open.try_admit())?;
                (Cause::Ok, head.map(|()| self.streamed(Reading { first, file, left, place }, wanted)))
            }
            Ok(Answer::Folder) => self.redirect(request),
            Ok(Answer::Other(response)) => (Cause::Ok, response),
            Err(error) => self.refuse(wanted, &error),
        })
    }

    fn refuse(&self, wanted: &Wanted, error: &io::Error) -> (Cause, Response<Body>) {
        match find::why(error) {
            find::Why::Absent => (Cause::NotFound, error_responses::no_file()),
            find::Why::Forbidden => (Cause::NotFound, error_responses::forbidden()),
            find::Why::NoRoom => (Cause::Overloaded, error_responses::overloaded()),
            find::Why::Failed => {
                (self.report)(&wanted.path, error);
                (Cause::HostError, error_responses::server_failed())
            }
        }
    }

    /// From a folder's name to the same with its slash. One path alone names a file and no folder.
    fn redirect(&self, request: &Parts) -> (Cause, Response<Body>) {
        let query = request.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let to = HeaderValue::try_from(format!("{}/{query}", request.uri.path()));
        match (&self.rule, to) {
            (PathRule::Below(_), Ok(to)) => (Cause::Ok, error_responses::moved(to)),
            _ => (Cause::NotFound, error_responses::no_file()),
        }
    }

    fn streamed(&self, reading: Reading, wanted: &Wanted) -> Body {
        let (report, path) = (self.report.clone(), wanted.path.clone());
        body::streamed(reading, move |error: &io::Error| report(&path, error))
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
