;; A core module that was made for another host.
(module
  (import "env" "thing" (func $thing (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (call $thing (i32.const 1)))))
