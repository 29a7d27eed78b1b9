//! Conflicts between apps that are served together. Conflicts within one app are errors of its
//! manifest.

use crate::app::loader::draft::AppDraft;
use crate::app::loader::error::AppError;
use std::collections::HashSet;
use std::fmt::Write;
use walnut_manifest::{Route, SourceSpan};

/// Adds to each app its conflicts with the apps before it.
pub(crate) fn check(apps: &mut [AppDraft]) {
    check_components_alone(apps);
    for at in 1..apps.len() {
        let (before, rest) = apps.split_at_mut(at);
        for other in before {
            let app = &mut rest[0];
            if app.has_manifest || other.has_manifest {
                check_routes(other, app);
                check_names(other, app);
            }
        }
    }
}

/// Adds an error for each route that both apps have, to the app whose manifest can be changed.
fn check_routes(other: &mut AppDraft, app: &mut AppDraft) {
    let same = |a: &Route, b: &Route| (&a.host, &a.path) == (&b.host, &b.path);
    let (told, by) = if app.has_manifest { (app, other) } else { (other, app) };
    for route in told.routes.iter().filter(|route| by.routes.iter().any(|taken| same(route, taken))) {
        let hint = match by.has_manifest {
            true => "give one of the two another `route`, or a `host` of its own",
            false => "a component by itself takes every request: give this route a `host`, or another path",
        };
        let error = AppError::RouteTaken { route: route.to_string(), other: by.place.clone(), hint };
        told.diagnostics.add(&route.place, error);
    }
}

/// Adds an error when a component has the same app and name in both: logs and metrics could not
/// tell them apart.
fn check_names(other: &AppDraft, app: &mut AppDraft) {
    let has = |name: &str| other.components.iter().any(|component| component.name == name);
    let same = app.components.iter().find(|component| app.name == other.name && has(&component.name));
    if let Some(component) = same.filter(|_| !app.name.is_empty()) {
        let error = AppError::NameTaken { title: component.title.clone(), other: other.place.clone() };
        app.diagnostics.add(&component.place, error);
    }
}

/// Adds an error when there are several components without a manifest: each would take every
/// request.
fn check_components_alone(apps: &mut [AppDraft]) {
    // A target that does not exist has no route.
    let is_alone = |app: &AppDraft| !app.has_manifest && !app.routes.is_empty();
    let targets: Vec<_> = apps.iter().filter(|app| is_alone(app)).map(|app| app.place.clone()).collect();
    let Some(second) = apps.iter_mut().filter(|app| is_alone(app)).nth(1) else { return };
    let manifest = manifest_for(&targets);
    second.diagnostics.add(&SourceSpan::default(), AppError::AllRoutesTaken { targets, manifest });
}

/// Writes a manifest with each of `files` as a component.
fn manifest_for(files: &[String]) -> String {
    let (mut components, mut routes, mut names) = (String::new(), String::new(), HashSet::new());
    for (at, file) in files.iter().enumerate() {
        let mut name = name_of(file);
        if name.is_empty() || !names.insert(name.clone()) {
            name = format!("component-{}", at + 1);
        }
        // A component from standard input has no file yet.
        let file = if file == "-" { format!("{name}.wasm") } else { file.replace('\\', "\\\\").replace('"', "\\\"") };
        let _ = write!(components, "\n[component.{name}]\nsource = \"{file}\"\n");
        let _ = write!(routes, "\n[[http]]\nroute = \"/{name}/**\"\ncomponent = \"{name}\"\n");
    }
    format!("[app]\nname = \"app\"\n{components}{routes}")
}

/// Derives a component name from the name of its file; empty if nothing in it can be used.
fn name_of(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let letters = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = stem.chars().map(letters).take(60).collect();
    name.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use walnut_manifest::{ComponentSource, Manifest};

    #[test]
    fn the_manifest_that_is_proposed_is_one() {
        let files = ["a.wasm", "b/a.wasm", "-", "My App_2.wat", "b\"c.wasm"].map(str::to_owned);
        let manifest = Manifest::parse(&manifest_for(&files), "walnut.toml", "".as_ref());
        let manifest = manifest.unwrap_or_else(|errors| panic!("{errors}"));
        let components = manifest.components.iter().map(|component| {
            let ComponentSource::File(path) = &component.source;
            (component.name.as_str(), path.to_str().expect("text"))
        });
        let expected = [
            ("a", "a.wasm"),
            ("component-2", "b/a.wasm"),
            ("component-3", "component-3.wasm"),
            ("my-app-2", "My App_2.wat"),
            ("b-c", "b\"c.wasm"),
        ];
        assert_eq!(components.collect::<Vec<_>>(), expected);
        assert_eq!(manifest.http.routes.len(), files.len());
    }
}
