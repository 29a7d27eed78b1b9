//! The order of the builds.

use super::profile::{functions_that_ran, merge_counts};
use super::rustc::Rustc;
use super::training::Training;
use crate::error::TaskResult;
use crate::process::{cargo, run_to_success, target_folder};
use std::path::{Path, PathBuf};

pub fn run(arguments: &[String]) -> TaskResult {
    if !arguments.is_empty() {
        return Err("usage: cargo xtask release".into());
    }
    let rustc = Rustc::find()?;
    let profdata = rustc.profdata()?;
    let folder = target_folder().join("release-profile");
    let _ = std::fs::remove_dir_all(&folder);
    let (counts, cache) = (folder.join("counts"), folder.join("cache"));
    std::fs::create_dir_all(&cache)?;

    eprintln!("building an instrumented walnut");
    let walnut = build(&rustc.host, &format!("-Cprofile-generate={}", counts.display()))?;
    eprintln!("running the workload");
    let training = Training { walnut: walnut.clone(), cache };
    training.run_commands()?;
    training.run_starts(&folder.join("starts"))?;
    training.run_services()?;
    let (profile, starts) = (merge_counts(&profdata, &counts)?, merge_counts(&profdata, &folder.join("starts"))?);
    // The code of a start comes first, in one piece.
    let mut order = functions_that_ran(&profdata, &starts)?;
    order.extend(functions_that_ran(&profdata, &profile)?);
    let order_file = folder.join("order");
    std::fs::write(&order_file, order.join("\n"))?;

    eprintln!("building walnut with the profile");
    build(&rustc.host, &optimising_flags(&profile, &order_file, &folder.join("libraries"))?)?;
    println!("{}", walnut.display());
    Ok(())
}

/// The compiler's flags of the last build.
fn optimising_flags(profile: &Path, order: &Path, libraries: &Path) -> TaskResult<String> {
    std::fs::create_dir_all(libraries)?;
    // Links the compiler's own library statically: the search for one more file is part of each
    // start.
    std::fs::write(libraries.join("libgcc_s.so"), "INPUT(-lgcc_eh -lgcc)\n")?;
    let flags = [
        format!("-Cprofile-use={}", profile.display()),
        // No warning for each function that did not run, or that was inlined everywhere.
        "-Cllvm-args=-pgo-warn-missing-function=false".into(),
        "-Clink-arg=-fuse-ld=lld".into(),
        format!("-Clink-arg=-L{}", libraries.display()),
        format!("-Clink-arg=-Wl,--symbol-ordering-file={},--no-warn-symbol-ordering", order.display()),
    ];
    Ok(flags.join(" "))
}

/// Builds walnut and returns its path. Naming the target keeps the flags from build scripts and
/// procedural macros.
fn build(host: &str, flags: &str) -> TaskResult<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--package", "walnut", "--profile", "dist", "--target", host]).env("RUSTFLAGS", flags);
    run_to_success(&mut build)?;
    Ok(target_folder().join(host).join("dist").join("walnut"))
}
