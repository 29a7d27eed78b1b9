//! `cargo xtask guests`: builds every guest of `crates/test-programs/guests` into the folder where the tests look.
//!
//! A guest is built again when its stamp differs: a hash over its sources, its recipe and the version of its
//! tools. One failed guest does not stop the others; the exit code tells.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use walnut_test_programs::{ALL, Guest, folder};

mod recipes;
mod tools;

use recipes::Recipe;
use tools::{Missing, Tools};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

pub fn run(arguments: Vec<String>) -> Result<()> {
    let mut install = false;
    let mut prefixes = Vec::new();
    for argument in arguments {
        match argument.as_str() {
            "--install" => install = true,
            option if option.starts_with('-') => return Err(format!("no option {option:?}").into()),
            _ => prefixes.push(argument),
        }
    }
    let wanted: Vec<&Guest> = ALL
        .iter()
        .filter(|guest| !guest.is_text())
        .filter(|guest| prefixes.is_empty() || prefixes.iter().any(|prefix| guest.name.starts_with(prefix)))
        .collect();
    if wanted.is_empty() {
        return Err(format!("no guest is called {}", prefixes.join(" or ")).into());
    }

    let folder = folder();
    fs::create_dir_all(&folder)?;
    let cache = folder.parent().ok_or("the folder of the guests is a root")?;
    let mut tools = Tools::new(cache);
    let mut failed = 0;
    for guest in wanted {
        let outcome = build(guest, &folder, &mut tools, install);
        match outcome {
            Ok(Outcome::Built(size)) => println!("{:<22} built, {} KiB", guest.name, size.div_ceil(1024)),
            Ok(Outcome::UpToDate) => println!("{:<22} up to date", guest.name),
            Ok(Outcome::Missing(missing)) => {
                failed += 1;
                println!("{:<22} not built: {missing}", guest.name);
            }
            Err(error) => {
                failed += 1;
                println!("{:<22} failed: {error}", guest.name);
            }
        }
    }
    match failed {
        0 => Ok(()),
        1 => Err("1 guest was not built".into()),
        many => Err(format!("{many} guests were not built").into()),
    }
}

enum Outcome {
    Built(u64),
    UpToDate,
    Missing(Missing),
}

fn build(guest: &Guest, folder: &Path, tools: &mut Tools, install: bool) -> Result<Outcome> {
    let recipe = Recipe::of(guest.name, &sources()?)?;
    let kit = match tools.find(recipe.kit(), install)? {
        Ok(kit) => kit,
        Err(missing) => return Ok(Outcome::Missing(missing)),
    };
    let file = folder.join(guest.file);
    let stamp_file = file.with_extension("stamp");
    let stamp = recipe.stamp(&kit)?;
    if file.is_file() && fs::read_to_string(&stamp_file).is_ok_and(|old| old == stamp) {
        return Ok(Outcome::UpToDate);
    }
    let wasm = recipe.build(&kit)?;
    // A test may be running the old file: put the new one in its place at once.
    let fresh = file.with_extension("new");
    fs::write(&fresh, &wasm)?;
    fs::rename(&fresh, &file)?;
    fs::write(&stamp_file, stamp)?;
    Ok(Outcome::Built(wasm.len() as u64))
}

/// The folder of the guests' sources, named as compilers will name it.
fn sources() -> Result<PathBuf> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("crates").join("test-programs/guests").canonicalize()?)
}
