//! The file `marmot` reads: the mounted pipeline, or a copy in memory with the secrets filled in (R36, R37).

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use nix::sys::statfs::{FsType, TMPFS_MAGIC, statfs};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::ser::Formatter;

use super::expand::{self, ExpandError, Variable};

const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);

/// Why there is nothing to run.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The mounted file cannot be read.
    #[error("the pipeline {} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no YAML.
    #[error("the pipeline {} is no YAML{at}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where. Not why: the words of the parser quote the text, and there may be secrets in it.
        at: String,
    },
    /// Its variables cannot be filled in.
    #[error(transparent)]
    Expand(#[from] ExpandError),
    /// Secrets may be written to memory only.
    #[error("{} is not in memory: mount an emptyDir of medium Memory there", .0.display())]
    NotInMemory(PathBuf),
    /// The expanded file cannot be written.
    #[error("{} cannot be written: {source}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The process that expands it could not be started, or ended without an answer.
    #[error("the pipeline cannot be expanded: {0}")]
    NoAnswer(String),
    /// What that process found.
    #[error("{message}")]
    Refused {
        /// Its reason.
        reason: String,
        /// Its words.
        message: String,
    },
}

impl ConfigError {
    /// One stable word for it.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Unreadable { .. } | Self::Syntax { .. } => "InvalidPipeline",
            Self::Expand(_) => "UnsetVariable",
            Self::NotInMemory(_) | Self::Unwritable { .. } => "NoWorkDirectory",
            Self::NoAnswer(_) => "CannotStart",
            Self::Refused { reason, .. } => reason,
        }
    }
}

/// A pipeline ready to be run. A file that was written for it goes when this is dropped.
#[derive(Debug)]
pub struct Config {
    /// The file for `marmot -c`.
    pub path: PathBuf,
    /// Source keys of all its entries.
    pub sources: usize,
    /// Values that came in by `${NAME}`.
    pub values: Vec<String>,
    written: bool,
}

/// What [`expand_for_parent`] prints. Without values: the parent has the same environment.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Answer {
    written: bool,
    sources: usize,
    variables: Vec<String>,
}

/// Why it did not: a [`ConfigError`] on its way to the parent.
#[derive(Deserialize, Serialize)]
struct Refusal {
    reason: String,
    message: String,
}

impl Config {
    /// Reads the mounted pipeline and expands it. One without anything to expand is used where it lies.
    ///
    /// A process of its own does that: a tree of a large pipeline is several times its size, and this process stays beside
    /// `marmot` to the end.
    ///
    /// # Errors
    ///
    /// See [`ConfigError`]; its words name the place in the pipeline and hold no values.
    pub fn expanded(path: &Path, work_dir: &Path) -> Result<Self, ConfigError> {
        let no_answer = |error: &dyn std::fmt::Display| ConfigError::NoAnswer(error.to_string());
        let target = file_in(work_dir);
        let program = std::env::current_exe().map_err(|error| no_answer(&error))?;
        let mut child = Command::new(program);
        child.args(["runner", "expand"]).args([path, &target]).stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = child.output().map_err(|error| no_answer(&error))?;
        let answer: Result<Answer, Refusal> =
            serde_json::from_slice(&output.stdout).map_err(|_| no_answer(&output.status))?;
        let Answer { written, sources, variables } =
            answer.map_err(|Refusal { reason, message }| ConfigError::Refused { reason, message })?;
        let values = variables.iter().filter_map(|name| std::env::var(name).ok()).collect();
        let path = if written { target } else { path.to_owned() };
        Ok(Self { path, sources, values, written })
    }

    /// A pipeline of nothing but a name, which is all that `--destroy` reads.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn named(pipeline: &str, work_dir: &Path) -> Result<Self, ConfigError> {
        let path = file_in(work_dir);
        write(&path, &serde_json::json!({ "name": pipeline }))?;
        Ok(Self { path, sources: 0, values: Vec::new(), written: true })
    }
}

