//! `bulkhead run`.

use crate::{ends, explain, policy::SiteArgs, style};
use bulkhead::{
    Broker, Command, Denial, Error, Finished, Input, Outcome, Output, Plugin, PluginOptions, Report, Source,
    describe::{Function, ItemKind, Kind},
    outcome::Class,
    policies::hint::{self, Hint},
    policy::{DirGrant, Resolved},
    text::{Escaped, escaped_json},
    value::Value,
    wave::{self, CallText},
};
use clap::Args;
use std::{
    fmt,
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

/// Run a plugin.
///
/// A file that exports `_start` or `wasi:cli/run` runs as a command, with the words after PLUGIN as its arguments. With --invoke,
/// one exported function is called: `--invoke add 2 3` for a core module, `--invoke 'greet("world")'` in WAVE text for a component.
/// Nothing is granted that is not named here or in the policy.
#[derive(Args)]
pub struct Run {
    /// The policy: a name (`bulkhead policy list`) or a file.
    #[arg(long, value_name = "NAME|FILE", default_value = "standard")]
    pub policy: String,
    #[command(flatten)]
    pub site: SiteArgs,
    /// End the call after this time, at most the policy's own: `500ms`, `2s`, `5m`.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// Grant a directory: as HOST::GUEST for reading and writing, HOST::GUEST:ro for reading.
    #[arg(long = "dir", value_name = "HOST[::GUEST][:ro]", value_parser = grant)]
    pub dirs: Vec<DirGrant>,
    /// Give the plugin a private writable /tmp in memory: `64MiB`.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub tmp: Option<u64>,
    /// Set an environment variable.
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    pub env: Vec<(String, String)>,
    /// Call this export: a name, or for a component a call in WAVE text.
    #[arg(long, value_name = "NAME|CALL")]
    invoke: Option<String>,
    /// Afterwards print each layer, whether it was required and achieved, and how that was seen.
    #[arg(long)]
    pub report: bool,
    /// Print one JSON object on standard output: the end, the output, the report.
    #[arg(long)]
    pub json: bool,
    /// The directory with Bulkhead's programs.
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// The directory for compiled code.
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Compile anew and keep nothing.
    #[arg(long, conflicts_with = "cache")]
    no_cache: bool,
    /// The `.wasm` file.
    pub plugin: PathBuf,
    /// Arguments, as the plugin sees them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
    /// What the policy and the ceilings came to, for hints.
    #[arg(skip)]
    read: Option<(Resolved, Vec<Resolved>)>,
}

/// Most denials with one and the same hint that are shown one by one.
const SHOWN_DENIALS: usize = 5;

/// What a run came to.
#[derive(serde::Serialize)]
struct Ended<'a> {
    outcome: &'a Outcome,
    class: Option<Class>,
    exit_code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    results: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<Hint>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    denials: Vec<Refused<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<&'a Report>,
}

/// What the plugin was refused, and lived on.
#[derive(serde::Serialize)]
struct Refused<'a> {
    denial: &'a Denial,
    hint: Hint,
}

impl Run {
    pub fn go(mut self) -> ExitCode {
        let site = self.site.site();
        let read = site.load(&self.policy).and_then(|resolved| Ok((resolved, site.ceilings()?)));
        let mut policy = match read {
            Ok(read) => self.read.insert(read).0.policy.clone(),
            Err(errors) => return ends::policy_error(&errors),
        };
        // A plugin can burn time before it is called, in its start function.
        if let Some(timeout) = self.timeout {
            policy.invocation.load_timeout = policy.invocation.load_timeout.min(timeout);
        }
        let broker = match self.broker() {
            Ok(broker) => broker,
            Err(error) => {
                eprintln!("bulkhead: {error}");
                return ExitCode::from(match error {
                    Error::System { .. } => ends::INTERNAL,
                    _ => ends::SETUP_FAILED,
                });
            }
        };
        let options = PluginOptions {
            dirs: self.dirs.clone(),
            tmp: self.tmp,
            progress: Some(Box::new(progress())),
            ..PluginOptions::new(policy)
        };
        let loaded = broker.load(Source::Path(&self.plugin), options);
        clear_progress();
        match loaded {
            Ok(plugin) => self.call(plugin),
            Err(outcome) => self.end(Finished::of(outcome), None, &[]),
        }
    }

    pub fn broker(&self) -> Result<Broker, Error> {
        let mut builder = Broker::builder();
        if let Some(programs) = &self.programs {
            builder = builder.programs(programs);
        }
        if let Some(cache) = &self.cache {
            builder = builder.cache(cache);
        }
        if self.no_cache {
            builder = builder.without_cache();
        }
        for file in &self.site.ceiling {
            builder = builder.ceiling(file);
        }
        builder.build()
    }

