;; Never ends, whichever way it is entered.
(module
  (memory (export "memory") 1)
  (func $forever (loop $again br $again))
  (func (export "spin") call $forever)
  (func (export "_start") call $forever))
