//! A plugin that is a component.

use crate::{
    guest::Guest,
    imports,
    instances::{Instances, Make},
    runtime::Runtime,
    trap, values, wasi, watch,
};
use bulkhead_shared::{
    describe::Command,
    message::worker::{Call, GuestEnd, LoadFailure},
    value::{Value, Values},
};
use wasmtime::{
    Result, Store,
    component::{
        Component, ComponentExportIndex, Func, Instance, InstancePre, Lift, Linker, Lower, Type, Val,
        types::{ComponentFunc, ComponentItem},
    },
};
use wasmtime_wasi::p2::bindings::CommandPre;

/// Most exports that a refusal lists.
const LISTED: usize = 30;

/// A linked component, and its instances.
pub struct Plugin {
    instances: Instances<Linked>,
    command: Option<CommandPre<Guest>>,
    bound: Vec<Bound>,
}

/// A linked component.
struct Linked(InstancePre<Guest>);

impl Make for Linked {
    type Instance = Instance;

    fn instantiate(&self, runtime: &Runtime, store: &mut Store<Guest>) -> Result<Instance> {
        match runtime.own_stack() {
            true => runtime.wait(self.0.instantiate_async(store)),
            false => self.0.instantiate(store),
        }
    }

    /// What a component wants to have run is part of its instantiation.
    fn initialize(&self, _: &Runtime, _: &mut Store<Guest>, _: Instance) -> Result<()> {
        Ok(())
    }
}

/// What a number of an export means; or nothing that can be called, and why.
type Bound = std::result::Result<Target, String>;

/// An export that is a function, and its types, which are costly to ask for.
struct Target {
    name: String,
    export: ComponentExportIndex,
    params: Vec<(String, Type)>,
    results: Vec<Type>,
    /// Where the one argument and the one result are both a string or bytes.
    runs: Option<(Run, Run)>,
    /// In the instance of this number.
    found: Option<(u64, Func)>,
}

impl Plugin {
    /// Links the component. No code of it runs.
    pub fn link(runtime: &Runtime, component: &Component) -> std::result::Result<Plugin, LoadFailure> {
        let mut linker = Linker::new(&runtime.engine);
        if let Some(wasi) = runtime.wasi() {
            wasi::link_preview2(&mut linker, wasi.clock()).map_err(trap::other)?;
            watch::preview2::link(&mut linker, wasi::VERSION).map_err(trap::other)?;
            watch::sockets::link(&mut linker, wasi::VERSION).map_err(trap::other)?;
        }
        imports::check_component(&linker, runtime.withheld(), component, &runtime.engine)?;
        // All names are known: what can fail now are their types.
        let pre = linker.instantiate_pre(component).map_err(trap::mismatched)?;
        // Makes a memfd for each memory with data in it, which is possible only now.
        component.initialize_copy_on_write_image().map_err(trap::other)?;
        let command = CommandPre::new(pre.clone()).ok();
        Ok(Plugin { instances: Instances::new(Linked(pre), runtime.fresh()), command, bound: Vec::new() })
    }

    /// Makes the first instance for calls of exports. A command has none until somebody calls an export of it: each run makes
    /// its own.
    pub fn start(&mut self, runtime: &Runtime) -> std::result::Result<(), LoadFailure> {
        if self.command.is_some() { Ok(()) } else { self.instances.start(runtime) }
    }

    /// The answer to a call has been given.
    pub fn rest(&mut self, runtime: &Runtime) {
        self.instances.rest(runtime);
    }

    fn pre(&self) -> &InstancePre<Guest> {
        &self.instances.make().0
    }

    /// Carries out a call.
    pub fn call(&mut self, runtime: &Runtime, call: Call) -> GuestEnd {
        match call {
            Call::Command { abi: Command::Preview2, args, env } => self.run(runtime, &args, &env),
            Call::Command { abi: Command::Preview1, .. } => {
                trap::refused("the plugin is a component, which cannot be a WASI preview 1 command")
            }
            Call::Export { interface, name, args } => self.export(runtime, &interface, &name, args),
        }
    }

