//! Holds docs/ledger-protocol.md to the scripts and to the code: what a stranger implements from that page is what runs.
//! `TIDEMARK_BLESS=1` writes the tables that follow from the code anew.

#![allow(clippy::expect_used, clippy::unwrap_used)]

use regex::Regex;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};
use tidemark::store::{VECTORS, shipped_scripts};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn page_path() -> PathBuf {
    root().join("docs/ledger-protocol.md")
}

fn page() -> String {
    fs::read_to_string(page_path()).unwrap()
}

/// The scripts' parts, without comments.
fn lua() -> String {
    let mut all = String::new();
    for entry in fs::read_dir(root().join("src/store/lua")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for line in text.lines() {
            all.push_str(line.split("--").next().unwrap());
            all.push('\n');
        }
    }
    all
}

fn found(pattern: &str, text: &str) -> BTreeSet<String> {
    Regex::new(pattern).unwrap().captures_iter(text).map(|found| found[1].to_owned()).collect()
}

/// What the page calls a thing: between backticks, alone or as the first word of a reply.
fn is_named(page: &str, word: &str) -> bool {
    let word = regex::escape(word);
    Regex::new(&format!("`{word}(`| [a-z._0-9 ]+`)")).unwrap().is_match(page)
}

fn assert_named(what: &str, words: &BTreeSet<String>) {
    let page = page();
    let missing: Vec<&String> = words.iter().filter(|word| !is_named(&page, word)).collect();
    assert!(missing.is_empty(), "docs/ledger-protocol.md does not name these {what}: {missing:?}");
}

#[test]
fn every_reply_is_named() {
    let lua = lua();
    let mut words = found(r"'([A-Z]{2,})[ ']", &lua);
    words.extend(found(r"[{(=,] ?'([A-Z]) ?'", &lua));
    // Commands of the server are no replies.
    let called = found(r"call\('([A-Z]+)'", &lua);
    let others = ["MAXLEN", "COUNT", "PXAT", "PX"].map(str::to_owned);
    words.retain(|word| !called.contains(word) && !others.contains(word));
    for expected in ["OK", "GEN", "AMNESIA", "CLOCK", "LOST", "STALE", "BADARG", "FENCED", "CAS", "FULL", "ORPHAN", "H", "R"]
    {
        assert!(words.contains(expected), "the search finds what is there: {expected} in {words:?}");
    }
    assert_named("replies and states", &words);
    assert_named(
        "replies of claims",
        &["G fence attempt how", "D cause first_us first_place late", "B ms owner", "L ms", "X hash", "K first_us"]
            .map(str::to_owned)
            .into(),
    );
}

#[test]
fn every_field_of_the_books_is_named() {
    let lua = lua();
    let mut fields = found(r"count\(c, '([a-z_]+)'\)", &lua);
    fields.extend(found(r"c\.counts\.([a-z]+) =", &lua));
    fields.extend(found(r"put\('([a-z_]+)'", &lua));
    let written = found(r"(?s)call\('HSET', KEYS\[1\],(.*?)\)\n", &lua);
    written.iter().for_each(|call| fields.extend(found(r"'([a-z_]{2,})'", call)));
    for choice in found(r"(?:count\(c, |counts\[)(state == '.' and [^)\]]+)[)\]]", &lua) {
        fields.extend(found(r"'([a-z_]{2,})'", &choice));
    }
    assert!(fields.len() > 30 && fields.contains("abandoned") && fields.contains("failed"), "{fields:?}");
    let page = page();
    for prefix in found(r"count\(c, '([a-z]+:)'", &lua) {
        assert!(page.contains(&format!("`{prefix}<")), "docs/ledger-protocol.md does not name the fields {prefix}");
    }
    assert!(page.contains("`dup:<cause>:<outcome>`"));
    for how in ["first", "retry", "takeover", "redrive"] {
        fields.insert(format!("granted_{how}"));
    }
    assert_named("fields of T:m", &fields);
}

