//! What is wrong with one app, from whatever looked at it: told all at once, and of a manifest in the order of its lines.

use crate::error::CommandError;
use crate::exit::Code;
use walnut_manifest::{Place, Report};

/// Collects it.
#[derive(Default)]
pub struct Wrong {
    /// Takes what stands in a manifest, if there is one.
    report: Option<Report>,
    rest: Vec<CommandError>,
    /// That of what was found first.
    code: Option<Code>,
}

impl Wrong {
    /// For an app with a manifest, of which `report` knows already what is wrong with it alone.
    pub fn of_manifest(report: Report) -> Self {
        let code = (!report.is_empty()).then_some(Code::Host);
        Wrong { report: Some(report), rest: Vec::new(), code }
    }

    /// Adds what is wrong with what stands at `place`.
    pub fn add(&mut self, place: &Place, error: CommandError) {
        self.code.get_or_insert(error.code());
        match &mut self.report {
            Some(report) => {
                let (message, more) = error.into_lines();
                report.wrong(place, message, more);
            }
            None => self.rest.push(error),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.code.is_none()
    }

    /// All of it.
    pub fn result(self) -> Result<(), CommandError> {
        let code = self.code.unwrap_or(Code::Host);
        let told = self.report.map_or(Ok(()), Report::result);
        let told = told.map_err(|errors| CommandError::new(code, errors.to_string()));
        CommandError::all(std::iter::once(told).chain(self.rest.into_iter().map(Err))).map(|_| ())
    }
}
