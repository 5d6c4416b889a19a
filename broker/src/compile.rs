//! Turning a `.wasm` file into native code: in a process of its own, kept in the cache, hostile all the way.

use crate::{
    broker::Inner,
    cache::{Entry, Key},
    cgroup::Limits,
    exhausted::{failed_by, failed_memory},
    filter, limits,
    memfd::{Error as MemoryError, Output, Sealed},
    process::{Process, Spec, Woken, protocol, refused_call, timed_out},
    sys_unsafe::Notification,
};
use bulkhead_shared::{
    describe::Description,
    message::{
        compiler::{FromCompiler, Job},
        setup::{Load, Role, Root},
        worker::Engine,
    },
    outcome::{MemoryLimit, Outcome, Phase, Refusal, Violation},
    policy::Policy,
};
use std::{
    os::fd::AsFd,
    sync::Arc,
    time::{Duration, Instant},
};

/// Progress is told from this long on, and as often.
const PROGRESS: Duration = Duration::from_secs(1);
/// Bytes of the compiler's request ring, on which nothing is said, and of its reply ring.
const RINGS: [u32; 2] = [4096, 64 * 1024];
/// Largest description.
const MAX_MESSAGE: u32 = 8 << 20;

/// Code that may be loaded, and what it is.
#[derive(Clone)]
pub(crate) struct Compiled {
    /// What the compiler said. Hostile.
    pub description: Arc<Description>,
    /// Native code. Hostile, and for workers of this plugin only.
    pub code: Arc<Sealed>,
    /// Its name in the cache.
    pub key: Key,
    /// How long the compiler took; `None` where the cache had it.
    pub took: Option<Duration>,
}

/// Code for this input: from the cache, or compiled.
pub(crate) fn code_for(
    broker: &Inner,
    input: &Sealed,
    engine: &Engine,
    policy: &Policy,
    progress: &mut dyn FnMut(Duration),
) -> Result<Compiled, Outcome> {
    let key = Key::new(&input.digest(), engine, &broker.programs.compiler.identity);
    let Some(cache) = &broker.cache else {
        return compile(broker, input, engine, policy, progress, key);
    };
    // Verified once in the life of a broker: what is in memory is sealed, and cannot have changed since.
    if let Some(known) = broker.kept.code(&key) {
        return Ok(known);
    }
    let compiled = match cache.get(&key) {
        Some(Entry { description, code }) => {
            Compiled { description: Arc::new(description), code: Arc::new(code), key, took: None }
        }
        None => compile(broker, input, engine, policy, progress, key)?,
    };
    broker.kept.keep_code(&compiled);
    Ok(compiled)
}

/// Compiles, whatever the cache has.
pub(crate) fn compile(
    broker: &Inner,
    input: &Sealed,
    engine: &Engine,
    policy: &Policy,
    progress: &mut dyn FnMut(Duration),
    key: Key,
) -> Result<Compiled, Outcome> {
    let started = Instant::now();
    let output =
        Output::new(policy.compiler.max_code).map_err(|e| failed_memory("make room for the native code", &e))?;
    let mut process = start(broker, policy)?;
    let job = Job { input_bytes: input.bytes(), max_code_bytes: policy.compiler.max_code, engine: *engine };
    let shared = input.share().map_err(|e| failed_by("share the input", e.to_string(), &e))?;
    process.load(&Load::Compile(job), &[shared.as_fd(), output.as_fd()])?;

    let ended = follow(&mut process, policy, started, progress);
    // Whatever it said: the output must not change under the copy.
    process.kill();
    let (description, code_bytes) = ended?;
    drop(process);
    let code = output.into_sealed(code_bytes).map_err(|e| match e {
        MemoryError::Memory { .. } => failed_memory("copy the native code", &e),
        e => Outcome::Violation(Violation::Protocol { what: e.to_string() }),
    })?;
    if let Some(cache) = &broker.cache
        && let Err(error) = cache.put(&key, &description, &code)
    {
        tracing::warn!(%error, "the compiled code could not be kept; it will be compiled again next time");
    }
    let (description, code) = (Arc::new(description), Arc::new(code));
    Ok(Compiled { description, code, key, took: Some(started.elapsed()) })
}

