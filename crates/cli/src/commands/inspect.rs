//! `walnut inspect`.

use crate::commands::guest::load;
use crate::error::{CommandError, CommandResult, of_output, of_system};
use crate::flags::InspectArgs;
use crate::printer::Printer;
use std::fmt::Write;
use walnut_engine::{ArtifactKind, Inspection, Verb};
use walnut_policy::Printable;

pub fn run(args: &InspectArgs, printer: Printer) -> CommandResult {
    let artifact = load(&args.target)?;
    let text = if args.wit {
        Inspection::wit(&artifact)?
    } else {
        let inspection = Inspection::of(&artifact)?;
        if args.json {
            printer.data(&json(&inspection)?).map_err(|e| of_output(&e))?;
            return Ok(0);
        }
        describe(&inspection, &args.target)
    };
    printer.escaped_data(&text).map_err(|e| of_output(&e))?;
    Ok(0)
}

fn json(inspection: &Inspection) -> Result<String, CommandError> {
    serde_json::to_string_pretty(inspection)
        .map(|text| text + "\n")
        .map_err(|e| of_system("the description cannot be written as JSON", &e))
}

fn describe(i: &Inspection, target: &str) -> String {
    let mut text = String::new();
    let mut line = |label: &str, value: &str| {
        let _ = writeln!(text, "{:<12} {}", Printable(label).to_string(), Printable(value));
    };
    line("name", &i.name);
    line("digest", &i.digest);
    let kind = match i.kind {
        ArtifactKind::Module => "core module",
        ArtifactKind::Component => "component",
    };
    let wasi = if i.wasi.is_empty() { "no WASI".to_owned() } else { format!("WASI {}", i.wasi.join(", ")) };
    line("kind", &format!("{kind}, {wasi}"));
    line("world", i.world.unwrap_or("its own"));
    let verb = match i.verb {
        Verb::Run => format!("walnut run {target}"),
        Verb::Serve => format!("walnut serve {target}"),
        Verb::Call => format!("walnut call {target} 'FUNCTION(ARGUMENTS)'"),
    };
    line("start it", &verb);
    let parts: Vec<_> = i.parts.iter().map(|(part, bytes)| format!("{part} {bytes}")).collect();
    line("size", &format!("{} bytes ({})", i.size, parts.join(", ")));
    for (field, values) in &i.producers {
        let values: Vec<_> = values
            .iter()
            .map(|(name, version)| if version.is_empty() { name.clone() } else { format!("{name} {version}") })
            .collect();
        line(field, &values.join(", "));
    }
    section(
        &mut text,
        "could ask for",
        &i.capabilities.iter().map(|c| format!("{:<8} {}", c.capability, c.imports.join(", "))).collect::<Vec<_>>(),
        "nothing",
    );
    section(&mut text, "cannot get", &i.missing_imports, "");
    section(&mut text, "imports without authority", &i.harmless_imports, "");
    section(&mut text, "exports", &i.exports, "nothing");
    text
}

fn section(text: &mut String, title: &str, lines: &[String], empty: &str) {
    match (lines, empty) {
        ([], "") => {}
        ([], empty) => {
            let _ = writeln!(text, "\n{title}: {empty}");
        }
        _ => {
            let _ = writeln!(text, "\n{title}:");
            lines.iter().for_each(|line| {
                let _ = writeln!(text, "  {}", Printable(line));
            });
        }
    }
}
