//! The broker: what an embedder makes one of.

use crate::{
    cache::Cache,
    cells::Cells,
    cgroup::Cgroups,
    class::{Battery, Class},
    error::Error,
    exhausted::{failed_by, failed_memory, is_exhausted},
    kept::Kept,
    launcher::Launcher,
    memfd::{Error as MemoryError, Sealed},
    plugin::{Plugin, PluginOptions},
    policies::{self, Site, in_force::InForce},
    probe::{Attacks, Probe},
    programs::Programs,
    reactor::Reactor,
};
use bulkhead_shared::{
    message::launcher::Protected,
    outcome::{Outcome, Refusal},
    policy::{Policy, Resolved},
};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Where a plugin comes from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// A `.wasm` file. It is copied once; a change of the file afterwards changes nothing.
    Path(&'a Path),
    /// The content of one.
    Bytes(&'a [u8]),
}

/// Makes a [`Broker`].
#[derive(Clone, Debug, Default)]
pub struct BrokerBuilder {
    programs: Option<PathBuf>,
    cache: Option<PathBuf>,
    no_cache: bool,
    own_allocator: bool,
    site: Site,
}

impl BrokerBuilder {
    /// The directory with `bulkhead-launcher`, `bulkhead-worker` and `bulkhead-compiler`. Without it they are looked for beside
    /// the running program, then in `/usr/libexec/bulkhead`.
    pub fn programs(mut self, directory: impl Into<PathBuf>) -> Self {
        self.programs = Some(directory.into());
        self
    }

    /// The directory for compiled code. Without it: `/var/cache/bulkhead` for root, `$XDG_CACHE_HOME/bulkhead` or
    /// `~/.cache/bulkhead` otherwise.
    pub fn cache(mut self, directory: impl Into<PathBuf>) -> Self {
        self.cache = Some(directory.into());
        self.no_cache = false;
        self
    }

    /// Keeps nothing: each plugin is compiled anew.
    pub fn without_cache(mut self) -> Self {
        self.no_cache = true;
        self
    }

    /// Leaves glibc's allocator as it is, in a program that has settings of its own for it. Without this, a [`Broker`] tells it what to
    /// keep of freed memory.
    pub fn leave_allocator(mut self) -> Self {
        self.own_allocator = true;
        self
    }

    /// Also looks for policies in this directory, beside [`crate::policies::SYSTEM_DIR`].
    pub fn policy_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.site = self.site.with_dir(directory);
        self
    }

    /// A further ceiling, beside [`crate::policies::SYSTEM_CEILING`]: no plugin of this broker is granted more, whatever its
    /// policy says.
    pub fn ceiling(mut self, file: impl Into<PathBuf>) -> Self {
        self.site = self.site.with_ceiling(file);
        self
    }

    /// Reads the ceilings, finds the programs, opens the cache, and starts the launcher.
    pub fn build(self) -> Result<Broker, Error> {
        if !crate::sys_unsafe::notification_sizes_match() {
            return Err(Error::Launcher {
                step: "compare with the kernel".to_owned(),
                cause: "this kernel has no seccomp notifications (Linux 5.0), or other ones than this program knows"
                    .to_owned(),
            });
        }
        if !self.own_allocator {
            crate::heap_unsafe::bound();
        }
        let programs = Programs::find(self.programs.as_deref())?;
        let cache = match self.no_cache {
            true => None,
            false => Some(self.open_cache()?),
        };
        let policies = InForce::new(self.site)?;
        let programs = Arc::new(programs);
        let cgroups = Arc::new(Cgroups::discover());
        let launcher = Arc::new(Launcher::start(programs.clone())?);
        let batteries = Mutex::new(HashMap::new());
        let cells = Cells::new(programs.clone(), cgroups.clone(), launcher.clone());
        let (kept, reactor) = (Kept::default(), Reactor::default());
        Ok(Broker {
            inner: Arc::new(Inner { programs, cache, cgroups, policies, batteries, kept, cells, reactor, launcher }),
        })
    }

    fn open_cache(&self) -> Result<Cache, Error> {
        let path = match &self.cache {
            Some(path) => path.clone(),
            None => Cache::default_path()
                .map_err(|e| Error::Directory { path: PathBuf::from("(cache)"), cause: e.to_string() })?,
        };
        Cache::open(&path).map_err(|e| Error::Directory { path, cause: e.to_string() })
    }
}

/// The trusted side: launches workers, routes calls, holds deadlines. One per process is enough; it may be shared between
/// threads.
///
/// Dropping the broker and all its plugins ends every process that it has started. So does any death of the process that it
/// lives in, SIGKILL included. It starts no child of that process and raises no SIGCHLD in it.
///
/// Making one tells glibc's allocator, for the whole process, to keep no more than some MiB of free memory for each thread
/// (mallopt(3): M_TRIM_THRESHOLD, M_MMAP_THRESHOLD): how large messages are is up to workers. [`BrokerBuilder::leave_allocator`]
/// leaves that to the program.
#[derive(Clone)]
pub struct Broker {
    inner: Arc<Inner>,
}

impl Broker {
    /// Makes a broker.
    pub fn builder() -> BrokerBuilder {
        BrokerBuilder::default()
    }

