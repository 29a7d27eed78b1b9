//! Writes the list of guests from the layout of `guests/`: each entry of a language's folder is a
//! guest.
//!
//! The build only reads names. Building guests needs toolchains that a host build must not need;
//! `cargo xtask guests` does that.

use std::{env, error::Error, fmt::Write, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let mut guests = Vec::new();
    for language in ["rust", "c", "go", "js", "py", "wat"] {
        let folder = Path::new("guests").join(language);
        println!("cargo::rerun-if-changed={}", folder.display());
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
            // Entries without the name of the language are shared, such as a manifest.
            if name.starts_with(&format!("{language}_")) {
                let file = format!("{name}.{}", if language == "wat" { "wat" } else { "wasm" });
                guests.push((name.to_owned(), file));
            }
        }
    }
    guests.sort();

    let mut code = String::new();
    for (name, file) in &guests {
        let constant = name.to_uppercase();
        writeln!(code, "/// `{name}`.\npub const {constant}: Guest = Guest {{ name: {name:?}, file: {file:?} }};")?;
    }
    writeln!(code, "/// Every guest, by name.\npub const ALL: &[Guest] = &[")?;
    for (name, _) in &guests {
        writeln!(code, "    {},", name.to_uppercase())?;
    }
    writeln!(code, "];")?;
    writeln!(code, "/// Calls `$mac!(name)` for every guest.\n#[macro_export]\nmacro_rules! foreach_guest {{")?;
    writeln!(code, "    ($mac:ident) => {{")?;
    for (name, _) in &guests {
        writeln!(code, "        $mac!({name});")?;
    }
    writeln!(code, "    }};\n}}")?;
    fs::write(Path::new(&env::var("OUT_DIR")?).join("guests.rs"), code)?;
    Ok(())
}
