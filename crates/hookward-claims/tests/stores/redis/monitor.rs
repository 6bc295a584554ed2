//! The commands that a server receives.

use crate::redis_server::RedisServer;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Commands as the server meets them, those that scripts call left out.
pub(super) struct Monitor(BufReader<TcpStream>);

impl Monitor {
    pub(super) async fn on(server: &RedisServer) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port())).await.unwrap();
        stream.write_all(b"MONITOR\r\n").await.unwrap();
        let mut lines = BufReader::new(stream);
        let mut ok = String::new();
        lines.read_line(&mut ok).await.unwrap();
        assert_eq!(ok.trim(), "+OK");
        Self(lines)
    }

    pub(super) async fn up_to_marker(&mut self, server: &RedisServer) -> Vec<String> {
        let mut connection = server.connection().await;
        let () = ::redis::cmd("PING").arg("marker").query_async(&mut connection).await.unwrap();
        let mut seen = Vec::new();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).await.unwrap();
            if line.contains("marker") {
                // The marker's own connection introduced itself first.
                seen.retain(|line: &String| !line.contains("\"CLIENT\""));
                return seen;
            }
            if !line.contains(" lua]") {
                seen.push(line);
            }
        }
    }

    /// Reads until a command matches.
    pub(super) async fn until(&mut self, is_it: impl Fn(&str) -> bool) {
        let mut line = String::new();
        while !is_it(&line) {
            line.clear();
            assert_ne!(self.0.read_line(&mut line).await.unwrap(), 0, "the server went away");
        }
    }
}