    /// Compiles a plugin, or finds it in the cache, starts a worker for it, locks that down, and loads the plugin there.
    ///
    /// The policy holds as far as the site's ceiling permits it.
    pub fn load(&self, source: Source<'_>, mut options: PluginOptions) -> Result<Plugin, Outcome> {
        options.policy = self.inner.policies.permitted(options.policy);
        let max = options.policy.compiler.max_input;
        let (input, name) = match source {
            Source::Path(path) => (Sealed::copy_path(path, max), Some(path.to_string_lossy().into_owned())),
            Source::Bytes(bytes) => (Sealed::copy_bytes(bytes, max), None),
        };
        let input = input.map_err(|e| match e {
            MemoryError::Memory { .. } => failed_memory("copy the plugin", &e),
            // It may be a perfect plugin.
            MemoryError::Read { ref source, .. } | MemoryError::Open { ref source, .. } if is_exhausted(source) => {
                failed_by("copy the plugin", e.to_string(), source)
            }
            MemoryError::TooLarge { .. } => Outcome::Refused(Refusal { message: format!("{e} (compiler.max_input)") }),
            e => Outcome::Refused(Refusal { message: e.to_string() }),
        })?;
        Plugin::load(&self.inner, input, name, options)
    }

    /// The policy of this name, or of this file where it has a `/` in it or ends in `.toml`, as far as the site's ceilings permit
    /// it, with where each value comes from. It is read once, and again by [`Broker::reload`].
    ///
    /// # Errors
    /// Everything that is wrong with it, with file, line and what would be right.
    pub fn policy(&self, name: &str) -> Result<Arc<Resolved>, policies::Error> {
        self.inner.policies.named(name)
    }

    /// Options for a plugin that follows the policy of this name: see [`PluginOptions::follows`].
    ///
    /// # Errors
    /// As [`Broker::policy`].
    pub fn options(&self, name: &str) -> Result<PluginOptions, policies::Error> {
        let policy = self.policy(name)?.policy.clone();
        Ok(PluginOptions { follows: Some(name.to_owned()), ..PluginOptions::new(policy) })
    }

    /// Reads the ceilings and every policy that was asked for by name again, and puts all of them in force, or none: where one
    /// is wrong, all stay as they were. Gives the names of those that have changed.
    ///
    /// Workers that run keep the policy that they were started with until they are replaced
    /// ([`Plugin::replace_worker`]; [`Plugin::is_current`] and the report's `policy_digest` tell which it is). To do this at a
    /// signal, as daemons do at SIGHUP, see `examples/reload.rs`.
    ///
    /// # Errors
    /// What is wrong, with file, line and what would be right.
    pub fn reload(&self) -> Result<Vec<String>, policies::Error> {
        self.inner.policies.reload()
    }

    /// Has attempts made in workers that were taken over, under this policy, as far as the site's ceiling permits it.
    ///
    /// # Errors
    /// Where `bulkhead-probe-worker` is not installed beside the other programs.
    pub fn probe(&self, policy: Policy) -> Result<Probe, Outcome> {
        Probe::new(&self.inner, self.inner.policies.permitted(policy))
    }

    /// Makes ready to have every known attack made under this policy, as far as the site's ceiling permits it.
    ///
    /// # Errors
    /// Where `bulkhead-probe-worker` is not installed beside the other programs, or cannot be run.
    pub fn attacks(&self, policy: Policy) -> Result<Attacks, Outcome> {
        Attacks::new(self.probe(policy)?)
    }

    /// Cells that are ready: locked-down workers that wait for a plugin (`supervision.cells_min` and `cells_max`). They are made
    /// in the background.
    pub fn cells(&self) -> usize {
        self.inner.cells.ready()
    }

    /// Waits until nothing is left of the workers that were ended so far, and what the next one will want is made. Nobody needs to,
    /// but whoever measures what follows.
    pub fn await_idle(&self) {
        self.inner.launcher.graveyard().await_all();
        self.inner.launcher.ahead().await_made();
    }

    /// Whether it works without privilege of the host's; workers then run as the broker's own user on the host.
    pub fn rootless(&self) -> bool {
        self.inner.launcher.rootless()
    }
}

/// What is known of a class; the lock is held while it is tried.
type Tried = Mutex<Option<Arc<Battery>>>;

/// What a broker and its plugins share.
pub(crate) struct Inner {
    pub programs: Arc<Programs>,
    pub cache: Option<Cache>,
    pub cgroups: Arc<Cgroups>,
    pub policies: InForce,
    batteries: Mutex<HashMap<String, Arc<Tried>>>,
    pub kept: Kept,
    // Before the launcher: dropping it ends the thread that has the launcher, too.
    pub cells: Cells,
    /// Waits for the calls that are awaited.
    pub reactor: Reactor,
    // Last: dropping it ends every process.
    pub launcher: Arc<Launcher>,
}

impl Inner {
    /// The battery of a class: from memory, from the cache, or tried now.
    pub fn battery(
        &self,
        class: &Class,
        attempt: impl FnOnce() -> Result<Battery, Outcome>,
    ) -> Result<Arc<Battery>, Outcome> {
        // While a class is tried, which takes as long as a start, workers of others are not kept waiting.
        let of_class = lock(&self.batteries).entry(class.to_string()).or_default().clone();
        let mut known = lock(&of_class);
        if let Some(battery) = &*known {
            return Ok(battery.clone());
        }
        if let Some(battery) = self.cache.as_ref().and_then(|cache| Battery::recall(cache, class)).map(Arc::new) {
            return Ok(known.insert(battery).clone());
        }
        let battery = Arc::new(attempt()?);
        if battery.check().is_ok() {
            if let Some(cache) = &self.cache {
                battery.keep(cache, class);
            }
            *known = Some(battery.clone());
        }
        Ok(battery)
    }

    /// Directories of our own that no plugin is granted.
    pub fn protected(&self) -> Vec<Protected> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut protected = vec![Protected { path: text(&self.programs.directory), readable: true }];
        protected.extend(self.cache.iter().map(|cache| Protected { path: text(cache.path()), readable: false }));
        protected
    }
}

/// Nothing here panics while it holds a lock; a poisoned one is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
