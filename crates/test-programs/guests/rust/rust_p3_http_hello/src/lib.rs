//! The smallest server over WASI 0.3.

use wasip3::{
    exports::http::handler::Guest,
    http::types::{ErrorCode, Fields, Request, Response},
    wit_bindgen::spawn_local,
    wit_future, wit_stream,
};

const BODY: &[u8] = b"hello from a sealed component\n";
const LENGTH: &[u8] = b"30";
const _: () = assert!(BODY.len() == 30);

struct Hello;
wasip3::http::service::export!(Hello);

impl Guest for Hello {
    async fn handle(_request: Request) -> Result<Response, ErrorCode> {
        let headers = Fields::new();
        let _ = headers.append("content-type", b"text/plain");
        let _ = headers.append("content-length", LENGTH);
        let (mut writer, contents) = wit_stream::new();
        let (no_trailers, trailers) = wit_future::new(|| Ok(None));
        drop(no_trailers);
        let (response, _sent) = Response::new(headers, Some(contents), trailers);
        // The host reads the body once it has the response.
        spawn_local(async move {
            writer.write_all(BODY.to_vec()).await;
        });
        Ok(response)
    }
}
