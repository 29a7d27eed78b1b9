;; The smallest program that prints something.
;;
;; WebAssembly by itself can only compute. For everything else, a module lists the functions that it
;; imports, and the runtime decides which of them to hand over. This module imports a single
;; function of WASI 0.1.
;;
;;     walnut run hello.wat

(module
  ;; fd_write(file, parts, number of parts, address for the number of written bytes)
  ;; -> 0, or the number of an error
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))

  ;; A memory of one page, 64 KiB. The host reads the text from there, so the memory is exported
  ;; under the name that WASI prescribes.
  (memory (export "memory") 1)

  ;; The text starts at byte 16 and is 30 bytes long; \n is the end of the line.
  (data (i32.const 16) "hello from a sealed component\n")

  ;; A runtime starts a program by calling its function "_start".
  (func (export "_start")
    ;; A part is two numbers: its start and its length. They are stored at byte 0.
    (i32.store (i32.const 0) (i32.const 16))
    (i32.store (i32.const 4) (i32.const 30))

    ;; File 1 is standard output. The number of written bytes goes to byte 8.
    (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))
    ;; The error number is dropped: a program that cannot print cannot report that either.
    drop))