fn start(broker: &Inner, policy: &Policy) -> Result<Process, Outcome> {
    let filters = broker.kept.filters(policy, filter::Class::Compiler)?;
    Process::start(
        &broker.launcher,
        &broker.cgroups,
        Spec {
            role: Role::Compiler,
            program: &broker.programs.compiler,
            policy,
            filters: (&filters.main, &filters.closing),
            cgroup: Limits::compiler(policy),
            rlimits: limits::compiler(policy),
            grants: Vec::new(),
            root: Root::default(),
            protected: Vec::new(),
            ring_bytes: RINGS,
            max_message: MAX_MESSAGE,
            prepare: None,
        },
    )
}

/// Listens until the compiler has said everything, is refused, or runs out of time.
fn follow(
    process: &mut Process,
    policy: &Policy,
    started: Instant,
    progress: &mut dyn FnMut(Duration),
) -> Result<(Description, u64), Outcome> {
    let (timeout, memory) = (policy.compiler.timeout, policy.compiler.memory);
    let deadline = Instant::now() + timeout;
    let mut next_progress = started + PROGRESS;
    let mut told = Told::default();
    let mut ended = false;
    loop {
        while let Some(said) = process.link.try_receive::<FromCompiler>().map_err(protocol)? {
            if let Some(all) = told.hear(said, memory)? {
                return Ok(all);
            }
        }
        if ended {
            return Err(process.post_mortem());
        }
        match process.wait(Some(deadline.min(next_progress)), true)? {
            Woken::Peer | Woken::Caller => {}
            Woken::Deadline if Instant::now() < deadline => {
                progress(started.elapsed());
                next_progress += PROGRESS;
            }
            Woken::Deadline => return Err(timed_out(timeout, Phase::Compiling)),
            Woken::Refused(call) if is_last_words(&call) => {
                return Err(Outcome::OutOfMemory(MemoryLimit::Kernel { limit: memory }));
            }
            Woken::Refused(call) => return Err(refused_call(call)),
            // What it said before its end still counts.
            Woken::Ended => ended = true,
        }
    }
}

/// What a compiler has said so far.
#[derive(Default)]
pub(crate) struct Told(Option<Description>);

impl Told {
    /// Judges what it says: `Some` is all that there is to know. `memory` is its limit.
    pub fn hear(&mut self, said: FromCompiler, memory: u64) -> Result<Option<(Description, u64)>, Outcome> {
        match (said, self.0.take()) {
            (FromCompiler::Described(description), None) => {
                self.0 = Some(*description);
                Ok(None)
            }
            (FromCompiler::Compiled { code_bytes }, Some(description)) => Ok(Some((description, code_bytes))),
            (FromCompiler::Refused { reason }, _) => Err(Outcome::Refused(Refusal { message: reason })),
            (FromCompiler::Panicked(message), _) if message.contains("out of memory") => {
                Err(Outcome::OutOfMemory(MemoryLimit::Kernel { limit: memory }))
            }
            (FromCompiler::Panicked(message), _) => {
                Err(Outcome::Refused(Refusal { message: format!("the compiler gave up: {message}") }))
            }
            _ => {
                let what = "the compiler described twice, or compiled before it described".to_owned();
                Err(Outcome::Violation(Violation::Protocol { what }))
            }
        }
    }
}

/// The one thing that a compiler writes to standard error: that an allocation failed, at the kernel's limit, before it aborts.
/// A hostile one that pretends gains nothing: the end is as ambiguous as any death.
fn is_last_words(call: &Notification) -> bool {
    filter::name(call.arch, call.number) == Some("write") && call.args[0] == 2
}
