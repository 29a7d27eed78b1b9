//! Manifests as people write them, and worse.
//!
//! A bug is: a panic; an error that shows what a terminal would obey, or lies outside the file;
//! errors out of order; a manifest without a name, with two routes for the same requests, or a
//! route to a component that is not there; a route that its own path does not reach.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use walnut_manifest::{ComponentSource, HostRule, Manifest, ManifestErrors, PathRule, Route, Routes, TargetSpec};
use walnut_policy::is_hidden;

fuzz_target!(|text: &str| match Manifest::parse(text, "walnut.toml", Path::new("/srv")) {
    Ok(manifest) => check(&manifest),
    Err(errors) => check_errors(text, &errors),
});

fn check(manifest: &Manifest) {
    assert!(!manifest.app.name.is_empty());
    for component in &manifest.components {
        let ComponentSource::File(path) = &component.source;
        assert!(path.has_root() && manifest.http.settings(&component.name).sandboxes != Some(0));
    }
    for (at, route) in manifest.http.routes.iter().enumerate() {
        if let TargetSpec::Component(name) = &route.target {
            assert!(manifest.component(name).is_some(), "{name}");
        }
        let same = |other: &Route| (&other.host, &other.path) == (&route.host, &route.path);
        assert!(!manifest.http.routes[..at].iter().any(same), "{route:?}");
        let host = match &route.host {
            Some(HostRule::Exact(name)) => name.clone(),
            Some(HostRule::Below(base)) => format!("x.{base}"),
            None => String::new(),
        };
        let (PathRule::Exact(path) | PathRule::Below(path)) = &route.path;
        assert!(Routes::new(&manifest.http.routes).find(&host, path).is_some(), "{route:?}");
    }
}

fn check_errors(text: &str, errors: &ManifestErrors) {
    assert!(!errors.errors().is_empty());
    assert!(errors.errors().is_sorted_by_key(|error| error.line));
    assert!(errors.errors().iter().all(|error| error.line <= text.split('\n').count()));
    let printed = errors.to_string();
    assert!(!printed.chars().any(|c| is_hidden(c) && c != '\n'), "{printed:?}");
}
