//! What WASI offers a guest: the directories of its grant, its standard streams, clocks and randomness. No network: the
//! interfaces of wasi:sockets are linked, because common toolchains import them unasked, and every one of their
//! capabilities answers access-denied.

use crate::{
    clock::{self, Clock as DeterministicClock},
    files,
    guest::Guest,
    polling,
    random::{self, KernelRandom},
    stdio::{Output, Stdin, Stdio},
    wire::{Shared, WireError},
};
use bulkhead_shared::message::worker::{self, Clock, Limits, Random, Stream};
use std::sync::Arc;
use wasmtime::{Result, component, error::Context as _};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder, WasiView as _, filesystem::WasiFilesystemCtx, p1, p1::WasiP1Ctx, p2};

/// The version of the interfaces that wasmtime-wasi defines; it serves every 0.2 with it.
pub const VERSION: &str = "0.2.12";

/// Every interface of preview 2 that is linked.
const INTERFACES: [&str; 27] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// What all stores share of WASI.
pub struct Wasi {
    /// The streams, where policy has any.
    stdio: Option<Arc<Stdio>>,
    clock: Clock,
    random: Random,
    /// The granted directories, opened: nothing is opened by path once the plugin runs.
    files: WasiFilesystemCtx,
}

impl Wasi {
    /// Opens the granted directories. Must be called inside the tokio runtime in which guests will run.
    pub fn new(wasi: &worker::Wasi, wire: &Shared) -> Result<Wasi> {
        let mut builder = builder();
        for (number, dir) in wasi.dirs.iter().enumerate() {
            let perms = if dir.writable { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
            let host = format!("/grant/{number}");
            builder
                .preopened_dir(&host, &dir.guest, perms)
                .with_context(|| format!("cannot open the granted directory {} ({host})", dir.guest))?;
        }
        if let Some(guest) = &wasi.tmp {
            builder.preopened_dir("/tmp", guest, FsPerms::ReadWrite).context("cannot open the private /tmp")?;
        }
        let files = builder.build().filesystem().clone();
        let stdio = match wasi.stdio {
            true => Some(Stdio::new(wire.clone()).context("cannot watch the doorbell")?),
            false => None,
        };
        Ok(Wasi { stdio, clock: wasi.clock, random: wasi.random, files })
    }

    /// What is linked and must not be imported.
    pub fn withheld(&self) -> Withheld {
        Withheld { clock: self.clock == Clock::None, random: self.random == Random::None }
    }

    /// Which clocks guests get.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// A call begins, with standard input or without.
    pub fn begin(&self, has_input: bool) -> Result<(), WireError> {
        self.stdio.as_ref().map_or(Ok(()), |stdio| stdio.begin(has_input))
    }

    /// Whether the guest of this call has read its standard input.
    pub fn stdin_was_read(&self) -> bool {
        self.stdio.as_ref().is_some_and(|stdio| stdio.input_was_read())
    }

    /// State for a new store, and its clock where that is a deterministic one.
    pub fn context(
        &self,
        limits: &Limits,
        args: &[String],
        env: &[(String, String)],
    ) -> (WasiP1Ctx, Option<DeterministicClock>) {
        let mut builder = builder();
        builder.args(args).envs(env);
        let clock = (self.clock == Clock::Deterministic).then(|| DeterministicClock::new(self.stdio.clone()));
        if let Some(clock) = &clock {
            builder.wall_clock(clock.clone()).monotonic_clock(clock.clone());
        }
        if self.random == Random::Deterministic {
            random::deterministic(&mut builder);
        }
        // Without them input is at its end and output goes nowhere.
        if let Some(stdio) = &self.stdio {
            builder
                .stdin(Stdin(stdio.clone()))
                .stdout(Output(stdio.clone(), Stream::Stdout))
                .stderr(Output(stdio.clone(), Stream::Stderr));
        }
        let mut wasi = builder.max_random_size(limits.random_bytes).build_p1();
        let view = wasi.ctx();
        view.ctx.filesystem().clone_from(&self.files);
        view.table.set_max_capacity(usize::try_from(limits.resources).unwrap_or(usize::MAX));
        (wasi, clock)
    }
}

/// Parts of WASI that policy withholds. They are linked all the same, since wasmtime-wasi links all or nothing, but a
/// plugin that imports one is not loaded, and a guest cannot reach what it has not imported.
#[derive(Clone, Copy, Debug, Default)]
pub struct Withheld {
    clock: bool,
    random: bool,
}

impl Withheld {
    /// The policy key that withholds this import, written `module::name` for a module, or the interface's name for a
    /// component.
    ///
    /// Preview 2's `wasi:io/poll` stays: it waits for streams too, and for a clock only by way of `wasi:clocks`.
    pub fn key(self, import: &str) -> Option<&'static str> {
        let preview1 = import.strip_prefix("wasi_snapshot_preview1::");
        let is_clock = matches!(preview1, Some("clock_res_get" | "clock_time_get" | "poll_oneoff"))
            || import.starts_with("wasi:clocks/");
        let is_random = preview1 == Some("random_get") || import.starts_with("wasi:random/");
        match () {
            () if self.clock && is_clock => Some("host.clock"),
            () if self.random && is_random => Some("host.random"),
            () => None,
        }
    }
}

