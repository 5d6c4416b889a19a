;; A component whose functions make and take a resource, which no caller outside can hold.
(component
  (type $counter' (resource (rep i32)))
  (export $counter "counter" (type $counter'))
  (core func $new (canon resource.new $counter'))
  (core module $m
    (import "host" "new" (func $new (param i32) (result i32)))
    (func (export "make") (param i32) (result i32) local.get 0 call $new)
    (func (export "read") (param i32) (result i32) local.get 0))
  (core instance $i (instantiate $m (with "host" (instance (export "new" (func $new))))))
  (func (export "make") (param "start" u32) (result (own $counter)) (canon lift (core func $i "make")))
  (func (export "read") (param "of" (borrow $counter)) (result u32) (canon lift (core func $i "read"))))
