//! Random modules, and real ones that were mutated, through compiler and worker: `bulkhead-modules PROGRAMS [--count N] [--seconds N] [--seed N]`
//!
//! Each goes the way that any plugin goes: compiled in a process of its own, loaded into a locked-down worker, its exports called with
//! arguments made up. Prints Markdown; exits with 1 where the broker was at fault, a violation was seen, or something was left.

mod ends;
mod sources;

use bulkhead::{
    Broker, Outcome, PluginOptions, Source, Value,
    bench::host::{Host, today},
    describe::ItemKind,
    policies,
    policy::Policy,
    value::Type,
};
use bulkhead_tests::{
    left::cgroups_of,
    reaping::{Random, become_subreaper, reap_all},
};
use ends::Ends;
use std::{
    env,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A call has so long. A loop without an end is the rule among random modules.
const DEADLINE: Duration = Duration::from_millis(10);
/// Exports of one module that are called.
const CALLS: usize = 4;
/// More is a hang: compiling has its own limit below.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two lines that say how far it has come.
const PROGRESS: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bulkhead-modules: {error}");
            ExitCode::FAILURE
        }
    }
}

fn policy() -> Result<Policy, Failure> {
    let mut policy = policies::find("standard", &[])?;
    // Nothing is started again here.
    policy.invocation.load_timeout = Duration::from_secs(2);
    policy.invocation.timeout = Duration::from_secs(2);
    policy.compiler.timeout = Duration::from_secs(10);
    policy.compiler.memory = 1 << 30;
    policy.wasm.memory = 64 << 20;
    Ok(policy)
}

fn run() -> Result<bool, Failure> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [programs, options @ ..] = args.as_slice() else {
        return Err("PROGRAMS [--count N] [--seconds N] [--seed N]".into());
    };
    let (mut count, mut seconds, mut seed) = (20_000u64, u64::MAX, 1u64);
    for pair in options.chunks(2) {
        match pair {
            [name, value] if name == "--count" => count = value.parse()?,
            [name, value] if name == "--seconds" => seconds = value.parse()?,
            [name, value] if name == "--seed" => seed = value.parse()?,
            other => return Err(format!("{other:?} is not understood").into()),
        }
    }
    become_subreaper();
    // No cache: each module is seen once.
    let broker = Broker::builder().programs(PathBuf::from(programs)).without_cache().build()?;
    let (policy, real) = (policy()?, sources::real());
    let (next, done, all) = (AtomicU64::new(0), AtomicU64::new(0), Mutex::new(Ends::default()));
    let begin = Instant::now();
    let threads = thread::available_parallelism().map_or(2, usize::from) + 1;
    let (over, running) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let tried = &done;
        scope.spawn(move || {
            while running.recv_timeout(PROGRESS) == Err(RecvTimeoutError::Timeout) {
                eprintln!("    {} modules in {} s", tried.load(Ordering::Relaxed), begin.elapsed().as_secs());
            }
        });
        for _ in 0..threads {
            let (next, done, all, broker) = (&next, &done, &all, &broker);
            let (policy, real, over) = (&policy, &real, over.clone());
            scope.spawn(move || {
                let mut ends = Ends::default();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count || begin.elapsed().as_secs() >= seconds {
                        break;
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                    let mut random = Random(seed.wrapping_mul(1 << 32).wrapping_add(number));
                    let (kind, bytes) = sources::module(&mut random, real);
                    let at = Instant::now();
                    one(broker, policy, &bytes, &mut random, &mut ends.of(kind, number));
                    if at.elapsed() > PATIENCE {
                        ends.wrong(format!("module {number} took {:?}", at.elapsed()));
                    }
                }
                all.lock().unwrap_or_else(PoisonError::into_inner).add(ends);
                drop(over);
            });
        }
        drop(over);
    });
    let took = begin.elapsed();
    let mut ends = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    // It still does what it should.
    let good = broker.load(Source::Bytes(&real[0].1), PluginOptions::new(policy)).map(drop);
    if let Err(outcome) = good {
        ends.wrong(format!("a good plugin is not loaded any more: {outcome:?}"));
    }
    drop(broker);
    if let Err(left) = reap_all() {
        ends.wrong(left);
    }
    cgroups_of(std::process::id() as i32).iter().for_each(|path| ends.wrong(format!("left: {}", path.display())));
    println!(
        "Made by `cargo xtask modules` (seed {seed}) on {}; {}. {} modules in {:.0} s, {threads} at a time.\n\n{}",
        today(),
        Host::look().line(),
        done.into_inner(),
        took.as_secs_f64(),
        ends.markdown()
    );
    Ok(ends.is_clean())
}

/// One module, from its bytes to the ends of its calls.
fn one(broker: &Broker, policy: &Policy, bytes: &[u8], random: &mut Random, noted: &mut ends::Noted<'_>) {
    let at = Instant::now();
    let mut plugin = match broker.load(Source::Bytes(bytes), PluginOptions::new(policy.clone())) {
        Ok(plugin) => plugin,
        Err(outcome) => return noted.not_loaded(&outcome, at.elapsed()),
    };
    noted.loaded(at.elapsed());
    let exports: Vec<(String, Vec<Value>)> = (plugin.description().exports.iter())
        .filter_map(|item| match &item.what {
            ItemKind::Function(function) => Some((item, function)),
            ItemKind::Other(_) => None,
        })
        .take(CALLS)
        .map(|(item, function)| {
            let name = match item.module.is_empty() {
                true => item.name.clone(),
                false => format!("{}#{}", item.module, item.name),
            };
            (name, function.params.iter().map(|(_, kind)| argument(kind, random.number())).collect())
        })
        .collect();
    for (name, args) in exports {
        let at = Instant::now();
        let outcome = plugin.call_within(&name, &args, Some(DEADLINE));
        noted.called(&outcome, at.elapsed());
        if matches!(outcome, Outcome::Violation(_)) {
            return;
        }
    }
}

/// What does not fit is refused, which is an end like any other.
fn argument(kind: &Type, bits: u64) -> Value {
    match kind {
        Type::S32 => Value::S32(bits as i32),
        Type::S64 => Value::S64(bits as i64),
        Type::F32 => Value::F32(f32::from_bits(bits as u32)),
        Type::F64 => Value::F64(f64::from_bits(bits)),
        Type::U32 => Value::U32(bits as u32),
        _ => Value::Bool(bits & 1 == 1),
    }
}
