//! A Chromium of its own for each test, driven by the driver that comes with it.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use thirtyfour::prelude::*;

use crate::support::node::free_address;

/// Longest wait for something to show.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Chromium {
    pub driver: WebDriver,
    service: Child,
    _profile: tempfile::TempDir,
    pictures: PathBuf,
}

impl Chromium {
    /// Opens one; its pictures are kept under this name.
    pub(super) async fn open(name: &str) -> Self {
        let address = free_address();
        let service = Command::new("chromedriver")
            .arg(format!("--port={}", address.port()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver: run tests/browser.sh once, it installs what these tests need");
        let profile = tempfile::tempdir().expect("a folder");
        let mut caps = DesiredCapabilities::chrome();
        for arg in [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--window-size=1280,900",
            "--lang=en-GB",
        ] {
            caps.add_arg(arg).expect("an argument");
        }
        caps.add_arg(&format!("--user-data-dir={}", profile.path().display())).expect("an argument");
        let begun = Instant::now();
        let driver = loop {
            match WebDriver::new(&format!("http://{address}"), caps.clone()).await {
                Ok(driver) => break driver,
                Err(error) => assert!(begun.elapsed() < PATIENCE, "Chromium does not start: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let pictures = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("screenshots").join(name);
        std::fs::create_dir_all(&pictures).expect("a folder");
        Self { driver, service, _profile: profile, pictures }
    }

    pub(super) async fn close(mut self) {
        self.driver.clone().quit().await.expect("quits");
        self.service.kill().expect("killed");
        self.service.wait().expect("gone");
    }

    pub(super) async fn go(&self, url: &str) {
        self.driver.goto(url).await.expect("a page");
    }

    /// A picture of the page as it is.
    pub(super) async fn picture(&self, name: &str) {
        let png = self.driver.screenshot_as_png().await.expect("a picture");
        std::fs::write(self.pictures.join(format!("{name}.png")), png).expect("kept");
    }

    pub(super) async fn find(&self, css: &str) -> WebElement {
        let begun = Instant::now();
        loop {
            match self.driver.find(By::Css(css)).await {
                Ok(found) => return found,
                Err(error) if begun.elapsed() > PATIENCE => {
                    panic!("{css} does not show: {error}\n{}", self.text().await)
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    async fn try_fill(&self, css: &str, text: &str) -> WebDriverResult<()> {
        let field = self.driver.find(By::Css(css)).await?;
        field.clear().await?;
        field.send_keys(text).await
    }

    /// Types in place of what a field holds.
    pub(super) async fn fill(&self, css: &str, text: &str) {
        let begun = Instant::now();
        while let Err(error) = self.try_fill(css, text).await {
            assert!(begun.elapsed() < PATIENCE, "{css} cannot be filled: {error}\n{}", self.text().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(super) async fn click(&self, css: &str) {
        let found = self.find(css).await;
        found.scroll_into_view().await.expect("scrolled");
        found.click().await.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// Presses the button or link of this text. The page may put it in anew while it is looked for.
    pub(super) async fn press(&self, text: &str) {
        let path = format!("//*[self::button or self::a][normalize-space()=\"{text}\"]");
        let begun = Instant::now();
        loop {
            let pressed = async {
                let found = self.driver.find(By::XPath(&path)).await?;
                found.scroll_into_view().await?;
                found.click().await
            };
            match pressed.await {
                Ok(()) => return,
                Err(_) if begun.elapsed() < PATIENCE => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(error) => panic!("no button {text:?}: {error}\n{}", self.text().await),
            }
        }
    }

    /// All text of the page.
    pub(super) async fn text(&self) -> String {
        match self.driver.find(By::Tag("body")).await {
            Ok(body) => body.text().await.unwrap_or_default(),
            Err(error) => error.to_string(),
        }
    }

    /// Waits, without loading anything, until the page says this.
    pub(super) async fn says(&self, text: &str) {
        let begun = Instant::now();
        while !self.text().await.contains(text) {
            assert!(begun.elapsed() < PATIENCE, "the page never says {text:?}:\n{}", self.text().await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub(super) async fn run(&self, script: &str) -> Value {
        self.driver.execute(script, Vec::new()).await.expect("runs").json().clone()
    }

    /// How wide, and light or dark, as a device would be.
    pub(super) async fn device(&self, width: u32, scheme: &str) {
        let metrics = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.driver.cdp().send_raw("Emulation.setDeviceMetricsOverride", metrics).await.expect("a size");
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.driver.cdp().send_raw("Emulation.setEmulatedMedia", media).await.expect("a scheme");
    }

    pub(super) async fn sign_in(&self, base: &str, name: &str, password: &str) {
        self.go(&format!("{base}/sign-in")).await;
        self.fill("#name", name).await;
        self.fill("#password", password).await;
        self.press("Sign in").await;
        self.find("nav[aria-label=Main]").await;
    }

    /// What axe finds wrong with the page, in words.
    pub(super) async fn complaints(&self) -> Vec<String> {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/node_modules/axe-core/axe.min.js");
        let axe =
            std::fs::read_to_string(source).expect("axe-core: run tests/browser.sh once, it installs what these tests need");
        self.driver.execute(&axe, Vec::new()).await.expect("axe loads");
        let script = "const done = arguments[arguments.length - 1];
            axe.run(document, { resultTypes: ['violations'] }).then(
                (found) => done(found.violations.map((one) => one.id + ': ' + one.help + ' ' + one.nodes.map((node) => node.html + ' ' + (node.any[0]?.message ?? '')).join(' | '))),
                (error) => done(['axe failed: ' + error]));";
        let found = self.driver.execute_async(script, Vec::new()).await.expect("axe runs");
        serde_json::from_value(found.json().clone()).expect("texts")
    }
}
