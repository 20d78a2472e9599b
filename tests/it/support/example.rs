//! The repository's examples, run as processes of their own, as a reader would run them.

use super::process::root;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

/// Builds an example (which does nothing when it is up to date) and returns its program.
pub fn example(name: &str) -> PathBuf {
    // Several at once would wait for each other's lock and say so.
    static BUILDING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = BUILDING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut build = Command::new(cargo);
    build.args(["build", "--locked", "--quiet", "--example", name]).current_dir(root());
    let output = build.output().expect("cargo can be run");
    assert!(output.status.success(), "example {name}: {}", String::from_utf8_lossy(&output.stderr));
    let binary = std::env::current_exe().expect("a test has a path");
    let profile = binary.parent().and_then(|deps| deps.parent()).expect("tests lie in target/<profile>/deps");
    profile.join("examples").join(name)
}
