;; Takes a reference to something of the host's: no caller outside the worker can make one.
(module
  (func (export "same") (param externref) (result externref) local.get 0))
