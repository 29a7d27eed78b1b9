//! Turns wasmtime's errors into [`Failure`]s with plain words.

use crate::failure::error::{Failure, LimitReached};
use crate::failure::frames::{self, GuestFrame};
use crate::failure::host_calls;
use std::char::{CharTryFromError, DecodeUtf16Error};
use std::str::Utf8Error;
use walnut_policy::{Limit, Limits};
use wasmtime::component::ResourceTableError;
use wasmtime::{Trap, WasmBacktrace};

/// Messages of wasmtime for a sandbox that has reached the limit of handles.
const HANDLES_FULL: [&str; 2] = [
    "cannot allocate another handle: store handle limit exceeded",
    "cannot lend resource: store handle limit exceeded",
];

/// Explains how a sandbox failed. Called while the thread still runs the sandbox, so that its last
/// host calls are known.
pub(crate) fn failure(error: &wasmtime::Error, limits: &Limits) -> Failure {
    match limit(error) {
        Some(limit) => Failure::Limit { limit, value: limit.value(limits), details: details(error) },
        None if is_out_of_memory(error) => Failure::Host(OUT_OF_MEMORY.to_owned()),
        None => match error.downcast_ref::<Trap>() {
            Some(trap) => Failure::Trap { cause: cause(*trap), details: details(error) },
            None => Failure::Trap { cause: plain(error), details: details(error) },
        },
    }
}

/// Explanation of a system that has no memory, or no addresses, for a sandbox.
const OUT_OF_MEMORY: &str = "the system has no memory, or no addresses, for the sandbox; raise the limit of this process \
    (`ulimit -v`, or the memory of its container), or lower `--memory`";

/// Returns whether the system refused memory to the host.
fn is_out_of_memory(error: &wasmtime::Error) -> bool {
    let errors = error.chain().filter_map(|e| e.downcast_ref::<std::io::Error>());
    errors.into_iter().any(|e| e.kind() == std::io::ErrorKind::OutOfMemory)
        || error.root_cause().downcast_ref::<rustix::io::Errno>() == Some(&rustix::io::Errno::NOMEM)
}

/// Explains a deadline that passed while the guest was waiting, with its last host calls.
pub(crate) fn deadline(limits: &Limits, calls: Option<String>) -> Failure {
    let details = calls.map(last_calls).into_iter().collect();
    Failure::Limit { limit: Limit::Deadline, value: Limit::Deadline.value(limits), details }
}

/// Explains a limit on time at which the guest was stopped from outside, in its own code.
pub(crate) fn stopped(limit: Limit, limits: &Limits, frames: Vec<GuestFrame>, calls: Option<String>) -> Failure {
    let mut details = frames::describe(frames);
    details.extend(calls.map(last_calls));
    Failure::Limit { limit, value: limit.value(limits), details }
}

/// Explains a limit on time at which the guest was in a host call that did not return.
pub(crate) fn held(limit: Limit, limits: &Limits) -> Failure {
    let details = vec!["in a call of the host, or in one long operation on memory, that did not end".into()];
    Failure::Limit { limit, value: limit.value(limits), details }
}

fn limit(error: &wasmtime::Error) -> Option<Limit> {
    if let Some(LimitReached(limit)) = error.downcast_ref() {
        return Some(*limit);
    }
    if error.is::<wasmtime::GcHeapOutOfMemory<()>>() {
        return Some(Limit::Memory);
    }
    if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
        return Some(Limit::Handles);
    }
    if matches!(error.downcast_ref(), Some(Trap::StackOverflow)) {
        return Some(Limit::Stack);
    }
    // The component's own table of handles is full; wasmtime has no error type for that.
    HANDLES_FULL.contains(&innermost(error).as_str()).then_some(Limit::Handles)
}

/// Explains a trap to the author of the program.
fn cause(trap: Trap) -> String {
    let words = match trap {
        Trap::UnreachableCodeReached => "it gave up (a panic, an abort or a failed assertion ends in `unreachable`)",
        Trap::MemoryOutOfBounds => "it read or wrote outside its memory",
        Trap::HeapMisaligned => "it used an atomic operation on an address that is not aligned",
        Trap::StringOutOfBounds | Trap::ListOutOfBounds => OUTSIDE,
        Trap::UnalignedPointer => NOT_ALIGNED,
        Trap::InvalidChar => NO_CHARACTER,
        Trap::InvalidDiscriminant => NO_CASE,
        Trap::TableOutOfBounds => "it used a table element that does not exist",
        Trap::IndirectCallToNull => "it called a function pointer that is null",
        Trap::BadSignature => "it called a function pointer of another type",
        Trap::IntegerOverflow => "an integer operation overflowed",
        Trap::IntegerDivisionByZero => "it divided an integer by zero",
        Trap::BadConversionToInteger => "it converted a number that no integer can hold",
        Trap::NullReference => "it used a null reference",
        Trap::CastFailure => "a cast of a reference failed",
        Trap::AllocationTooLarge => "it asked for an object that is too large",
        Trap::CannotEnterComponent => "a component was called that is in the middle of a call",
        Trap::CannotLeaveComponent => "it called the host at a moment when a component must not",
        other => {
            let words = other.to_string();
            return words.strip_prefix("wasm trap: ").unwrap_or(&words).to_owned();
        }
    };
    words.to_owned()
}

