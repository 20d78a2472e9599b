//! Tells the binary which compiler built it, for `tidemark_build_info`.

use std::{env, process::Command};

fn main() {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let version = Command::new(rustc)
        .arg("--version")
        .output()
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .and_then(|text| text.split(' ').nth(1).map(str::to_owned))
        .unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=TIDEMARK_RUSTC_VERSION={}", version.trim());
    println!("cargo:rerun-if-env-changed=TIDEMARK_REVISION");
    println!("cargo:rerun-if-changed=build.rs");
}
