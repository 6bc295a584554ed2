//! Many senders at a steady rate, each event once, until they are stopped.

use super::http::Connection;
use super::instant;
use super::sender::Event;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

const SENDERS: u32 = 10;

/// How a sender reacts to an answer other than 2xx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retries {
    /// It notes it and goes on.
    Never,
    /// It delivers again, at the next address, until it is content.
    UntilDelivered,
}

/// What became of one event: the outcome that its last delivery was told with its status and
/// reason, or how the connection failed.
pub type Fate = Result<(u16, String, String), String>;

/// Senders under way.
pub struct Load {
    stop: Arc<AtomicBool>,
    ended: Arc<AtomicUsize>,
    senders: Vec<JoinHandle<Vec<(String, Fate)>>>,
}

impl Load {
    /// Delivers `per_second` events of the shop in all, spread over what is in `to` at the time.
    pub fn start(to: &Arc<Mutex<Vec<SocketAddr>>>, per_second: u32, retries: Retries) -> Self {
        let (stop, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let senders = (0..SENDERS)
            .map(|number| {
                let sender =
                    LoadSender { number, to: Arc::clone(to), kept: BTreeMap::new(), turn: 0 };
                let pace = Duration::from_secs(1) * SENDERS / per_second;
                let (stop, ended) = (Arc::clone(&stop), Arc::clone(&ended));
                std::thread::spawn(move || sender.run(pace, retries, &stop, &ended))
            })
            .collect();
        Self { stop, ended, senders }
    }

    /// To one proxy, without retries.
    pub fn on(to: SocketAddr, per_second: u32) -> Self {
        Self::start(&Arc::new(Mutex::new(vec![to])), per_second, Retries::Never)
    }

    /// How many events have come to an end so far.
    pub fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }

    /// Stops, and tells what became of each event.
    pub fn stop(self) -> BTreeMap<String, Fate> {
        self.stop.store(true, Ordering::SeqCst);
        self.senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    }
}

struct LoadSender {
    number: u32,
    to: Arc<Mutex<Vec<SocketAddr>>>,
    kept: BTreeMap<SocketAddr, Connection>,
    turn: usize,
}

impl LoadSender {
    fn run(
        mut self,
        pace: Duration,
        retries: Retries,
        stop: &AtomicBool,
        ended: &AtomicUsize,
    ) -> Vec<(String, Fate)> {
        let mut fates = Vec::new();
        let mut next = instant() + pace * self.number / SENDERS;
        while !stop.load(Ordering::SeqCst) {
            std::thread::sleep(next.saturating_sub(instant()));
            next += pace;
            let id = format!("sender-{}-{}", self.number, fates.len());
            let fate = self.deliver(&id, retries);
            fates.push((id, fate));
            ended.fetch_add(1, Ordering::SeqCst);
        }
        fates
    }

    fn deliver(&mut self, id: &str, retries: Retries) -> Fate {
        let delivery = Event::order(id).signed();
        let start = instant();
        loop {
            let fate = self.attempt(&delivery);
            let is_content = matches!(fate, Ok((200..300, ..)));
            let gives_up = instant().saturating_sub(start) > super::PATIENCE;
            if is_content || gives_up || retries == Retries::Never {
                return fate;
            }
            self.turn += 1;
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn attempt(&mut self, delivery: &super::sender::Delivery) -> Fate {
        let to = {
            let addresses = self.to.lock().unwrap();
            addresses[self.turn % addresses.len()]
        };
        let mut connection = match self.kept.remove(&to) {
            Some(connection) => connection,
            None => Connection::try_open(to)?,
        };
        connection.try_send(delivery.bytes(to)).map_err(|fault| fault.to_string())?;
        let response = connection.try_response()?;
        if response.header("Connection") != Some("close") {
            self.kept.insert(to, connection);
        }
        Ok((response.status, response.outcome().to_owned(), response.reason()))
    }
}
