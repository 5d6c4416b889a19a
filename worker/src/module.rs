//! A plugin that is a core module.

use crate::{guest::Guest, imports, learning, runtime::Runtime, scalars_unsafe::Checked, trap, wasi};
use bulkhead_shared::{
    describe::Command,
    message::worker::{Call, GuestEnd, LoadFailure},
    value::{Value, Values},
};
use wasmtime::{
    ExternType, Func, FuncType, Instance, InstancePre, Linker, Module, Result, Store, Val, ValRaw, ValType,
};

/// What a WASI command exports to be run.
const START: &str = "_start";
/// What a WASI reactor exports to be called once before anything else.
const INITIALIZE: &str = "_initialize";
/// Most exports that a refusal lists.
const LISTED: usize = 30;

/// A linked module, and its instance as long as it is kept.
pub struct Plugin {
    pre: InstancePre<Guest>,
    kept: Option<(Store<Guest>, Instance)>,
    /// How many were made to be kept.
    instances: u64,
    bound: Vec<Bound>,
    /// Arguments and results of the call that runs: from the second call on there is room.
    vals: Vec<Val>,
    raw: Vec<ValRaw>,
}

/// What a number of an export means; or nothing that can be called, and why.
type Bound = std::result::Result<Target, String>;

/// An export that is a function.
struct Target {
    name: String,
    ty: FuncType,
    params: Vec<ValType>,
    results: usize,
    /// In the instance of this number; how it can be called at once, where that is on this thread's stack.
    found: Option<(u64, Func, Option<Checked>)>,
}

impl Plugin {
    /// Links the module. No code of it runs.
    pub fn link(runtime: &Runtime, module: &Module) -> std::result::Result<Plugin, LoadFailure> {
        let mut linker = Linker::new(&runtime.engine);
        if runtime.wasi().is_some() {
            wasi::link_preview1(&mut linker).map_err(trap::other)?;
            if runtime.notes().is_some() {
                learning::preview1::link(&mut linker).map_err(trap::other)?;
            }
        }
        let store = Store::new(&runtime.engine, Guest::new(runtime.limiter()));
        imports::check_module(&linker, runtime.withheld(), module, store)?;
        // All names are known: what can fail now are their types.
        let pre = linker.instantiate_pre(module).map_err(trap::mismatched)?;
        module.initialize_copy_on_write_image().map_err(trap::other)?;
        Ok(Plugin { pre, kept: None, instances: 0, bound: Vec::new(), vals: Vec::new(), raw: Vec::new() })
    }

    /// Makes the instance that calls to exports use. A command has none until somebody calls an export of it: each run
    /// makes its own.
    pub fn start(&mut self, runtime: &Runtime) -> std::result::Result<(), LoadFailure> {
        let is_command = self.pre.module().get_export(START).is_some();
        if is_command { Ok(()) } else { self.renew(runtime) }
    }

    fn renew(&mut self, runtime: &Runtime) -> std::result::Result<(), LoadFailure> {
        let mut store = runtime.store(&[], &[]).map_err(trap::other)?;
        let started = runtime.wait(self.instantiate(runtime, &mut store));
        let instance = started.map_err(|error| trap::load_failure(&error, &store))?;
        self.kept = Some((store, instance));
        self.instances += 1;
        Ok(())
    }

