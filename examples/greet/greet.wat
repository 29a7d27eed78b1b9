;; Greets whoever is named in a file, if it may read that file.
;;
;; A program under WASI 0.1 cannot name a file of the machine. It can only open files inside folders that it was handed,
;; and those are open files number 3 and up. This one looks among them for /data, or for / with data in it:
;;
;;     walnut run greet.wat                             I may not read /data/name.txt
;;     walnut run --dir ./data::/data greet.wat         hello, Ada

(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  ;; path_open(folder, follow links, path, its length, how to create, rights, rights of files in it, flags, where to put
  ;; the number of the open file) -> 0, or the number of an error
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  ;; fd_prestat_get(folder, where to put what it is): the length of the folder's name is the second of two numbers.
  (import "wasi_snapshot_preview1" "fd_prestat_get" (func $fd_prestat_get (param i32 i32) (result i32)))
  ;; fd_prestat_dir_name(folder, where to put its name, room there)
  (import "wasi_snapshot_preview1" "fd_prestat_dir_name" (func $fd_prestat_dir_name (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))

  (memory (export "memory") 1)
  ;; Bytes 0 to 7 hold a part of text (start, length), 8 to 11 a number that the host gives back, 12 to 19 what it says
  ;; of a folder.
  (data (i32.const 32) "hello, ")
  (data (i32.const 48) "I may not read /data/name.txt\n")
  ;; The path as / has it, and from byte 85 on as /data has it.
  (data (i32.const 80) "data/name.txt")
  ;; The names that we look for: the first five bytes, or the first one.
  (data (i32.const 112) "/data")
  ;; From byte 128 on: the name of a folder. From byte 1024 on: what the file says.

  (func (export "_start")
    (local $folder i32)
    (local $path i32)
    (local $path-length i32)
    (local $file i32)
    (local $length i32)

    ;; Which of the folders that we were handed leads there?
    (local.set $folder (i32.const 3))
    (block $found
      (loop $next
        ;; An error means that there are no more of them.
        (if (call $fd_prestat_get (local.get $folder) (i32.const 12))
          (then (call $refused)))
        (local.set $path (i32.const 85))
        (local.set $path-length (i32.const 8))
        (br_if $found (call $is_called (local.get $folder) (i32.load (i32.const 16)) (i32.const 5)))
        (local.set $path (i32.const 80))
        (local.set $path-length (i32.const 13))
        (br_if $found (call $is_called (local.get $folder) (i32.load (i32.const 16)) (i32.const 1)))
        (local.set $folder (i32.add (local.get $folder) (i32.const 1)))
        (br $next)))

    ;; Right 2 is reading. Asking for no more than that is good manners, and safer.
    (if (call $path_open
          (local.get $folder) (i32.const 1) (local.get $path) (local.get $path-length)
          (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 8))
      (then (call $refused)))
    (local.set $file (i32.load (i32.const 8)))

    ;; A name longer than 4096 bytes is cut.
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (i32.const 4096))
    (if (call $fd_read (local.get $file) (i32.const 0) (i32.const 1) (i32.const 8))
      (then (call $refused)))
    (local.set $length (i32.load (i32.const 8)))

    (call $print (i32.const 32) (i32.const 7))
    (call $print (i32.const 1024) (local.get $length))
    ;; The line ends even where the file does not end its own.
    (block $ended
      (br_if $ended
        (i32.and
          (i32.ne (local.get $length) (i32.const 0))
          (i32.eq (i32.load8_u (i32.add (i32.const 1023) (local.get $length))) (i32.const 10))))
      (call $print (i32.const 77) (i32.const 1))))

  ;; Whether a folder, whose name is so long, is called like the first bytes of "/data".
  (func $is_called (param $folder i32) (param $length i32) (param $wanted i32) (result i32)
    (if (i32.ne (local.get $length) (local.get $wanted)) (then (return (i32.const 0))))
    (drop (call $fd_prestat_dir_name (local.get $folder) (i32.const 128) (local.get $length)))
    ;; From the last byte to the first.
    (loop $next
      (local.set $length (i32.sub (local.get $length) (i32.const 1)))
      (if (i32.ne
            (i32.load8_u (i32.add (i32.const 128) (local.get $length)))
            (i32.load8_u (i32.add (i32.const 112) (local.get $length))))
        (then (return (i32.const 0))))
      (br_if $next (local.get $length)))
    (i32.const 1))

  ;; Says so, and ends with the exit code 1.
  (func $refused
    (call $print (i32.const 48) (i32.const 30))
    (call $proc_exit (i32.const 1)))

  (func $print (param $start i32) (param $length i32)
    (i32.store (i32.const 0) (local.get $start))
    (i32.store (i32.const 4) (local.get $length))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
