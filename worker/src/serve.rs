//! The life of a worker, from the plugin's arrival to its last call.

use crate::{
    code_unsafe, compiler, component, module,
    prepared::Prepared,
    runtime::{self, Runtime},
    signals_unsafe, trap,
    wire::{Shared, WireError},
};
use bulkhead_lockdown::heap;
use bulkhead_shared::{
    describe::Kind,
    message::worker::{Call, FromWorker, GuestEnd, Interrupt, LoadFailure, Plugin, ToWorker},
    ring::Heard,
    value::Value,
};
use std::os::fd::OwnedFd;
use wasmtime::{Engine, Module, component::Component};

/// The plugin's code, mapped.
enum Code {
    Module(Module),
    Component(Component),
}

impl Code {
    fn map(engine: &Engine, plugin: &Plugin, code: OwnedFd) -> wasmtime::Result<Code> {
        match plugin.kind {
            Kind::Module => code_unsafe::module(engine, code).map(Code::Module),
            Kind::Component => code_unsafe::component(engine, &code, plugin.code_bytes).map(Code::Component),
        }
    }

    fn has_imports(&self) -> bool {
        match self {
            Code::Module(module) => module.imports().len() > 0,
            Code::Component(component) => component.component_type().imports(component.engine()).len() > 0,
        }
    }
}

/// The plugin, linked.
enum Loaded {
    Module(module::Plugin),
    Component(component::Plugin),
}

/// Loads the plugin, closes the process in, and serves calls as long as the broker makes some. Returns the exit code.
///
/// `prepared` is what was made ready before the plugin was known; `code` are descriptors of the sealed native code, two where
/// calls have fresh instances. `close` is the last step of the lock-down; no instruction of the guest runs before it.
pub fn serve(
    plugin: &Plugin,
    prepared: Option<Prepared>,
    code: Vec<OwnedFd>,
    wire: &Shared,
    close: impl FnOnce() -> Result<(), String>,
) -> i32 {
    let (runtime, mut loaded) = match load(plugin, prepared, code, wire, close) {
        Ok(loaded) => loaded,
        Err(failure) => {
            // Nobody is left to tell if this fails.
            _ = wire.lock().send(&FromWorker::LoadFailed(failure));
            return 1;
        }
    };
    if wire.lock().send(&FromWorker::Ready).is_err() {
        return 1;
    }
    wire.lock().spin(plugin.spin);
    heap::keep();
    // Arguments come in here and results go out of here: from the second call on there is room.
    let mut values = Vec::new();
    loop {
        let heard = wire.lock().receive(&mut values);
        let (id, called) = match heard {
            Ok(Heard::Hot((id, export))) => (id, Called::Bound(export)),
            Ok(Heard::Other(ToWorker::Invoke { id, call })) => (id, Called::Named(call)),
            Ok(Heard::Other(ToWorker::Call { id, export, args })) => {
                values = args.0;
                (id, Called::Bound(export))
            }
            Ok(Heard::Other(ToWorker::Bind { interface, name })) => {
                match &mut loaded {
                    Loaded::Module(module) => module.bind(&interface, &name),
                    Loaded::Component(component) => component.bind(&interface, &name),
                }
                continue;
            }
            // Input that the last call did not read.
            Ok(Heard::Other(ToWorker::Stdin(_) | ToWorker::StdinEnd)) => continue,
            Err(_) => return 1,
        };
        if plugin.engine.interrupt == Interrupt::Epoch && signals_unsafe::settle().is_err() {
            return 1;
        }
        let has_input = matches!(called, Called::Named(_));
        if runtime.wasi().is_some_and(|wasi| wasi.begin(has_input).is_err()) {
            return 1;
        }
        let end = match called {
            Called::Named(call) => invoke(&runtime, &mut loaded, call),
            Called::Bound(export) => match &mut loaded {
                Loaded::Module(module) => module.call_bound(&runtime, export, &mut values),
                Loaded::Component(component) => component.call_bound(&runtime, export, &mut values),
            },
        };
        if let Some(used) = runtime.used()
            && wire.lock().send(&FromWorker::Used(used)).is_err()
        {
            return 1;
        }
        match answer(wire, id, end) {
            Ok(used) => values = used,
            Err(_) => return 1,
        }
        match &mut loaded {
            Loaded::Module(module) => module.rest(&runtime),
            Loaded::Component(component) => component.rest(&runtime),
        }
    }
}

