//! A network link that can be slow, and can break.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Passes TCP connections on.
pub struct Hop {
    address: SocketAddr,
    way: Arc<Way>,
}

struct Way {
    to: SocketAddr,
    delay: Mutex<Duration>,
    open: Mutex<Vec<TcpStream>>,
}

impl Hop {
    pub fn to(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let way = Arc::new(Way { to, delay: Mutex::default(), open: Mutex::default() });
        std::thread::spawn({
            let way = Arc::clone(&way);
            move || {
                for near in listener.incoming().map_while(Result::ok) {
                    way.join(near);
                }
            }
        });
        Self { address, way }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How long whatever arrives from now on is held back, in each direction.
    pub fn delay(&self, delay: Duration) {
        *self.way.delay.lock().unwrap() = delay;
    }

    /// Breaks the connections that there are; new ones are passed on as before.
    pub fn break_connections(&self) {
        for stream in self.way.open.lock().unwrap().drain(..) {
            _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Way {
    fn join(self: &Arc<Self>, near: TcpStream) {
        let Ok(far) = TcpStream::connect(self.to) else { return };
        let pairs = [
            (near.try_clone().unwrap(), far.try_clone().unwrap()),
            (far.try_clone().unwrap(), near.try_clone().unwrap()),
        ];
        self.open.lock().unwrap().extend([near, far]);
        for (from, to) in pairs {
            let way = Arc::clone(self);
            std::thread::spawn(move || way.pump(from, to));
        }
    }

    fn pump(&self, mut from: TcpStream, mut to: TcpStream) {
        to.set_nodelay(true).unwrap();
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count) = from.read(&mut buffer)
            && count > 0
        {
            let delay = *self.delay.lock().unwrap();
            std::thread::sleep(delay);
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        _ = to.shutdown(Shutdown::Both);
    }
}
