;; Never gets as far as being called: its start function does not end.
(module
  (func $forever (loop $again (br $again)))
  (start $forever)
  (memory (export "memory") 1)
  (func (export "_start")))
