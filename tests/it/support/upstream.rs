//! A scripted destination that records what it gets.

use super::{PATIENCE, eventually};
use socket2::{Domain, Socket, Type};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub target: String,
    /// In order, names as written.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Which connection it came on, from 0.
    pub connection: usize,
    /// The status that it is answered with, if that is an answer.
    pub status: Option<u16>,
}

impl Seen {
    /// All values of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let same = |(found, _): &&(String, String)| found.eq_ignore_ascii_case(name);
        self.headers.iter().filter(same).map(|(_, value)| value.as_str()).collect()
    }

    /// The only value of a header.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let values = self.all(name);
        assert_eq!(values.len(), 1, "{name} in {:?}", self.headers);
        values[0]
    }
}

/// What an upstream does with a request that it has read whole.
#[derive(Clone, Debug)]
pub enum Reply {
    /// An empty answer.
    Status(u16),
    /// An answer with these header lines (each with its line end) and this body.
    Whole(u16, String, Vec<u8>),
    /// These bytes, then nothing; the connection stays open.
    Raw(Vec<u8>),
    /// These bytes one at a time, with a pause after each.
    Drip(Vec<u8>, Duration),
    /// The first bytes, then the second ones so many times, as long as they are taken.
    Repeat(Vec<u8>, Vec<u8>, usize),
    /// Waits, then does the other thing.
    After(Duration, Box<Reply>),
    /// Waits for the gate, then does the other thing.
    Behind(Gate, Box<Reply>),
    /// Never answers.
    Hang,
    /// Closes the connection without an answer.
    Close,
    /// Does the other thing, then closes the connection.
    ThenClose(Box<Reply>),
}

impl Reply {
    pub fn behind(gate: &Gate, reply: Self) -> Self {
        Self::Behind(gate.clone(), Box::new(reply))
    }

    pub fn after(pause: Duration, reply: Self) -> Self {
        Self::After(pause, Box::new(reply))
    }

    fn status(&self) -> Option<u16> {
        match self {
            Self::Status(status) | Self::Whole(status, ..) => Some(*status),
            Self::After(_, reply) | Self::Behind(_, reply) | Self::ThenClose(reply) => {
                reply.status()
            }
            Self::Raw(_) | Self::Drip(..) | Self::Repeat(..) | Self::Hang | Self::Close => None,
        }
    }
}

/// Holds requests back until it is opened.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let open = self.0.0.lock().unwrap();
        drop(self.0.1.wait_timeout_while(open, PATIENCE, |open| !*open).unwrap());
    }
}

/// A recording upstream; answers 200 unless told otherwise.
pub struct Upstream {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    seen: Mutex<Vec<Seen>>,
    next: Mutex<VecDeque<Reply>>,
    otherwise: Mutex<Option<Reply>>,
    connections: Mutex<usize>,
    is_stopping: AtomicBool,
    /// The listener's thread and those of connections.
    threads: AtomicUsize,
}

/// How often an idle connection looks whether the upstream stops.
const LOOK: Duration = Duration::from_millis(20);

impl Upstream {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let upstream =
            Self { address: listener.local_addr().unwrap(), state: Arc::new(State::default()) };
        upstream.listen(listener);
        upstream
    }

    /// Ends like a well-behaved service: answers what was begun, closes idle connections, and no
    /// longer listens.
    pub fn stop(&self) {
        self.state.is_stopping.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        eventually("the upstream stops", || self.state.threads.load(Ordering::SeqCst) == 0);
    }

    /// Waits until everything that was sent to it is recorded, once nothing more is sent.
    #[track_caller]
    pub fn settles(&self) {
        // Connections are taken in order: when this one is over, those before it are begun.
        let mut last = TcpStream::connect(self.address).unwrap();
        last.set_read_timeout(Some(PATIENCE)).unwrap();
        last.shutdown(Shutdown::Write).unwrap();
        assert_eq!(last.read(&mut [0]).unwrap(), 0);
        eventually("all connections are over", || self.state.threads.load(Ordering::SeqCst) == 1);
    }

    /// Serves again, at the same address.
    pub fn start_again(&self) {
        self.state.is_stopping.store(false, Ordering::SeqCst);
        self.listen(TcpListener::bind(self.address).unwrap());
    }

    fn listen(&self, listener: TcpListener) {
        self.state.on_a_thread(move |state| {
            for stream in listener.incoming() {
                if state.is_stopping.load(Ordering::SeqCst) {
                    // Those who are in the queue have been told that they are connected.
                    listener.set_nonblocking(true).unwrap();
                }
                let Ok(stream) = stream else { return };
                stream.set_nonblocking(false).unwrap();
                state.on_a_thread(move |state| state.converse(stream));
            }
        });
    }

    /// An address where nothing listens, or will while the tests run: a bound socket that does not
    /// listen keeps the port from other tests.
    pub fn unreachable() -> SocketAddr {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        std::mem::forget(socket);
        address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What to do with the next request for which nothing is planned yet.
    pub fn next(&self, reply: Reply) -> &Self {
        self.state.next.lock().unwrap().push_back(reply);
        self
    }

    /// What to do where nothing is planned.
    pub fn otherwise(&self, reply: Reply) -> &Self {
        *self.state.otherwise.lock().unwrap() = Some(reply);
        self
    }

    /// Waits for `count` requests and returns them; more than that is a failure.
    #[track_caller]
    pub fn saw(&self, count: usize) -> Vec<Seen> {
        eventually(&format!("the upstream sees {count} requests"), || self.seen().len() >= count);
        let seen = self.seen();
        assert_eq!(seen.len(), count, "requests at the upstream: {seen:#?}");
        seen
    }

    /// Waits for so many requests, or more, and returns them.
    #[track_caller]
    pub fn saw_at_least(&self, count: usize) -> Vec<Seen> {
        eventually(&format!("the upstream sees {count} requests"), || self.count() >= count);
        self.seen()
    }

    /// What has arrived by now.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// How many requests have arrived by now.
    pub fn count(&self) -> usize {
        self.state.seen.lock().unwrap().len()
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        *self.state.connections.lock().unwrap()
    }
}

