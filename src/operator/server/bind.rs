//! Listening sockets, bound before anything is served.
//!
//! Pingora retries an address in use for 30 seconds and then continues without it; here it is an
//! error at once. Port 0 takes a free port, which is then known.

use crate::config::{AdminSettings, ServerSettings};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};

/// How many connections the system queues until they are accepted.
const BACKLOG: i32 = 4096;

/// Every address of a configuration, listening.
#[derive(Debug)]
pub struct Bound {
    pub(super) public: Vec<BoundSocket>,
    pub(super) admin: BoundSocket,
}

/// One socket and its address.
#[derive(Debug)]
pub(super) struct BoundSocket {
    pub(super) address: SocketAddr,
    pub(super) listener: TcpListener,
}

/// An address could not be listened on: exit code 3.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} (key {key}): {source}; {advice}", advice = advice(source))]
pub struct BindError {
    /// The address as configured.
    pub address: SocketAddr,
    /// The configuration key with it.
    pub key: &'static str,
    source: io::Error,
}

impl Bound {
    /// Binds all addresses, or none.
    ///
    /// # Errors
    /// The first address that is not free, not of this machine or not permitted.
    pub fn bind(server: &ServerSettings, admin: &AdminSettings) -> Result<Self, BindError> {
        let fault = |address, key| move |source| BindError { address, key, source };
        let public = server
            .listen
            .iter()
            .map(|address| {
                // `[::]` takes the port of `0.0.0.0` too, unless that is asked for by itself.
                let only_v6 = address.is_ipv6()
                    && server.listen.iter().any(|a| a.is_ipv4() && a.port() == address.port());
                listen(*address, only_v6).map_err(fault(*address, "server.listen"))
            })
            .collect::<Result<_, _>>()?;
        let admin = listen(admin.listen, false).map_err(fault(admin.listen, "admin.listen"))?;
        Ok(Self { public, admin })
    }

    /// The public addresses with their real ports, in the order of the configuration.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.public.iter().map(|socket| socket.address).collect()
    }

    /// The admin address with its real port.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address
    }
}

fn listen(address: SocketAddr, only_v6: bool) -> io::Result<BoundSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the old connections' TIME_WAIT; a live listener still conflicts.
    socket.set_reuse_address(true)?;
    if only_v6 {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from(socket);
    Ok(BoundSocket { address: listener.local_addr()?, listener })
}

fn advice(fault: &io::Error) -> &'static str {
    match fault.kind() {
        ErrorKind::AddrInUse => "stop what listens there, or choose another port",
        ErrorKind::AddrNotAvailable => "choose an address that this machine has",
        ErrorKind::PermissionDenied => {
            "choose a port from 1024 on, or let the process bind lower ones"
        }
        _ => "choose another address",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::server::testing;

    #[test]
    fn a_taken_address_is_named_in_a_sentence_at_once() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let mut server = testing::server_settings();
        server.listen = vec![address];
        let sentence = Bound::bind(&server, &testing::admin_settings()).unwrap_err().to_string();
        assert_eq!(
            sentence,
            format!(
                "cannot listen on {address} (key server.listen): Address already in use \
                 (os error 98); stop what listens there, or choose another port"
            )
        );
    }

    #[test]
    fn a_foreign_address_is_named_too() {
        let mut admin = testing::admin_settings();
        admin.listen = "203.0.113.1:0".parse().unwrap();
        let sentence = Bound::bind(&testing::server_settings(), &admin).unwrap_err().to_string();
        assert!(sentence.starts_with("cannot listen on 203.0.113.1:0 (key admin.listen)"));
        assert!(sentence.ends_with("choose an address that this machine has"), "{sentence}");
    }

    #[test]
    fn port_0_becomes_a_real_one() {
        let bound = Bound::bind(&testing::server_settings(), &testing::admin_settings()).unwrap();
        assert_ne!(bound.addresses()[0].port(), 0);
        assert_ne!(bound.admin_address().port(), 0);
    }

    #[test]
    fn both_families_can_have_the_same_port() {
        let port = Bound::bind(&testing::server_settings(), &testing::admin_settings())
            .unwrap()
            .addresses()[0]
            .port();
        let mut server = testing::server_settings();
        server.listen = vec![
            format!("0.0.0.0:{port}").parse().unwrap(),
            format!("[::]:{port}").parse().unwrap(),
        ];
        assert_eq!(
            Bound::bind(&server, &testing::admin_settings()).unwrap().addresses(),
            server.listen
        );
    }
}
