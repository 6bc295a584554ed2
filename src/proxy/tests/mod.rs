//! The listener as senders meet it: bytes on a socket, and what arrived behind the door.

mod answers;
mod bodies;
mod http2;
mod strictness;
mod tls;
