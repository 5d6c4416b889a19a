//! `bulkhead policy test`.

use super::SiteArgs;
use crate::{ends, explain, print, style};
use bulkhead::{
    Outcome,
    policies::Site,
    policy::assertion::FORMS,
    probe::{Came, Verdict},
    text::Untrusted,
};
use clap::Args;
use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf, process::ExitCode};

/// Widest column of attempts; longer ones take the room that they need.
const WIDEST: usize = 36;

/// Try what policies say of themselves ([[test]]), in processes that are really locked down.
///
/// Each attempt is made by a process of its own that stands in for a worker that was taken over:
/// same lock-down, same filters, no plugin. For `denied by LAYER` it is made once more with that
/// layer alone in its way, the others that could stop it taken away, and once without it: then it
/// works, and really connects, or makes a file and removes it. Nothing is written to what is there,
/// and nothing stays.
///
/// A test stands in the policy's file:
///
///   [[test]]
///   attempt = "read /etc/passwd"
///   expect = "denied by landlock"
///
/// To expect:
///   allowed           it works
///   denied            it does not, whatever stops it
///   denied by LAYER   nor would it with that layer, or family of layers, alone in its way
///   killed            the worker does not survive it
///   violation         it ends the worker, and the plugin is to blame
#[derive(Args)]
#[command(after_help = after_help(), verbatim_doc_comment)]
pub struct Test {
    /// The policies: files, or names.
    #[arg(required = true, value_name = "FILE|NAME")]
    policies: Vec<String>,
    /// Of every attempt that is stopped, try each layer that could stop it alone, and say which do.
    #[arg(long)]
    deep: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// The directory with Bulkhead's programs.
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    #[command(flatten)]
    site: SiteArgs,
}

fn after_help() -> String {
    let mut text = "Attempts:\n".to_owned();
    for (form, meaning) in FORMS {
        let _ = writeln!(text, "  {form:<30}{meaning}");
    }
    text + "\nA path is one of the host, or of the worker; in a directory that the policy grants it is that directory's in the \
            worker.\n\nExit codes:\n  0    every test holds\n  1    one does not, or there are none\n  122  a policy has errors, or \
            cannot be found\n  123  no worker could be set up under it: the host lacks what it requires\n"
}

impl Test {
    pub fn go(self) -> ExitCode {
        let site = self.site.site();
        let mut all = BTreeMap::new();
        let (mut passed, mut failed) = (0, 0);
        let mut code = ExitCode::SUCCESS;
        for name in &self.policies {
            let verdicts = match self.policy(&site, name) {
                Ok(verdicts) => verdicts,
                Err(ended) => {
                    code = ended;
                    continue;
                }
            };
            let good = verdicts.iter().filter(|verdict| verdict.passed).count();
            (passed, failed) = (passed + good, failed + verdicts.len() - good);
            all.insert(name.clone(), verdicts);
        }
        if self.json {
            print((serde_json::to_string_pretty(&all).unwrap_or_default() + "\n").as_bytes());
        } else if !all.is_empty() {
            print(format!("{passed} passed, {failed} failed\n").as_bytes());
        }
        // A check that checked nothing must not look like one that found nothing.
        let idle = all.values().any(Vec::is_empty);
        if code == ExitCode::SUCCESS && (failed > 0 || idle) { ExitCode::FAILURE } else { code }
    }

    /// Tries everything that one policy says.
    fn policy(&self, site: &Site, name: &str) -> Result<Vec<Verdict>, ExitCode> {
        let resolved = site.load(name).map_err(|errors| ends::policy_error(&errors))?;
        if resolved.tests.is_empty() {
            eprintln!("bulkhead: {}: it has no [[test]]: nothing was tried", Untrusted(name));
            return Ok(Vec::new());
        }
        let policy = resolved.policy.clone();
        let broker = self.site.broker(self.programs.as_deref());
        let probe = broker.and_then(|broker| broker.probe(policy)).map_err(|outcome| ended(name, &outcome))?;
        if !self.json {
            print(format!("{}\n", Untrusted(name)).as_bytes());
        }
        let width = resolved.tests.iter().map(|test| test.attempt.to_string().chars().count()).max();
        let width = width.unwrap_or(0).min(WIDEST);
        let mut verdicts = Vec::new();
        for test in &resolved.tests {
            let verdict = probe.test(test, self.deep).map_err(|outcome| ended(name, &outcome))?;
            if !self.json {
                print(line(name, &verdict, width, self.deep).as_bytes());
            }
            verdicts.push(verdict);
        }
        Ok(verdicts)
    }
}

/// Says why no worker could be set up.
fn ended(name: &str, outcome: &Outcome) -> ExitCode {
    eprintln!("bulkhead: {}: {}", Untrusted(name), explain::explain(outcome).unwrap_or_default());
    ExitCode::from(ends::code(outcome))
}

/// One test's line, and more where it failed or was looked at closely.
fn line(name: &str, verdict: &Verdict, width: usize, deep: bool) -> String {
    let (green, red, plain) = match style::stdout() {
        true => ("\x1b[32m", "\x1b[31m", "\x1b[0m"),
        false => ("", "", ""),
    };
    let attempt = Untrusted(&verdict.attempt).to_string();
    let why = Untrusted(&verdict.why).to_string();
    let mut text = match verdict.passed {
        true => format!("{green}ok    {plain}  {attempt:<width$}  {}  ({why})\n", verdict.expect),
        false => format!(
            "{red}FAILED{plain}  {attempt}\n          expected: {}  ({}:{})\n          seen:     {why}\n",
            verdict.expect,
            Untrusted(name),
            verdict.line
        ),
    };
    for stand in verdict.alone.iter().filter(|_| deep) {
        let does = match (stand.stops, &stand.came) {
            (true, came) => format!("stops it by itself: {came}"),
            (false, Came::Worked) => "does not stop it".to_owned(),
            (false, came) => format!("is not what stops it: {came}"),
        };
        let _ = writeln!(text, "          {:<17} {}", stand.layer, Untrusted(&does));
    }
    text
}
