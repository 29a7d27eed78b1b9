//! Holds that files import one another in one direction: no circle between files or folders, and no
//! import from a folder into one that stands above it in `tools/structure.toml`.

use super::circles::{Graph, circles};
use super::imports::{ImportGraph, imports};
use super::modules::CrateSource;
use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use syn::Item;
use toml::de::{DeTable, DeValue};

/// Checks every crate. `order_file` has a key for each crate that has an order: its folders and
/// files, lowest first.
///
/// # Errors
/// An order that cannot be read.
pub fn check(crates: &[CrateSource], order_file: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let text = fs::read_to_string(order_file).map_err(|e| format!("{}: {e}", order_file.display()))?;
    let orders = DeTable::parse(&text)?;
    let mut findings = Vec::new();
    for source in crates {
        let imports = imports(source);
        findings.extend(logic_in_indexes(source));
        findings.extend(circles_at_each_level(&source.src, &imports));
        if let Some(order) = orders.get_ref().get(source.name.as_str()) {
            findings.extend(arrows_up(source, &imports, &names(order.get_ref())?));
        }
    }
    Ok(findings)
}

fn names<'a>(order: &'a DeValue<'_>) -> Result<Vec<&'a str>, Box<dyn Error>> {
    let items = order.as_array().ok_or("an order is a list")?;
    items.iter().map(|item| item.get_ref().as_str().ok_or_else(|| "an order is a list of names".into())).collect()
}

/// Index files (`mod.rs`, `lib.rs`) that hold more than modules and re-exports.
fn logic_in_indexes(source: &CrateSource) -> Vec<String> {
    let is_logic = |item: &Item| !matches!(item, Item::Use(_) | Item::ExternCrate(_));
    let with_logic = source.modules.values().filter(|module| module.is_index() && module.items.iter().any(is_logic));
    let files: BTreeSet<_> = with_logic.map(|module| &module.file).collect();
    files.into_iter().map(|f| format!("{}: holds logic; move it to a file that says what it is", f.display())).collect()
}

/// Circles between the files and folders of each folder, where a folder stands for all that is
/// below it.
fn circles_at_each_level(src: &Path, imports: &ImportGraph) -> Vec<String> {
    let folders: BTreeSet<_> = imports.keys().flat_map(|file| file.ancestors().skip(1)).collect();
    let inside = folders.into_iter().filter(|folder| folder.starts_with(src));
    let found = inside.flat_map(|folder| circles(&children(folder, imports)));
    found
        .map(|circle| {
            let names: Vec<_> = circle.iter().chain(circle.first()).map(|path| path.display().to_string()).collect();
            format!("import circle: {}", names.join(" → "))
        })
        .collect()
}

/// The graph of the immediate children of `folder`. Its own index file is no part of it.
fn children(folder: &Path, imports: &ImportGraph) -> Graph<PathBuf> {
    let child = |file: &Path| {
        let first = file.strip_prefix(folder).ok()?.iter().next()?;
        let is_index = first == "mod.rs" || first == "lib.rs";
        (!is_index).then(|| folder.join(first))
    };
    let mut graph = Graph::new();
    for (file, used) in imports {
        let Some(from) = child(file) else { continue };
        let targets: Vec<_> = used.iter().filter_map(|file| child(file)).filter(|to| *to != from).collect();
        graph.entry(from).or_insert_with(BTreeSet::new).extend(targets);
    }
    graph
}

fn arrows_up(source: &CrateSource, imports: &ImportGraph, order: &[&str]) -> Vec<String> {
    let height = |file: &Path| order.iter().position(|name| *name == source.layer(file));
    let is_root = |file: &Path| ["lib", "main"].contains(&source.layer(file));
    let mut findings = Vec::new();
    for (file, used) in imports.iter().filter(|(file, _)| !is_root(file)) {
        let Some(from) = height(file) else {
            findings.push(format!("{}: has no place in tools/structure.toml", file.display()));
            continue;
        };
        for target in used.iter().filter(|target| height(target).is_some_and(|to| to > from)) {
            findings.push(format!("arrow up: {} → {}", file.display(), target.display()));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The findings of a crate `house` with these files, whose folder is left out of them.
    fn findings(order: &str, files: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let house = folder.path().join("house");
        for (name, text) in files {
            let path = house.join("src").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let order_file = folder.path().join("structure.toml");
        fs::write(&order_file, order).unwrap();
        let found = check(&[CrateSource::read(&house).unwrap()], &order_file).unwrap();
        let src = format!("{}/", house.join("src").display());
        found.into_iter().map(|finding| finding.replace(&src, "")).collect()
    }

    const ORDER: &str = "house = [\"cellar\", \"roof\"]";
    const ROOT: (&str, &str) = ("lib.rs", "mod cellar;\nmod roof;\npub use roof::Roof;\n");

    #[test]
    fn arrows_down_are_fine() {
        let files = [ROOT, ("cellar.rs", "pub struct Cellar;"), ("roof.rs", "pub struct Roof(crate::cellar::Cellar);")];
        assert_eq!(findings(ORDER, &files), [""; 0]);
    }

    #[test]
    fn an_arrow_up_is_found_through_a_re_export() {
        let cellar = ("cellar.rs", "use crate::Roof;\npub struct Cellar(Roof);");
        let files =
            [ROOT, cellar, ("roof/mod.rs", "mod tiles;\npub use tiles::Roof;"), ("roof/tiles.rs", "pub struct Roof;")];
        assert_eq!(findings(ORDER, &files), ["arrow up: cellar.rs → roof/tiles.rs"]);
    }

    #[test]
    fn a_circle_is_found_through_paths_in_code() {
        let cellar = ("cellar.rs", "pub fn dig() { super::roof::climb() }");
        let roof = ("roof.rs", "use super::cellar;\npub struct Roof;\npub fn climb() { cellar::dig() }");
        let found = findings("", &[ROOT, cellar, roof]);
        assert_eq!(found, ["import circle: cellar.rs → roof.rs → cellar.rs"]);
    }

    #[test]
    fn tests_may_look_anywhere() {
        let cellar = ("cellar.rs", "#[cfg(test)]\nmod tests { use crate::roof::Roof; }");
        let files = [ROOT, cellar, ("roof.rs", "use crate::cellar;\npub struct Roof;")];
        assert_eq!(findings(ORDER, &files), [""; 0]);
    }

    #[test]
    fn logic_in_an_index_and_a_file_without_a_place_are_found() {
        let files = [("lib.rs", "mod attic;\npub fn logic() {}"), ("attic.rs", "")];
        let found = findings(ORDER, &files);
        assert_eq!(found[0], "lib.rs: holds logic; move it to a file that says what it is");
        assert_eq!(found[1], "attic.rs: has no place in tools/structure.toml");
    }
}
