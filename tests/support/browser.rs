//! Chromium, driven through its `WebDriver`. Debian's packages are `chromium` and `chromium-driver`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
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
pub(crate) struct Browser {
    pub(crate) client: Client,
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
    /// Starts one whose screenshots are left in this directory of `target`.
    pub(crate) async fn start(directory: &str) -> Self {
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
        let screenshots = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(directory);
        std::fs::create_dir_all(&screenshots).expect("a directory");
        let browser = Self { client, screenshots, _driver: driver };
        browser.look_like(1280, 900, "light").await;
        browser
    }

    pub(crate) async fn find(&self, css: &str) -> Element {
        let found = self.client.wait().at_most(PATIENCE).for_element(Locator::Css(css)).await;
        found.unwrap_or_else(|error| panic!("{css}: {error}"))
    }

    pub(crate) async fn click(&self, css: &str) {
        self.until_shown(css).await;
        self.find(css).await.click().await.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// Types in place of what is there.
    pub(crate) async fn fill(&self, css: &str, text: &str) {
        self.until_shown(css).await;
        let element = self.find(css).await;
        element.clear().await.expect("a field");
        element.send_keys(text).await.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// Presses keys wherever the focus is.
    pub(crate) async fn press(&self, keys: &str) {
        self.client.active_element().await.expect("a focus").send_keys(keys).await.expect("keys");
    }

    pub(crate) async fn choose(&self, css: &str, value: &str) {
        self.until_shown(css).await;
        self.find(css).await.select_by_value(value).await.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    pub(crate) async fn text(&self, css: &str) -> String {
        let text = self.run(&format!("return document.querySelector({}).textContent", json!(css))).await;
        text.as_str().expect("a text").to_owned()
    }

    pub(crate) async fn run(&self, script: &str) -> Value {
        self.client.execute(script, vec![]).await.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Waits until this expression is true.
    pub(crate) async fn until(&self, expression: &str) {
        let start = Instant::now();
        while self.run(&format!("return Boolean({expression})")).await != json!(true) {
            if start.elapsed() > PATIENCE {
                self.screenshot("failed").await;
                panic!("never came true: {expression}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn until_shown(&self, css: &str) {
        self.until(&format!("document.querySelector({})?.checkVisibility()", json!(css))).await;
    }

    pub(crate) async fn clipboard(&self) -> String {
        let script =
            "const done = arguments[0]; navigator.clipboard.readText().then(done, (error) => done(`${error}`))";
        let text = self.client.execute_async(script, vec![]).await.expect("an answer");
        text.as_str().expect("a text").to_owned()
    }

    /// Looks at this state on a desktop and on a phone, in light and dark: nothing is cut off, axe-core finds nothing, and
    /// screenshots are left.
    pub(crate) async fn screenshot(&self, state: &str) {
        for (device, width, height) in [("desktop", 1280, 900), ("phone", 320, 740)] {
            for scheme in ["light", "dark"] {
                self.look_like(width, height, scheme).await;
                let png = self.client.screenshot().await.expect("a screenshot");
                let file = self.screenshots.join(format!("{state}-{device}-{scheme}.png"));
                std::fs::write(file, png).expect("a file");
                let wide = self.run(TOO_WIDE).await;
                assert_eq!(wide, json!([]), "{state} is too wide for {width} pixels");
                let violations = self.violations().await;
                assert_eq!(violations, Vec::<String>::new(), "{state} on a {device}, {scheme}");
            }
        }
        self.look_like(1280, 900, "light").await;
    }

    /// What axe-core has against the page as it is.
    pub(crate) async fn violations(&self) -> Vec<String> {
        if self.run("return typeof axe").await == json!("undefined") {
            self.run(AXE.get_or_init(axe)).await;
        }
        let script = "const done = arguments[0]; axe.run().then((found) => done(found.violations.map((violation) => \
             `${violation.id}: ${violation.nodes.map((node) => node.html).join(' ')}`)), (error) => done([`${error}`]))";
        let found = self.client.execute_async(script, vec![]).await.expect("an answer");
        found.as_array().expect("a list").iter().map(|text| text.as_str().expect("a text").to_owned()).collect()
    }

    async fn look_like(&self, width: u32, height: u32, scheme: &str) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.chrome("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.chrome("Emulation.setEmulatedMedia", json!({ "features": scheme })).await;
    }

    pub(crate) async fn chrome(&self, cmd: &'static str, params: Value) {
        self.client.issue_cmd(Chrome { cmd, params }).await.unwrap_or_else(|error| panic!("{cmd}: {error}"));
    }
}

/// Every element that is shown and reaches beyond the right edge of the screen.
const TOO_WIDE: &str = "const edge = document.documentElement.clientWidth; \
    const isClipped = (element) => element && (getComputedStyle(element).clipPath !== 'none' || isClipped(element.parentElement)); \
    return [...document.querySelectorAll('body *')].filter((element) => element.checkVisibility() && !isClipped(element) \
        && element.getBoundingClientRect().right > edge + 1).map((element) => element.outerHTML.slice(0, 80))";

static AXE: OnceLock<String> = OnceLock::new();

/// The source of axe-core, of the package axe-core of npm.
fn axe() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/axe/node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(&file).unwrap_or_else(|error| {
        panic!("{error}: {}: npm install --ignore-scripts --prefix target/axe axe-core@4.14.1", file.display())
    })
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
