;; State that lives as long as its instance: each call returns how often it was called.
(module
  (global $calls (mut i32) (i32.const 0))
  (func (export "next") (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (global.get $calls))
  (func (export "fail") unreachable))
