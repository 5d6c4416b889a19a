//! Limits from policy: those of a process in the kernel (setrlimit(2)), which hold where no cgroup does, and those of a guest
//! inside the runtime.

use bulkhead_shared::{
    layer::{Layer, Requirement},
    message::{
        setup::{Resource, Rlimit},
        worker::{Limits, Pool},
    },
    policy::{Instance, Policy},
};
use std::time::Duration;

/// Descriptors that every process needs: the listed six, what it loads, and a few while it is set up.
const LEAST_DESCRIPTORS: u64 = 32;
/// Main stack of a process: the runtime runs guests on stacks of their own.
const STACK: u64 = 8 << 20;
/// Time that no call takes, and that can still be added to any clock.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

fn common(memory: u64) -> Vec<Rlimit> {
    let limit = |resource, value| Rlimit { resource, value };
    vec![
        // Private writable memory: holds without a cgroup. A quarter more than the cgroup's limit, so that where there is one
        // it is the one that is reached, which can be told from any other death.
        limit(Resource::Data, memory.saturating_add(memory / 4)),
        limit(Resource::Stack, STACK),
        limit(Resource::Core, 0),
        limit(Resource::Locks, 0),
        limit(Resource::Memlock, 0),
        limit(Resource::Msgqueue, 0),
        limit(Resource::Nice, 0),
        limit(Resource::Rtprio, 0),
        limit(Resource::Nproc, 0),
        // Signals that are queued with a value; plain ones need no entry.
        limit(Resource::Sigpending, 0),
    ]
}

/// Limits of a worker.
pub(crate) fn worker(policy: &Policy) -> Vec<Rlimit> {
    let mut limits = common(policy.process.memory);
    limits.push(Rlimit { resource: Resource::Fsize, value: policy.process.file_size });
    limits.push(Rlimit { resource: Resource::Nofile, value: policy.process.open_files.max(LEAST_DESCRIPTORS) });
    limits
}

/// Limits of a compiler.
pub(crate) fn compiler(policy: &Policy) -> Vec<Rlimit> {
    let mut limits = common(policy.compiler.memory);
    limits.push(Rlimit { resource: Resource::Fsize, value: policy.compiler.max_code });
    limits.push(Rlimit { resource: Resource::Nofile, value: LEAST_DESCRIPTORS });
    // A second clock behind the deadline that the broker holds.
    limits.push(Rlimit { resource: Resource::Cpu, value: policy.compiler.timeout.as_secs() + 5 });
    limits
}

/// Time for a call for which its caller asked for this much.
pub(crate) fn within(policy: &Policy, asked: Option<Duration>) -> Duration {
    let most = time(policy);
    asked.map_or(most, |asked| asked.min(most))
}

/// Limits of a guest, the layer `wasm.limits`. The largest stack is not among them: it is compiled in.
pub(crate) fn guest(policy: &Policy) -> Limits {
    let fuel = policy.invocation.fuel;
    if policy.require.get(&Layer::WasmLimits) == Some(&Requirement::Off) {
        return Limits {
            memory: u64::MAX,
            table_elements: u64::MAX,
            instances: u32::MAX,
            fuel,
            resources: u32::MAX,
            hostcall_bytes: u64::MAX,
            random_bytes: u64::MAX,
        };
    }
    Limits {
        memory: policy.wasm.memory,
        table_elements: policy.wasm.table_elements,
        instances: policy.wasm.instances,
        fuel,
        resources: policy.wasm.resources,
        hostcall_bytes: policy.wasm.hostcall_bytes,
        random_bytes: policy.wasm.hostcall_bytes,
    }
}

/// What a pool has room for, at the most.
const POOLED: u32 = 16;
/// What a memory in it is no larger than, in bytes: the runtime reserves as much for each.
const POOLED_MEMORY: u64 = 4 << 30;
/// Bytes of an element of a table.
const ELEMENT: u64 = 8;

/// Where fresh instances are made. None, where instances are kept, or where one could outgrow it: the whole of a table's room
/// counts as the process's private memory, so it may not be much of that.
pub(crate) fn pool(policy: &Policy) -> Option<Pool> {
    let limited = policy.require.get(&Layer::WasmLimits) != Some(&Requirement::Off);
    let wanted = policy.invocation.instance == Instance::Fresh && limited && policy.wasm.memory <= POOLED_MEMORY;
    let table_elements = policy.wasm.table_elements.max(1);
    let room = policy.process.memory / 8 / table_elements.saturating_mul(ELEMENT);
    let tables = u32::try_from(room).unwrap_or(POOLED).min(POOLED);
    (wanted && tables > 0).then_some(Pool { memories: POOLED, tables, table_elements })
}

/// Longest time of an invocation, the layer `invocation.interrupt`. Callers may name less.
pub(crate) fn time(policy: &Policy) -> Duration {
    match policy.require.get(&Layer::Interrupt) {
        Some(Requirement::Off) => FOR_EVER,
        _ => policy.invocation.timeout,
    }
}
