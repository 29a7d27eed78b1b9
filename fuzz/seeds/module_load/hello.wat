;; The smallest program that says something.
;;
;; WebAssembly on its own can only compute. Everything else is asked for: a module lists what it imports, and whoever
;; runs it decides what to hand over. This one imports one function of WASI 0.1 and nothing else.
;;
;;     walnut run hello.wat

(module
  ;; fd_write(file, parts, number of parts, where to put the number of written bytes) -> 0, or the number of an error
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))

  ;; One page, 64 KiB. The host must see it to read the text, so it is exported, and "memory" is the name it looks for.
  (memory (export "memory") 1)

  ;; The text starts at byte 16 and is 30 bytes long; \n is the end of the line.
  (data (i32.const 16) "hello from a sealed component\n")

  ;; Running a program is calling its function "_start".
  (func (export "_start")
    ;; A part is two numbers: where it starts and how long it is. Ours is written down at byte 0.
    (i32.store (i32.const 0) (i32.const 16))
    (i32.store (i32.const 4) (i32.const 30))

    ;; File 1 is standard output. The number of written bytes goes to byte 8.
    (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))
    ;; A program that cannot speak has nobody to tell.
    drop))
