//! What apps that are served together may not have in common. Within one, its manifest was checked.

use super::Described;
use crate::error::CommandError;
use crate::exit::Code;
use std::collections::HashSet;
use std::fmt::Write;
use walnut_manifest::{Place, Route};

/// Adds to each app what it has in common with one before it.
pub fn tell(apps: &mut [Described]) {
    alone(apps);
    for at in 1..apps.len() {
        let (before, rest) = apps.split_at_mut(at);
        for other in before {
            let app = &mut rest[0];
            if app.has_manifest || other.has_manifest {
                routes(other, app);
                components(other, app);
            }
        }
    }
}

/// Two apps may not claim the same requests.
fn routes(other: &mut Described, app: &mut Described) {
    let same = |a: &Route, b: &Route| (&a.host, &a.path) == (&b.host, &b.path);
    // It is told where it can be mended.
    let (told, by) = if app.has_manifest { (app, other) } else { (other, app) };
    for route in told.routes.iter().filter(|route| by.routes.iter().any(|taken| same(route, taken))) {
        let error = CommandError::new(Code::Host, format!("{} serves {route} too", by.place));
        let hint = match by.has_manifest {
            true => "give one of the two another `route`, or a `host` of its own",
            false => "a component by itself takes every request: give this route a `host`, or another path",
        };
        told.wrong.add(&route.place, error.hint(hint));
    }
}

/// What happens is told by their names.
fn components(other: &Described, app: &mut Described) {
    let has = |name: &str| other.components.iter().any(|component| component.name == name);
    let same = app.components.iter().find(|component| app.name == other.name && has(&component.name));
    if let Some(component) = same.filter(|_| !app.name.is_empty()) {
        let error = CommandError::new(Code::Host, format!("{} has a {} too", other.place, component.title));
        app.wrong.add(&component.place, error.hint("give one of the two apps another `name`"));
    }
}

/// Each component by itself takes every request, and only a manifest can say otherwise.
fn alone(apps: &mut [Described]) {
    // What is not there would take none, and has no route.
    let is_alone = |app: &Described| !app.has_manifest && !app.routes.is_empty();
    let places: Vec<_> = apps.iter().filter(|app| is_alone(app)).map(|app| app.place.clone()).collect();
    let Some(second) = apps.iter_mut().filter(|app| is_alone(app)).nth(1) else { return };
    let error = CommandError::new(Code::Host, format!("{} would each take every request", places.join(" and ")));
    let hint = format!("write a walnut.toml that says which answers what, and serve that:\n{}", manifest(&places));
    second.wrong.add(&Place::default(), error.hint(hint));
}

/// A manifest with each of these files as a component.
fn manifest(files: &[String]) -> String {
    let (mut components, mut routes, mut names) = (String::new(), String::new(), HashSet::new());
    for (at, file) in files.iter().enumerate() {
        let mut name = name_of(file);
        if name.is_empty() || !names.insert(name.clone()) {
            name = format!("component-{}", at + 1);
        }
        // What came from standard input has no file yet.
        let file = if file == "-" { format!("{name}.wasm") } else { file.replace('\\', "\\\\").replace('"', "\\\"") };
        let _ = write!(components, "\n[component.{name}]\nsource = \"{file}\"\n");
        let _ = write!(routes, "\n[[http]]\nroute = \"/{name}/**\"\ncomponent = \"{name}\"\n");
    }
    format!("[app]\nname = \"app\"\n{components}{routes}")
}

/// What a component may be called whose file this is; empty if nothing can be made of it.
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
    use walnut_manifest::Manifest;

    #[test]
    fn the_manifest_that_is_proposed_is_one() {
        let files = ["a.wasm", "b/a.wasm", "-", "My App_2.wat", "b\"c.wasm"].map(str::to_owned);
        let manifest = Manifest::parse(&manifest(&files), "walnut.toml", "".as_ref());
        let manifest = manifest.unwrap_or_else(|errors| panic!("{errors}"));
        let components = manifest.components.iter().map(|c| (c.name.as_str(), c.source.to_str().expect("text")));
        let expected = [
            ("a", "a.wasm"),
            ("component-2", "b/a.wasm"),
            ("component-3", "component-3.wasm"),
            ("my-app-2", "My App_2.wat"),
            ("b-c", "b\"c.wasm"),
        ];
        assert_eq!(components.collect::<Vec<_>>(), expected);
        assert_eq!(manifest.routes.len(), files.len());
    }
}