/// What is called.
enum Called {
    Named(Call),
    Bound(u32),
}

/// Everything up to the first instruction of the guest. The order matters, and each step says why it stands there.
fn load(
    plugin: &Plugin,
    prepared: Option<Prepared>,
    code: Vec<OwnedFd>,
    wire: &Shared,
    close: impl FnOnce() -> Result<(), String>,
) -> Result<(Runtime, Loaded), LoadFailure> {
    // The engine first: it installs wasmtime's signal handlers, and only it can tell whether there is a compiler.
    let (engine, pooled) = match prepared {
        Some(prepared) => prepared.engine_for(plugin),
        None => (runtime::engine(plugin.kind, &plugin.engine), false),
    };
    let engine = engine.map_err(trap::other)?;
    if compiler::is_present(&engine) {
        return Err(LoadFailure::Other(
            "this worker program contains a compiler, which no worker may: build it without the compiler beside it \
             (`cargo build`, not `cargo build --workspace`)"
                .into(),
        ));
    }
    signals_unsafe::survive_file_size_limit().map_err(|error| LoadFailure::Other(format!("SIGXFSZ: {error}")))?;

    // The native code: from here on the process counts as hostile. Linking runs none of it yet.
    let mut codes = code.into_iter();
    let mut map = |engine: &Engine| match codes.next() {
        Some(code) => Code::map(engine, plugin, code).map_err(trap::stale),
        None => Err(LoadFailure::Other("a worker needs its plugin's native code".into())),
    };
    let (engine, code) = match map(&engine) {
        Ok(code) => (engine, code),
        // More tables, say, than there is room for. If it was something else it fails once more.
        Err(_) if pooled => {
            let engine = runtime::engine(plugin.kind, &plugin.engine).map_err(trap::other)?;
            let code = map(&engine)?;
            (engine, code)
        }
        Err(failure) => return Err(failure),
    };
    drop(codes);
    if plugin.engine.interrupt == Interrupt::Epoch {
        signals_unsafe::interrupt_by_epoch(&engine).map_err(|error| LoadFailure::Other(format!("SIGUSR1: {error}")))?;
    }
    let runtime = Runtime::new(engine, plugin, code.has_imports(), wire).map_err(trap::other)?;
    let mut loaded = match &code {
        Code::Module(module) => Loaded::Module(module::Plugin::link(&runtime, module)?),
        Code::Component(component) => Loaded::Component(component::Plugin::link(&runtime, component)?),
    };

    // No memory can become executable any more, and nothing of the set-up is possible.
    close().map_err(LoadFailure::Closing)?;

    // The guest's first instruction: a start function, a data segment that does not fit.
    match &mut loaded {
        Loaded::Module(module) => module.start(&runtime)?,
        Loaded::Component(component) => component.start(&runtime)?,
    }
    Ok((runtime, loaded))
}

fn invoke(runtime: &Runtime, loaded: &mut Loaded, call: Call) -> GuestEnd {
    if let Call::Command { args, env, .. } = &call {
        let mut texts = args.iter().chain(env.iter().flat_map(|(name, value)| [name, value]));
        if texts.any(|text| text.contains('\0')) {
            return trap::refused("an argument or a variable of the environment has a NUL in it");
        }
    }
    match loaded {
        Loaded::Module(module) => module.call(runtime, call),
        Loaded::Component(component) => component.call(runtime, call),
    }
}

/// Sends the answer, and gives back the memory that its results stood in.
fn answer(wire: &Shared, id: u64, end: GuestEnd) -> Result<Vec<Value>, WireError> {
    let answer = FromWorker::Done { id, end };
    let sent = wire.lock().send(&answer);
    match sent {
        Err(WireError::TooLarge { size, limit }) => {
            let end = trap::host_trap(format!(
                "the result takes {size} bytes, and a message may have {limit} (invocation.max_message)"
            ));
            wire.lock().send(&FromWorker::Done { id, end })?;
        }
        sent => sent?,
    }
    match answer {
        FromWorker::Done { end: GuestEnd::Returned(values), .. } => Ok(values.0),
        _ => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests;
