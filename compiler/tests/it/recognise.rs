//! What is no WebAssembly, and what is none that Bulkhead reads.

use crate::support::*;

#[test]
fn empty_file_is_named() {
    assert_eq!(refused(b""), "the file is empty");
}

#[test]
fn other_file_is_shown_by_its_first_bytes() {
    let reason = refused(b"hello, world");
    assert!(
        reason.starts_with("not a WebAssembly file: it begins with 68 65 6c 6c 6f 2c 20 77 (\"hello, w\")"),
        "{reason}"
    );
}

#[test]
fn first_bytes_that_would_break_a_terminal_are_escaped() {
    let reason = refused(b"\x1b[31m\xff\x00!");
    assert!(reason.contains(r#"("\x1b[31m\xff\x00!")"#), "{reason}");
}

#[test]
fn known_other_formats_are_called_by_their_name() {
    let reasons =
        [&b"\x7fELF\x02\x01\x01\x00"[..], b"PK\x03\x04....", b"\x1f\x8b\x08\x00", b"#!/bin/sh\n"].map(refused);
    let expected = ["an ELF file", "a zip archive", "a gzip file", "a script"];
    assert!(reasons.iter().zip(expected).all(|(reason, what)| reason.contains(what)), "{reasons:?}");
}

#[test]
fn text_format_is_told_how_to_become_binary() {
    let texts = [
        "(module)",
        "\u{feff}\n  ;; a comment\n(; another\n ;) ( module (func))",
        "(component)",
        "(func (export \"f\"))",
    ];
    let reasons = texts.map(|text| refused(text.as_bytes()));
    assert!(reasons.iter().all(|r| r.contains("in the text format") && r.contains("wasm-tools parse")), "{reasons:?}");
    assert!(reasons[2].starts_with("a WebAssembly component in"), "{}", reasons[2]);
}

#[test]
fn prose_in_parentheses_is_not_taken_for_the_text_format() {
    let reason = refused(b"(modules are described in chapter 5)");
    assert!(reason.starts_with("not a WebAssembly file"), "{reason}");
}

#[test]
fn component_of_an_older_encoding_is_named() {
    let reason = refused(b"\0asm\x0a\0\x01\0");
    assert!(reason.contains("a component in version 0xa") && reason.contains("offset 0x4"), "{reason}");
}

#[test]
fn module_of_an_unknown_version_is_named() {
    let reason = refused(b"\0asm\x02\0\0\0");
    assert!(reason.contains("unknown version 0x2, layer 0x0") && reason.contains("offset 0x4"), "{reason}");
}

#[test]
fn invalid_module_is_refused_with_the_offset() {
    // A function that returns i32 and leaves nothing on the stack.
    let wasm = b"\0asm\x01\0\0\0\x01\x05\x01\x60\0\x01\x7f\x03\x02\x01\0\x0a\x04\x01\x02\0\x0b";
    let reason = refused(wasm);
    assert!(reason.starts_with("not valid WebAssembly: ") && reason.contains("at offset 0x18"), "{reason}");
}
