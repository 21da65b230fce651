use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::http::Method;
use fantoccini::elements::Element;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use url::{ParseError, Url};

const PATIENCE: Duration = Duration::from_secs(30);

/// A Chromium with one page.
pub(super) struct Browser {
    pub(super) client: Client,
    screenshots: PathBuf,
    _driver: Driver,
}

struct Driver(Child);

/// A command of Chrome's own protocol.
#[derive(Debug)]
struct Chrome {
    cmd: &'static str,
    params: Value,
}

impl Browser {
    pub(super) async fn start() -> Self {
        let mut child = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .spawn()
            .expect("chromedriver, of the package chromium-driver");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let driver = Driver(child);
        let started = "started successfully on port ";
        let port = lines.find_map(|line| Some(line.split_once(started)?.1.trim_end_matches('.').to_owned()));
        let port: u16 = port.and_then(|port| port.parse().ok()).expect("a port");
        // Reads the rest, so that chromedriver never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));

        // Chromium does not run as root with its sandbox. It loads only the page of this server.
        let args = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--lang=en-US"];
        let options = json!({"goog:chromeOptions": {"args": args}});
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(options.as_object().unwrap().clone())
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("a browser");
        let screenshots = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/mission-control");
        std::fs::create_dir_all(&screenshots).expect("a directory");
        let browser = Self { client, screenshots, _driver: driver };
        browser.look_like(1280, 900, "light").await;
        browser
    }

    pub(super) async fn find(&self, css: &str) -> Element {
        let found = self.client.wait().at_most(PATIENCE).for_element(Locator::Css(css)).await;
        found.unwrap_or_else(|error| panic!("{css}: {error}"))
    }

    pub(super) async fn click(&self, css: &str) {
        self.until_shown(css).await;
        self.find(css).await.click().await.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// Types in place of what is there.
    pub(super) async fn fill(&self, css: &str, text: &str) {
        self.until_shown(css).await;
        let element = self.find(css).await;
        element.clear().await.expect("a field");
        element.send_keys(text).await.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// Presses keys wherever the focus is.
    pub(super) async fn press(&self, keys: &str) {
        self.client.active_element().await.expect("a focus").send_keys(keys).await.expect("keys");
    }

    pub(super) async fn choose(&self, css: &str, value: &str) {
        self.until_shown(css).await;
        self.find(css).await.select_by_value(value).await.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    pub(super) async fn text(&self, css: &str) -> String {
        let text = self.run(&format!("return document.querySelector({}).textContent", json!(css))).await;
        text.as_str().expect("a text").to_owned()
    }

    pub(super) async fn run(&self, script: &str) -> Value {
        self.client.execute(script, vec![]).await.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Waits until this expression is true.
    pub(super) async fn until(&self, expression: &str) {
        let start = Instant::now();
        while self.run(&format!("return Boolean({expression})")).await != json!(true) {
            if start.elapsed() > PATIENCE {
                self.screenshot("failed").await;
                panic!("never came true: {expression}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(super) async fn until_shown(&self, css: &str) {
        self.until(&format!("document.querySelector({})?.checkVisibility()", json!(css))).await;
    }

    pub(super) async fn clipboard(&self) -> String {
        let script =
            "const done = arguments[0]; navigator.clipboard.readText().then(done, (error) => done(`${error}`))";
        let text = self.client.execute_async(script, vec![]).await.expect("an answer");
        text.as_str().expect("a text").to_owned()
    }

    /// A screenshot of this state at desktop and phone width, in light and dark. Nothing may be wider than the screen.
    pub(super) async fn screenshot(&self, state: &str) {
        for (device, width, height) in [("desktop", 1280, 900), ("phone", 360, 740)] {
            for scheme in ["light", "dark"] {
                self.look_like(width, height, scheme).await;
                let overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
                assert_eq!(self.run(overflow).await, json!(0), "{state} is too wide for {width} pixels");
                let png = self.client.screenshot().await.expect("a screenshot");
                let file = self.screenshots.join(format!("{state}-{device}-{scheme}.png"));
                std::fs::write(file, png).expect("a file");
            }
        }
        self.look_like(1280, 900, "light").await;
    }

    async fn look_like(&self, width: u32, height: u32, scheme: &str) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.chrome("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.chrome("Emulation.setEmulatedMedia", json!({ "features": scheme })).await;
    }

    pub(super) async fn chrome(&self, cmd: &'static str, params: Value) {
        self.client.issue_cmd(Chrome { cmd, params }).await.unwrap_or_else(|error| panic!("{cmd}: {error}"));
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl WebDriverCompatibleCommand for Chrome {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(json!({"cmd": self.cmd, "params": self.params}).to_string()))
    }
}
