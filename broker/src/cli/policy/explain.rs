//! `bulkhead policy explain`.

use super::SiteArgs;
use crate::{ends, print};
use bulkhead::{
    filter::Arch,
    policies::explain::{self, Question, Wrong},
};
use clap::Args;
use std::process::ExitCode;

/// Say what a policy means: the whole of it, or one key, section, system call or path.
///
/// What is said is read from what is enforced: values with the file and line that they come from, system calls from the
/// rules that the filters are compiled from. A path is compared as text; nothing on disk is looked at.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Explain {
    /// The policy: a name (`bulkhead policy list`) or a file.
    #[arg(value_name = "NAME|FILE")]
    policy: String,
    /// A key (`wasm.memory`), a section (`network`), a layer (`landlock.fs`), a system call (`openat`) or a path (`/srv/data`).
    what: Option<String>,
    /// Show a worker's filter programs as the kernel gets them, disassembled.
    #[arg(long, conflicts_with = "what")]
    bpf: bool,
    /// For this architecture; without it, for the one of this host.
    #[arg(long, value_name = "ARCH", value_parser = arch)]
    arch: Option<Arch>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    site: SiteArgs,
}

const EXAMPLES: &str = "\
For example:
  bulkhead policy explain strict
  bulkhead policy explain ./mine.toml wasm.memory
  bulkhead policy explain standard openat --arch aarch64
  bulkhead policy explain standard /etc/passwd

Exit codes: 2 where nothing is called WHAT, 122 where the policy cannot be used.

The JSON object has `version` (1), `policy`, `files` (its own first, then those it extends), `ceilings`, `about` (policy, keys,
system-call, path or programs) and what that has: `sentences` and `keys`; `keys`; the call's `number`, `processes`, `listed`,
`denied`, `added`; the path's `grants` and `callers`; `arch`, `worker`, `groups` and `programs`.";

impl Explain {
    pub fn go(self) -> ExitCode {
        let question = match (&self.what, self.bpf) {
            (_, true) => Ok(Question::Programs),
            (None, false) => Ok(Question::Policy),
            (Some(what), false) => Question::about(what),
        };
        let site = self.site.site().for_review();
        let arch = self.arch.unwrap_or(Arch::HOST);
        match question.and_then(|question| explain::explain(&site, &self.policy, &question, arch)) {
            Ok(explanation) if self.json => match serde_json::to_string_pretty(&explanation) {
                Ok(json) => print(format!("{json}\n").as_bytes()),
                Err(error) => {
                    eprintln!("bulkhead: {error}");
                    ExitCode::from(ends::INTERNAL)
                }
            },
            Ok(explanation) => print(explanation.to_string().as_bytes()),
            Err(wrong @ (Wrong::Policy(_) | Wrong::Filter(_))) => ends::policy_error(&wrong),
            Err(wrong) => {
                eprintln!("bulkhead: {}", lines(&wrong.to_string()));
                ExitCode::from(ends::USAGE)
            }
        }
    }
}

/// What was typed may have been pasted: each line is escaped.
fn lines(text: &str) -> String {
    text.lines().map(|line| bulkhead::text::Untrusted(line).to_string()).collect::<Vec<_>>().join("\n")
}

fn arch(name: &str) -> Result<Arch, String> {
    let names = Arch::ALL.map(Arch::name).join(", ");
    Arch::ALL.into_iter().find(|arch| arch.name() == name).ok_or_else(|| format!("known: {names}"))
}
