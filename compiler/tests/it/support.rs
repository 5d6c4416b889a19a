//! Jobs, a sink that remembers, and short ways to compile text.

use bulkhead_compiler::{Lost, Sink, compile};
use bulkhead_shared::{
    codec,
    describe::{Description, Item, ItemKind},
    message::{
        compiler::{FromCompiler, Job},
        worker::{Engine, Interrupt},
    },
    value::Type,
};

/// Remembers what it was told.
pub struct Memory {
    pub max_message: usize,
    pub said: Vec<FromCompiler>,
    pub code: Vec<u8>,
}

impl Memory {
    pub fn new() -> Memory {
        Memory { max_message: 1 << 20, said: Vec::new(), code: Vec::new() }
    }

    /// The description, if there was one.
    pub fn description(&self) -> Option<&Description> {
        self.said.iter().find_map(|message| match message {
            FromCompiler::Described(description) => Some(&**description),
            _ => None,
        })
    }
}

impl Sink for Memory {
    fn max_message(&self) -> usize {
        self.max_message
    }

    fn send(&mut self, message: &FromCompiler) -> Result<(), Lost> {
        let bytes = codec::encode(message).expect("every message can be encoded");
        assert!(bytes.len() <= self.max_message, "message of {} bytes", bytes.len());
        // As the broker would: whatever is said must survive its decoder.
        let decoded: FromCompiler = codec::decode(&bytes).expect("every message can be decoded");
        assert_eq!(&decoded, message);
        self.said.push(decoded);
        Ok(())
    }

    fn store(&mut self, code: &[u8]) -> Result<(), String> {
        self.code = code.to_vec();
        Ok(())
    }
}

pub fn job() -> Job {
    let engine = Engine { interpreter: false, interrupt: Interrupt::Kill, stack: 1 << 20 };
    Job { input_bytes: 0, max_code_bytes: 1 << 30, engine }
}

/// Everything that is said of these bytes.
pub fn run(input: &[u8]) -> Memory {
    let mut memory = Memory::new();
    compile(input, &job(), &mut memory).expect("somebody listens");
    memory
}

/// The description of a text that must compile.
pub fn described(text: &str) -> Description {
    let memory = run(&wat::parse_str(text).expect("test text"));
    assert!(matches!(memory.said.last(), Some(FromCompiler::Compiled { .. })), "{:?}", memory.said);
    memory.description().expect("described before compiled").clone()
}

/// The reason why these bytes are refused.
pub fn refused(input: &[u8]) -> String {
    match run(input).said.pop() {
        Some(FromCompiler::Refused { reason }) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

/// The reason why this text is refused.
pub fn refused_text(text: &str) -> String {
    refused(&wat::parse_str(text).expect("test text"))
}

/// "module::name", for comparing lists of items.
pub fn names(items: &[Item]) -> Vec<String> {
    items.iter().map(|item| format!("{}::{}", item.module, item.name)).collect()
}

/// Parameter and result types of the function with this name.
pub fn signature<'a>(items: &'a [Item], name: &str) -> (Vec<&'a Type>, Vec<&'a Type>) {
    let item = items.iter().find(|item| item.name == name).unwrap_or_else(|| panic!("no {name} in {items:?}"));
    match &item.what {
        ItemKind::Function(f) => (f.params.iter().map(|(_, ty)| ty).collect(), f.results.iter().collect()),
        ItemKind::Other(what) => panic!("{name} is a {what}"),
    }
}
