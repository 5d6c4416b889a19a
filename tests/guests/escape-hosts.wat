;; Has host calls that do what they are told (tests/faulty) take memory, last for ever, and panic.
(module
  (import "faulty" "reserve" (func $reserve (param i64) (result i64)))
  (import "faulty" "wait" (func $wait))
  (import "faulty" "panic" (func $panic))
  (func (export "reserve") (param $bytes i64) (result i64) (call $reserve (local.get $bytes)))
  (func (export "wait") (call $wait))
  (func (export "panic") (call $panic))
  ;; What an interrupt does end.
  (func (export "spin") (loop $again (br $again)))
  (func (export "fine") (result i32) (i32.const 1)))
