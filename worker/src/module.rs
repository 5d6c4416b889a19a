//! A plugin that is a core module.

use crate::{
    guest::Guest,
    imports,
    instances::{Instances, Make},
    runtime::Runtime,
    scalars_unsafe::{Callable, Checked},
    trap, wasi, watch,
};
use bulkhead_shared::{
    describe::Command,
    message::worker::{Call, GuestEnd, LoadFailure},
    value::{Value, Values},
};
use wasmtime::{
    ExternType, Func, FuncType, Instance, InstancePre, Linker, Module, ModuleExport, Result, Store, Val, ValRaw,
    ValType,
};

/// What a WASI command exports to be run.
const START: &str = "_start";
/// What a WASI reactor exports to be called once before anything else.
const INITIALIZE: &str = "_initialize";
/// Most exports that a refusal lists.
const LISTED: usize = 30;

/// A linked module, and its instances.
pub struct Plugin {
    instances: Instances<Linked>,
    bound: Vec<Bound>,
    /// Arguments and results of the call that runs: from the second call on there is room.
    vals: Vec<Val>,
    raw: Vec<ValRaw>,
}

/// A linked module.
struct Linked {
    pre: InstancePre<Guest>,
    initialize: Option<ModuleExport>,
}

impl Make for Linked {
    type Instance = Instance;

    fn instantiate(&self, runtime: &Runtime, store: &mut Store<Guest>) -> Result<Instance> {
        match runtime.own_stack() {
            true => runtime.wait(self.pre.instantiate_async(store)),
            false => self.pre.instantiate(store),
        }
    }

    fn initialize(&self, runtime: &Runtime, store: &mut Store<Guest>, instance: Instance) -> Result<()> {
        let Some(export) = &self.initialize else { return Ok(()) };
        match instance.get_module_export(&mut *store, export).and_then(wasmtime::Extern::into_func) {
            Some(initialize) => runtime.wait(call(runtime, store, initialize, &[], &mut [])),
            None => Ok(()),
        }
    }
}

/// What a number of an export means; or nothing that can be called, and why.
type Bound = std::result::Result<Target, String>;

/// An export that is a function.
struct Target {
    shape: Shape,
    export: ModuleExport,
    found: Option<Found>,
}

/// A function in the instance of this number.
struct Found {
    number: u64,
    function: Func,
    /// How it is called where its arguments are numbers that are in place.
    quick: Option<Callable>,
}

/// What a function takes and gives.
struct Shape {
    name: String,
    ty: FuncType,
    params: Vec<ValType>,
    results: usize,
    /// Where all of that is numbers.
    numbers: Option<Checked>,
}

impl Plugin {
    /// Links the module. No code of it runs.
    pub fn link(runtime: &Runtime, module: &Module) -> std::result::Result<Plugin, LoadFailure> {
        let mut linker = Linker::new(&runtime.engine);
        if runtime.wasi().is_some() {
            wasi::link_preview1(&mut linker).map_err(trap::other)?;
            watch::preview1::link(&mut linker).map_err(trap::other)?;
        }
        #[cfg(feature = "faults")]
        crate::faults::link(&mut linker).map_err(trap::other)?;
        let store = Store::new(&runtime.engine, Guest::new(runtime.limiter()));
        imports::check_module(&linker, runtime.withheld(), module, store)?;
        // All names are known: what can fail now are their types.
        let pre = linker.instantiate_pre(module).map_err(trap::mismatched)?;
        module.initialize_copy_on_write_image().map_err(trap::other)?;
        let linked = Linked { initialize: module.get_export_index(INITIALIZE), pre };
        Ok(Plugin {
            instances: Instances::new(linked, runtime.fresh()),
            bound: Vec::new(),
            vals: Vec::new(),
            raw: Vec::new(),
        })
    }

    /// Makes the first instance for calls of exports. A command has none until somebody calls an export of it: each run makes
    /// its own.
    pub fn start(&mut self, runtime: &Runtime) -> std::result::Result<(), LoadFailure> {
        let is_command = self.pre().module().get_export(START).is_some();
        if is_command { Ok(()) } else { self.instances.start(runtime) }
    }