impl State {
    fn on_a_thread(self: &Arc<Self>, work: impl FnOnce(&Arc<Self>) + Send + 'static) {
        self.threads.fetch_add(1, Ordering::SeqCst);
        let state = Arc::clone(self);
        std::thread::spawn(move || {
            work(&state);
            state.threads.fetch_sub(1, Ordering::SeqCst);
        });
    }

    fn converse(&self, mut stream: TcpStream) {
        stream.set_read_timeout(Some(LOOK)).unwrap();
        let connection = {
            let mut connections = self.connections.lock().unwrap();
            *connections += 1;
            *connections - 1
        };
        let mut unread = Vec::new();
        while let Some(mut seen) = self.read_request(&mut stream, &mut unread) {
            seen.connection = connection;
            // Recorded and decided at once: the n-th request gets the n-th reply.
            let reply = {
                let mut all = self.seen.lock().unwrap();
                let planned = self.next.lock().unwrap().pop_front();
                let reply = planned.or_else(|| self.otherwise.lock().unwrap().clone());
                let reply = reply.unwrap_or(Reply::Status(200));
                seen.status = reply.status();
                all.push(seen);
                reply
            };
            let goes_on = perform(&mut stream, reply);
            if !goes_on || self.is_stopping.load(Ordering::SeqCst) {
                return;
            }
        }
    }
}

/// Whether the connection goes on.
fn perform(stream: &mut TcpStream, reply: Reply) -> bool {
    match reply {
        Reply::Status(status) => perform(stream, Reply::Whole(status, String::new(), Vec::new())),
        Reply::Whole(status, headers, body) => {
            let length = match status {
                204 | 304 => String::new(),
                _ => format!("Content-Length: {}\r\n", body.len()),
            };
            let mut bytes = format!("HTTP/1.1 {status} Fine\r\n{headers}{length}\r\n").into_bytes();
            bytes.extend(body);
            perform(stream, Reply::Raw(bytes))
        }
        Reply::Raw(bytes) => stream.write_all(&bytes).is_ok(),
        Reply::Drip(bytes, pause) => bytes.iter().all(|byte| {
            std::thread::sleep(pause);
            stream.write_all(&[*byte]).is_ok()
        }),
        Reply::Repeat(head, piece, count) => {
            stream.write_all(&head).is_ok() && (0..count).all(|_| stream.write_all(&piece).is_ok())
        }
        Reply::After(pause, reply) => {
            std::thread::sleep(pause);
            perform(stream, *reply)
        }
        Reply::Behind(gate, reply) => {
            gate.pass();
            perform(stream, *reply)
        }
        Reply::Hang => {
            // Until the peer gives up.
            stream.set_read_timeout(None).unwrap();
            while stream.read(&mut [0; 1024]).is_ok_and(|count| count > 0) {}
            false
        }
        Reply::Close => false,
        Reply::ThenClose(reply) => {
            perform(stream, *reply);
            false
        }
    }
}

impl State {
    fn read_request(&self, stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<Seen> {
        let mut buffer = vec![0; 64 * 1024];
        let mut more = |unread: &mut Vec<u8>| {
            let count = loop {
                match stream.read(&mut buffer) {
                    Ok(count) => break count,
                    Err(fault) if fault.kind() == ErrorKind::WouldBlock => {
                        if unread.is_empty() && self.is_stopping.load(Ordering::SeqCst) {
                            return None;
                        }
                    }
                    Err(_) => return None,
                }
            };
            unread.extend_from_slice(&buffer[..count]);
            (count > 0).then_some(())
        };
        let (mut seen, length) = loop {
            let mut fields = [httparse::EMPTY_HEADER; 128];
            let mut head = httparse::Request::new(&mut fields);
            if let httparse::Status::Complete(length) = head.parse(unread).expect("valid HTTP") {
                let headers = head
                    .headers
                    .iter()
                    .map(|h| (h.name.to_owned(), String::from_utf8_lossy(h.value).into_owned()))
                    .collect();
                let seen = Seen {
                    method: head.method.unwrap().to_owned(),
                    target: head.path.unwrap().to_owned(),
                    headers,
                    body: Vec::new(),
                    connection: 0,
                    status: None,
                };
                break (seen, length);
            }
            more(unread)?;
        };
        unread.drain(..length);
        assert!(seen.all("Transfer-Encoding").is_empty(), "the proxy states a length: {seen:?}");
        let length = seen.header("Content-Length").parse().expect("a length");
        while unread.len() < length {
            more(unread)?;
        }
        seen.body = unread.drain(..length).collect();
        Some(seen)
    }
}
