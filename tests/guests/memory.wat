;; Memory: growth that can be watched, and growth without end, every page touched.
(module
  (memory (export "memory") 1)
  (func $grow (export "grow") (param i32) (result i32) local.get 0 memory.grow)
  (func (export "size") (result i32) memory.size)
  ;; Grows by a page until that fails; returns the number of pages.
  (func (export "bomb") (result i32)
    (local $old i32)
    (loop $more
      (local.set $old (memory.grow (i32.const 1)))
      (if (i32.ne (local.get $old) (i32.const -1))
        (then
          (i32.store (i32.mul (local.get $old) (i32.const 65536)) (i32.const 1))
          (br $more))))
    memory.size)
  (func (export "store") (param i32 i32) local.get 0 local.get 1 i32.store)
  (func (export "load") (param i32) (result i32) local.get 0 i32.load))