/// `runner expand`: does the work of [`Config::expanded`] and prints what came of it.
pub(super) fn expand_for_parent(path: &Path, target: &Path) -> ExitCode {
    let answer = expand_to(path, target)
        .map_err(|error| Refusal { reason: error.reason().to_owned(), message: error.to_string() });
    let printed = serde_json::to_string(&answer).map(|line| writeln!(io::stdout(), "{line}"));
    if matches!(printed, Ok(Ok(()))) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn expand_to(path: &Path, target: &Path) -> Result<Answer, ConfigError> {
    let text = fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    let mut pipeline: Value = serde_saphyr::from_str(&text)
        .map_err(|error| ConfigError::Syntax { path: path.to_owned(), at: place(&error) })?;
    drop(text);
    let expanded = expand::expand(&mut pipeline, environment)?;
    if expanded.changed {
        write(target, &pipeline)?;
    }
    let sources = pipeline.get("runs").and_then(Value::as_array).into_iter().flatten();
    let sources = sources.filter_map(Value::as_object).map(serde_json::Map::len).sum();
    Ok(Answer { written: expanded.changed, sources, variables: expanded.variables.into_iter().collect() })
}

impl Drop for Config {
    fn drop(&mut self) {
        if self.written {
            // It is in memory, and goes with the pod at the latest.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn place(error: &serde_saphyr::Error) -> String {
    let place = error.location();
    place.map(|place| format!(" at line {}, column {}", place.line(), place.column())).unwrap_or_default()
}

fn environment(name: &str) -> Variable {
    match std::env::var(name) {
        Ok(value) => Variable::Text(value),
        Err(std::env::VarError::NotUnicode(_)) => Variable::Bytes,
        Err(std::env::VarError::NotPresent) => Variable::Unset,
    }
}

/// Where the expanded pipeline lies.
fn file_in(work_dir: &Path) -> PathBuf {
    work_dir.join(format!("pipeline-{}.yaml", std::process::id()))
}

/// Writes a pipeline that only its owner may read.
fn write(path: &Path, pipeline: &Value) -> Result<(), ConfigError> {
    let unwritable = |path: &Path, source| ConfigError::Unwritable { path: path.to_owned(), source };
    let work_dir = path.parent().unwrap_or(path);
    let medium = statfs(work_dir).map_err(|error| unwritable(work_dir, error.into()))?.filesystem_type();
    if medium != TMPFS_MAGIC && medium != RAMFS_MAGIC {
        return Err(ConfigError::NotInMemory(work_dir.to_owned()));
    }
    let result = (|| {
        // A container that was started again in the same pod finds the file of its predecessor.
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(&yaml(pipeline)?)
    })();
    result.map_err(|source| unwritable(path, source))
}

/// JSON that YAML 1.1 reads as the same: what YAML takes for a line break or does not allow is escaped.
fn yaml(pipeline: &Value) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    pipeline.serialize(&mut serde_json::Serializer::with_formatter(&mut text, Yaml))?;
    text.push(b'\n');
    Ok(text)
}

struct Yaml;

impl Formatter for Yaml {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        for letter in fragment.chars() {
            match letter {
                '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                    write!(writer, "\\u{:04x}", u32::from(letter))?;
                }
                _ => write!(writer, "{letter}")?,
            }
        }
        Ok(())
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // R36
    #[test]
    fn what_is_written_reads_the_same_as_yaml() {
        let pipeline = json!({ "name": "x", "runs": [{ "pg": {
            "text": "a\"b\\c\n\t\u{85}\u{2028}\u{feff}\u{7f}😀 - : # {}", "no": "no", "big": 9_007_199_254_740_993_i64,
            "half": 0.5, "null": null, "list": [], "map": {},
        } }] });
        let text = String::from_utf8(yaml(&pipeline).unwrap()).unwrap();
        assert!(text.contains("\\u0085\\u2028\\ufeff\\u007f"), "{text}");
        assert_eq!(serde_saphyr::from_str::<Value>(&text).unwrap(), pipeline);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), pipeline);
    }

    // R37: the parser's own words would quote the line.
    #[test]
    fn no_yaml_is_said_without_the_text() {
        let error = serde_saphyr::from_str::<Value>("a: b\npassword: 'hunter2\nx").unwrap_err();
        assert!(place(&error).starts_with(" at line ") && !place(&error).contains("hunter"), "{}", place(&error));
    }

    // R37
    #[test]
    fn secrets_are_written_to_memory_only_and_go_afterwards() {
        use std::os::unix::fs::PermissionsExt as _;
        let on_disk = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(matches!(Config::named("x", on_disk), Err(ConfigError::NotInMemory(_))));
        let config = Config::named("x", Path::new("/dev/shm")).unwrap();
        let path = config.path.clone();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"name\": \"x\"}\n");
        drop(config);
        assert!(!path.exists());
    }
}
