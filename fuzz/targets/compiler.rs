//! What a compiler says of a plugin, and what the broker makes of it: the report is accepted in the one order that there is, and
//! all that is looked up in it and shown of it is bounded and fit for a terminal.
#![no_main]

use arbitrary::Arbitrary;
use bulkhead::{
    describe::{Description, ItemKind, Kind},
    fuzzing::Told,
    outcome::{Class, MemoryLimit, Outcome},
    wave,
};
use bulkhead_fuzz::{message::FromAnyCompiler, text::fit_for_a_terminal};
use bulkhead_shared::{codec, message::compiler::FromCompiler};
use libfuzzer_sys::fuzz_target;

const MEMORY: u64 = 1 << 30;

#[derive(Debug, Arbitrary)]
enum Said {
    Made(FromAnyCompiler),
    Bytes(Vec<u8>),
}

fn look_at(description: &Description, words: &[String]) {
    for item in description.exports.iter().chain(&description.imports) {
        let ItemKind::Function(function) = &item.what else { continue };
        // Thirty-two parameters and as many results, a name and a type each; both may be escaped.
        fit_for_a_terminal(&wave::signature(function), 70 * 10 * 400);
        let text = words.first().map_or("", String::as_str);
        for parsed in [
            wave::parse_call(&format!("f({text})"), function),
            wave::parse_scalars(words, function),
            wave::parse_words(words, function),
        ] {
            match parsed {
                Ok(values) => assert_eq!(values.len(), function.params.len()),
                Err(error) => fit_for_a_terminal(&error.to_string(), 100_000),
            }
        }
    }
    for item in &description.exports {
        let path = match item.module.as_str() {
            "" => item.name.clone(),
            module => format!("{module}#{}", item.name),
        };
        let (interface, name) = description.interface_and_name(&path);
        let found = description.function(interface, name).is_some();
        let listed = description.exports.iter().any(|other| {
            matches!(other.what, ItemKind::Function(_)) && other.module == interface && other.name == name
        });
        assert_eq!(found, listed);
        if description.kind == Kind::Module {
            assert_eq!((interface, name), ("", path.as_str()));
        }
    }
}

fuzz_target!(|input: (Vec<Said>, Vec<String>)| {
    let (said, words) = input;
    let mut told = Told::default();
    // What a compiler may say next: nothing is described yet.
    let mut described = None;
    for said in said {
        let said = match said {
            Said::Made(made) => made.0,
            Said::Bytes(bytes) => match codec::decode(&bytes) {
                Ok(said) => said,
                Err(_) => return,
            },
        };
        let bytes = codec::encode(&said).expect("it can be sent");
        let described_before = described.take();
        match (told.hear(said, MEMORY), codec::decode(&bytes).expect("it can be read")) {
            (Ok(None), FromCompiler::Described(description)) => {
                assert!(described_before.is_none());
                look_at(&description, &words);
                described = Some(description);
            }
            (Ok(Some((description, code))), FromCompiler::Compiled { code_bytes }) => {
                assert_eq!((Some(Box::new(description)), code), (described_before, code_bytes));
                return;
            }
            (Err(outcome), said) => {
                assert_ne!(outcome.class(), Some(Class::Internal), "{outcome:?}");
                match said {
                    FromCompiler::Refused { .. } => assert!(matches!(outcome, Outcome::Refused(_))),
                    FromCompiler::Panicked(_) => assert!(matches!(
                        outcome,
                        Outcome::Refused(_) | Outcome::OutOfMemory(MemoryLimit::Kernel { limit: MEMORY })
                    )),
                    FromCompiler::Described(_) => assert!(described_before.is_some()),
                    FromCompiler::Compiled { .. } => assert!(described_before.is_none()),
                }
                return;
            }
            (heard, said) => panic!("{said:?} was taken for {heard:?}"),
        }
    }
});
