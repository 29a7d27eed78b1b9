use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// Time-out of reads and writes: longer than any response takes on a slow machine.
const TIMEOUT: Duration = Duration::from_secs(90);

/// A client's connection on which anything can be sent, well-formed or not.
pub struct HttpClient {
    stream: BufReader<TcpStream>,
}

/// Response of a server.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Header fields; names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body, without the framing of its chunks.
    pub body: Vec<u8>,
    /// Trailer fields; names in lower case.
    pub trailers: Vec<(String, String)>,
    /// Whether the body came to the end that the head announced.
    pub whole: bool,
}

impl HttpClient {
    /// Connects.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(HttpClient { stream: BufReader::new(stream) })
    }

    /// Returns the same connection, to send on from another thread.
    pub fn writer(&self) -> HttpClient {
        let stream = self.stream.get_ref().try_clone().expect("the system has room for a file");
        HttpClient { stream: BufReader::new(stream) }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes.as_ref())
    }

    /// Sends a chunk of a chunked body.
    pub fn send_chunk(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let bytes = bytes.as_ref();
        self.send(format!("{:x}\r\n", bytes.len()))?;
        self.send(bytes)?;
        self.send("\r\n")
    }

    /// Sends a GET and reads the response.
    #[track_caller]
    pub fn get(&mut self, target: &str) -> Response {
        self.ask(format!("GET {target} HTTP/1.1\r\nhost: test\r\n\r\n"))
    }

    /// Sends bytes as they are and reads a response.
    #[track_caller]
    pub fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Response {
        self.send(bytes).expect("the server reads");
        self.response()
    }

    /// Reads the response to a request that is not HEAD.
    #[track_caller]
    pub fn response(&mut self) -> Response {
        self.try_response().expect("the server answers")
    }

    /// Reads the response to a request that is not HEAD. Fails when no head comes.
    pub fn try_response(&mut self) -> io::Result<Response> {
        let mut response = self.head()?;
        if (100..200).contains(&response.status) {
            return self.try_response();
        }
        response.whole = self.body(&mut response).is_ok();
        Ok(response)
    }

    /// Reads the head of a response.
    pub fn head(&mut self) -> io::Result<Response> {
        let line = self.line()?;
        let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("not a status line: {line:?}")))?;
        Ok(Response { status, headers: self.fields()?, whole: true, ..Response::default() })
    }

    /// Reads a chunk of a chunked body; an empty one is its end.
    pub fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let line = self.line()?;
        let size = usize::from_str_radix(line.trim(), 16).map_err(|_| io::Error::other("not a chunk"))?;
        let mut part = vec![0; size];
        self.stream.read_exact(&mut part)?;
        if size > 0 {
            self.line()?;
        }
        Ok(part)
    }

    /// Reads header or trailer fields, up to the empty line.
    pub fn fields(&mut self) -> io::Result<Vec<(String, String)>> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            let (name, value) = line.split_once(':').ok_or_else(|| io::Error::other("not a field"))?;
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// Reads the next `count` bytes.
    pub fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads everything until the server closes or breaks the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = self.stream.read_to_end(&mut bytes);
        bytes
    }

    /// Waits until the server closes the connection; `false` when it does not.
    pub fn is_closed(&mut self) -> bool {
        match self.stream.fill_buf() {
            Ok(bytes) => bytes.is_empty(),
            Err(e) => !matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
        }
    }

    /// Closes the sending side.
    pub fn finish(&mut self) {
        let _ = self.stream.get_ref().shutdown(Shutdown::Write);
    }

    /// Sets the time-out of reads and writes.
    pub fn set_timeout(&mut self, timeout: Duration) {
        let _ = self.stream.get_ref().set_read_timeout(Some(timeout));
        let _ = self.stream.get_ref().set_write_timeout(Some(timeout));
    }

    fn body(&mut self, response: &mut Response) -> io::Result<()> {
        if matches!(response.status, 204 | 304) {
            return Ok(());
        }
        if response.header("transfer-encoding") == Some("chunked") {
            loop {
                let part = self.chunk()?;
                if part.is_empty() {
                    response.trailers = self.fields()?;
                    return Ok(());
                }
                response.body.extend(part);
            }
        }
        match response.header("content-length").and_then(|length| length.parse::<u64>().ok()) {
            Some(length) => {
                let got = self.stream.by_ref().take(length).read_to_end(&mut response.body)?;
                if got as u64 == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
            }
            None => self.stream.read_to_end(&mut response.body).map(drop),
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        // A server under test may send anything, so the length of a line is bounded.
        self.stream.by_ref().take(1 << 20).read_until(b'\n', &mut line)?;
        match line.strip_suffix(b"\r\n") {
            Some(line) => Ok(String::from_utf8_lossy(line).into_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Response {
    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the value of a header; `name` is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Asserts that the response is whole and has this status and text.
    #[track_caller]
    pub fn is(&self, status: u16, text: &str) {
        assert!(self.whole, "it was cut short: {self:?}");
        assert_eq!((self.status, self.text().as_str()), (status, text));
    }
}
