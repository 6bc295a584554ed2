//! A network link between a store and its server that tests can make slow or break.

use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Passes connections on to a port of this machine.
pub(crate) struct Hop {
    port: u16,
    network: Arc<Network>,
    listening: JoinHandle<()>,
}

#[derive(Default)]
struct Network {
    to: AtomicU16,
    /// Each way.
    delay_millis: AtomicU64,
    /// So many answers are swallowed, each with its connection.
    cuts: AtomicU64,
    /// What new connections are answered, whatever they ask, before they are closed.
    instead: Mutex<Option<&'static [u8]>>,
    connections: AtomicU64,
}

impl Hop {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own_port = listener.local_addr().unwrap().port();
        let network = Arc::new(Network { to: AtomicU16::new(port), ..Network::default() });
        let listening = tokio::spawn(listen(listener, Arc::clone(&network)));
        Self { port: own_port, network, listening }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where new connections lead from now on.
    pub(crate) fn lead_to(&self, port: u16) {
        self.network.to.store(port, Ordering::SeqCst);
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> u64 {
        self.network.connections.load(Ordering::SeqCst)
    }

    /// Answers new connections with this, or lets them through again.
    pub(crate) fn answer_instead(&self, text: Option<&'static [u8]>) {
        *self.network.instead.lock().unwrap() = text;
    }

    /// What everything takes longer from now on, each way.
    pub(crate) fn delay(&self, delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).unwrap();
        self.network.delay_millis.store(millis, Ordering::SeqCst);
    }

    /// Loses the next answer together with its connection.
    pub(crate) fn cut_next_answer(&self) {
        self.network.cuts.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Hop {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, network: Arc<Network>) {
    while let Ok((mut near, _)) = listener.accept().await {
        network.connections.fetch_add(1, Ordering::SeqCst);
        let instead = *network.instead.lock().unwrap();
        if let Some(text) = instead {
            tokio::spawn(async move {
                let mut asked = [0; 4096];
                let _whatever_it_was = near.read(&mut asked).await;
                let _or_gone = near.write_all(text).await;
            });
            continue;
        }
        let Ok(far) = TcpStream::connect(("127.0.0.1", network.to.load(Ordering::SeqCst))).await
        else {
            continue;
        };
        near.set_nodelay(true).unwrap();
        far.set_nodelay(true).unwrap();
        let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
        tokio::spawn(pass(near_in, far_out, Arc::clone(&network), false));
        tokio::spawn(pass(far_in, near_out, Arc::clone(&network), true));
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    network: Arc<Network>,
    answers: bool,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let due =
            Instant::now() + Duration::from_millis(network.delay_millis.load(Ordering::SeqCst));
        let take = |cuts: u64| cuts.checked_sub(1);
        if answers && network.cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
            return;
        }
        tokio::time::sleep_until(due).await;
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