/// State for a store whose plugin is not linked with WASI.
pub fn nothing() -> WasiP1Ctx {
    builder().build_p1()
}

/// A context that grants nothing: no directory, no stream, no address, no name lookup, no TCP, no UDP.
fn builder() -> WasiCtxBuilder {
    let mut seed = [0; 16];
    random::fill(&mut seed);
    let mut builder = WasiCtxBuilder::new();
    builder
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .secure_random(KernelRandom::new())
        .insecure_random(KernelRandom::new())
        .insecure_random_seed(u128::from_ne_bytes(seed))
        // One thread serves one guest, which waits for its files anyway. The filter knows no way to make a thread.
        .allow_blocking_current_thread(true);
    builder
}

/// Preview 1, for modules.
pub fn link_preview1(linker: &mut wasmtime::Linker<Guest>) -> Result<()> {
    p1::add_to_linker_async(linker, Guest::wasi)?;
    polling::link(linker)
}

/// Preview 2, for components.
pub fn link_preview2(linker: &mut component::Linker<Guest>, clock: Clock) -> Result<()> {
    p2::add_to_linker_async(linker)?;
    if clock == Clock::Deterministic {
        clock::link(linker, &format!("wasi:clocks/monotonic-clock@{VERSION}"))?;
    }
    files::link(linker, &format!("wasi:filesystem/types@{VERSION}"))
}

/// The name under which this interface of preview 2 is linked, if it is one.
pub fn linked_name(import: &str) -> Option<String> {
    let (interface, version) = import.split_once('@')?;
    let known = INTERFACES.contains(&interface) && version.starts_with("0.2.");
    known.then(|| format!("{interface}@{VERSION}"))
}

/// The names of all interfaces of preview 2 that are linked.
pub fn linked_names() -> impl Iterator<Item = String> {
    INTERFACES.iter().map(|interface| format!("{interface}@{VERSION}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::Engine;

    fn linker() -> component::Linker<Guest> {
        let mut linker = component::Linker::new(&Engine::default());
        link_preview2(&mut linker, Clock::Deterministic).unwrap();
        linker
    }

    #[test]
    fn every_interface_of_the_list_is_linked() {
        let mut linker = linker();

        for name in linked_names() {
            let taken = linker.root().func_new(&name, |_, _, _, _| Ok(())).is_err();
            assert!(taken, "{name} is not linked under this name");
        }
    }

    #[test]
    fn what_policy_withholds_is_named_by_its_key() {
        let withheld = Withheld { clock: true, random: false };

        assert_eq!(withheld.key("wasi_snapshot_preview1::clock_time_get"), Some("host.clock"));
        assert_eq!(withheld.key("wasi_snapshot_preview1::poll_oneoff"), Some("host.clock"));
        assert_eq!(withheld.key("wasi:clocks/wall-clock@0.2.0"), Some("host.clock"));
        assert_eq!(withheld.key("wasi_snapshot_preview1::random_get"), None);
        assert_eq!(Withheld { clock: false, random: true }.key("wasi:random/random@0.2.0"), Some("host.random"));
    }

    #[test]
    fn older_versions_of_an_interface_are_served() {
        assert_eq!(linked_name("wasi:io/streams@0.2.0").as_deref(), Some("wasi:io/streams@0.2.12"));
        assert_eq!(linked_name("wasi:io/streams@0.3.0"), None);
        assert_eq!(linked_name("wasi:http/types@0.2.0"), None);
    }
}
