;; Breaks the rules of the component model when it returns: each function returns a pointer that the
;; host must not follow.
(component
  (core module $m
    (memory (export "memory") 1)
    (data (i32.const 32) "fine")
    ;; A result of two words has to lie at a multiple of four.
    (func (export "misaligned") (result i32) (i32.const 1))
    (func (export "out-of-bounds") (result i32) (i32.const 0xfffffff0))
    ;; The pointer to the result is good, the string in it is not.
    (func (export "string-too-long") (result i32)
      (i32.store (i32.const 16) (i32.const 65000))
      (i32.store (i32.const 20) (i32.const 0x7fffffff))
      (i32.const 16))
    (func (export "not-utf8") (result i32)
      (i32.store8 (i32.const 64) (i32.const 0xff))
      (i32.store (i32.const 16) (i32.const 64))
      (i32.store (i32.const 20) (i32.const 1))
      (i32.const 16))
    (func (export "fine") (result i32)
      (i32.store (i32.const 16) (i32.const 32))
      (i32.store (i32.const 20) (i32.const 4))
      (i32.const 16)))
  (core instance $i (instantiate $m))
  (alias core export $i "memory" (core memory $memory))
  (func (export "misaligned") (result string)
    (canon lift (core func $i "misaligned") (memory $memory)))
  (func (export "out-of-bounds") (result string)
    (canon lift (core func $i "out-of-bounds") (memory $memory)))
  (func (export "string-too-long") (result string)
    (canon lift (core func $i "string-too-long") (memory $memory)))
  (func (export "not-utf8") (result string)
    (canon lift (core func $i "not-utf8") (memory $memory)))
  ;; The control: the same shape, with nothing wrong.
  (func (export "fine") (result string)
    (canon lift (core func $i "fine") (memory $memory))))
