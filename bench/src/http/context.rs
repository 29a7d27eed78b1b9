//! Values that all topics use.

use super::cores::CorePinning;
use super::load::LoadGenerator;
use super::options::HttpOptions;
use super::servers::OwnBinaries;
use crate::cargo::scratch_folder;
use crate::error::BenchResult;
use std::path::PathBuf;

/// The options, the binaries of this repository, the cores and the load generator.
pub struct HttpBench {
    pub options: HttpOptions,
    pub binaries: OwnBinaries,
    pub cores: CorePinning,
    pub load: LoadGenerator,
}

impl HttpBench {
    pub fn new(options: HttpOptions) -> BenchResult<Self> {
        let cores = CorePinning::find()?;
        let binaries = OwnBinaries::build(options.short, options.walnut.as_deref())?;
        Ok(Self { load: LoadGenerator::find(binaries.load.clone()), cores, options, binaries })
    }

    /// Rounds of every topic but throughput, which may have none.
    pub fn rounds(&self) -> usize {
        self.options.rounds.max(1)
    }

    pub fn print_progress(&self, round: usize, text: &str) {
        eprintln!("round {round} of {}: {text}", self.rounds());
    }
}

/// Writes a manifest into the scratch folder.
pub fn write_manifest(name: &str, text: &str) -> BenchResult<PathBuf> {
    let file = scratch_folder()?.join(name);
    std::fs::write(&file, text)?;
    Ok(file)
}
