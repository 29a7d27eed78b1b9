;; Made for a version of WASI that never existed: the name is known, the version is not.
(component
  (import "wasi:cli/environment@0.9.0" (instance $environment
    (export "get-arguments" (func (result (list string))))))
  (import "wasi:clocks/monotonic-clock@1.2.3" (instance $clock
    (export "now" (func (result u64)))))
  (core func $now (canon lower (func $clock "now")))
  (core module $m
    (import "clock" "now" (func $now (result i64)))
    (func (export "run") (result i32)
      (drop (call $now))
      (i32.const 0)))
  (core instance $i (instantiate $m
    (with "clock" (instance (export "now" (func $now))))))
  (func $run (result (result)) (canon lift (core func $i "run")))
  (instance $cli-run (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $cli-run)))
