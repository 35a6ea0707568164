//! The init container's part: a copy of this program where the ingestion container can run it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Name of the copy.
pub const PROGRAM: &str = "marmot-operator";

/// Copies this program into a directory and returns the copy's path. The copy appears whole or not at all, and anybody
/// may run it: the ingestion container may have another user.
///
/// # Errors
///
/// Where this program cannot be read or the directory not be written.
pub fn install(directory: &Path) -> io::Result<PathBuf> {
    let (unfinished, program) = (directory.join(".unfinished"), directory.join(PROGRAM));
    fs::copy(std::env::current_exe()?, &unfinished)?;
    fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o755))?;
    fs::rename(&unfinished, &program)?;
    Ok(program)
}
