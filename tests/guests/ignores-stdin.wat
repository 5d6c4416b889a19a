;; Ends at once, its standard input unread.
(module
  (memory (export "memory") 1)
  (func (export "_start")))