    async fn instantiate(&self, runtime: &Runtime, store: &mut Store<Guest>) -> Result<Instance> {
        let instance = if runtime.own_stack() {
            self.pre.instantiate_async(&mut *store).await?
        } else {
            self.pre.instantiate(&mut *store)?
        };
        if let Some(initialize) = instance.get_func(&mut *store, INITIALIZE) {
            call(runtime, store, initialize, &[], &mut []).await?;
        }
        Ok(instance)
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

    fn run(&self, runtime: &Runtime, args: &[String], env: &[(String, String)]) -> GuestEnd {
        let is_command = matches!(self.pre.module().get_export(START), Some(ExternType::Func(ty)) if is_plain(&ty));
        if !is_command {
            return trap::refused(format!("the plugin is no command: it exports no function `{START}`"));
        }
        let mut store = match runtime.store(args, env) {
            Ok(store) => store,
            Err(error) => return trap::host_trap(format!("{error:#}")),
        };
        let ran = runtime.wait(async {
            // No _initialize: a command has none, and one that has both is a command.
            let instance = if runtime.own_stack() {
                self.pre.instantiate_async(&mut store).await?
            } else {
                self.pre.instantiate(&mut store)?
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
        match self.pre.module().get_export(name) {
            Some(ExternType::Func(ty)) => {
                callable(name, &ty)?;
                let (params, results) = (ty.params().collect(), ty.results().len());
                Ok(Target { name: name.to_owned(), ty, params, results, found: None })
            }
            Some(_) => Err(format!("the export `{name}` is no function")),
            None => Err(self.no_such_export(name)),
        }
    }

    fn call_target(&mut self, runtime: &Runtime, target: &mut Target, values: &mut Vec<Value>) -> GuestEnd {
        if let (Some((store, _)), Some((number, _, Some(checked)))) = (&mut self.kept, &target.found)
            && *number == self.instances
            && checked.lower(values, &mut self.raw)
        {
            let ran = runtime.arm(store).and_then(|()| checked.call(store, &mut self.raw));
            store.data_mut().note_use();
            if let Err(error) = ran {
                return self.failed(&error);
            }
            checked.lift(&self.raw, values);
            return GuestEnd::Returned(Values(std::mem::take(values)));
        }
        if let Err(message) = arguments(target, values, &mut self.vals) {
            return trap::refused(message);
        }
        if self.kept.is_none()
            && let Err(failure) = self.renew(runtime)
        {
            return trap::late_failure(failure);
        }
        let Some((store, instance)) = &mut self.kept else {
            return trap::host_trap("the plugin has no instance");
        };
        let function = match &target.found {
            Some((number, function, _)) if *number == self.instances => *function,
            _ => match instance.get_func(&mut *store, &target.name) {
                Some(function) => {
                    let checked = if runtime.own_stack() { None } else { Checked::new(function, store) };
                    target.found.insert((self.instances, function, checked)).1
                }
                None => return trap::host_trap("the instance lacks an export of its module"),
            },
        };
        let args = self.vals.len();
        self.vals.resize(args + target.results, Val::I32(0));
        let (args, results) = self.vals.split_at_mut(args);
        let ran = runtime.arm(store).and_then(|()| runtime.wait(call(runtime, store, function, args, results)));
        store.data_mut().note_use();
        match ran {
            Ok(()) => {
                let mut returned = std::mem::take(values);
                returned.clear();
                returned.extend(results.iter().filter_map(lift));
                GuestEnd::Returned(Values(returned))
            }
            Err(error) => self.failed(&error),
        }
    }

    /// What became of a call that did not return.
    fn failed(&mut self, error: &wasmtime::Error) -> GuestEnd {
        let Some((store, _)) = &self.kept else { return trap::host_trap("the plugin has no instance") };
        let end = trap::end(error, store);
        // A trap leaves the instance usable, as WebAssembly defines; whoever exits does not come back.
        if matches!(end, GuestEnd::Exited(_)) {
            self.kept = None;
        }
        end
    }

    fn no_such_export(&self, name: &str) -> String {
        let functions = self.pre.module().exports().filter(|export| matches!(export.ty(), ExternType::Func(_)));
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
fn arguments(target: &Target, values: &[Value], vals: &mut Vec<Val>) -> std::result::Result<(), String> {
    let Target { name, ty, params, .. } = target;
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

    fn target(params: &[ValType], results: &[ValType]) -> Target {
        let ty = FuncType::new(&Engine::default(), params.iter().cloned(), results.iter().cloned());
        Target { name: "f".to_owned(), ty, params: params.to_vec(), results: results.len(), found: None }
    }

    #[test]
    fn all_scalars_pass_both_ways_unchanged() {
        let target = target(&[ValType::I32, ValType::I64, ValType::F32, ValType::F64], &[]);
        let values = [Value::S32(-1), Value::S64(i64::MIN), Value::F32(-0.0), Value::F64(f64::INFINITY)];
        let mut vals = vec![Val::I32(7); 9];

        arguments(&target, &values, &mut vals).unwrap();

        assert_eq!(vals.iter().filter_map(lift).collect::<Vec<_>>(), values);
    }

    #[test]
    fn the_bits_of_a_nan_are_kept() {
        let value = lower(&Value::F32(f32::from_bits(0x7fa0_1234)), &ValType::F32).unwrap();

        assert!(matches!(value, Val::F32(0x7fa0_1234)));
    }

    #[test]
    fn too_few_arguments_are_refused_with_the_signature() {
        let target = target(&[ValType::I32, ValType::F64], &[ValType::I64]);

        let refusal = arguments(&target, &[Value::S32(1)], &mut Vec::new()).unwrap_err();

        assert_eq!(refusal, "`f` takes 2 arguments, got 1; the function is f(s32, f64) -> s64");
    }

    #[test]
    fn an_argument_of_another_type_is_refused() {
        let target = target(&[ValType::I32], &[]);

        let refusal = arguments(&target, &[Value::S64(1)], &mut Vec::new()).unwrap_err();

        assert_eq!(refusal, "argument 1 must be s32; the function is f(s32)");
    }

    #[test]
    fn vectors_and_references_are_refused() {
        let ty = FuncType::new(&Engine::default(), [], [ValType::V128]);

        let refusal = callable("f", &ty).unwrap_err();

        assert_eq!(refusal, "`f` cannot be called from outside: it uses v128; the function is f() -> v128");
    }
}