    /// The answer to a call has been given.
    pub fn rest(&mut self, runtime: &Runtime) {
        self.instances.rest(runtime);
    }

    fn pre(&self) -> &InstancePre<Guest> {
        &self.instances.make().pre
    }

    /// Carries out a call.
    pub fn call(&mut self, runtime: &Runtime, call: Call) -> GuestEnd {
        match call {
            Call::Command { abi: Command::Preview1, args, env } => self.run(runtime, &args, &env),
            Call::Command { abi: Command::Preview2, .. } => {
                trap::refused("the plugin is a core module, which cannot be a WASI preview 2 command")
            }
            Call::Export { interface, name, args } if interface.is_empty() => self.export(runtime, &name, args),
            Call::Export { interface, name, .. } => trap::refused(no_interface(&interface, &name)),
        }
    }

    fn run(&mut self, runtime: &Runtime, args: &[String], env: &[(String, String)]) -> GuestEnd {
        let is_command = matches!(self.pre().module().get_export(START), Some(ExternType::Func(ty)) if is_plain(&ty));
        if !is_command {
            return trap::refused(format!("the plugin is no command: it exports no function `{START}`"));
        }
        self.instances.make_room();
        let mut store = match runtime.store(args, env) {
            Ok(store) => store,
            Err(error) => return trap::host_trap(format!("{error:#}")),
        };
        let ran = runtime.wait(async {
            // No _initialize: a command has none, and one that has both is a command.
            let instance = if runtime.own_stack() {
                self.pre().instantiate_async(&mut store).await?
            } else {
                self.pre().instantiate(&mut store)?
            };
            match instance.get_func(&mut store, START) {
                Some(start) => call(runtime, &mut store, start, &[], &mut []).await,
                None => Ok(()),
            }
        });
        match ran {
            Ok(()) => GuestEnd::Exited(0),
            Err(error) => trap::end(&error, &store),
        }
    }

    fn export(&mut self, runtime: &Runtime, name: &str, mut args: Values) -> GuestEnd {
        match self.find(name) {
            Ok(mut target) => self.call_target(runtime, &mut target, &mut args.0),
            Err(message) => trap::refused(message),
        }
    }

    /// Gives the next number to an export.
    pub fn bind(&mut self, interface: &str, name: &str) {
        let bound = if interface.is_empty() { self.find(name) } else { Err(no_interface(interface, name)) };
        self.bound.push(bound);
    }

    /// Calls the export of this number. Arguments are taken from `values`, and its memory is used for the results.
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

    fn find(&self, name: &str) -> Bound {
        match self.pre().module().get_export(name) {
            Some(ExternType::Func(ty)) => {
                callable(name, &ty)?;
                let (params, results) = (ty.params().collect(), ty.results().len());
                let export = self.pre().module().get_export_index(name).ok_or_else(|| self.no_such_export(name))?;
                let numbers = Checked::new(&ty);
                let shape = Shape { name: name.to_owned(), ty, params, results, numbers };
                Ok(Target { shape, export, found: None })
            }
            Some(_) => Err(format!("the export `{name}` is no function")),
            None => Err(self.no_such_export(name)),
        }
    }