    fn run(&mut self, runtime: &Runtime, args: &[String], env: &[(String, String)]) -> GuestEnd {
        let Some(command) = &self.command else {
            return trap::refused("the plugin is no command: it does not export wasi:cli/run");
        };
        self.instances.make_room();
        let mut store = match runtime.store(args, env) {
            Ok(store) => store,
            Err(error) => return trap::host_trap(format!("{error:#}")),
        };
        let ran = runtime.wait(async {
            let command = command.instantiate_async(&mut store).await?;
            command.wasi_cli_run().call_run(&mut store).await
        });
        match ran {
            Ok(Ok(())) => GuestEnd::Exited(0),
            Ok(Err(())) => GuestEnd::Exited(1),
            Err(error) => trap::end(&error, &store),
        }
    }

    fn export(&mut self, runtime: &Runtime, interface: &str, name: &str, mut args: Values) -> GuestEnd {
        match self.find(interface, name) {
            Ok(mut target) => self.call_target(runtime, &mut target, &mut args.0),
            Err(message) => trap::refused(message),
        }
    }

    /// Gives the next number to an export.
    pub fn bind(&mut self, interface: &str, name: &str) {
        let bound = self.find(interface, name);
        self.bound.push(bound);
    }

    /// Calls the export of this number. Arguments are taken from `values`.
    pub fn call_bound(&mut self, runtime: &Runtime, export: u32, values: &mut Vec<Value>) -> GuestEnd {
        // Out of the way while the rest of the plugin is borrowed.
        let mut all = std::mem::take(&mut self.bound);
        let end = match usize::try_from(export).ok().and_then(|export| all.get_mut(export)) {
            Some(Ok(target)) => self.call_target(runtime, target, values),
            Some(Err(message)) => trap::refused(message),
            None => trap::refused(format!("no export was bound to the number {export}")),
        };
        self.bound = all;
        end
    }

    fn call_target(&mut self, runtime: &Runtime, target: &mut Target, values: &mut Vec<Value>) -> GuestEnd {
        let args = match (target.runs, &mut values[..]) {
            // As they are: an element of a list in wasmtime's own terms has forty bytes.
            (Some((Run::Bytes, result)), [Value::Bytes(bytes)]) => Args::Bytes(std::mem::take(bytes), result),
            (Some((Run::Text, result)), [Value::String(text)]) => Args::Text(std::mem::take(text), result),
            _ => match arguments(target, Values(std::mem::take(values))) {
                Ok(args) => Args::Any(args),
                Err(message) => return trap::refused(message),
            },
        };
        let (number, store, instance) = match self.instances.begin(runtime) {
            Ok(begun) => begun,
            Err(end) => return end,
        };
        let function = match target.found {
            Some((found, function)) if found == number => function,
            _ => match instance.get_func(&mut *store, target.export) {
                Some(function) => target.found.insert((number, function)).1,
                None => return trap::host_trap("the instance lacks an export of its component"),
            },
        };
        let types = &target.results;
        let ran = runtime.wait(call(runtime, store, function, args, types));
        store.data_mut().note_use();
        let (end, usable) = match ran {
            // The call has run post-return as well.
            Ok(Ok(results)) => (GuestEnd::Returned(results), true),
            Ok(Err(message)) => (trap::host_trap(message), true),
            // A component may not be entered again after a trap: the next call gets a new instance.
            Err(error) => (trap::end(&error, store), false),
        };
        self.instances.end(usable);
        end
    }

    fn find(&self, interface: &str, name: &str) -> Bound {
        let component = self.pre().component();
        let parent = match interface {
            "" => None,
            interface => match component.get_export(None, interface) {
                Some((ComponentItem::ComponentInstance(_), index)) => Some(index),
                _ => return Err(format!("the plugin exports no interface `{interface}`; {}", self.exports())),
            },
        };
        match component.get_export(parent.as_ref(), name) {
            Some((ComponentItem::ComponentFunc(ty), export)) => target(name, &ty, export),
            Some(_) => Err(format!("the export `{name}` is no function")),
            None if interface.is_empty() => Err(format!("the plugin exports no function `{name}`; {}", self.exports())),
            None => Err(format!("the interface `{interface}` has no function `{name}`; {}", self.exports())),
        }
    }

