;; Two memories that grow in turn, so that a limit on each alone would allow twice as much. Ends when
;; neither grows. `pages` returns the pages of both.
(module
  (memory $one (export "memory") 1)
  (memory $two 1)
  (func $grow (export "_start")
    (loop $again
      (br_if $again
        (i32.or
          (i32.ne (memory.grow $one (i32.const 16)) (i32.const -1))
          (i32.ne (memory.grow $two (i32.const 16)) (i32.const -1))))))
  (func (export "pages") (result i32)
    (call $grow)
    (i32.add (memory.size $one) (memory.size $two))))