    fn call(&self, mut plugin: Plugin) -> ExitCode {
        let command = self.command();
        let finished = self.finish(&mut plugin, command);
        let denials = plugin.take_denials();
        self.end(finished, Some(&plugin), &denials)
    }

    /// Runs the plugin as this command, or calls its export.
    pub fn finish(&self, plugin: &mut Plugin, command: Command) -> Finished {
        match &self.invoke {
            None => plugin.run(command),
            Some(text) => Finished::of(match arguments(plugin, text, &self.args) {
                Ok((name, args)) => plugin.call_within(&name, &args, self.timeout),
                Err(message) => refused(message),
            }),
        }
    }

    /// The command, with the standard streams of this process.
    pub fn command(&self) -> Command {
        let name = self.plugin.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut args = vec![name];
        args.extend(self.args.iter().cloned());
        let (stdout, stderr) = match self.json {
            true => (Output::Collect(bulkhead::COLLECT), Output::Collect(bulkhead::COLLECT)),
            false => (Output::Writer(Box::new(std::io::stdout())), Output::Writer(Box::new(std::io::stderr()))),
        };
        Command {
            args,
            env: self.env.clone(),
            stdin: Input::Reader(Box::new(std::io::stdin())),
            stdout,
            stderr,
            timeout: self.timeout,
        }
    }

    fn end(&self, finished: Finished, plugin: Option<&Plugin>, denials: &[Denial]) -> ExitCode {
        let Finished { outcome, stdout, stderr, dropped_bytes, .. } = finished;
        let code = ends::code(&outcome);
        let hint = self.read.as_ref().and_then(|(policy, ceilings)| hint::hint(&outcome, policy, ceilings));
        let denials: Vec<Refused<'_>> = self
            .read
            .iter()
            .flat_map(|(policy, ceilings)| {
                denials.iter().map(|denial| Refused { denial, hint: hint::denied(denial, policy, ceilings) })
            })
            .collect();
        let results = match &outcome {
            Outcome::Returned(values) => Some(values.0.iter().map(wave::print).collect::<Vec<_>>()),
            _ => None,
        };
        if self.json {
            let is_command = self.invoke.is_none() && plugin.is_some();
            let text = |bytes: Vec<u8>| is_command.then(|| String::from_utf8_lossy(&bytes).into_owned());
            let ended = Ended {
                outcome: &outcome,
                class: outcome.class(),
                exit_code: code,
                results,
                stdout: text(stdout),
                stderr: text(stderr),
                dropped_bytes: is_command.then_some(dropped_bytes),
                hint,
                denials,
                report: plugin.map(Plugin::report),
            };
            let json = escaped_json(&serde_json::to_string_pretty(&ended).unwrap_or_default());
            return match writeln!(std::io::stdout(), "{json}") {
                Ok(()) => ExitCode::from(code),
                Err(_) => ExitCode::from(ends::OUTPUT_CLOSED),
            };
        }
        for line in results.iter().flatten() {
            if writeln!(std::io::stdout(), "{}", Escaped(line)).is_err() {
                return ExitCode::from(ends::OUTPUT_CLOSED);
            }
        }
        if let Some(text) = explain::explain(&outcome) {
            let _ = writeln!(std::io::stderr(), "bulkhead: {}: {text}", self.plugin.display());
        }
        if let Some(hint) = hint {
            let _ = write!(std::io::stderr(), "{hint}");
        }
        let _ = write!(std::io::stderr(), "{}", Refusals { plugin: &self.plugin, refused: &denials });
        if let (true, Some(plugin)) = (self.report, plugin) {
            let _ = write!(std::io::stderr(), "{}", plugin.report().table(style::stderr()));
        }
        ExitCode::from(code)
    }
}

/// Denials for people, each hint once.
struct Refusals<'a> {
    plugin: &'a Path,
    refused: &'a [Refused<'a>],
}

impl fmt::Display for Refusals<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut refused: Vec<&Refused<'_>> = self.refused.iter().collect();
        let name = self.plugin.display();
        while let Some(first) = refused.first().copied() {
            let (same, others): (Vec<_>, Vec<_>) = refused.into_iter().partition(|other| other.hint == first.hint);
            for one in same.iter().take(SHOWN_DENIALS) {
                writeln!(f, "bulkhead: {name}: denied: {}", one.denial)?;
            }
            if let more @ 1.. = same.len().saturating_sub(SHOWN_DENIALS) {
                writeln!(f, "bulkhead: {name}: denied: {more} more like these (--json lists them)")?;
            }
            write!(f, "{}", first.hint)?;
            refused = others;
        }
        Ok(())
    }
}

