;; Imports that nobody provides; one of them is nearly the name of one that exists, one has the wrong type.
(module
  (import "env" "emscripten_notify_memory_growth" (func (param i32)))
  (import "wasi_snapshot_preview1" "fd_wrote" (func (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func (param i64)))
  (import "wasi_snapshot_preview2" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
  (import "env" "memory" (memory 1))
  (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
