//! The effects log as a file: append-only, shared by any number of processes of one machine.
//!
//! A line is one `write` on a file that was opened to append, so that lines of several processes do not mix and a process
//! that is killed leaves a whole line or none. It is not flushed to the disk: it has to outlive the process, not the machine.

use crate::{config::ConfigError, effects::Effect};
use std::{
    fs::File,
    io::{self, Write as _},
    path::Path,
    sync::Arc,
};

/// Clones write to the same file.
#[derive(Clone, Debug)]
pub struct EffectsLog {
    file: Arc<File>,
}

impl EffectsLog {
    /// Opens the file, and makes it where it does not exist.
    ///
    /// # Errors
    /// It cannot be written: a mistake in the configuration.
    pub fn open(path: &Path) -> Result<Self, ConfigError> {
        let file = File::options().append(true).create(true).open(path).map_err(|error| {
            ConfigError::invalid(
                "effects-log",
                &path.display().to_string(),
                &format!("must be a file that can be written ({error})"),
            )
        })?;
        Ok(Self { file: Arc::new(file) })
    }

    /// Writes one line. Blocks for as long as the page cache takes.
    ///
    /// # Errors
    /// The line is not there, or not all of it: whoever makes the call must not go on.
    pub fn append(&self, effect: &Effect) -> io::Result<()> {
        let line = effect.to_line();
        let written = (&*self.file).write(&line)?;
        if written < line.len() {
            return Err(io::Error::new(io::ErrorKind::WriteZero, "only a part of the line was written"));
        }
        Ok(())
    }
}
