//! Holds that a name of a type has one meaning: it is defined in one place of the repository.

use super::modules::CrateSource;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use syn::Item;

/// Finds names of types that more than one file defines.
pub fn check(crates: &[CrateSource]) -> Vec<String> {
    let mut places: BTreeMap<String, BTreeSet<&Path>> = BTreeMap::new();
    for module in crates.iter().flat_map(|source| source.modules.values()) {
        for name in module.items.iter().filter_map(type_name) {
            places.entry(name).or_default().insert(&module.file);
        }
    }
    places.retain(|_, files| files.len() > 1);
    let finding = |(name, files): (&String, &BTreeSet<&Path>)| {
        let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
        format!("the type {name} is defined in {}", files.join(" and "))
    };
    places.iter().map(finding).collect()
}

fn type_name(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Struct(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Union(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}
