;; Has a memory that, where memories are not cleared (tests/faulty), was somebody's.
(module
  (memory (export "memory") 1 7)
  (func (export "put") (param $at i32) (param $word i64) (i64.store (local.get $at) (local.get $word)))
  (func (export "get") (param $at i32) (result i64) (i64.load (local.get $at))))
