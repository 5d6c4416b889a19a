//! `bulkhead probe`.

mod document;
mod matrix;

use crate::{ends, explain, policy::SiteArgs, print, style};
use bulkhead::{
    Outcome,
    probe::{Attacks, Came, Listed},
    text::Untrusted,
};
use clap::Args;
use matrix::{Matrix, Row};
use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

/// Attack this host from inside a worker that was taken over, and say what stopped each attack.
///
/// Some four hundred attacks are made by native code, each in a process of its own that is locked
/// down as a worker is, behind its last filter. Each is first made with nothing in its way, by the
/// same code, as the user that runs this: the control. An attack whose control does not work here
/// shows nothing, and is not counted.
///
/// None does harm where it works. Attacks aim at a neighbour that is made for them (a process with
/// files, sockets and a key in a directory below the one for temporary files) and removed
/// afterwards; another worker stands by. After the attacks of each aim both, and the broker, are looked at.
/// What would harm a host (a kernel module, a reboot) is asked for with arguments that
/// the kernel refuses behind its check of rights: then it counts as `reached`.
#[derive(Args)]
#[command(after_help = AFTER, verbatim_doc_comment)]
pub struct Attack {
    /// The policy: a file, or a name.
    #[arg(long, value_name = "FILE|NAME", default_value = "standard")]
    policy: String,
    /// Only attacks with this aim: files, network, processes, privilege, kernel, memory, resources,
    /// inherited, leaks.
    #[arg(long)]
    aim: Vec<String>,
    /// Only the attack of this name.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Also those that use much memory or time for a moment: up to a gibibyte, some seconds.
    #[arg(long)]
    all: bool,
    /// Do not make the attacks with nothing in their way.
    #[arg(long)]
    no_control: bool,
    /// Make each attack once more for each layer of the policy, with that layer taken away.
    #[arg(long)]
    ablate: bool,
    /// Make each attack once more without the layer that stopped it, and say what stops it then.
    #[arg(long)]
    deep: bool,
    /// Write the matrix of --ablate to containment.md and containment.json in this directory.
    #[arg(long, value_name = "DIR", requires = "ablate", hide = true)]
    document: Option<PathBuf>,
    /// List the attacks, and make none.
    #[arg(long)]
    list: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// The directory with Bulkhead's programs.
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    #[command(flatten)]
    site: SiteArgs,
}

const AFTER: &str = "\
The layer that stopped an attack is told by the kernel (a refused call, an end at a limit), or found
by taking layers away one at a time; where the error number stays the same all the while, it says
`errno only`: more than one layer gives it.

Exit codes:
  0    nothing got through
  1    something did
  2    there is no such attack
  122  the policy has errors, or cannot be found
  123  no worker could be set up under it: the host lacks what it requires";

impl Attack {
    pub fn go(self) -> ExitCode {
        let policy = match self.site.site().load(&self.policy) {
            Ok(resolved) => resolved.policy.clone(),
            Err(errors) => return ends::policy_error(&errors),
        };
        let ended = |outcome: &Outcome| {
            eprintln!("bulkhead: {}: {}", Untrusted(&self.policy), explain::explain(outcome).unwrap_or_default());
            ExitCode::from(ends::code(outcome))
        };
        let attacks = match self.site.broker(self.programs.as_deref()).and_then(|broker| broker.attacks(policy)) {
            Ok(attacks) => attacks,
            Err(outcome) => return ended(&outcome),
        };
        let chosen: Vec<Listed> = attacks.attacks().iter().filter(|attack| self.wants(attack)).cloned().collect();
        if chosen.is_empty() {
            eprintln!("bulkhead: there is no such attack; `bulkhead probe --list` names them");
            return ExitCode::from(ends::USAGE);
        }
        if self.list {
            let line = |a: &Listed| format!("{:<11}{:<28}{}\n", a.aim, a.name, a.what);
            return print(chosen.iter().map(line).collect::<String>().as_bytes());
        }
        match self.matrix(attacks, &chosen) {
            Ok(matrix) => self.show(&matrix),
            Err(outcome) => ended(&outcome),
        }
    }

    fn wants(&self, attack: &Listed) -> bool {
        let named = self.only.contains(&attack.name);
        let aimed = self.aim.is_empty() || self.aim.contains(&attack.aim);
        // One that is asked for by its name is made whatever it costs.
        named || (self.only.is_empty() && aimed && (attack.harmless || self.all || self.list))
    }

    /// Makes every attack, and those that it takes to say what stopped them.
    fn matrix(&self, mut attacks: Attacks, chosen: &[Listed]) -> Result<Matrix, Outcome> {
        let (mut rows, mut health) = (Vec::new(), Vec::new());
        for aim in chosen.chunk_by(|one, other| one.aim == other.aim) {
            let beside = attacks.beside()?;
            for attack in aim {
                progress(rows.len(), chosen.len(), &attack.name);
                rows.push(self.row(&attacks, attack)?);
            }
            health.extend(aim.first().map(|first| attacks.health(&first.aim, beside)).transpose()?);
        }
        progress(chosen.len(), chosen.len(), "");
        Ok(Matrix::new(&self.policy, rows, health))
    }

    fn row(&self, attacks: &Attacks, attack: &Listed) -> Result<Row, Outcome> {
        let control = (!self.no_control).then(|| attacks.control(attack));
        let came = attacks.attack(attack)?;
        let stopped_by = attacks.stopped_by(attack, &came);
        let layers = match &stopped_by {
            _ if self.ablate => attacks.layers(),
            Some(stopped) if self.deep => stopped.layers.clone(),
            _ => Vec::new(),
        };
        let without: BTreeMap<String, Came> = layers
            .into_iter()
            .map(|layer| (layer.name().to_owned(), attacks.attack_without(attack, &[layer])))
            .collect();
        Ok(Row::new(attack, control, came, stopped_by, without))
    }

    fn show(&self, matrix: &Matrix) -> ExitCode {
        let text = match self.json {
            true => serde_json::to_string_pretty(matrix).unwrap_or_default() + "\n",
            false => matrix.table(style::stdout()),
        };
        if let Some(folder) = &self.document {
            let record = serde_json::to_string_pretty(&document::Record::of(matrix)).unwrap_or_default() + "\n";
            let written = std::fs::write(folder.join("containment.md"), document::markdown(matrix))
                .and_then(|()| std::fs::write(folder.join("containment.json"), record));
            if let Err(error) = written {
                eprintln!("bulkhead: {}: {error}", folder.display());
                return ExitCode::FAILURE;
            }
        }
        let printed = print(text.as_bytes());
        if matrix.holds() { printed } else { ExitCode::FAILURE }
    }
}

/// Says how far it is, where somebody looks.
fn progress(done: usize, all: usize, name: &str) {
    let mut err = std::io::stderr().lock();
    if err.is_terminal() {
        let _ = match done == all {
            true => write!(err, "\r\x1b[K"),
            false => write!(err, "\r\x1b[K{done}/{all} {name}"),
        };
        let _ = err.flush();
    }
}
