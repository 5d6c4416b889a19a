;; Writes "written by a guest\n" to the file that the first argument names, relative to the first preopened directory;
;; exits with the errno of what fails.
(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 2048) "written by a guest\n")
  (func $check (param $errno i32)
    (if (local.get $errno) (then (call $exit (local.get $errno)))))
  (func (export "_start")
    (local $path i32)
    (call $check (call $sizes (i32.const 0) (i32.const 4)))
    (if (i32.ne (i32.load (i32.const 0)) (i32.const 2)) (then (call $exit (i32.const 100))))
    (call $check (call $args (i32.const 16) (i32.const 1024)))
    (local.set $path (i32.load (i32.const 20)))
    ;; O_CREAT | O_TRUNC, the right to write.
    (call $check
      (call $open (i32.const 3) (i32.const 0) (local.get $path)
        (i32.sub
          (i32.sub (i32.add (i32.load (i32.const 16)) (i32.load (i32.const 4))) (local.get $path))
          (i32.const 1))
        (i32.const 9) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 8)))
    (i32.store (i32.const 0) (i32.const 2048))
    (i32.store (i32.const 4) (i32.const 19))
    (call $check
      (call $write (i32.load (i32.const 8)) (i32.const 0) (i32.const 1) (i32.const 12)))))
