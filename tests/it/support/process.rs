//! A node in a process of its own, to be killed.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
#[cfg(target_os = "linux")]
use rustix::process::{Resource, Rlimit, prlimit};

use super::{TOKEN, http};

/// A running `wicketgate serve` or `wicketgate relay`.
pub struct Process {
    pub url: String,
    config: PathBuf,
    command: &'static str,
    child: Option<Child>,
}

impl Process {
    /// Writes the configuration beside the data folder; does not start yet.
    pub fn new(command: &'static str, url: &str, folder: &Path, config: &str) -> Self {
        let path = folder.join(format!("{command}.toml"));
        std::fs::write(&path, config).expect("written");
        Self { url: url.to_owned(), config: path, command, child: None }
    }

    /// Starts it and waits until it is ready.
    pub async fn start(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.config.with_extension("log")).expect("a log");
        self.child = Some(self.program().stderr(log).spawn().expect("starts"));
        let http = http();
        for _ in 0..400 {
            let answer = http.get(format!("{}/readyz", self.url)).timeout(Duration::from_secs(2)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{} did not become ready:\n{}", self.command, self.log());
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("killed");
            child.wait().expect("gone");
        }
    }

    /// `SIGTERM`: how it ended, and after how long.
    pub fn terminate(&mut self) -> (ExitStatus, Duration) {
        let mut child = self.child.take().expect("it runs");
        let begun = Instant::now();
        let pid = Pid::from_child(&child);
        kill_process(pid, Signal::TERM).expect("told");
        let status = child.wait().expect("gone");
        (status, begun.elapsed())
    }

    /// Starts it where it must not come up: its exit code and what it complained of.
    pub fn refused(&self) -> (Option<i32>, String) {
        let output = self.program().stderr(Stdio::piped()).output().expect("runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// No file that it writes may grow beyond this; `None`: as large as it likes.
    #[cfg(target_os = "linux")]
    pub fn limit_files(&self, most: Option<u64>) {
        let child = self.child.as_ref().expect("it runs");
        let limit = Rlimit { current: most, maximum: None };
        prlimit(Some(Pid::from_child(child)), Resource::Fsize, limit).expect("limited");
    }

    fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wicketgate"));
        command.arg(self.command).arg("--config").arg(&self.config).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// `kill -9` to the children that run its rules: how many there were.
    #[cfg(target_os = "linux")]
    pub fn kill_workers(&self) -> usize {
        let of_ours = |id: &i32| {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
            parent == Some(self.pid())
        };
        let processes = std::fs::read_dir("/proc").expect("processes").flatten();
        let workers: Vec<i32> = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(of_ours).collect();
        for worker in &workers {
            kill_process(Pid::from_raw(*worker).expect("a process"), Signal::KILL).expect("killed");
        }
        workers.len()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.config.with_extension("log")).unwrap_or_default()
    }

    /// What the API answers.
    pub async fn api(&self, method: &str, path: &str, body: Option<serde_json::Value>) -> (u16, serde_json::Value) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request =
            http().request(method, format!("{}/api/v1{path}", self.url)).bearer_auth(TOKEN).timeout(Duration::from_secs(10));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may be gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
