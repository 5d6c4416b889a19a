;; Grows a table until that fails; returns its size.
(module
  (table $t 1 funcref)
  (func (export "bomb") (result i32)
    (loop $more
      (br_if $more (i32.ne (table.grow $t (ref.null func) (i32.const 4096)) (i32.const -1))))
    (table.size $t)))
