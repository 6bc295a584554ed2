//! The listener as senders meet it: bytes on a socket, and what arrived behind the door.

mod answers;
mod bodies;
mod chunks;
mod http2;
mod limits;
mod strictness;
mod tls;
