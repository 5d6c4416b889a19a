;; Exits with the number that is its first argument.
(module
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (local $at i32) (local $code i32) (local $c i32)
    (drop (call $args (i32.const 0) (i32.const 1024)))
    (local.set $at (i32.load (i32.const 4)))
    (block $done
      (loop $digit
        (local.set $c (i32.load8_u (local.get $at)))
        (br_if $done (i32.eqz (local.get $c)))
        (local.set $code
          (i32.add (i32.mul (local.get $code) (i32.const 10)) (i32.sub (local.get $c) (i32.const 48))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $digit)))
    (call $exit (local.get $code))))
