;; A core module that asks the host for nothing.
(module
  (func (export "add") (param $left i32) (param $right i32) (result i32)
    (i32.add (local.get $left) (local.get $right)))
  (func (export "add-floats") (param $left f64) (param $right f64) (result f64)
    (f64.add (local.get $left) (local.get $right))))
