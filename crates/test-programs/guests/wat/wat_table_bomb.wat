;; Takes memory of the host through a table, which no limit on memories sees. Ends when the table does
;; not grow. `elements` returns the number of its elements.
(module
  (table $table 1 funcref)
  (memory (export "memory") 1)
  (func $grow (export "_start")
    (loop $again
      (br_if $again
        (i32.ne (table.grow $table (ref.null func) (i32.const 100000)) (i32.const -1)))))
  (func (export "elements") (result i32)
    (call $grow)
    (table.size $table)))
