;; Copies standard input to standard output, 64 KiB at a time; exits with the errno of what fails.
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 2)
  (func $check (param $errno i32)
    (if (local.get $errno) (then (call $exit (local.get $errno)))))
  (func (export "_start")
    (local $left i32)
    (loop $again
      (i32.store (i32.const 0) (i32.const 65536))
      (i32.store (i32.const 4) (i32.const 65536))
      (call $check (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (local.set $left (i32.load (i32.const 8)))
      (if (i32.eqz (local.get $left)) (then return))
      (loop $rest
        (i32.store (i32.const 4) (local.get $left))
        (call $check (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.load (i32.const 8))))
        (local.set $left (i32.sub (local.get $left) (i32.load (i32.const 8))))
        (br_if $rest (local.get $left)))
      (br $again))))
