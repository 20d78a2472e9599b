//! The texts of the scripts: a line of flags, the shared prelude and what each needs, put together at compile time.
//!
//! `allow-oom` stands on what ends work, so that a full store can still be drained; what begins work is refused there.

use super::redis::hex_sha1;

macro_rules! script {
    ($shebang:literal, $($part:literal),+) => {
        concat!($shebang, "\n", include_str!("lua/prelude.lua"), $("\n", include_str!(concat!("lua/", $part, ".lua"))),+)
    };
}

/// One script, ready to be called by its digest.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub text: String,
    pub sha: String,
}

#[derive(Clone, Debug)]
pub(super) struct Scripts {
    pub init: Script,
    pub topic: Script,
    pub claim: Script,
    pub seen: Script,
    pub complete: Script,
    pub fail: Script,
    pub release: Script,
    pub extend: Script,
    pub commit: Script,
    pub begin: Script,
    pub hold: Script,
    pub trim: Script,
    pub let_go: Script,
    pub sweep: Script,
    pub note: Script,
    pub mark: Script,
    pub stats: Script,
}

impl Scripts {
    /// The shipped scripts, each that knows the ledger passed through `edit`.
    pub(super) fn new(edit: impl Fn(&str) -> String) -> Self {
        let as_it_is = |text: &str| Script { sha: hex_sha1(text), text: text.to_owned() };
        let script = |text: &str| as_it_is(&edit(text));
        Self {
            init: script(script!("#!lua", "init")),
            topic: script(script!("#!lua", "topic")),
            claim: script(script!("#!lua", "grants", "claim")),
            seen: script(script!("#!lua", "grants", "seen")),
            complete: script(script!("#!lua flags=allow-oom", "finishes", "complete")),
            fail: script(script!("#!lua flags=allow-oom", "finishes", "fail")),
            release: script(script!("#!lua flags=allow-oom", "holds", "release")),
            extend: script(script!("#!lua flags=allow-oom", "holds", "extend")),
            commit: script(script!("#!lua flags=allow-oom", "finishes", "changes", "commit")),
            begin: script(script!("#!lua", "changes", "begin")),
            hold: script(script!("#!lua flags=allow-oom", "hold")),
            trim: script(script!("#!lua flags=allow-oom", "trim")),
            let_go: script(script!("#!lua flags=allow-oom", "letgo")),
            sweep: script(script!("#!lua flags=allow-oom", "sweep")),
            note: script(script!("#!lua flags=allow-oom", "note")),
            mark: as_it_is(concat!("#!lua flags=allow-oom\n", include_str!("lua/mark.lua"))),
            stats: script(script!("#!lua flags=no-writes", "stats")),
        }
    }
}
