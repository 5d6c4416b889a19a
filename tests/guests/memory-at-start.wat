;; Wants all of a 32-bit memory before it runs.
(module
  (memory 65536)
  (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
