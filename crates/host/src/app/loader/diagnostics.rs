//! Diagnostics of one app, from every step that looks at it. They are shown all at once; those of a
//! manifest in the order of its lines.

use crate::app::loader::error::{AppError, AppErrors, ErrorClass};
use walnut_manifest::{ManifestReport, SourceSpan};

/// Collects the errors of one app.
#[derive(Default)]
pub(crate) struct Diagnostics {
    /// Collects errors at places of the manifest, if there is one.
    report: Option<ManifestReport>,
    rest: Vec<AppError>,
    /// Class of the error that was found first.
    class: Option<ErrorClass>,
}

impl Diagnostics {
    /// Creates the diagnostics of a manifest, of which `report` holds the errors of its text.
    pub(crate) fn of_manifest(report: ManifestReport) -> Self {
        let class = (!report.is_empty()).then_some(ErrorClass::Host);
        Diagnostics { report: Some(report), rest: Vec::new(), class }
    }

    /// Adds an error about `place`.
    pub(crate) fn add(&mut self, place: &SourceSpan, error: AppError) {
        self.class.get_or_insert(error.class());
        match &mut self.report {
            Some(report) => {
                let (message, more) = error.into_lines();
                report.wrong(place, message, more);
            }
            None => self.rest.push(error),
        }
    }

    /// Returns whether there is no error.
    pub(crate) fn is_empty(&self) -> bool {
        self.class.is_none()
    }

    /// Returns the errors, if there are any.
    pub(crate) fn into_result(self) -> Result<(), AppErrors> {
        let class = self.class.unwrap_or(ErrorClass::Host);
        let of_manifest = self.report.and_then(|report| report.result().err());
        let of_manifest = of_manifest.map(|errors| AppError::Manifest { errors, class });
        AppErrors::of(of_manifest.into_iter().chain(self.rest)).map_or(Ok(()), Err)
    }
}
