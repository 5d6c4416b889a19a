;; A memory that threads share: refused, workers have no threads.
(module
  (memory (export "memory") 1 1 shared)
  (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