/// Explains an error that is not a trap: by the rule that the guest broke, or by the innermost
/// message, which says most to a person.
fn plain(error: &wasmtime::Error) -> String {
    if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
        return format!("it ended itself with the code {}", exit.0);
    }
    let text = innermost(error);
    broken(error).or_else(|| broken_in_words(&text)).map_or(text, str::to_owned)
}

fn innermost(error: &wasmtime::Error) -> String {
    let text = error.root_cause().to_string();
    text.lines().next().unwrap_or_default().trim().to_owned()
}

/// Returns the rule that the guest broke, for errors with a type.
fn broken(error: &wasmtime::Error) -> Option<&'static str> {
    match find::<ResourceTableError>(error) {
        Some(ResourceTableError::NotPresent | ResourceTableError::WrongType) => return Some(NO_HANDLE),
        Some(ResourceTableError::HasChildren) => {
            return Some("it dropped a resource while others that came from it are in use");
        }
        Some(ResourceTableError::Full) | None => {}
    }
    if find::<Utf8Error>(error).is_some() || find::<DecodeUtf16Error>(error).is_some() {
        return Some(NO_TEXT);
    }
    find::<CharTryFromError>(error).map(|_| NO_CHARACTER)
}

/// Returns the error of type `E` in the chain of `error`.
fn find<E: std::error::Error + Send + Sync + 'static>(error: &wasmtime::Error) -> Option<&E> {
    error.downcast_ref().or_else(|| error.chain().find_map(|e| e.downcast_ref()))
}

/// Returns the rule that the guest broke, for errors that only have a message.
fn broken_in_words(text: &str) -> Option<&'static str> {
    let is_one = |sentences: &&[&str]| sentences.iter().any(|sentence| says(sentence, text));
    BROKEN.iter().find(|(sentences, _)| is_one(sentences)).map(|(_, words)| *words)
}

/// Returns whether `text` is this sentence, with a number for each `#`.
fn says(sentence: &str, text: &str) -> bool {
    let mut parts = sentence.split('#');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    for part in parts {
        let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let Some(next) = after.strip_prefix(part).filter(|_| after.len() < rest.len()) else { return false };
        rest = next;
    }
    rest.is_empty()
}

const OUTSIDE: &str = "it handed over a value that lies outside its memory";
const NOT_ALIGNED: &str = "it handed over an address that is not aligned";
const NO_TEXT: &str = "it handed over text that is not valid Unicode";
const NO_CHARACTER: &str = "it handed over a number that is no character";
const NO_CASE: &str = "it handed over a case that its type does not have";
const NO_HANDLE: &str = "it used a handle that it does not have, or that is of another kind";

