//! Finds which file of a crate uses which other: by its `use` items and by paths in its code.

use super::modules::{CrateSource, Module, ModulePath, is_for_tests};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use syn::visit::{self, Visit};
use syn::{Item, ItemUse, Path, UseTree};

/// Files, each with the files that it uses.
pub type ImportGraph = BTreeMap<PathBuf, BTreeSet<PathBuf>>;

/// Longest chain of re-exports that is followed.
const MAX_REEXPORTS: usize = 8;

/// Collects the imports of every file of `source`. An index file imports nothing: a path through
/// its re-exports counts for the file that defines the item.
pub fn imports(source: &CrateSource) -> ImportGraph {
    let mut imports = ImportGraph::new();
    for (path, module) in &source.modules {
        let used = imports.entry(module.file.clone()).or_default();
        if module.is_index() {
            continue;
        }
        let mut finder = PathFinder { found: Vec::new() };
        module.items.iter().for_each(|item| finder.visit_item(item));
        let files = finder.found.iter().filter_map(|found| defining_file(source, path, found, MAX_REEXPORTS));
        used.extend(files.filter(|file| *file != module.file));
    }
    imports
}

/// Collects every path that an item names.
struct PathFinder {
    found: Vec<Vec<String>>,
}

impl<'ast> Visit<'ast> for PathFinder {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_for_tests(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        leaves(&item.tree, &mut Vec::new(), &mut self.found);
    }

    fn visit_path(&mut self, path: &'ast Path) {
        self.found.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }
}

/// Adds the path of each leaf of `tree`; that of `x::*` is `x`.
fn leaves(tree: &UseTree, before: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            leaves(&path.tree, before, found);
            before.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|item| leaves(item, before, found)),
        UseTree::Glob(_) => found.push(before.clone()),
        UseTree::Name(name) => found.push(joined(before, &name.ident.to_string())),
        UseTree::Rename(rename) => found.push(joined(before, &rename.ident.to_string())),
    }
}

fn joined(before: &[String], last: &str) -> Vec<String> {
    // `use x::{self}` names x.
    let last = (last != "self" || before.is_empty()).then(|| last.to_owned());
    before.iter().cloned().chain(last).collect()
}

/// The file that defines what `path` names, seen from the module `from`. `None` for other crates
/// and for names in scope.
fn defining_file(source: &CrateSource, from: &ModulePath, path: &[String], left: usize) -> Option<PathBuf> {
    let mut at = from.clone();
    let mut segments = path.iter().peekable();
    match segments.peek()?.as_str() {
        "crate" => {
            at.clear();
            segments.next();
        }
        "self" | "super" => {}
        first => {
            let mut child = at.clone();
            child.push(first.to_owned());
            source.modules.get(&child)?;
        }
    }
    while let Some(segment) = segments.next() {
        match segment.as_str() {
            "self" => continue,
            "super" => _ = at.pop(),
            name => {
                let mut child = at.clone();
                child.push(name.to_owned());
                if source.modules.contains_key(&child) {
                    at = child;
                    continue;
                }
                let module = source.modules.get(&at)?;
                if let (true, Some(mut target)) = (module.is_index() && left > 0, reexport(module, name)) {
                    target.extend(segments.cloned());
                    return defining_file(source, &at, &target, left - 1);
                }
                break;
            }
        }
    }
    source.modules.get(&at).map(|module| module.file.clone())
}

/// The path behind the name that an index file re-exports.
fn reexport(module: &Module, name: &str) -> Option<Vec<String>> {
    module.items.iter().find_map(|item| {
        let Item::Use(item) = item else { return None };
        named(&item.tree, name, &mut Vec::new())
    })
}

fn named(tree: &UseTree, name: &str, before: &mut Vec<String>) -> Option<Vec<String>> {
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            let found = named(&path.tree, name, before);
            before.pop();
            found
        }
        UseTree::Group(group) => group.items.iter().find_map(|item| named(item, name, before)),
        UseTree::Name(leaf) if leaf.ident == name => Some(joined(before, name)),
        UseTree::Rename(leaf) if leaf.rename == name => Some(joined(before, &leaf.ident.to_string())),
        _ => None,
    }
}
