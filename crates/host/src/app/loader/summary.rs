//! Summary of an app: the lines that a front door shows for it, and whether a later version is the
//! same app.

use crate::app::loader::component::ComponentDraft;
use crate::app::loader::draft::AppDraft;
use crate::fingerprint::Fingerprint;
use walnut_manifest::{Route, TargetSpec};

/// Summary of an app that was loaded.
pub struct AppSummary {
    /// Path of its manifest or component, as the user named it.
    pub place: String,
    /// Its routes, components and grants, a line each.
    pub lines: Vec<String>,
    /// Manifest text, digests of its components, and identity of its folders.
    content: String,
}

impl AppSummary {
    /// Summarises `app`.
    pub(crate) fn of(app: &AppDraft) -> Self {
        let digests = app.components.iter().map(|c| c.artifact.digest.hex());
        let mounts = app.components.iter().flat_map(|c| c.policy.mounts()).map(|mount| mount.host.as_path());
        let served = app.routes.iter().filter_map(|route| match &route.target {
            TargetSpec::Dir(dir) => Some(dir.as_path()),
            TargetSpec::Component(_) => None,
        });
        let folders = mounts.chain(served).map(|folder| format!("{:?}", Fingerprint::of(folder)));
        let content = std::iter::once(app.text.clone()).chain(digests).chain(folders).collect::<Vec<_>>().join("\n");
        AppSummary { place: app.place.clone(), lines: lines(app), content }
    }

    /// Returns whether `other` was loaded from the same content.
    pub fn has_content_of(&self, other: &AppSummary) -> bool {
        self.content == other.content
    }
}

/// Returns a line per component and folder, or, for a component by itself, a line per grant.
fn lines(app: &AppDraft) -> Vec<String> {
    if let (false, [component]) = (app.has_manifest, app.components.as_slice()) {
        return component.grants();
    }
    let component = |c: &ComponentDraft| {
        let routes = app.routes.iter().filter(|r| r.target == TargetSpec::Component(c.name.clone()));
        let routes: Vec<_> = routes.map(ToString::to_string).collect();
        [routes.join(" "), c.title.clone(), c.grants().join(", ")]
    };
    let folder = |route: &Route| match &route.target {
        TargetSpec::Dir(dir) => Some([route.to_string(), format!("files in {}", dir.display()), String::new()]),
        TargetSpec::Component(_) => None,
    };
    let rows: Vec<_> = app.components.iter().map(component).chain(app.routes.iter().filter_map(folder)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1));
    let line = |[routes, title, grants]: &[String; 3]| {
        format!("{routes:first$}  {title:second$}  {grants}").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}
