//! A client that sees exactly what is on the wire.

use super::PATIENCE;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer as it arrived.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// The only value of a header.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values =
            self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v);
        let value = values.next();
        assert!(values.next().is_none(), "several {name} in {self:?}");
        value.map(String::as_str)
    }

    /// The outcome that the proxy states.
    #[track_caller]
    pub fn outcome(&self) -> &str {
        self.header("Hookward-Outcome").unwrap_or_else(|| panic!("no outcome in {self:?}"))
    }

    /// The `reason` of the problem document; empty where there is none.
    pub fn reason(&self) -> String {
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        problem["reason"].as_str().unwrap_or_default().to_owned()
    }

    /// Status, outcome and reason at once, as tables of expectations write them.
    #[track_caller]
    pub fn verdict(&self) -> (u16, &str, String) {
        (self.status, self.outcome(), self.reason())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection to the proxy.
pub struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Connection {
    #[track_caller]
    pub fn open(to: SocketAddr) -> Self {
        Self::try_open(to).unwrap_or_else(|fault| panic!("{fault}"))
    }

    /// A connection, or why there is none.
    pub fn try_open(to: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect_timeout(&to, PATIENCE)
            .map_err(|fault| format!("cannot connect to {to}: {fault}"))?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Ok(Self { stream, unread: Vec::new() })
    }

    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).expect("the proxy takes bytes");
        self
    }

    /// Sends what a peer that may have closed already still takes.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// The next final answer.
    #[track_caller]
    pub fn response(&mut self) -> Response {
        self.try_response().unwrap_or_else(|fault| panic!("no answer: {fault}"))
    }

    /// The next final answer, or what came instead.
    pub fn try_response(&mut self) -> Result<Response, String> {
        loop {
            let (status, headers) = self.head()?;
            if status / 100 == 1 {
                continue;
            }
            let body = self.body(status, &headers)?;
            return Ok(Response { status, headers, body });
        }
    }

    /// The status of the next header, which belongs to a 1xx answer.
    #[track_caller]
    pub fn informational(&mut self) -> u16 {
        self.head().unwrap_or_else(|fault| panic!("no answer: {fault}")).0
    }

    fn head(&mut self) -> Result<(u16, Vec<(String, String)>), String> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; 128];
            let mut head = httparse::Response::new(&mut fields);
            match head.parse(&self.unread) {
                Ok(httparse::Status::Complete(length)) => {
                    let status = head.code.unwrap();
                    let headers = head
                        .headers
                        .iter()
                        .map(|h| {
                            let value = String::from_utf8_lossy(h.value).into_owned();
                            (h.name.to_owned(), value)
                        })
                        .collect();
                    self.unread.drain(..length);
                    return Ok((status, headers));
                }
                Ok(httparse::Status::Partial) => {
                    if self.read()? == 0 {
                        let got = String::from_utf8_lossy(&self.unread).into_owned();
                        return Err(format!("closed before a whole header; got {got:?}"));
                    }
                }
                Err(fault) => return Err(format!("no HTTP: {fault}: {:?}", self.unread)),
            }
        }
    }

    fn body(&mut self, status: u16, headers: &[(String, String)]) -> Result<Vec<u8>, String> {
        let header = |name: &str| {
            headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
        };
        if status == 204 || status == 304 {
            return Ok(Vec::new());
        }
        if let Some(length) = header("Content-Length") {
            let length = length.parse().map_err(|_| format!("Content-Length {length:?}"))?;
            return self.exactly(length);
        }
        if header("Transfer-Encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
        {
            let mut body = Vec::new();
            loop {
                let line = self.line()?;
                let size = usize::from_str_radix(line.trim(), 16)
                    .map_err(|_| format!("chunk size {line:?}"))?;
                body.extend(self.exactly(size)?);
                self.line()?;
                if size == 0 {
                    return Ok(body);
                }
            }
        }
        while self.read()? > 0 {}
        Ok(std::mem::take(&mut self.unread))
    }

    fn line(&mut self) -> Result<String, String> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.unread.drain(..end + 2).collect::<Vec<_>>();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if self.read()? == 0 {
                return Err("closed within a chunked body".to_owned());
            }
        }
    }

    fn exactly(&mut self, length: usize) -> Result<Vec<u8>, String> {
        while self.unread.len() < length {
            if self.read()? == 0 {
                return Err(format!("closed after {} of {length} bytes", self.unread.len()));
            }
        }
        Ok(self.unread.drain(..length).collect())
    }

    fn read(&mut self) -> Result<usize, String> {
        let mut buffer = vec![0; 64 * 1024];
        let count = self.stream.read(&mut buffer).map_err(|fault| fault.to_string())?;
        self.unread.extend_from_slice(&buffer[..count]);
        Ok(count)
    }

    /// Whether the peer closes within `patience` without sending anything more.
    pub fn closes_within(&mut self, patience: Duration) -> bool {
        self.stream.set_read_timeout(Some(patience)).unwrap();
        let closed = match self.read() {
            Ok(count) => count == 0,
            Err(fault) => fault.contains("reset"),
        };
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        closed
    }

    /// Ends the sending half, if the other side has not ended the connection already.
    pub fn half_close(&mut self) {
        drop(self.stream.shutdown(std::net::Shutdown::Write));
    }
}

/// One request on a connection of its own; `head` lines are added after `Host`.
#[track_caller]
pub fn request(to: SocketAddr, method: &str, target: &str, head: &[(&str, &str)]) -> Response {
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n");
    for (name, value) in head {
        _ = write!(text, "{name}: {value}\r\n");
    }
    text.push_str("\r\n");
    Connection::open(to).send(text).response()
}

/// `GET` on a connection of its own.
#[track_caller]
pub fn get(to: SocketAddr, target: &str) -> Response {
    request(to, "GET", target, &[])
}
