//! Other proxies, if they are installed: nginx passing everything through, nginx with Lua that
//! verifies and removes copies, HAProxy that verifies.

use crate::event::SECRET;
use crate::process::{Process, free_port, local};
use crate::subject::{Subject, is_installed};
use std::path::Path;
use std::process::Command;

/// Verifies and claims as little as possible: one secret, one signature, an id found by a pattern
/// and not by parsing, no freshness, and a claim that a failed delivery releases.
const LUA: &str = r#"
    lua_shared_dict seen 200m;
    init_by_lua_block {
        local ffi = require "ffi"
        ffi.cdef[[
            const void *EVP_sha256(void);
            unsigned char *HMAC(const void *md, const void *key, int key_len,
                const unsigned char *d, size_t n, unsigned char *out, unsigned int *out_len);
        ]]
        local crypto = ffi.load("libcrypto.so.3")
        local out, length = ffi.new("unsigned char[32]"), ffi.new("unsigned int[1]")
        local byte, format = string.byte, string.format
        local hex = {}
        for i = 0, 255 do hex[i] = format("%02x", i) end
        local sha256, secret = crypto.EVP_sha256(), "@SECRET@"
        function check()
            ngx.req.read_body()
            local body = ngx.req.get_body_data()
            crypto.HMAC(sha256, secret, #secret, body, #body, out, length)
            local text = {}
            for i = 0, 31 do text[i + 1] = hex[out[i]] end
            if ngx.var.http_x_signature ~= "sha256=" .. table.concat(text) then
                return ngx.exit(401)
            end
            local id = body:match('"event_id":"([^"]+)"')
            if not ngx.shared.seen:add(id, true, 345600) then
                return ngx.exit(200)
            end
            ngx.ctx.id = id
        end
        function settle()
            if ngx.ctx.id and ngx.status >= 300 then ngx.shared.seen:delete(ngx.ctx.id) end
        end
    }
"#;

const LUA_HOOKS: &str = "access_by_lua_block { check() } log_by_lua_block { settle() }";

/// Every peer that is installed.
pub fn all(upstream: u16, directory: &Path) -> Vec<Subject> {
    let mut peers = Vec::new();
    if is_installed("nginx", "-v") {
        peers.push(nginx("nginx", false, upstream, directory));
        let module = Path::new("/usr/lib/nginx/modules/ngx_http_lua_module.so");
        if module.exists() {
            peers.push(nginx("nginx-lua", true, upstream, directory));
        }
    }
    if is_installed("haproxy", "-v") {
        peers.push(haproxy(upstream, directory));
    }
    peers
}

fn nginx(key: &'static str, with_lua: bool, upstream: u16, directory: &Path) -> Subject {
    let directory = directory.join(key);
    std::fs::create_dir_all(&directory).expect("a directory");
    let port = free_port();
    let place = directory.display();
    let (load, lua, hooks) = if with_lua {
        let load = "load_module /usr/lib/nginx/modules/ndk_http_module.so;\n\
                    load_module /usr/lib/nginx/modules/ngx_http_lua_module.so;";
        (load, LUA.replace("@SECRET@", SECRET), LUA_HOOKS)
    } else {
        ("", String::new(), "")
    };
    // Bodies stay in memory, connections open, and nothing is logged.
    let text = format!(
        "{load}\ndaemon off; master_process off; pid {place}/pid; error_log stderr error;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n{lua}\naccess_log off; client_max_body_size 2m; client_body_buffer_size 2m;\n\
         client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;\n\
         fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;\n\
         keepalive_requests 100000000;\n\
         upstream erp {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 100000000; }}\n\
         server {{ listen 127.0.0.1:{port};\n\
         location / {{ {hooks} proxy_pass http://erp; proxy_http_version 1.1;\n\
         proxy_set_header Connection \"\"; }} }} }}\n"
    );
    let file = directory.join("nginx.conf");
    std::fs::write(&file, text).expect("a file");
    let mut command = Command::new("nginx");
    command.arg("-p").arg(&directory).arg("-c").arg(&file);
    let process = Process::start(&mut command, port, &directory.join("log"));
    Subject { key, process, address: local(port) }
}

fn haproxy(upstream: u16, directory: &Path) -> Subject {
    let port = free_port();
    let key = data_encoding::BASE64.encode(SECRET.as_bytes());
    let text = format!(
        "global\n  nbthread 1\n  maxconn 1000\n\
         defaults\n  mode http\n  timeout client 60s\n  timeout server 60s\n  timeout connect 5s\n\
         \x20 option http-buffer-request\n  option http-keep-alive\n  http-reuse always\n\
         frontend in\n  bind 127.0.0.1:{port}\n\
         \x20 http-request set-var(txn.key) str({key})\n\
         \x20 http-request set-var(txn.have) req.body,hmac(sha256,txn.key),hex,lower\n\
         \x20 http-request set-var(txn.want) req.hdr(x-signature),field(2,=)\n\
         \x20 http-request deny deny_status 401 unless {{ var(txn.have),strcmp(txn.want) eq 0 }}\n\
         \x20 default_backend erp\n\
         backend erp\n  server erp 127.0.0.1:{upstream}\n"
    );
    let file = directory.join("haproxy.cfg");
    std::fs::write(&file, text).expect("a file");
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(&file);
    let process = Process::start(&mut command, port, &directory.join("haproxy.log"));
    Subject { key: "haproxy-hmac", process, address: local(port) }
}
