;; Answers every HTTP request with a greeting.
;;
;; A component declares, with types, the functions that it needs and the functions that it offers.
;; This component needs the part of WASI 0.2 that writes a response. It offers
;; wasi:http/incoming-handler, which has a single function; the host calls it for each request.
;;
;;     walnut serve greeter.wat

(component
  ;; The imports. A resource is an object that stays with the host; the component holds a number for
  ;; it, a handle.
  (import "wasi:io/error@0.2.0" (instance $io-error
    (export "error" (type (sub resource)))))
  (alias export $io-error "error" (type $error))

  (import "wasi:io/streams@0.2.0" (instance $streams
    (export "output-stream" (type $output-stream (sub resource)))
    (type $stream-error-is (variant (case "last-operation-failed" (own $error)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $stream-error-is)))
    (export "[method]output-stream.blocking-write-and-flush" (func
      (param "self" (borrow $output-stream)) (param "contents" (list u8)) (result (result (error $stream-error)))))))
  (alias export $streams "output-stream" (type $output-stream))

  (import "wasi:http/types@0.2.0" (instance $http
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type $response-outparam (sub resource)))
    (export "fields" (type $fields (sub resource)))
    (export "outgoing-response" (type $outgoing-response (sub resource)))
    (export "outgoing-body" (type $outgoing-body (sub resource)))

    (type $header-error-is (variant (case "invalid-syntax") (case "forbidden") (case "immutable")))
    (export "header-error" (type $header-error (eq $header-error-is)))
    ;; All errors of HTTP. The program uses none of them, but a type must equal the host's type.
    (type $dns-is (record (field "rcode" (option string)) (field "info-code" (option u16))))
    (export "DNS-error-payload" (type $dns (eq $dns-is)))
    (type $alert-is (record (field "alert-id" (option u8)) (field "alert-message" (option string))))
    (export "TLS-alert-received-payload" (type $alert (eq $alert-is)))
    (type $size-is (record (field "field-name" (option string)) (field "field-size" (option u32))))
    (export "field-size-payload" (type $size (eq $size-is)))
    (type $error-code-is (variant
      (case "DNS-timeout") (case "DNS-error" $dns)
      (case "destination-not-found") (case "destination-unavailable")
      (case "destination-IP-prohibited") (case "destination-IP-unroutable")
      (case "connection-refused") (case "connection-terminated") (case "connection-timeout")
      (case "connection-read-timeout") (case "connection-write-timeout") (case "connection-limit-reached")
      (case "TLS-protocol-error") (case "TLS-certificate-error") (case "TLS-alert-received" $alert)
      (case "HTTP-request-denied") (case "HTTP-request-length-required")
      (case "HTTP-request-body-size" (option u64)) (case "HTTP-request-method-invalid")
      (case "HTTP-request-URI-invalid") (case "HTTP-request-URI-too-long")
      (case "HTTP-request-header-section-size" (option u32)) (case "HTTP-request-header-size" (option $size))
      (case "HTTP-request-trailer-section-size" (option u32)) (case "HTTP-request-trailer-size" $size)
      (case "HTTP-response-incomplete")
      (case "HTTP-response-header-section-size" (option u32)) (case "HTTP-response-header-size" $size)
      (case "HTTP-response-body-size" (option u64))
      (case "HTTP-response-trailer-section-size" (option u32)) (case "HTTP-response-trailer-size" $size)
      (case "HTTP-response-transfer-coding" (option string)) (case "HTTP-response-content-coding" (option string))
      (case "HTTP-response-timeout") (case "HTTP-upgrade-failed") (case "HTTP-protocol-error")
      (case "loop-detected") (case "configuration-error") (case "internal-error" (option string))))
    (export "error-code" (type $error-code (eq $error-code-is)))

    (export "[constructor]fields" (func (result (own $fields))))
    (export "[method]fields.append" (func
      (param "self" (borrow $fields)) (param "name" string) (param "value" (list u8))
      (result (result (error $header-error)))))
    (export "[constructor]outgoing-response" (func (param "headers" (own $fields)) (result (own $outgoing-response))))
    (export "[method]outgoing-response.body" (func
      (param "self" (borrow $outgoing-response)) (result (result (own $outgoing-body)))))
    (export "[method]outgoing-body.write" (func
      (param "self" (borrow $outgoing-body)) (result (result (own $output-stream)))))
    (export "[static]outgoing-body.finish" (func
      (param "this" (own $outgoing-body)) (param "trailers" (option (own $fields)))
      (result (result (error $error-code)))))
    (export "[static]response-outparam.set" (func
      (param "param" (own $response-outparam))
      (param "response" (result (own $outgoing-response) (error $error-code)))))))
  (alias export $http "incoming-request" (type $incoming-request))
  (alias export $http "response-outparam" (type $response-outparam))

  ;; The memory from which the host reads texts and to which it writes results. It comes first,
  ;; since the functions below need it.
  (core module $Memory
    (memory (export "memory") 1)
    ;; Room for a text that the host hands over. The address is always that of the second half, as
    ;; only the text of an error could come.
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 32768)))
  (core instance $memory (instantiate $Memory))

  ;; The same functions with numbers in place of types. A handle is one number, a text two (start,
  ;; length). For a result of more than one number, the last parameter is its address.
  (core func $fields (canon lower (func $http "[constructor]fields")))
  (core func $append (canon lower (func $http "[method]fields.append") (memory $memory "memory")))
  (core func $response (canon lower (func $http "[constructor]outgoing-response")))
  (core func $body (canon lower (func $http "[method]outgoing-response.body") (memory $memory "memory")))
  (core func $stream (canon lower (func $http "[method]outgoing-body.write") (memory $memory "memory")))
  (core func $write (canon lower
    (func $streams "[method]output-stream.blocking-write-and-flush") (memory $memory "memory")))
  (core func $finish (canon lower
    (func $http "[static]outgoing-body.finish") (memory $memory "memory") (realloc (func $memory "realloc"))))
  (core func $set (canon lower
    (func $http "[static]response-outparam.set") (memory $memory "memory") (realloc (func $memory "realloc"))))
  (core func $drop-stream (canon resource.drop $output-stream))
  (core func $drop-request (canon resource.drop $incoming-request))

  (core module $Greeter
    (import "memory" "memory" (memory 1))
    (import "host" "fields" (func $fields (result i32)))
    (import "host" "append" (func $append (param i32 i32 i32 i32 i32 i32)))
    (import "host" "response" (func $response (param i32) (result i32)))
    (import "host" "body" (func $body (param i32 i32)))
    (import "host" "stream" (func $stream (param i32 i32)))
    (import "host" "write" (func $write (param i32 i32 i32 i32)))
    (import "host" "finish" (func $finish (param i32 i32 i32 i32)))
    (import "host" "set" (func $set (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))
    (import "host" "drop-stream" (func $drop-stream (param i32)))
    (import "host" "drop-request" (func $drop-request (param i32)))

    ;; Bytes 0 to 63 are for results: a handle is at byte 4.
    (data (i32.const 64) "content-type")
    (data (i32.const 80) "text/plain; charset=utf-8")
    (data (i32.const 112) "hello from a sealed component\n")

    (func (export "handle") (param $request i32) (param $answer-to i32)
      (local $headers i32) (local $response i32) (local $body i32) (local $stream i32)
      ;; The request does not matter: the greeting is the same for all.
      (call $drop-request (local.get $request))

      (local.set $headers (call $fields))
      (call $append (local.get $headers)
        (i32.const 64) (i32.const 12) (i32.const 80) (i32.const 25) (i32.const 0))
      ;; The status is 200, as the program sets no other.
      (local.set $response (call $response (local.get $headers)))
      (call $body (local.get $response) (i32.const 0))
      (local.set $body (i32.load (i32.const 4)))
      (call $stream (local.get $body) (i32.const 0))
      (local.set $stream (i32.load (i32.const 4)))

      ;; Sends the response (0 means a response, 1 an error), and then its body.
      (call $set (local.get $answer-to) (i32.const 0) (local.get $response)
        (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
      (call $write (local.get $stream) (i32.const 112) (i32.const 30) (i32.const 0))
      (call $drop-stream (local.get $stream))
      ;; Ends the body, without trailers.
      (call $finish (local.get $body) (i32.const 0) (i32.const 0) (i32.const 0))))

  (core instance $greeter (instantiate $Greeter
    (with "memory" (instance $memory))
    (with "host" (instance
      (export "fields" (func $fields))
      (export "append" (func $append))
      (export "response" (func $response))
      (export "body" (func $body))
      (export "stream" (func $stream))
      (export "write" (func $write))
      (export "finish" (func $finish))
      (export "set" (func $set))
      (export "drop-stream" (func $drop-stream))
      (export "drop-request" (func $drop-request))))))

  ;; The export: the function above, with types again.
  (func $handle (param "request" (own $incoming-request)) (param "response-out" (own $response-outparam))
    (canon lift (core func $greeter "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))
