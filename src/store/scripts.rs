//! The texts of the scripts: a line of flags, the shared prelude and what each needs, put together at compile time.
//!
//! `allow-oom` stands on what ends work, so that a full store can still be drained; what begins work is refused there.

use super::redis::hex_sha1;

const PRELUDE: &str = include_str!("lua/prelude.lua");

macro_rules! script {
    ($shebang:literal, $($part:literal),+) => {
        concat!($shebang, "\n", include_str!("lua/prelude.lua"), $("\n", include_str!(concat!("lua/", $part, ".lua"))),+)
    };
}

/// One script, ready to be called by its digest.
#[derive(Clone, Debug)]
pub struct Script {
    /// What calls are named after.
    pub name: &'static str,
    pub text: String,
    /// SHA-1 of the text, in hexadecimal digits.
    pub sha: String,
}

/// Declares the scripts once: a field each, and the list of all of them.
macro_rules! scripts {
    ($($name:ident: $text:expr),+ $(,)?) => {
        #[derive(Clone, Debug)]
        pub(super) struct Scripts {
            $(pub $name: Script,)+
        }

        impl Scripts {
            /// The shipped scripts, each that knows the ledger passed through `edit`.
            pub(super) fn new(edit: impl Fn(&str) -> String) -> Self {
                let script = |name, text: &str| {
                    let text = if text.contains(PRELUDE) { edit(text) } else { text.to_owned() };
                    Script { name, sha: hex_sha1(&text), text }
                };
                Self { $($name: script(stringify!($name), $text),)+ }
            }

            /// All of them, in the order in which they are documented.
            pub(super) fn all(&self) -> Vec<&Script> {
                vec![$(&self.$name,)+]
            }
        }
    };
}

scripts! {
    init: script!("#!lua", "init"),
    topic: script!("#!lua", "topic"),
    claim: script!("#!lua", "grants", "claim"),
    seen: script!("#!lua", "grants", "seen"),
    complete: script!("#!lua flags=allow-oom", "finishes", "complete"),
    fail: script!("#!lua flags=allow-oom", "finishes", "fail"),
    release: script!("#!lua flags=allow-oom", "holds", "release"),
    extend: script!("#!lua flags=allow-oom", "holds", "extend"),
    commit: script!("#!lua flags=allow-oom", "finishes", "changes", "commit"),
    begin: script!("#!lua", "changes", "begin"),
    hold: script!("#!lua flags=allow-oom", "hold"),
    trim: script!("#!lua flags=allow-oom", "trim"),
    let_go: script!("#!lua flags=allow-oom", "letgo"),
    sweep: script!("#!lua flags=allow-oom", "sweep"),
    note: script!("#!lua flags=allow-oom", "note"),
    mark: concat!("#!lua flags=allow-oom\n", include_str!("lua/mark.lua")),
    stats: script!("#!lua flags=no-writes", "stats"),
}

/// The scripts as they are shipped, in the order in which docs/ledger-protocol.md has them.
pub fn shipped_scripts() -> Vec<Script> {
    Scripts::new(str::to_owned).all().into_iter().cloned().collect()
}
