//! Builds the head of a response from a file, and reads the first bytes of its body. Blocks.

use super::body::{CHUNK, read};
use super::encoding::Encoding;
use super::find::{FileOrFolder, OpenFile, find};
use super::path::RelativePath;
use super::preconditions::{self, Precondition, Validators};
use super::range::{RequestedRange, requested_range};
use crate::http::error_responses;
use bytes::Bytes;
use cap_std::fs::Dir;
use http::header::{
    ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::time::SystemTime;
use walnut_engine::Body;

/// Answer of a folder to a request.
pub(super) enum FileAnswer {
    /// A file, or the state of the client's copy.
    File(Response<()>, FileContent),
    /// A folder that was requested without the final slash.
    Folder,
    /// A failed precondition or range.
    Other(Response<Body>),
}

/// Content of a file.
pub(super) enum FileContent {
    /// All of it.
    Whole(Bytes),
    /// Its first bytes, and a file from which `left` more bytes are to be read.
    Long { first: Bytes, file: File, left: u64 },
}

/// Responds to `request` with the file at `path` in `dir`.
pub(super) fn respond(dir: &Dir, path: &RelativePath, request: &Parts) -> io::Result<FileAnswer> {
    let opened = match find(dir, path, &Encoding::accepted(&request.headers))? {
        FileOrFolder::File(opened) => opened,
        FileOrFolder::Folder => return Ok(FileAnswer::Folder),
    };
    let size = opened.size;
    let variant = opened.encoding.map_or("", Encoding::name);
    let validators = opened.modified.and_then(|time| Validators::new(time, SystemTime::now(), size, variant));
    let mut head = Response::new(());
    head.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(validators) = &validators {
        head.headers_mut().insert(ETAG, validators.etag.clone());
        head.headers_mut().extend(validators.last_modified.clone().map(|date| (LAST_MODIFIED, date)));
    }
    match preconditions::evaluate(&request.headers, validators.as_ref()) {
        Precondition::Passed => {}
        Precondition::Failed => return Ok(FileAnswer::Other(error_responses::precondition_failed())),
        Precondition::NotModified => {
            *head.status_mut() = StatusCode::NOT_MODIFIED;
            return Ok(FileAnswer::File(head, FileContent::Whole(Bytes::new())));
        }
    }
    let requested_range = match preconditions::wants_range(&request.headers, validators.as_ref()) {
        true => requested_range(&request.method, &request.headers, size),
        false => RequestedRange::Whole,
    };
    let (start, length) = match requested_range {
        RequestedRange::Unsatisfiable => return Ok(FileAnswer::Other(error_responses::range_not_satisfiable(size))),
        RequestedRange::Whole => (0, size),
        RequestedRange::Bytes(range) => {
            let (first, last) = (*range.start(), *range.end());
            *head.status_mut() = StatusCode::PARTIAL_CONTENT;
            head.headers_mut().insert(CONTENT_RANGE, header_value(format!("bytes {first}-{last}/{size}")));
            (first, last - first + 1)
        }
    };
    set_content_headers(head.headers_mut(), &opened, length);
    let content = match request.method {
        Method::HEAD => FileContent::Whole(Bytes::new()),
        _ => content(opened.file, start, length)?,
    };
    Ok(FileAnswer::File(head, content))
}

fn set_content_headers(headers: &mut HeaderMap, opened: &OpenFile, length: u64) {
    headers.insert(CONTENT_TYPE, content_type(&opened.name));
    // Keeps browsers from guessing another type.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_LENGTH, length.into());
    if let Some(encoding) = opened.encoding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
    }
}

fn content(mut file: File, start: u64, length: u64) -> io::Result<FileContent> {
    if start > 0 {
        file.seek(SeekFrom::Start(start))?;
    }
    let first = read(&mut file, length.min(CHUNK))?;
    let left = length - first.len() as u64;
    Ok(if left == 0 { FileContent::Whole(first) } else { FileContent::Long { first, file, left } })
}

/// Returns the content type of a file, by its name. Text is declared as UTF-8.
fn content_type(name: &str) -> HeaderValue {
    match mime_guess::from_path(name).first_raw() {
        // RFC 9239.
        Some("application/javascript") => HeaderValue::from_static("text/javascript; charset=utf-8"),
        Some(kind) if kind.starts_with("text/") => header_value(format!("{kind}; charset=utf-8")),
        Some(kind) => HeaderValue::from_static(kind),
        None => HeaderValue::from_static("application/octet-stream"),
    }
}

fn header_value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_determines_the_type() {
        for (name, of) in [
            ("a.css", "text/css; charset=utf-8"),
            ("a/index.html", "text/html; charset=utf-8"),
            ("A.JS", "text/javascript; charset=utf-8"),
            ("a.mjs", "text/javascript; charset=utf-8"),
            ("a.json", "application/json"),
            ("a.wasm", "application/wasm"),
            ("a.svg", "image/svg+xml"),
            ("a.woff2", "font/woff2"),
            ("a.tar.gz", "application/gzip"),
            ("README", "application/octet-stream"),
            ("a.unheard-of", "application/octet-stream"),
        ] {
            assert_eq!(content_type(name), of, "{name}");
        }
    }
}
