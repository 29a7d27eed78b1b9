//! Gates of guests: the listeners that explain and record decisions, and the values of granted
//! variables.

use crate::audit;
use crate::error::CommandError;
use crate::printer::Printer;
use crate::settings::GrantSettings;
use std::env::VarError;
use std::sync::Arc;
use walnut_engine::{Explainer, Gate, Listener};
use walnut_policy::{Capability, Policy};

/// Creates the gate of the only guest of a process. `arguments` are the guest's.
pub fn gate(
    component: &str,
    grants: &GrantSettings,
    arguments: &[String],
    printer: Printer,
) -> Result<Gate, CommandError> {
    warn_of_allow_all(&grants.policy, printer);
    let audit = grants.audit.as_deref().map(|path| audit::of_command(path, printer)).transpose()?;
    let explainer = (!grants.is_quiet).then(|| explainer(misplaced(arguments), printer));
    let audit = audit.map(|audit| Arc::new(audit) as Arc<dyn Listener>);
    Ok(Gate::new(component, grants.policy.clone(), explainer.into_iter().chain(audit).collect()))
}

/// Warns of a policy that allows everything.
pub fn warn_of_allow_all(policy: &Policy, printer: Printer) {
    if policy.allows_all() {
        printer.warning("--allow-all: the guest may read and write every file and reach every address that you can");
    }
}

/// Returns a listener that explains denials on standard error. `misplaced` are flags among the
/// guest's arguments.
pub fn explainer(misplaced: Vec<String>, printer: Printer) -> Arc<dyn Listener> {
    Arc::new(Explainer::new(move |text| {
        printer.explanation(text);
        if let Some(flag) = misplaced.iter().find(|flag| text.contains(&format!("allow it: {flag} "))) {
            printer.hint(&format!("`{flag}` after the target went to the guest; write it before the target"));
        }
    }))
}

/// Returns grant flags among the guest's arguments.
fn misplaced(arguments: &[String]) -> Vec<String> {
    let flags = Capability::ALL.map(|capability| format!("--{capability}"));
    let given = |flag: &String| arguments.iter().any(|a| a.split('=').next() == Some(flag));
    flags.into_iter().filter(given).collect()
}

/// Returns the variables that `policy` grants, with their values. Warns of granted variables that
/// are not set.
pub fn env_values(policy: &Policy, printer: Printer) -> Vec<(String, String)> {
    warn_of_unset(policy, printer);
    let value = |name: &str| std::env::var(name).ok();
    let granted = policy.env().iter();
    let granted: Vec<(String, String)> = granted
        .filter_map(|grant| Some((grant.name.clone(), grant.value.clone().or_else(|| value(&grant.name))?)))
        .collect();
    if !policy.allows_all() {
        return granted;
    }
    let rest = all_variables().into_iter().filter(|(name, _)| granted.iter().all(|(n, _)| n != name));
    let rest: Vec<_> = rest.collect();
    granted.into_iter().chain(rest).collect()
}

/// Returns all variables of this process, except those that are not valid UTF-8: a guest cannot be
/// given them.
pub fn all_variables() -> Vec<(String, String)> {
    std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect()
}

/// Warns of variables that `--env` grants without a value and that are not set.
pub fn warn_of_unset(policy: &Policy, printer: Printer) {
    for grant in policy.env().iter().filter(|grant| grant.value.is_none()) {
        if let Some(why) = unset(&grant.name) {
            printer.warning(&format!("--env {name}: `{name}` {why}, so the guest does not see it", name = grant.name));
        }
    }
}

/// Returns why a guest cannot see the variable `name` of this process; `None` when it can.
pub fn unset(name: &str) -> Option<&'static str> {
    match std::env::var(name) {
        Ok(_) => None,
        Err(VarError::NotPresent) => Some("is not set here"),
        Err(VarError::NotUnicode(_)) => Some("is not valid UTF-8"),
    }
}
