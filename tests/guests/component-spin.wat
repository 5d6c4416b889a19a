;; A component whose function never returns.
(component
  (core module $m (func (export "spin") (loop $again br $again)))
  (core instance $i (instantiate $m))
  (func (export "spin") (canon lift (core func $i "spin"))))
