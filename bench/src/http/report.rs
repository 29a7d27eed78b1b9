//! The report: sections as markdown tables for people and as JSON for machines.

use super::machine::MachineInfo;
use serde_json::{Map, Value, json};

/// The results of one topic.
pub struct ReportSection {
    /// Key of the topic in the JSON report.
    pub key: &'static str,
    pub markdown: String,
    pub rows: Vec<Value>,
    /// Requests that failed and should not have.
    pub failures: u64,
}

impl ReportSection {
    /// A topic that was not measured.
    pub fn empty(key: &'static str) -> Self {
        Self { key, markdown: String::new(), rows: Vec::new(), failures: 0 }
    }
}

pub struct HttpReport {
    pub machine: MachineInfo,
    pub sections: Vec<ReportSection>,
}

impl HttpReport {
    pub fn failures(&self) -> u64 {
        self.sections.iter().map(|section| section.failures).sum()
    }

    pub fn markdown(&self) -> String {
        let sections: String = self.sections.iter().map(|section| section.markdown.as_str()).collect();
        format!("{}\n{sections}", self.machine.sentence())
    }

    pub fn json(&self) -> Value {
        let mut report = Map::new();
        report.insert("version".into(), json!(1));
        report.insert("machine".into(), self.machine.json());
        report.extend(self.sections.iter().map(|section| (section.key.to_owned(), json!(section.rows))));
        Value::Object(report)
    }
}
