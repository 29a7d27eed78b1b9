;; Never reaches its first call: the start function does not end.
(module
  (func $forever (loop $again (br $again)))
  (start $forever)
  (memory (export "memory") 1)
  (func (export "_start")))