#[test]
fn every_key_and_every_field_of_an_entry_is_named() {
    let layout = fs::read_to_string(root().join("src/store/layout.rs")).unwrap();
    let code = layout.split("#[cfg(test)]").next().unwrap();
    let suffixes = found(r#"format!\("\{\}:([a-z])[":]"#, code);
    assert!(suffixes.len() >= 11, "{suffixes:?}");
    let page = page();
    for suffix in suffixes {
        let named = Regex::new(&format!("`T:{suffix}(`|:)")).unwrap().is_match(&page);
        assert!(named, "docs/ledger-protocol.md does not name T:{suffix}");
    }
    let entry = found(r"(?s)XADD', KEYS\[stream\].*?'\*',(.*?)\)\n", &lua());
    let fields = found(r"'([a-z_]{2,})',", entry.first().expect("the entry of a duplicate"));
    assert!(fields.len() > 8, "{fields:?}");
    assert_named("fields of an entry", &fields);
}

#[test]
fn every_bound_of_the_scripts_is_named() {
    let page = page();
    for (bound, words) in [
        ("EVENTS_MAX, NOTES_MAX, STREAM_LENGTH = 1000, 16, 1000", ["1 to 1000 events", "16 of each stream", "about 1000"]),
        ("WINNERS_MAX, WINNERS_MS = 1000, 3600000", ["for 1 h; at most 1000"; 3]),
        ("CLOCK_SLACK_US = 60000000", ["more than 60 s behind"; 3]),
        ("LANE_MS = 3600000", ["kept for 1 h after its last call"; 3]),
    ] {
        assert!(lua().contains(bound), "the scripts have other bounds: {bound}");
        words.iter().for_each(|words| assert!(page.contains(words), "docs/ledger-protocol.md does not say: {words}"));
    }
}

#[test]
fn every_script_is_listed_with_its_digest_and_flags_and_every_call_has_its_section() {
    let scripts = shipped_scripts();
    let row = |script: &tidemark::store::Script| {
        let flags = script.text.lines().next().unwrap().strip_prefix("#!lua").unwrap().replace(" flags=", "");
        let flags = if flags.is_empty() { "none".to_owned() } else { format!("`{flags}`") };
        format!("| `{}` | `{}` | {flags} |\n", script.name, script.sha)
    };
    hold_table("scripts", &scripts.iter().map(row).collect::<String>());
    let headings: String = page().lines().filter(|line| line.starts_with("### ")).collect();
    for script in scripts {
        assert!(headings.contains(&format!("`{}`", script.name)), "no section about {}", script.name);
    }
}

#[test]
fn the_examples_of_digests_are_those_of_the_vectors() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let word = |value: &Value| match value {
        Value::Null => Some("null".to_owned()),
        Value::String(text) if text.is_empty() => Some(".".to_owned()),
        Value::String(text) if text.len() < 40 => Some(format!("`{text}`")),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let fields = ["source", "id", "key", "value", "shards", "buckets", "digest", "bucket", "shard", "payload_hash"];
    let row = |identity: &Value| {
        let cells: Option<Vec<String>> = fields
            .iter()
            .map(|field| {
                if *field == "digest" {
                    Some(format!("`{}`", identity[field].as_str().unwrap()))
                } else {
                    word(&identity[field])
                }
            })
            .collect();
        cells.map(|cells| format!("| {} |\n", cells.join(" | ")))
    };
    hold_table("identities", &vectors["identities"].as_array().unwrap().iter().filter_map(row).collect::<String>());
}

/// Compares the rows between the page's two marks with those that follow from the code.
fn hold_table(name: &str, rows: &str) {
    // Two tables are written into one page.
    static WRITING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let page = page();
    let (open, close) = (format!("<!-- {name}: kept by a test -->\n"), format!("<!-- end of {name} -->"));
    let (before, rest) = page.split_once(&open).expect("the table's first mark");
    let (held, after) = rest.split_once(&close).expect("the table's last mark");
    if held != rows && std::env::var_os("TIDEMARK_BLESS").is_some() {
        fs::write(page_path(), format!("{before}{open}{rows}{close}{after}")).unwrap();
        return;
    }
    assert_eq!(held, rows, "{name} in docs/ledger-protocol.md differ; review, then run with TIDEMARK_BLESS=1");
}

#[test]
fn a_folder_of_scripts_is_what_the_page_promises() {
    let folder = std::env::temp_dir().join(format!("tidemark-scripts-{}", std::process::id()));
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tidemark"));
    let output = command.args(["ledger", "scripts", "--out"]).arg(&folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let sums = fs::read_to_string(folder.join("SHA1SUMS")).unwrap();
    for script in shipped_scripts() {
        assert_eq!(fs::read_to_string(folder.join(format!("{}.lua", script.name))).unwrap(), script.text);
        assert!(sums.contains(&format!("{}  {}.lua\n", script.sha, script.name)));
    }
    assert_eq!(fs::read_to_string(folder.join("vectors.json")).unwrap(), VECTORS);
    fs::remove_dir_all(folder).unwrap();
}