fn refused(message: String) -> Outcome {
    Outcome::Refused(bulkhead::outcome::Refusal { message })
}

/// The export and its arguments, from `--invoke` and the words after the plugin.
fn arguments(plugin: &Plugin, text: &str, words: &[String]) -> Result<(String, Vec<Value>), String> {
    let (path, call) = match text.contains('(') {
        true => {
            let call = CallText::split(text).map_err(|e| e.to_string())?;
            let path = match call.interface {
                "" => call.name.to_owned(),
                interface => format!("{interface}#{}", call.name),
            };
            (path, Some(call))
        }
        false => (text.trim().to_owned(), None),
    };
    let (interface, name) = plugin.interface_and_name(&path);
    let Some(function) = plugin.function(interface, name) else {
        return Err(no_such_export(plugin, &path));
    };
    let args = match call {
        Some(_) if !words.is_empty() => {
            return Err("arguments stand in the call or after the plugin, not in both".to_owned());
        }
        Some(call) => call.arguments(function),
        None if plugin.description().kind == Kind::Module => wave::parse_scalars(words, function),
        None => wave::parse_words(words, function),
    };
    Ok((path, args.map_err(|e| e.to_string())?))
}

/// What the plugin does export.
fn no_such_export(plugin: &Plugin, wanted: &str) -> String {
    let functions: Vec<(String, &Function)> = plugin
        .description()
        .exports
        .iter()
        .filter_map(|item| match (&item.what, item.module.as_str()) {
            (ItemKind::Function(function), "") => Some((item.name.clone(), function)),
            (ItemKind::Function(function), interface) => Some((format!("{interface}#{}", item.name), function)),
            _ => None,
        })
        .collect();
    let mut message = format!("no exported function {wanted:?}");
    let nearest = functions
        .iter()
        .map(|(name, _)| name)
        .max_by(|a, b| strsim::jaro_winkler(a, wanted).total_cmp(&strsim::jaro_winkler(b, wanted)));
    if let Some(nearest) = nearest.filter(|nearest| strsim::jaro_winkler(nearest, wanted) > 0.7) {
        message.push_str(&format!("; did you mean {nearest:?}?"));
    }
    for (name, function) in functions.iter().take(50) {
        message.push_str(&format!("\n  {name}{}", wave::signature(function)));
    }
    if functions.is_empty() {
        message.push_str("\n  it exports no function at all");
    }
    message
}

/// Says each second on a terminal how long the compiler has been at work; once where there is none.
pub fn progress() -> impl FnMut(Duration) + Send {
    let mut said = false;
    move |taken| {
        let mut err = std::io::stderr();
        if err.is_terminal() {
            let _ = write!(err, "\rcompiling… {} s", taken.as_secs());
            let _ = err.flush();
        } else if !said {
            let _ = writeln!(err, "bulkhead: compiling; this is done once");
        }
        said = true;
    }
}

pub fn clear_progress() {
    let mut err = std::io::stderr();
    if err.is_terminal() {
        let _ = write!(err, "\r\x1b[K");
    }
}

fn unit<T>(read: Result<T, (String, Option<String>)>) -> Result<T, String> {
    read.map_err(|(wrong, help)| match help {
        Some(help) => format!("{wrong}; {help}"),
        None => wrong,
    })
}

fn duration(text: &str) -> Result<Duration, String> {
    unit(bulkhead::policy::unit::time(text))
}

fn size(text: &str) -> Result<u64, String> {
    unit(bulkhead::policy::unit::size(text))
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("is not NAME=VALUE".to_owned()),
    }
}

/// `HOST`, `HOST::GUEST`, either with `:ro`.
fn grant(text: &str) -> Result<DirGrant, String> {
    let (paths, writable) = match text.strip_suffix(":ro") {
        Some(paths) => (paths, false),
        None => (text, true),
    };
    let (host, guest) = paths.split_once("::").unwrap_or((paths, paths));
    if host.is_empty() || guest.is_empty() {
        return Err("is not HOST::GUEST or HOST::GUEST:ro".to_owned());
    }
    // The launcher walks the path once and follows no link; whoever types a path means what it leads to now.
    let host = std::fs::canonicalize(host).or_else(|_| std::path::absolute(host)).map_err(|e| e.to_string())?;
    let host = host.into_os_string().into_string().map_err(|_| "is no UTF-8".to_owned())?;
    Ok(DirGrant { host, guest: guest.to_owned(), writable, quota: None })
}
