;; A program with an import that no host provides: acme:missing/thing@1.0.0.
(component
  (import "acme:missing/thing@1.0.0" (instance $thing
    (export "do-it" (func (param "how-often" u32)))))
  (core func $do-it (canon lower (func $thing "do-it")))
  (core module $m
    (import "thing" "do-it" (func $do-it (param i32)))
    (func (export "run") (result i32)
      (call $do-it (i32.const 1))
      (i32.const 0)))
  (core instance $i (instantiate $m
    (with "thing" (instance (export "do-it" (func $do-it))))))
  (func $run (result (result)) (canon lift (core func $i "run")))
  (instance $cli-run (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $cli-run)))