/// Messages for broken rules without an error type: values and handles are checked where they cross
/// the component's boundary. Each sentence of wasmtime is matched as a whole, since the message of
/// a host function may contain any word.
const BROKEN: [(&[&str], &str); 9] = [
    (
        &["realloc return: result not aligned", "realloc return: beyond end of memory"],
        "its `realloc` gave a place that the host cannot write to",
    ),
    (
        &[
            "pointer not aligned",
            "return pointer not aligned",
            "read pointer not aligned",
            "write pointer not aligned",
            "string pointer not aligned to #",
            "list pointer is not aligned",
            "map pointer is not aligned",
        ],
        NOT_ALIGNED,
    ),
    (
        &[
            "pointer out of bounds",
            "pointer out of bounds of memory",
            "read pointer out of bounds",
            "read pointer out of bounds of memory",
            "write pointer out of bounds",
            "write pointer out of bounds of memory",
            "string pointer/length out of bounds of memory",
            "list pointer/length out of bounds of memory",
            "map pointer/length out of bounds of memory",
            "fixed length list out of bounds of memory",
            "invalid debug message pointer: out of bounds",
        ],
        OUTSIDE,
    ),
    (&["invalid utf8 encoding", "invalid utf16 encoding"], NO_TEXT),
    (
        &[
            "discriminant # out of range [0..#)",
            "unexpected discriminant: #",
            "invalid option discriminant",
            "invalid expected discriminant",
        ],
        NO_CASE,
    ),
    (
        &[
            "too much data is being copied between the host and the guest: fuel allocated for hostcalls has been exhausted",
        ],
        "it handed over more in one call than the host takes (128 MiB, or 4 MiB where it is not alone, as the host keeps it)",
    ),
    // The only sentence of a host function, wasi:random.
    (&["requested len # exceeds limit #"], "it asked for more random bytes in one call than the host gives"),
    (
        &[
            "borrow handles still remain at the end of the call",
            "cannot lift own resource from a borrow",
            "cannot remove owned resource while borrowed",
            "index # is not an own resource",
        ],
        "it kept, passed on or dropped a handle that was only lent",
    ),
    (
        &[
            "unknown handle index #",
            "index is not a resource",
            "index # is not a resource",
            "handle index # used with the wrong type, expected guest-defined resource but found host resource",
            "handle index # used with the wrong type, expected guest-defined resource but found a different guest-defined resource",
            "handle index # used with the wrong type, expected host resource but found guest-defined resource",
            "host-owned resource was already de-allocated",
            "handle is not a stream",
            "handle is not a future",
            "handle is a stream of a different type",
            "handle is a future of a different type",
            "handle is not a readable end of a stream",
            "handle is not a readable end of a future",
            "passed read end to `stream.drop-writable`",
            "passed read end to `future.drop-writable`",
            "passed read end to `{stream|future}.cancel-write`",
            "passed write end to `{stream|future}.cancel-read`",
            "handle is not an error-context",
            "handle is not a subtask",
            "handle is not a waitable",
            "handle is not a waitable-set",
            "handle is not an waitable-set",
            "handle is not a guest thread",
        ],
        NO_HANDLE,
    ),
];

fn details(error: &wasmtime::Error) -> Vec<String> {
    let mut details = error.downcast_ref::<WasmBacktrace>().map(frames::of_backtrace).unwrap_or_default();
    details.extend(host_calls::recent().map(last_calls));
    details
}

fn last_calls(calls: String) -> String {
    format!("last host calls: {calls}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause_of(error: impl Into<wasmtime::Error>) -> String {
        match failure(&error.into(), &Limits::for_command()) {
            Failure::Trap { cause, .. } => cause,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_error_of_the_host_keeps_its_words() {
        for text in [
            "the handle of the door is lost",
            "a resource of the host, such as a file, is gone",
            "cannot borrow a book",
            "unknown handle index",
            "unknown handle index 7 of the host",
            "the host says: unknown handle index 7",
            "index out of bounds: the length is 3 but the index is 7",
            "the host gave text that is no utf-8",
            "discriminant b out of range",
            "the file is not aligned",
            "the store handle limit exceeded",
        ] {
            assert_eq!(cause_of(wasmtime::Error::msg(text)), text);
        }
    }

    #[test]
    fn messages_of_the_engine_are_put_in_plain_words() {
        for (sentence, words) in BROKEN.iter().flat_map(|(all, words)| all.iter().map(move |one| (one, words))) {
            for number in ["0", "4294967295"] {
                let error = wasmtime::Error::msg(sentence.replace('#', number)).context("while it was called");
                assert_eq!(cause_of(error), *words, "{sentence}");
            }
        }
        let full = HANDLES_FULL.map(wasmtime::Error::msg).map(|e| limit(&e));
        assert_eq!(full, [Some(Limit::Handles); 2]);
    }

    #[test]
    fn an_error_with_a_type_is_known_by_it() {
        let text = String::from_utf8(vec![0xff]).unwrap_err().utf8_error();
        let utf16 = char::decode_utf16([0xd800_u16]).next().unwrap().unwrap_err();
        let errors: [(wasmtime::Error, &str); 7] = [
            (ResourceTableError::NotPresent.into(), NO_HANDLE),
            (ResourceTableError::WrongType.into(), NO_HANDLE),
            (ResourceTableError::HasChildren.into(), "it dropped a resource while others that came from it are in use"),
            (text.into(), NO_TEXT),
            (utf16.into(), NO_TEXT),
            (char::try_from(0xd800_u32).unwrap_err().into(), NO_CHARACTER),
            (Trap::ListOutOfBounds.into(), OUTSIDE),
        ];
        for (error, words) in errors {
            assert_eq!(cause_of(error.context("while it was called")), words);
        }
    }
}