    fn call_target(&mut self, runtime: &Runtime, target: &mut Target, values: &mut Vec<Value>) -> GuestEnd {
        // On this thread's stack numbers need be looked at but once.
        let numbers = target.shape.numbers.as_ref().filter(|_| !runtime.own_stack());
        let quick = numbers.filter(|numbers| numbers.lower(values, &mut self.raw));
        if quick.is_none()
            && let Err(message) = arguments(&target.shape, values, &mut self.vals)
        {
            return trap::refused(message);
        }
        let (number, store, instance) = match self.instances.begin(runtime) {
            Ok(begun) => begun,
            Err(end) => return end,
        };
        let found = match &mut target.found {
            Some(found) if found.number == number => found,
            found => {
                match instance.get_module_export(&mut *store, &target.export).and_then(wasmtime::Extern::into_func) {
                    Some(function) => {
                        let quick = numbers.and_then(|numbers| numbers.callable(function, store));
                        found.insert(Found { number, function, quick })
                    }
                    None => {
                        self.instances.end(false);
                        return trap::host_trap("the instance lacks an export of its module");
                    }
                }
            }
        };
        let ran = match (quick, &found.quick) {
            (Some(numbers), Some(callable)) => {
                callable.call(store, &mut self.raw).map(|()| numbers.lift(&self.raw, values))
            }
            (Some(_), None) => {
                self.instances.end(false);
                return trap::host_trap("the export is of another type than its module says");
            }
            (None, _) => {
                let args = self.vals.len();
                self.vals.resize(args + target.shape.results, Val::I32(0));
                let (args, results) = self.vals.split_at_mut(args);
                runtime.wait(call(runtime, store, found.function, args, results)).map(|()| {
                    values.clear();
                    values.extend(results.iter().filter_map(lift));
                })
            }
        };
        store.data_mut().note_use();
        let end = match ran {
            Ok(()) => GuestEnd::Returned(Values(std::mem::take(values))),
            Err(error) => trap::end(&error, store),
        };
        // A trap leaves the instance usable, as WebAssembly defines; whoever exits does not come back.
        self.instances.end(!matches!(end, GuestEnd::Exited(_)));
        end
    }

    fn no_such_export(&self, name: &str) -> String {
        let functions = self.pre().module().exports().filter(|export| matches!(export.ty(), ExternType::Func(_)));
        let mut names: Vec<String> = functions.take(LISTED + 1).map(|export| format!("`{}`", export.name())).collect();
        if names.len() > LISTED {
            names[LISTED] = "…".to_owned();
        }
        let list = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        format!("the plugin exports no function `{name}`; the functions it exports: {list}")
    }
}

async fn call(
    runtime: &Runtime,
    store: &mut Store<Guest>,
    function: Func,
    args: &[Val],
    results: &mut [Val],
) -> Result<()> {
    if runtime.own_stack() {
        function.call_async(store, args, results).await
    } else {
        function.call(store, args, results)
    }
}

fn is_plain(ty: &FuncType) -> bool {
    ty.params().len() == 0 && ty.results().len() == 0
}

/// Checks arguments against the function's type, and puts them in place of what `vals` held. The refusal shows the signature.
fn arguments(shape: &Shape, values: &[Value], vals: &mut Vec<Val>) -> std::result::Result<(), String> {
    let Shape { name, ty, params, .. } = shape;
    if values.len() != params.len() {
        let (wanted, got) = (params.len(), values.len());
        return Err(format!("`{name}` takes {wanted} arguments, got {got}; the function is {}", signature(name, ty)));
    }
    vals.clear();
    for (number, (value, param)) in values.iter().zip(params).enumerate() {
        match lower(value, param) {
            Some(val) => vals.push(val),
            None => {
                let (number, param) = (number + 1, type_name(param));
                return Err(format!("argument {number} must be {param}; the function is {}", signature(name, ty)));
            }
        }
    }
    Ok(())
}

/// Refuses a function that takes or gives what no caller outside the plugin can hold.
fn callable(name: &str, ty: &FuncType) -> std::result::Result<(), String> {
    match ty.params().chain(ty.results()).find(|ty| !is_scalar(ty)) {
        None => Ok(()),
        Some(opaque) => Err(format!(
            "`{name}` cannot be called from outside: it uses {}; the function is {}",
            type_name(&opaque),
            signature(name, ty)
        )),
    }
}

fn no_interface(interface: &str, name: &str) -> String {
    format!("the plugin is a core module and has no interface `{interface}`; call `{name}` without it")
}

