;; Four memories: a limit on memory counts all of them together.
(module
  (memory $a 1) (memory $b 1) (memory $c 1) (memory $d 1)
  ;; Grows each in turn by 16 pages until one fails; returns the pages of all.
  (func (export "bomb") (result i32)
    (loop $more
      (br_if $more
        (i32.and
          (i32.and
            (i32.ne (memory.grow $a (i32.const 16)) (i32.const -1))
            (i32.ne (memory.grow $b (i32.const 16)) (i32.const -1)))
          (i32.and
            (i32.ne (memory.grow $c (i32.const 16)) (i32.const -1))
            (i32.ne (memory.grow $d (i32.const 16)) (i32.const -1))))))
    (i32.add
      (i32.add (memory.size $a) (memory.size $b))
      (i32.add (memory.size $c) (memory.size $d)))))
