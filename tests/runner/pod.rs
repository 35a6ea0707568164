//! The ingestion container without a container: its files, its environment, its entry point.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use marmot_operator::runner::report::Report;
use serde_json::Value;

/// Longest wait for anything that is expected to happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Its directories go when it is dropped.
pub struct Pod {
    /// Where its files are.
    pub dir: PathBuf,
    /// Where its files in memory are.
    pub memory: PathBuf,
    /// Its environment; nothing of the test's own gets in.
    pub env: BTreeMap<String, String>,
    /// More flags for the runner.
    pub flags: Vec<String>,
}

/// How a container ended.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
    /// The termination message as it stands in the file.
    pub message: String,
}

impl Ended {
    /// The termination message, read.
    pub fn report(&self) -> Report {
        Report::parse(&self.message).unwrap_or_else(|| panic!("{:?}: {}", self.message, self.stderr))
    }

    /// Outcome, reason and exit code.
    pub fn verdict(&self) -> (String, String, i32) {
        let report = self.report();
        (format!("{:?}", report.outcome), report.reason, self.code.unwrap_or(-1))
    }
}

impl Pod {
    /// With the real `marmot` and its plugin `shelf`.
    pub fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("runner-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let (dir, memory) = (Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name), Path::new("/dev/shm").join(&name));
        fs::create_dir_all(&dir).unwrap();
        fs::create_dir_all(&memory).unwrap();
        fs::write(dir.join("termination-log"), "").unwrap();
        let bin = programs();
        let env = BTreeMap::from([
            ("PATH".to_owned(), format!("{}:/usr/bin:/bin", bin.display())),
            ("HOME".to_owned(), dir.display().to_string()),
            ("TMPDIR".to_owned(), dir.display().to_string()),
            ("MARMOT_API_KEY".to_owned(), "key-of-the-tests".to_owned()),
            ("MARMOT_PLUGINS_DIR".to_owned(), bin.join("plugins").display().to_string()),
            ("MARMOT_PLUGINS_AUTOINSTALL".to_owned(), "false".to_owned()),
        ]);
        Self { dir, memory, env, flags: Vec::new() }
    }

    /// With the pipeline the operator would mount.
    pub fn with_runs(runs: &Value) -> Self {
        let pod = Self::new();
        let text = marmot_operator::pipeline::render("books", &runs.to_string()).unwrap();
        fs::write(pod.dir.join("pipeline.yaml"), text).unwrap();
        pod
    }

    /// With a shell script in the place of `marmot`.
    pub fn with_script(script: &str) -> Self {
        let mut pod = Self::with_runs(&serde_json::json!([{ "shelf": {} }]));
        let path = pod.dir.join("marmot.sh");
        fs::write(&path, format!("#!/bin/sh\ncd '{}'\n{script}\n", pod.dir.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        pod.flags.push(format!("--marmot={}", path.display()));
        pod
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    pub fn ingest(&self) -> Ended {
        wait(self.start_ingest(), self)
    }

    pub fn destroy(&self) -> Ended {
        wait(self.start(&["destroy", "--pipeline=books"]), self)
    }

    pub fn start_ingest(&self) -> Child {
        let config = format!("--config={}", self.dir.join("pipeline.yaml").display());
        self.start(&["ingest", &config])
    }

    fn start(&self, arguments: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_marmot-operator"))
            .arg("runner")
            .args(arguments)
            .arg(format!("--work-dir={}", self.memory.display()))
            .arg(format!("--termination-log={}", self.dir.join("termination-log").display()))
            .args(&self.flags)
            .env_clear()
            .envs(&self.env)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Waits for a file to be written, and returns what is in it.
    pub fn file(&self, name: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            match fs::read_to_string(self.dir.join(name)) {
                Ok(text) if !text.is_empty() => return text.trim().to_owned(),
                _ => assert!(Instant::now() < until, "{name} never came"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
        let _ = fs::remove_dir_all(&self.memory);
    }
}

/// Waits for a container's end.
pub fn wait(child: Child, pod: &Pod) -> Ended {
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    assert_eq!(fs::read_dir(&pod.memory).unwrap().count(), 0, "the expanded file is gone");
    let message = fs::read_to_string(pod.dir.join("termination-log")).unwrap();
    Ended { code: status.code(), stdout, stderr: String::from_utf8_lossy(&stderr).into_owned(), message }
}

/// Sends a signal.
pub fn signal(pid: u32, signal: &str) {
    let sent = Command::new("kill").args(["-s", signal, &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Whether a process runs. One that has ended and is not taken in by its parent yet does not.
pub fn is_running(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|fields| !fields.is_empty() && !fields.starts_with('Z'))
}

/// The folder of the real `marmot`. Building it takes half a minute, which a test must not do in silence.
fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/marmot/build.sh");
        let output = Command::new(script).arg("--where").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).lines().last().unwrap().into()
    })
}
