;; Reads a name from a file and greets it, if the program may read that file.
;;
;; A program of WASI 0.1 cannot open a file of the machine by its path. It can only open files in the
;; folders that the runtime hands over, which are the open files with number 3 and up. This program
;; looks among them for /data, or for / with a folder data in it:
;;
;;     walnut run greet.wat                             I may not read /data/name.txt
;;     walnut run --dir ./data::/data greet.wat         hello, Ada

(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  ;; path_open(folder, follow links, path, its length, how to create, rights, rights of files in it,
  ;; flags, address for the number of the open file) -> 0, or the number of an error
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  ;; fd_prestat_get(folder, address for two numbers): the second is the length of the folder's name.
  (import "wasi_snapshot_preview1" "fd_prestat_get" (func $fd_prestat_get (param i32 i32) (result i32)))
  ;; fd_prestat_dir_name(folder, address for its name, room at that address)
  (import "wasi_snapshot_preview1" "fd_prestat_dir_name" (func $fd_prestat_dir_name (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))

  (memory (export "memory") 1)
  ;; Bytes 0 to 7 hold a part of text (start, length), 8 to 11 a number that the host returns, 12 to
  ;; 19 the two numbers about a folder.
  (data (i32.const 32) "hello, ")
  (data (i32.const 48) "I may not read /data/name.txt\n")
  ;; The path of the file in /, and from byte 85 on its path in /data.
  (data (i32.const 80) "data/name.txt")
  ;; The names of the two folders: the first five bytes, or the first byte alone.
  (data (i32.const 112) "/data")
  ;; From byte 128 on: the name of a folder. From byte 1024 on: the content of the file.

  (func (export "_start")
    (local $folder i32)
    (local $path i32)
    (local $path-length i32)
    (local $file i32)
    (local $length i32)

    ;; Looks for the folder that leads to the file.
    (local.set $folder (i32.const 3))
    (block $found
      (loop $next
        ;; An error means that there are no more folders.
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

    ;; Right 2 is reading. The program asks for no other, since it needs no other.
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
    ;; Ends the line, unless the file ends with a line feed.
    (block $ended
      (br_if $ended
        (i32.and
          (i32.ne (local.get $length) (i32.const 0))
          (i32.eq (i32.load8_u (i32.add (i32.const 1023) (local.get $length))) (i32.const 10))))
      (call $print (i32.const 77) (i32.const 1))))

  ;; Compares the name of a folder, which has this length, with the first bytes of "/data".
  (func $is_called (param $folder i32) (param $length i32) (param $wanted i32) (result i32)
    (if (i32.ne (local.get $length) (local.get $wanted)) (then (return (i32.const 0))))
    (drop (call $fd_prestat_dir_name (local.get $folder) (i32.const 128) (local.get $length)))
    ;; Compares from the last byte to the first.
    (loop $next
      (local.set $length (i32.sub (local.get $length) (i32.const 1)))
      (if (i32.ne
            (i32.load8_u (i32.add (i32.const 128) (local.get $length)))
            (i32.load8_u (i32.add (i32.const 112) (local.get $length))))
        (then (return (i32.const 0))))
      (br_if $next (local.get $length)))
    (i32.const 1))

  ;; Prints the refusal and ends with the exit code 1.
  (func $refused
    (call $print (i32.const 48) (i32.const 30))
    (call $proc_exit (i32.const 1)))

  (func $print (param $start i32) (param $length i32)
    (i32.store (i32.const 0) (local.get $start))
    (i32.store (i32.const 4) (local.get $length))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
