//! The listener as senders see it: bytes on a socket, and the requests that reach the door.

mod answers;
mod bodies;
mod chunks;
mod http2;
mod http2_floods;
mod http2_frames;
mod http2_heads;
mod http2_stalls;
mod limits;
mod memory;
mod strictness;
mod tls;
