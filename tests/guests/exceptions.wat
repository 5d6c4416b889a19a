;; Throws an exception that nobody catches: a trap.
(module
  (tag $oops)
  (func (export "throw") throw $oops))
