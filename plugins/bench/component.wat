;; What `bulkhead bench` calls: a component that gives back what it is given, where it stands in its memory.
(component
    (core module $m
        (memory (export "memory") 1)
        ;; What a call was given lies from here on; the next call finds nothing of it.
        (global $top (mut i32) (i32.const 1024))
        (func (export "realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
            (local $at i32) (local $end i32)
            (local.set $at (i32.and
                (i32.add (global.get $top) (i32.sub (local.get $align) (i32.const 1)))
                (i32.sub (i32.const 0) (local.get $align))))
            (local.set $end (i32.add (local.get $at) (local.get $size)))
            (if (i32.gt_u (local.get $end) (i32.shl (memory.size) (i32.const 16))) (then
                (if (i32.eq (i32.const -1) (memory.grow (i32.shr_u
                        (i32.add (i32.sub (local.get $end) (i32.shl (memory.size) (i32.const 16))) (i32.const 65535))
                        (i32.const 16))))
                    (then unreachable))))
            (global.set $top (local.get $end))
            (memory.copy (local.get $at) (local.get $old) (local.get $old_size))
            (local.get $at))
        (func (export "echo") (param $at i32) (param $bytes i32) (result i32)
            (i32.store (i32.const 16) (local.get $at))
            (i32.store (i32.const 20) (local.get $bytes))
            (i32.const 16))
        (func (export "done") (param i32)
            (global.set $top (i32.const 1024))))
    (core instance $i (instantiate $m))
    (func (export "echo-text") (param "text" string) (result string)
        (canon lift (core func $i "echo") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))
            (post-return (core func $i "done"))))
    (func (export "echo-bytes") (param "bytes" (list u8)) (result (list u8))
        (canon lift (core func $i "echo") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))
            (post-return (core func $i "done")))))
