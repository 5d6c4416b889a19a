//! Bulkhead itself, through its public library, under policy `standard`; and the floors of its bench.

use crate::peer::{Echo, Failure, same};
use bulkhead::{
    Broker, Outcome, Plugin, Value,
    bench::{floor::Floor, growth::roomy, guests},
    policies,
    policy::Policy,
};
use std::path::PathBuf;

/// A broker, and what it needs.
pub struct Ours {
    /// Starts workers.
    pub broker: Broker,
    /// `standard`
    pub policy: Policy,
    /// The bare thing.
    pub floor: Floor,
}

impl Ours {
    /// Starts it.
    pub fn start(programs: Option<PathBuf>) -> Result<Ours, Failure> {
        let builder = Broker::builder();
        let broker = programs.into_iter().fold(builder, |builder, programs| builder.programs(programs)).build()?;
        Ok(Ours { broker, policy: policies::find("standard", &[])?, floor: Floor::start()? })
    }

    /// A core module's worker.
    pub fn module(&self) -> Result<Plugin, Failure> {
        Ok(guests::load(&self.broker, guests::MODULE, &self.policy)?)
    }
}

/// `list<u8>` of a component.
pub struct Bytes {
    plugin: Plugin,
    arg: [Value; 1],
}

impl Bytes {
    /// Loads it.
    pub fn load(ours: &Ours) -> Result<Bytes, Failure> {
        let plugin = guests::load(&ours.broker, guests::COMPONENT, &roomy(&ours.policy, 1 << 20))?;
        Ok(Bytes { plugin, arg: [Value::Bytes(Vec::new())] })
    }
}

impl Echo for Bytes {
    fn name(&self) -> &str {
        "Bulkhead, list<u8>"
    }

    fn version(&self) -> String {
        bulkhead::VERSION.to_owned()
    }

    fn echo(&mut self, payload: &[u8]) -> Result<(), Failure> {
        // An embedder lends what it has.
        if !matches!(&self.arg, [Value::Bytes(bytes)] if bytes.len() == payload.len()) {
            self.arg = [Value::Bytes(payload.to_vec())];
        }
        match self.plugin.call("echo-bytes", &self.arg) {
            Outcome::Returned(values) => match &values.0[..] {
                [Value::Bytes(back)] => same(payload, back),
                _ => Err("an echo gave back something else".into()),
            },
            other => Err(format!("{other:?}").into()),
        }
    }
}

/// 64 bytes in eight numbers of a core module.
pub struct Numbers(pub Plugin);

impl Echo for Numbers {
    fn name(&self) -> &str {
        "Bulkhead"
    }

    fn version(&self) -> String {
        bulkhead::VERSION.to_owned()
    }

    fn takes(&self, bytes: usize) -> bool {
        bytes == 64
    }

    fn echo(&mut self, _: &[u8]) -> Result<(), Failure> {
        Ok(guests::echo(&mut self.0, &guests::sixty_four())?)
    }
}
