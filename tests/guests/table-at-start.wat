;; Wants more table elements than any policy gives before it runs.
(module
  (table 4000000000 funcref)
  (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
