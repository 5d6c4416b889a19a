//! wasmtime in process, around nothing: what isolation stands above.

use crate::peer::{Echo, Failure, same};
use bulkhead::bench::guests;
use wasmtime::{
    Config, Engine, Instance, InstanceAllocationStrategy, InstancePre, Linker, Memory, Module, PoolingAllocationConfig,
    Store, TypedFunc,
    component::{self, Component},
};

const ECHO: &str = r#"(module
    (memory (export "memory") 32)
    (func (export "echo") (param i32 i32) (result i32) local.get 0))"#;

/// Bulkhead's version of wasmtime: the lock file has Extism's, too.
pub const VERSION: &str = "48.0.8";

/// As it is shown.
pub const NAME: &str = "bare wasmtime";

/// An engine as one would make it for speed: pooled instances, no checks in the code, no concurrency between components.
pub fn engine() -> Result<Engine, Failure> {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_core_instances(16).total_memories(16).total_tables(16).total_component_instances(4);
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool)).concurrency_support(false);
    Ok(Engine::new(&config)?)
}

/// Bytes copied into a guest's memory and out again.
pub struct Bare {
    store: Store<()>,
    memory: Memory,
    echo: TypedFunc<(i32, i32), i32>,
    back: Vec<u8>,
}

impl Bare {
    /// Makes it.
    pub fn make(engine: &Engine) -> Result<Bare, Failure> {
        let mut store = Store::new(engine, ());
        let instance = Instance::new(&mut store, &Module::new(engine, wat::parse_str(ECHO)?)?, &[])?;
        let memory = instance.get_memory(&mut store, "memory").ok_or("no memory")?;
        Ok(Bare { memory, echo: instance.get_typed_func(&mut store, "echo")?, store, back: Vec::new() })
    }
}

impl Echo for Bare {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> String {
        format!("{VERSION}, in process")
    }

    fn echo(&mut self, payload: &[u8]) -> Result<(), Failure> {
        self.memory.write(&mut self.store, 0, payload)?;
        let at = self.echo.call(&mut self.store, (0, payload.len() as i32))?;
        self.back.resize(payload.len(), 0);
        self.memory.read(&self.store, at as usize, &mut self.back)?;
        same(payload, &self.back)
    }
}

/// 64 bytes in eight numbers, as Bulkhead's hot call has them.
type Eight = (i64, i64, i64, i64, i64, i64, i64, i64);

/// Bulkhead's own module, called in process.
pub struct Numbers {
    engine: Engine,
    pre: InstancePre<()>,
    kept: (Store<()>, TypedFunc<Eight, Eight>),
}

impl Numbers {
    /// Makes it.
    pub fn make(engine: &Engine) -> Result<Numbers, Failure> {
        let pre = Linker::new(engine).instantiate_pre(&Module::new(engine, guests::MODULE)?)?;
        let mut store = Store::new(engine, ());
        let echo = pre.instantiate(&mut store)?.get_typed_func(&mut store, "echo")?;
        Ok(Numbers { engine: engine.clone(), pre, kept: (store, echo) })
    }

    /// A call of the instance that is kept.
    pub fn hot(&mut self) -> Result<(), Failure> {
        let (store, echo) = &mut self.kept;
        right(echo.call(store, EIGHT)?)
    }

    /// A call of an instance that is made for it and dropped.
    pub fn fresh(&mut self) -> Result<(), Failure> {
        let mut store = Store::new(&self.engine, ());
        let instance = self.pre.instantiate(&mut store)?;
        right(instance.get_typed_func::<Eight, Eight>(&mut store, "echo")?.call(&mut store, EIGHT)?)
    }

    /// One of the jobs for the speed of code.
    pub fn work(&mut self, (export, argument, result): (&str, i32, i32)) -> Result<(), Failure> {
        let mut store = Store::new(&self.engine, ());
        let job = self.pre.instantiate(&mut store)?.get_typed_func::<i32, i32>(&mut store, export)?;
        match job.call(&mut store, argument)? {
            right if right == result => Ok(()),
            other => Err(format!("{export} gave {other}").into()),
        }
    }
}

const EIGHT: Eight = (1, 2, 3, 4, 5, 6, 7, 8);

fn right(back: Eight) -> Result<(), Failure> {
    if back == EIGHT { Ok(()) } else { Err("an echo gave back something else".into()) }
}

/// Bulkhead's own component, called in process: string to string.
pub struct Text {
    store: Store<()>,
    echo: component::TypedFunc<(String,), (String,)>,
    text: String,
}

impl Text {
    /// Makes it.
    pub fn make(engine: &Engine) -> Result<Text, Failure> {
        let mut store = Store::new(engine, ());
        let component = Component::new(engine, guests::COMPONENT)?;
        let instance = component::Linker::new(engine).instantiate(&mut store, &component)?;
        let echo = instance.get_typed_func(&mut store, "echo-text")?;
        Ok(Text { store, echo, text: "0123456789abcdef".repeat(4) })
    }

    /// A call.
    pub fn call(&mut self) -> Result<(), Failure> {
        let (back,) = self.echo.call(&mut self.store, (self.text.clone(),))?;
        same(self.text.as_bytes(), back.as_bytes())
    }
}
