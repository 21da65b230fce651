//! Behind a real nginx.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tower_api_key::transport::{ClientInfoLayer, TrustedProxies};

use super::guarded::{HTTPS_REQUIRED, Seen};
use super::listeners::{ask, connect_from};
use super::servers::{Certificate, hyper_plain};

/// The address that nginx connects from. Its clients have others.
const PROXY: &str = "127.0.0.10";

struct Nginx {
    child: Child,
    directory: PathBuf,
    http: SocketAddr,
    https: SocketAddr,
    /// Passes on what its client sent, and adds nothing.
    careless: SocketAddr,
}

impl Nginx {
    async fn start(certificate: &Certificate, upstream: SocketAddr) -> Self {
        // Held until nginx starts, so that neither another test nor the next line gets the same port.
        let held = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [http, https, careless] = held.each_ref().map(|held| held.local_addr().unwrap());
        let directory = std::env::temp_dir().join(format!("nginx-{}-{}", std::process::id(), http.port()));
        fs::create_dir(&directory).unwrap();
        let file = |name: &str| directory.join(name).display().to_string();
        fs::write(file("cert.pem"), certificate.0.cert.pem()).unwrap();
        fs::write(file("key.pem"), certificate.0.signing_key.serialize_pem()).unwrap();
        let headers = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; \
                       proxy_set_header X-Forwarded-Proto $scheme;";
        let server = |listen: String, headers: &str| {
            format!(
                "server {{ listen {listen}; location / {{ proxy_pass http://{upstream}; proxy_bind {PROXY}; {headers} }} }}"
            )
        };
        let config = format!(
            "daemon off; pid {pid}; error_log stderr;\nevents {{}}\nhttp {{\naccess_log off; {paths}\n\
             ssl_certificate {certificate}; ssl_certificate_key {key};\n{}\n{}\n{}\n}}\n",
            server(http.to_string(), headers),
            server(format!("{https} ssl"), headers),
            server(careless.to_string(), ""),
            pid = file("pid"),
            paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|name| format!("{name}_temp_path {};", file(name)))
                .concat(),
            certificate = file("cert.pem"),
            key = file("key.pem"),
        );
        fs::write(file("nginx.conf"), config).unwrap();
        drop(held);
        let child = Command::new("nginx").args(["-c", &file("nginx.conf"), "-p", &file("")]).spawn();
        let nginx = Self { child: child.expect("nginx runs"), directory, http, https, careless };
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(careless).await.is_err() {
            assert!(Instant::now() < deadline, "nginx does not listen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers go when it is asked to go, and stay when it is killed.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

const FORGED: [&[&str]; 5] = [
    &[],
    &["x-forwarded-for: 6.6.6.6", "x-forwarded-proto: https"],
    &["x-forwarded-for: 127.0.0.10, 127.0.0.10", "x-forwarded-proto: https, https"],
    &["x-forwarded-for: 6.6.6.6", "x-forwarded-for: 127.0.0.10", "x-forwarded-proto: https"],
    &["connection: close, x-forwarded-for, x-forwarded-proto", "x-forwarded-for: 6.6.6.6"],
];

/// Cases: 40, 42.
#[tokio::test]
#[ignore = "needs nginx"]
async fn client_behind_nginx_is_identified() {
    let (seen, certificate, mut tasks) = (Seen::default(), Certificate::new(), JoinSet::new());
    let proxies = TrustedProxies::new([PROXY]).unwrap();
    let upstream = hyper_plain(&mut tasks, seen.service(ClientInfoLayer::new().trust(proxies))).await;
    let nginx = Nginx::start(&certificate, upstream).await;
    for from in ["127.0.0.1", "127.0.0.55"] {
        for forged in FORGED {
            let stream = certificate.connect(connect_from(from, nginx.https).await).await.unwrap();
            assert_eq!(ask(stream, forged).await, (200, format!("{from} https=true")), "{forged:?}");
            let reply = ask(connect_from(from, nginx.http).await, forged).await;
            assert_eq!(reply, (403, HTTPS_REQUIRED.to_owned()), "{forged:?}");
        }
        // nginx passes on a header that it does not write. The header makes its sender unknown.
        let invented = ["forwarded: for=6.6.6.6;proto=https"];
        let stream = certificate.connect(connect_from(from, nginx.https).await).await.unwrap();
        assert_eq!(ask(stream, &invented).await, (200, "unknown https=true".to_owned()));
        assert_eq!(ask(connect_from(from, nginx.http).await, &invented).await.0, 403);
        // Headers that bypass nginx are ignored.
        let reply = ask(connect_from(from, upstream).await, &["x-forwarded-proto: https"]).await;
        assert_eq!(reply.0, 403);
    }
}

/// Why a proxy that is trusted must write the headers itself: one that only passes them on lends its trust away.
#[tokio::test]
#[ignore = "needs nginx"]
async fn nginx_without_headers_must_not_be_trusted() {
    let (seen, certificate, mut tasks) = (Seen::default(), Certificate::new(), JoinSet::new());
    let proxies = TrustedProxies::new([PROXY]).unwrap();
    let upstream = hyper_plain(&mut tasks, seen.service(ClientInfoLayer::new().trust(proxies))).await;
    let nginx = Nginx::start(&certificate, upstream).await;
    let forged = ["x-forwarded-for: 6.6.6.6", "x-forwarded-proto: https"];
    let reply = ask(connect_from("127.0.0.55", nginx.careless).await, &forged).await;
    assert_eq!(reply, (200, "6.6.6.6 https=true".to_owned()));
    assert_eq!(ask(connect_from("127.0.0.55", nginx.careless).await, &[]).await.0, 403);
}
