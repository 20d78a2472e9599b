//! What a command prints for its caller. A reader that has seen enough, as `head` has, ends the command quietly.

use std::{
    fmt,
    io::{self, Write as _},
    process,
};

/// As `println!`, which would panic where the reader is gone.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::cli::out::print(format_args!("{}\n", format_args!($($text)*)))
    };
}

pub(super) use say;

/// Writes to standard output; ends the process where that cannot be done: with success when nobody reads it any more.
pub fn print(text: fmt::Arguments<'_>) {
    match io::stdout().write_fmt(text) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => process::exit(0),
        Err(error) => {
            eprintln!("tidemark: standard output: {error}");
            process::exit(1);
        }
    }
}