fn lower(value: &Value, ty: &ValType) -> Option<Val> {
    match (value, ty) {
        (Value::S32(v), ValType::I32) => Some(Val::I32(*v)),
        (Value::S64(v), ValType::I64) => Some(Val::I64(*v)),
        (Value::F32(v), ValType::F32) => Some(Val::F32(v.to_bits())),
        (Value::F64(v), ValType::F64) => Some(Val::F64(v.to_bits())),
        _ => None,
    }
}

fn lift(val: &Val) -> Option<Value> {
    match *val {
        Val::I32(v) => Some(Value::S32(v)),
        Val::I64(v) => Some(Value::S64(v)),
        Val::F32(v) => Some(Value::F32(f32::from_bits(v))),
        Val::F64(v) => Some(Value::F64(f64::from_bits(v))),
        // `find` lets no function with such a result through.
        Val::V128(_) | Val::FuncRef(_) | Val::ExternRef(_) | Val::AnyRef(_) | Val::ExnRef(_) | Val::ContRef(_) => None,
    }
}

fn is_scalar(ty: &ValType) -> bool {
    matches!(ty, ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64)
}

/// The type in the words of calls: a core module does not say whether its integers have a sign, and here they do.
fn type_name(ty: &ValType) -> String {
    match ty {
        ValType::I32 => "s32".to_owned(),
        ValType::I64 => "s64".to_owned(),
        other => other.to_string(),
    }
}

fn signature(name: &str, ty: &FuncType) -> String {
    let names =
        |types: &mut dyn Iterator<Item = ValType>| types.map(|ty| type_name(&ty)).collect::<Vec<_>>().join(", ");
    let results = match ty.results().len() {
        0 => String::new(),
        1 => format!(" -> {}", names(&mut ty.results())),
        _ => format!(" -> ({})", names(&mut ty.results())),
    };
    format!("{name}({}){results}", names(&mut ty.params()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::Engine;

    fn shape(params: &[ValType], results: &[ValType]) -> Shape {
        let ty = FuncType::new(&Engine::default(), params.iter().cloned(), results.iter().cloned());
        Shape { name: "f".to_owned(), ty, params: params.to_vec(), results: results.len(), numbers: None }
    }

    #[test]
    fn all_scalars_pass_both_ways_unchanged() {
        let shape = shape(&[ValType::I32, ValType::I64, ValType::F32, ValType::F64], &[]);
        let values = [Value::S32(-1), Value::S64(i64::MIN), Value::F32(-0.0), Value::F64(f64::INFINITY)];
        let mut vals = vec![Val::I32(7); 9];

        arguments(&shape, &values, &mut vals).unwrap();

        assert_eq!(vals.iter().filter_map(lift).collect::<Vec<_>>(), values);
    }

    #[test]
    fn the_bits_of_a_nan_are_kept() {
        let value = lower(&Value::F32(f32::from_bits(0x7fa0_1234)), &ValType::F32).unwrap();

        assert!(matches!(value, Val::F32(0x7fa0_1234)));
    }

    #[test]
    fn too_few_arguments_are_refused_with_the_signature() {
        let shape = shape(&[ValType::I32, ValType::F64], &[ValType::I64]);

        let refusal = arguments(&shape, &[Value::S32(1)], &mut Vec::new()).unwrap_err();

        assert_eq!(refusal, "`f` takes 2 arguments, got 1; the function is f(s32, f64) -> s64");
    }

    #[test]
    fn an_argument_of_another_type_is_refused() {
        let shape = shape(&[ValType::I32], &[]);

        let refusal = arguments(&shape, &[Value::S64(1)], &mut Vec::new()).unwrap_err();

        assert_eq!(refusal, "argument 1 must be s32; the function is f(s32)");
    }

    #[test]
    fn vectors_and_references_are_refused() {
        let ty = FuncType::new(&Engine::default(), [], [ValType::V128]);

        let refusal = callable("f", &ty).unwrap_err();

        assert_eq!(refusal, "`f` cannot be called from outside: it uses v128; the function is f() -> v128");
    }
}