    /// The functions that the plugin exports, for a caller who asked for another.
    fn exports(&self) -> String {
        let engine = self.pre().engine();
        let ty = self.pre().component().component_type();
        let mut names = Vec::new();
        for (name, item) in ty.exports(engine) {
            match &item.ty {
                ComponentItem::ComponentFunc(_) => names.push(format!("`{name}`")),
                ComponentItem::ComponentInstance(instance) => {
                    let items = instance.exports(engine);
                    let functions = items.filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)));
                    names.extend(functions.map(|(function, _)| format!("`{name}#{function}`")));
                }
                _ => {}
            }
        }
        if names.len() > LISTED {
            names.truncate(LISTED);
            names.push("…".to_owned());
        }
        let list = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        format!("the functions it exports: {list}")
    }
}

/// Arguments of a call, checked.
enum Args {
    Bytes(Vec<u8>, Run),
    Text(String, Run),
    Any(Vec<Val>),
}

/// A type whose values are one run of bytes.
#[derive(Clone, Copy)]
enum Run {
    Bytes,
    Text,
}

impl Run {
    fn of(ty: &Type) -> Option<Run> {
        match ty {
            Type::String => Some(Run::Text),
            Type::List(list) if matches!(list.ty(), Type::U8) => Some(Run::Bytes),
            _ => None,
        }
    }
}

/// Calls, and takes the results apart; the inner error says why no caller can hold them.
async fn call(
    runtime: &Runtime,
    store: &mut Store<Guest>,
    function: Func,
    args: Args,
    types: &[Type],
) -> Result<std::result::Result<Values, String>> {
    let value = match args {
        Args::Bytes(bytes, Run::Bytes) => Value::Bytes(call_typed(runtime, store, function, bytes).await?),
        Args::Bytes(bytes, Run::Text) => Value::String(call_typed(runtime, store, function, bytes).await?),
        Args::Text(text, Run::Bytes) => Value::Bytes(call_typed(runtime, store, function, text).await?),
        Args::Text(text, Run::Text) => Value::String(call_typed(runtime, store, function, text).await?),
        Args::Any(args) => {
            let mut results = vec![Val::Bool(false); types.len()];
            if runtime.own_stack() {
                function.call_async(store, &args, &mut results).await?;
            } else {
                function.call(store, &args, &mut results)?;
            }
            return Ok(values::results(results, types));
        }
    };
    Ok(Ok(Values(vec![value])))
}

async fn call_typed<A, R>(runtime: &Runtime, store: &mut Store<Guest>, function: Func, arg: A) -> Result<R>
where
    A: Lower + Send + Sync + 'static,
    R: Lift + Send + Sync + 'static,
{
    let function = function.typed::<(A,), (R,)>(&*store)?;
    let (result,) = match runtime.own_stack() {
        true => function.call_async(store, (arg,)).await?,
        false => function.call(store, (arg,))?,
    };
    Ok(result)
}

/// Refuses a function that takes or gives what no caller outside the plugin can hold.
fn target(name: &str, ty: &ComponentFunc, export: ComponentExportIndex) -> Bound {
    let params: Vec<(String, Type)> = ty.params().map(|(name, ty)| (name.to_owned(), ty)).collect();
    let results: Vec<Type> = ty.results().collect();
    if let Some(what) = params.iter().map(|(_, ty)| ty).chain(&results).find_map(values::unsupported) {
        return Err(format!("`{name}` cannot be called from outside: its type has {what} in it"));
    }
    if ty.async_() {
        return Err(format!("`{name}` cannot be called: it is an async function"));
    }
    let runs = match (&params[..], &results[..]) {
        ([(_, param)], [result]) => Run::of(param).zip(Run::of(result)),
        _ => None,
    };
    Ok(Target { name: name.to_owned(), export, params, results, runs, found: None })
}

/// Checks arguments against the function's type.
fn arguments(target: &Target, args: Values) -> std::result::Result<Vec<Val>, String> {
    let Target { name, params, .. } = target;
    if args.0.len() != params.len() {
        let signature: Vec<String> =
            params.iter().map(|(name, ty)| format!("{name}: {}", values::describe(ty))).collect();
        return Err(format!(
            "`{name}` takes {} arguments, got {}; the function is {name}({})",
            params.len(),
            args.0.len(),
            signature.join(", ")
        ));
    }
    values::arguments(args, params)
}
