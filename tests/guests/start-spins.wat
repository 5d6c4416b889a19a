;; Burns its time while it is instantiated: the start function never returns.
(module
  (func $forever (loop $again br $again))
  (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
  (start $forever))
