;; Writes to an object of the host's by a pointer that the host should have forgotten (tests/faulty), has it point to another
;; function, and has the host call it.
(module
  (import "faulty" "note_new" (func $new (result i32)))
  (import "faulty" "note_drop" (func $drop (param i32)))
  (import "faulty" "note_read" (func $read (param i32 i32) (result i64)))
  (import "faulty" "note_write" (func $write (param i32 i32 i64)))
  (import "faulty" "session_open" (func $open))
  (import "faulty" "sessions_call" (func $call (param i64) (result i64)))
  ;; Not called: a worker whose guest can open files has more of the system calls.
  (import "wasi_snapshot_preview1" "path_open"
    (func (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $notes i32 (i32.const 32))
  ;; A note that is a session now.
  (global $found (mut i32) (i32.const -1))
  (func (export "put") (param $at i32) (param $word i64) (i64.store (local.get $at) (local.get $word)))

  ;; Makes notes, drops them all, and opens sessions until one of them is where a note was: how many it took, or 0.
  (func $overlap (export "overlap") (result i32)
    (local $note i32) (local $first i32) (local $opened i32)
    (local.set $first (call $new))
    (loop $make
      (br_if $make (i32.lt_u (call $new) (i32.add (local.get $first) (global.get $notes)))))
    (local.set $note (local.get $first))
    (loop $free
      (call $drop (local.get $note))
      (local.set $note (i32.add (local.get $note) (i32.const 1)))
      (br_if $free (i32.lt_u (local.get $note) (i32.add (local.get $first) (global.get $notes)))))
    (loop $next
      (call $open)
      (local.set $opened (i32.add (local.get $opened) (i32.const 1)))
      (local.set $note (local.get $first))
      (loop $look
        (if (i64.eq (call $read (local.get $note) (i32.const 0)) (i64.const 0x5e5510f0b01dfa17))
          (then (global.set $found (local.get $note)) (return (local.get $opened))))
        (local.set $note (i32.add (local.get $note) (i32.const 1)))
        (br_if $look (i32.lt_u (local.get $note) (i32.add (local.get $first) (global.get $notes)))))
      (br_if $next (i32.lt_u (local.get $opened) (i32.const 100))))
    (i32.const 0))

  (func (export "attack") (param $distance i64) (param $order i32) (result i64)
    (local $honest i64) (local $came i64)
    ;; A worker that lives on has been through this.
    (if (i32.lt_s (global.get $found) (i32.const 0))
      (then (if (i32.eqz (call $overlap)) (then unreachable))))
    (local.set $honest (call $read (global.get $found) (i32.const 1)))
    (call $write (global.get $found) (i32.const 1) (i64.add (local.get $honest) (local.get $distance)))
    (local.set $came
      (call $call (i64.add (call $read (global.get $found) (i32.const 2)) (i64.extend_i32_u (local.get $order)))))
    (call $write (global.get $found) (i32.const 1) (local.get $honest))
    (local.get $came)))
