//! Reads the modules of a crate into a tree, without those that only tests have.

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use syn::{Attribute, Item, ItemMod};

/// The path of a module in its crate; empty for the root.
pub type ModulePath = Vec<String>;

/// The modules of a crate.
pub struct CrateSource {
    /// Name of the crate's folder.
    pub name: String,
    /// Folder of the sources.
    pub src: PathBuf,
    /// Each module by its path.
    pub modules: HashMap<ModulePath, Module>,
}

/// A module: a file, or a block inside of a file.
pub struct Module {
    /// File that holds the module.
    pub file: PathBuf,
    /// Items of the module, without its test modules.
    pub items: Vec<Item>,
}

impl Module {
    /// Whether this file may only declare modules and re-export from them.
    pub fn is_index(&self) -> bool {
        self.file.file_name().is_some_and(|name| name == "mod.rs" || name == "lib.rs")
    }
}

impl CrateSource {
    /// Reads the crate in `folder`, from each root that its `src` has.
    ///
    /// # Errors
    /// A file that is missing or is not Rust.
    pub fn read(folder: &Path) -> Result<Self, Box<dyn Error>> {
        let src = folder.join("src");
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut source = CrateSource { name, src: src.clone(), modules: HashMap::new() };
        for root in ["lib.rs", "main.rs"].map(|name| src.join(name)) {
            if root.is_file() {
                source.read_file(Vec::new(), &root, &src)?;
            }
        }
        Ok(source)
    }

    /// The folder or file right below `src` that holds `file`.
    pub fn layer<'a>(&self, file: &'a Path) -> &'a str {
        let first = file.strip_prefix(&self.src).ok().and_then(|path| path.iter().next()?.to_str());
        first.map_or("", |name| name.trim_end_matches(".rs"))
    }

    fn read_file(&mut self, path: ModulePath, file: &Path, children: &Path) -> Result<(), Box<dyn Error>> {
        let parsed = syn::parse_file(&fs::read_to_string(file)?).map_err(|e| format!("{}: {e}", file.display()))?;
        self.add(path, file, children, parsed.items)
    }

    fn add(&mut self, path: ModulePath, file: &Path, children: &Path, items: Vec<Item>) -> Result<(), Box<dyn Error>> {
        let (mut kept, mut inner) = (Vec::new(), Vec::new());
        for item in items {
            match item {
                Item::Mod(module) if is_for_tests(&module.attrs) => {}
                Item::Mod(module) => inner.push(module),
                item => kept.push(item),
            }
        }
        self.modules.insert(path.clone(), Module { file: file.to_owned(), items: kept });
        for ItemMod { ident, content, .. } in inner {
            let mut child = path.clone();
            child.push(ident.to_string());
            let below = children.join(ident.to_string());
            match content {
                Some((_, items)) => self.add(child, file, &below, items)?,
                None if below.join("mod.rs").is_file() => self.read_file(child, &below.join("mod.rs"), &below)?,
                None => self.read_file(child, &children.join(format!("{ident}.rs")), &below)?,
            }
        }
        Ok(())
    }
}

/// Whether `attributes` hold `#[cfg(test)]`, alone or inside of `all(...)`.
pub fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().filter(|a| a.path().is_ident("cfg")).any(|attribute| {
        let condition = attribute.meta.require_list().map(|list| list.tokens.to_string()).unwrap_or_default();
        condition == "test" || (condition.starts_with("all") && condition.contains("test"))
    })
}
