//! Writes the list of guests from the layout of `guests/`: one entry of a language folder is one guest.
//!
//! It only reads names. Building guests needs toolchains that a host build must not ask for, so that is
//! `cargo xtask guests`.

use std::{env, error::Error, fmt::Write, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let mut guests = Vec::new();
    for language in ["rust", "c", "go", "js", "py", "wat"] {
        let folder = Path::new("guests").join(language);
        println!("cargo::rerun-if-changed={}", folder.display());
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
            // What is not named after its language is shared by the guests (a manifest, the `wit` folder).
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
