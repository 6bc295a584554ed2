//! Common receivers, each of which reports in its answer what its application reads.

use super::{PATIENCE, eventually, instant};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A program that applications are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The server built into PHP's command line.
    Php,
    /// Python's WSGI under gunicorn.
    Gunicorn,
    /// Python's WSGI under the server of the standard library.
    Wsgiref,
    /// Ruby's Rack under Puma.
    Puma,
    /// CGI under lighttpd.
    LighttpdCgi,
    /// Node's own server.
    Node,
}

impl Kind {
    pub const ALL: [Self; 6] =
        [Self::Php, Self::Gunicorn, Self::Wsgiref, Self::Puma, Self::LighttpdCgi, Self::Node];
}

/// A running receiver; ended when dropped.
pub struct Receiver {
    child: Child,
    address: SocketAddr,
    _directory: TempDir,
}

/// Each application answers with `name=value` lines of what it was given.
const PHP: &str = r#"<?php header('Content-Type: text/plain');
foreach ($_SERVER as $name => $value) if (is_string($value)) echo "$name=$value\n";"#;

const WSGI: &str = r#"
def app(environ, start):
    start("200 OK", [("Content-Type", "text/plain")])
    lines = [f"{k}={v}\n" for k, v in environ.items() if isinstance(v, str)]
    return ["".join(lines).encode("latin-1")]

if __name__ == "__main__":
    import sys
    from wsgiref.simple_server import make_server, WSGIRequestHandler
    WSGIRequestHandler.log_message = lambda *_: None
    make_server("127.0.0.1", int(sys.argv[1]), app).serve_forever()
"#;

const RACK: &str = r##"run ->(env) {
  lines = env.select { |_, value| value.is_a?(String) }.map { |name, value| "#{name}=#{value}\n" }
  [200, { 'content-type' => 'text/plain' }, lines]
}
"##;

const CGI: &str = "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\nenv\n";

const NODE: &str = "require('http').createServer((request, response) => {
  request.resume().on('end', () => response.end(Object.entries(request.headers)
    .map(([name, value]) => 'HTTP_' + name.toUpperCase().replace(/-/g, '_') + '=' + value)
    .concat('REQUEST_METHOD=' + request.method, 'PATH_INFO=' + request.url).join('\\n')));
}).listen(+process.argv[2], '127.0.0.1');";

impl Receiver {
    /// Starts one on a free port.
    #[track_caller]
    pub fn start(kind: Kind) -> Self {
        let start = instant();
        loop {
            let directory = tempfile::tempdir().unwrap();
            let address = SocketAddr::from(([127, 0, 0, 1], fastrand::u16(20_000..32_000)));
            let child = spawn(kind, address, &directory);
            let mut receiver = Self { child, address, _directory: directory };
            if receiver.answers() {
                return receiver;
            }
            assert!(instant().saturating_sub(start) < PATIENCE, "{kind:?} does not start");
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whether it came to listen; if not, the port was taken and it has ended.
    fn answers(&mut self) -> bool {
        let mut ended = false;
        eventually("the receiver listens", || {
            ended = self.child.try_wait().unwrap().is_some();
            ended || TcpStream::connect_timeout(&self.address, Duration::from_secs(1)).is_ok()
        });
        !ended
    }
}

fn spawn(kind: Kind, address: SocketAddr, directory: &TempDir) -> Child {
    let port = address.port().to_string();
    let write = |name: &str, text: &str| {
        let file = directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        file
    };
    let mut command = match kind {
        Kind::Php => {
            write("index.php", PHP);
            let mut command = Command::new("php");
            command.args(["-S", &address.to_string(), "index.php"]);
            command
        }
        Kind::Gunicorn => {
            write("wsgi.py", WSGI);
            let mut command = Command::new("gunicorn");
            command.args(["--bind", &address.to_string(), "wsgi:app"]);
            command
        }
        Kind::Wsgiref => {
            write("wsgi.py", WSGI);
            let mut command = Command::new("python3");
            command.args(["wsgi.py", &port]);
            command
        }
        Kind::Puma => {
            write("config.ru", RACK);
            let mut command = Command::new("puma");
            command.args(["--bind", &format!("tcp://{address}"), "--threads", "1:1", "config.ru"]);
            command
        }
        Kind::LighttpdCgi => {
            write("hook.cgi", CGI);
            let root = directory.path().display();
            let configuration = format!(
                "server.document-root = \"{root}\"\nserver.bind = \"127.0.0.1\"\n\
                 server.port = {port}\nserver.modules = (\"mod_cgi\", \"mod_rewrite\")\n\
                 url.rewrite-once = (\".*\" => \"/hook.cgi\")\n\
                 cgi.assign = (\".cgi\" => \"/bin/sh\")\n"
            );
            let file = write("lighttpd.conf", &configuration);
            let mut command = Command::new("/usr/sbin/lighttpd");
            command.arg("-D").arg("-f").arg(file);
            command
        }
        Kind::Node => {
            write("app.js", NODE);
            let mut command = Command::new("node");
            command.args(["app.js", &port]);
            command
        }
    };
    command
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|fault| panic!("{kind:?} is not there ({fault}); run scripts/setup test"))
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // Asked first, so that those with workers end them.
        let script = format!("kill -TERM {}", self.child.id());
        drop(Command::new("sh").args(["-c", &script]).status());
        let start = instant();
        while instant().saturating_sub(start) < Duration::from_secs(2) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
