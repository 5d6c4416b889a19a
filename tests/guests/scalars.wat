;; Functions of scalars, for arguments and results of every core type.
(module
  (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
  (func (export "add64") (param i64 i64) (result i64) local.get 0 local.get 1 i64.add)
  (func (export "addf32") (param f32 f32) (result f32) local.get 0 local.get 1 f32.add)
  (func (export "addf64") (param f64 f64) (result f64) local.get 0 local.get 1 f64.add)
  (func (export "divide") (param f64 f64) (result f64) local.get 0 local.get 1 f64.div)
  (func (export "same32") (param i32) (result i32) local.get 0)
  (func (export "same64") (param i64) (result i64) local.get 0)
  ;; Two results, in the other order.
  (func (export "swap") (param i32 i64) (result i64 i32) local.get 1 local.get 0)
  (func (export "nothing"))
  (func (export "vector") (param v128) (result v128) local.get 0)
  (func (export "reference") (param funcref) (result funcref) local.get 0)
  (global (export "answer") i32 (i32.const 42)))
