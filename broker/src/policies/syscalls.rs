//! What is doubtful or impossible in `[syscalls]`: only the groups of calls and the tables of numbers can tell.

use crate::filter::{self, Arch, Class, Features, groups::Phase};
use bulkhead_shared::policy::{Diagnostic, Policy, Resolved, Rule, text::Reader};

const DENY: &str = "syscalls.deny";
const ADD: &str = "syscalls.danger_allow";

/// Findings in the first file of this policy, and errors wherever they stand.
pub(super) fn lint(resolved: &Resolved) -> Vec<Diagnostic> {
    let policy = &resolved.policy;
    let mut found = Vec::new();
    for class in [Class::Worker(Features::most(policy)), Class::Compiler] {
        if let Err(error) = filter::rules(policy, class, Arch::HOST) {
            let key = if matches!(error, filter::Error::Proof) { ADD } else { DENY };
            found.extend(at(resolved, key, Rule::NothingWorks, error.to_string(), None));
            return found;
        }
    }
    let own = |key: &str| resolved.settings.get(key).and_then(|s| s.first()).is_some_and(|s| s.source == 0);
    if own(DENY) {
        for name in policy.syscalls.deny.iter().filter(|name| allowed(policy, name) == Allowed::Never) {
            let message = format!("`{name}` is not allowed anyway, whatever is granted under this policy");
            found.extend(at(resolved, DENY, Rule::NeverMatches, message, Some("leave it out")));
        }
    }
    if own(ADD) {
        for call in &policy.syscalls.danger_allow {
            let (rule, message) = match allowed(policy, &call.name) {
                Allowed::Always => (Rule::Shadowed, format!("`{}` is allowed already", call.name)),
                _ if Arch::HOST.number(&call.name).is_none() => {
                    (Rule::NeverMatches, format!("`{}` does not exist on {}", call.name, Arch::HOST))
                }
                _ => continue,
            };
            found.extend(at(resolved, ADD, rule, message, Some("leave it out")));
        }
    }
    found
}

#[derive(PartialEq, Eq)]
enum Allowed {
    Never,
    Sometimes,
    Always,
}

/// Whether the most that can be granted under this policy allows a call, leaving [syscalls] out.
fn allowed(policy: &Policy, name: &str) -> Allowed {
    let mut plain = policy.clone();
    plain.syscalls = Default::default();
    let most = Features::most(&plain);
    // A module makes other calls than a component; native code than bytecode.
    let classes = [most, Features { component: false, ..most }].map(Class::Worker).into_iter().chain([Class::Compiler]);
    let mut answer = Allowed::Never;
    for class in classes {
        for entry in filter::entries(&plain, class, Arch::HOST).unwrap_or_default() {
            if entry.name == name && matches!(entry.phase, Phase::Setup | Phase::Run) {
                let always = entry.phase == Phase::Run && entry.rules.iter().any(Vec::is_empty);
                if always && matches!(class, Class::Worker(_)) {
                    return Allowed::Always;
                }
                answer = Allowed::Sometimes;
            }
        }
    }
    answer
}

/// A finding at the nearest place that sets this key.
fn at(resolved: &Resolved, key: &str, rule: Rule, message: String, help: Option<&str>) -> Option<Diagnostic> {
    let setting = resolved.settings.get(key)?.first()?;
    let source = resolved.sources.get(setting.source)?;
    Some(Reader::new(source).diagnostic(rule, setting.span.clone(), message, help.map(str::to_string)))
}
