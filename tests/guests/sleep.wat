;; Sleeps for an hour in poll_oneoff.
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  ;; One subscription: user data 0, a clock (tag 0), the monotonic one (1), 3600 s in nanoseconds, relative.
  (data (i32.const 16) "\01\00\00\00")
  (func (export "_start")
    (i64.store (i32.const 24) (i64.const 3600000000000))
    (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))
