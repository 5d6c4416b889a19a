;; Opens files by whatever name it is given: an errno, or what is in them.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "put") (param $at i32) (param $word i64) (i64.store (local.get $at) (local.get $word)))

  ;; The first eight bytes of a file whose name is at 1024, or an errno that is below 0.
  (func (export "read") (param $length i32) (result i64)
    (local $errno i32)
    (local.set $errno
      (call $open (i32.const 3) (i32.const 1) (i32.const 1024) (local.get $length) (i32.const 0) (i64.const 2) (i64.const 0)
        (i32.const 0) (i32.const 0)))
    (if (local.get $errno) (then (return (i64.sub (i64.const 0) (i64.extend_i32_u (local.get $errno))))))
    (i32.store (i32.const 8) (i32.const 64))
    (i32.store (i32.const 12) (i32.const 8))
    (local.set $errno (call $read (i32.load (i32.const 0)) (i32.const 8) (i32.const 1) (i32.const 16)))
    (if (local.get $errno) (then (return (i64.sub (i64.const 0) (i64.extend_i32_u (local.get $errno))))))
    (i64.load (i32.const 64)))

  ;; Makes a file of that name, with a word in it; 0, or an errno.
  (func (export "make") (param $length i32) (result i32)
    (local $errno i32)
    (local.set $errno
      (call $open (i32.const 3) (i32.const 1) (i32.const 1024) (local.get $length) (i32.const 1) (i64.const 66) (i64.const 0)
        (i32.const 0) (i32.const 0)))
    (if (local.get $errno) (then (return (local.get $errno))))
    (i64.store (i32.const 64) (i64.const 0x6465_7061_6373_6521))
    (i32.store (i32.const 8) (i32.const 64))
    (i32.store (i32.const 12) (i32.const 8))
    (call $write (i32.load (i32.const 0)) (i32.const 8) (i32.const 1) (i32.const 16))))
