;; A component that imports interfaces that nobody provides; one is nearly one that exists.
(component
  (import "acme:things/store@1.2.0" (instance
    (export "get" (func (param "key" string) (result string)))
    (export "put" (func (param "key" string) (param "value" string)))))
  (import "wasi:cli/stdoud@0.2.0" (instance))
  (import "shout" (func (param "text" string)))
  (core module $m (func (export "one") (result i32) i32.const 1))
  (core instance $i (instantiate $m))
  (func (export "one") (result u32) (canon lift (core func $i "one"))))
