//! nginx, if it is installed, in front of the bare route: with a map of keys it accepts those that are in it.

use std::fmt::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use tower_api_key::BoxError;

use crate::contender::BARE;
use crate::databases::Databases;
use crate::keys;
use crate::process::{Process, Server};

/// The shell ends nginx when its own input ends, as the other servers end.
const RUN: &str = "nginx -c \"$1\" -p \"$2\" & server=$!; cat > /dev/null; kill $server; wait $server";

pub(crate) fn version() -> Result<String, BoxError> {
    let output = Command::new("nginx").arg("-v").output()?;
    let version = String::from_utf8_lossy(&output.stderr);
    Ok(version.trim().trim_start_matches("nginx version: ").replace('/', " "))
}

pub(crate) fn start(databases: &Databases) -> Result<Server, BoxError> {
    let backend = Server::start_router(BARE, databases)?;
    let dir = databases.dir.join("nginx");
    std::fs::create_dir_all(&dir)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let path = |name: &str| dir.join(name).display().to_string();
    let keys = (0..keys::STORED).fold(String::new(), |mut map, number| {
        let _ = writeln!(map, "{} 1;", keys::text(number));
        map
    });
    std::fs::write(path("keys"), keys)?;
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary.map(|name| format!("{name}_temp_path {};", path(name))).join("\n    ");
    let configuration = format!(
        "daemon off;
worker_processes auto;
pid {};
error_log stderr error;
events {{}}
http {{
    access_log off;
    {temporary}
    keepalive_requests 1000000000;
    map_hash_max_size 65536;
    map_hash_bucket_size 256;
    map $http_x_avala_api_key $known {{ default 0; include {}; }}
    upstream bare {{ server 127.0.0.1:{}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            if ($known = 0) {{ return 401; }}
            proxy_pass http://bare;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
        }}
    }}
}}
",
        path("pid"),
        path("keys"),
        backend.port,
    );
    std::fs::write(path("nginx.conf"), configuration)?;
    // Held until now, so that no other program gets the port.
    drop(listener);
    let process = Process::start(Command::new("sh").args(["-c", RUN, "sh", &path("nginx.conf"), &path("")]))?;
    let start = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        if start.elapsed() > Duration::from_secs(30) {
            return Err("it does not listen".into());
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(backend.behind(port, process, version()?))
}
