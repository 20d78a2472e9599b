//! Holds the source tree to its own rules: which layer may know which, which folder may name which library, what pure code
//! must not do, and that the documents name files and metrics that exist.

#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules by layer, the lowest first. A module may use its own layer and those below.
const LAYERS: [&[&str]; 4] = [
    &["lag", "events", "services", "effects"],
    &["kafka", "store", "metrics", "config", "clock", "telemetry", "shutdown", "effects_log", "fail_point"],
    &["monitor", "consumer", "dead_letters", "relay", "replay", "web"],
    &["demo", "lab", "campaign", "roles", "cli", "allocator", "main"],
];

/// Uses that the layers would allow and that are wrong all the same: pages read the published view, never Kafka or Redis.
const FORBIDDEN_USES: [(&str, &str); 3] = [("web/pages", "kafka"), ("web/pages", "store"), ("web/pages", "consumer")];

/// Where a library may be named: everywhere else it is an implementation detail that nobody may lean on.
const LIBRARIES: [(&str, &[&str]); 5] = [
    ("rdkafka", &["src/kafka/"]),
    ("kafka_protocol", &["src/kafka/"]),
    ("redis", &["src/store/redis"]),
    ("axum", &["src/web/"]),
    ("libmimalloc_sys", &["src/allocator.rs"]),
];

/// What would give a pure module I/O, a clock, chance or a runtime.
const IMPURE: [&str; 14] = [
    "async fn",
    "async move",
    ".await",
    "tokio::",
    "std::fs",
    "std::net",
    "std::env",
    "std::thread",
    "Instant::now",
    "SystemTime",
    "Utc::now",
    "Local::now",
    "rand::",
    "println!",
];

const LONGEST_FILE: usize = 450;

/// Files that are longer for a reason.
const LONG_FILES: [(&str, &str); 0] = [];

#[test]
fn imports_point_down_the_layers() {
    let mut wrong = Vec::new();
    for file in sources("src") {
        let user = file.module();
        let level = level_of(&user).unwrap_or_else(|| panic!("{} belongs to no layer: add {user} to LAYERS", file.path));
        for used in file.modules_used() {
            let Some(used_level) = level_of(&used) else { continue };
            let forbidden =
                FORBIDDEN_USES.iter().any(|(folder, name)| file.path.starts_with(&format!("src/{folder}")) && used == *name);
            if used_level > level || forbidden {
                wrong.push(format!("{} uses {used}", file.path));
            }
        }
    }
    assert_none("imports against the layers", &wrong);
}

#[test]
fn the_files_and_the_layers_name_the_same_modules() {
    let listed: BTreeSet<String> = LAYERS.iter().flat_map(|layer| layer.iter().map(|name| name.to_string())).collect();
    let present: BTreeSet<String> = sources("src").iter().map(Source::module).collect();
    assert!(present.is_subset(&listed), "modules in no layer: {:?}", present.difference(&listed).collect::<Vec<_>>());
}

#[test]
fn a_library_is_named_only_by_the_folder_that_owns_it() {
    let mut wrong = Vec::new();
    for file in sources("src") {
        for (library, owners) in LIBRARIES {
            let named = words_before(&file.code, "::").contains(library) || file.code.contains(&format!("use {library};"));
            if named && !owners.iter().any(|owner| file.path.starts_with(owner)) {
                wrong.push(format!("{} names {library}", file.path));
            }
        }
    }
    assert_none("libraries named outside their folder", &wrong);
}

#[test]
fn one_file_alone_has_unsafe_code() {
    let keyword = concat!("unsa", "fe ");
    let all = sources("src").into_iter().chain(sources("tests")).chain(sources("examples")).chain(sources("benches"));
    let found: Vec<String> = all.filter(|file| file.code.contains(keyword)).map(|file| file.path).collect();
    assert_eq!(found, ["src/allocator.rs"]);
}

#[test]
fn pure_modules_have_no_io_no_clock_and_no_async() {
    let mut wrong = Vec::new();
    for file in sources("src") {
        if level_of(&file.module()) == Some(0) {
            wrong.extend(
                IMPURE.iter().filter(|word| file.code.contains(**word)).map(|word| format!("{}: {word}", file.path)),
            );
        }
    }
    assert_none("impure code in a pure module", &wrong);
}

#[test]
fn no_file_is_long_without_a_stated_reason() {
    let long: Vec<String> = sources("src")
        .iter()
        .filter(|file| file.lines > LONGEST_FILE && !LONG_FILES.iter().any(|(listed, _)| file.path == *listed))
        .map(|file| format!("{}: {} lines", file.path, file.lines))
        .collect();
    assert_none("long files", &long);
}

#[test]
fn no_test_is_switched_off_and_none_sleeps() {
    // Written in two parts so that this file does not find itself.
    let banned =
        [concat!("#[", "ignore"), concat!("todo", "!("), concat!("unimplemented", "!("), concat!("thread::", "sleep(")];
    let mut wrong = Vec::new();
    for file in sources("src").into_iter().chain(sources("tests")) {
        let waits = file.path.starts_with("tests/it/support/");
        let virtual_time = file.code.contains("start_paused");
        for word in banned {
            // The support module looks again after a pause until a deadline: nothing else may wait for time to pass.
            if file.code.contains(word) && !(waits && word.contains("sleep")) {
                wrong.push(format!("{}: {word}", file.path));
            }
        }
        if file.path.starts_with("tests/") && file.code.contains(concat!("sleep", "(")) && !waits && !virtual_time {
            wrong.push(format!("{} sleeps", file.path));
        }
    }
    assert_none("tests that do not run or that sleep", &wrong);
}

#[test]
fn the_documents_name_files_that_exist() {
    let mut missing = Vec::new();
    for document in documents() {
        let folder = document.parent().unwrap_or(Path::new(""));
        let text = fs::read_to_string(&document).expect("the document can be read");
        for link in between(&text, "](", ")") {
            let target = link.split(['#', ' ']).next().unwrap_or_default();
            let outside = target.is_empty() || target.contains("://") || target.starts_with("mailto:");
            if !outside && !folder.join(target).exists() {
                missing.push(format!("{}: link to {target}", document.display()));
            }
        }
        for name in between(&text, "`", "`").filter(|name| is_source_path(name)) {
            if !Path::new(env!("CARGO_MANIFEST_DIR")).join(name).exists() {
                missing.push(format!("{}: `{name}`", document.display()));
            }
        }
    }
    assert_none("documents that name missing files", &missing);
}

#[test]
fn every_metric_that_is_written_about_exists() {
    let code: String = sources("src/metrics").into_iter().map(|file| file.text).collect();
    let declared: BTreeSet<&str> = between(&code, "\"", "\"").filter(|text| is_metric(text)).collect();
    assert!(declared.len() > 20, "the declarations are found: {declared:?}");
    let mut unknown = BTreeSet::new();
    for document in documents().into_iter().chain(files("grafana")).chain(files("prometheus")) {
        let Ok(text) = fs::read_to_string(&document) else { continue };
        // A colon within a name marks a recording rule, which the rules file itself declares.
        let words =
            text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':').map(|word| word.trim_matches(':'));
        // The names of dead letters' headers begin like one, and go on behind a hyphen.
        for word in words.filter(|word| is_metric(word) && *word != "tidemark_dlt") {
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| word.strip_suffix(suffix)).unwrap_or(word);
            if !declared.contains(word) && !declared.contains(base) {
                unknown.insert(format!("{}: {word}", document.display()));
            }
        }
    }
    assert_none("metrics that no code declares", &unknown.into_iter().collect::<Vec<_>>());
}

/// One Rust file: its text, and its code without comments and strings.
struct Source {
    path: String,
    text: String,
    code: String,
    lines: usize,
}

impl Source {
    /// The top module that the file belongs to: `src/lag/offsets.rs` and `src/lag.rs` are `lag`.
    fn module(&self) -> String {
        let inner = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let first = inner.split('/').next().unwrap_or_default().trim_end_matches(".rs");
        // The root of the library only lists modules: it may name all of them.
        if first == "lib" { "main".to_string() } else { first.to_string() }
    }

    /// The top modules that the file names through `crate::` or the library's own name.
    fn modules_used(&self) -> BTreeSet<String> {
        let mut used = BTreeSet::new();
        for root in ["crate::", "tidemark::"] {
            for (at, _) in self.code.match_indices(root) {
                used.extend(first_segments(&self.code[at + root.len()..]));
            }
        }
        used
    }
}

/// The names right after a path's root: one, or each at the top level of a braced list.
fn first_segments(rest: &str) -> Vec<String> {
    let name = |text: &str| text.trim().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    let Some(list) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let mut depth = 1;
    let mut found = Vec::new();
    let mut entry = String::new();
    for c in list.chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if depth == 0 || (depth == 1 && c == ',') {
            found.push(name(&entry));
            entry.clear();
        } else {
            entry.push(c);
        }
        if depth == 0 {
            break;
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

fn level_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rust = files(folder).into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "rs"));
    rust.map(|path| {
        let text = fs::read_to_string(&path).expect("the file can be read");
        let path = path.strip_prefix(root).expect("a file of the tree").display().to_string();
        Source { code: code_of(&text), lines: text.lines().count(), path, text }
    })
    .collect()
}

/// All files under a folder of the tree, in order; none if it does not exist.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && path.file_name().is_none_or(|name| name != "node_modules") {
                folders.push(path);
            } else if path.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn documents() -> Vec<PathBuf> {
    let top = fs::read_dir(env!("CARGO_MANIFEST_DIR")).expect("the tree can be listed").flatten().map(|entry| entry.path());
    let is_text = |path: &PathBuf| path.is_file() && path.extension().is_some_and(|ending| ending == "md");
    top.chain(files("docs")).filter(is_text).collect()
}

/// Rust code with comments and the contents of strings left out; line breaks stay.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if rest.starts_with("r#\"") {
            rest.find("\"#").map_or(rest.len(), |at| at + 2)
        } else if c == '"' {
            string_length(rest)
        } else if c == '\'' {
            char_length(rest)
        } else {
            0
        };
        if skipped == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            rest = &rest[skipped..];
        }
    }
    code
}

fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// The length of a character literal; 0 for a lifetime.
fn char_length(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => text[2..].char_indices().skip(1).find(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 3),
        Some(_) => chars.next().filter(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 1),
        None => 0,
    }
}

/// Every identifier that stands right before `mark`.
fn words_before<'a>(code: &'a str, mark: &str) -> BTreeSet<&'a str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    code.match_indices(mark)
        .filter(|(at, _)| !code[..*at].trim_end_matches(is_word).ends_with("::"))
        .map(|(at, _)| &code[code[..at].trim_end_matches(is_word).len()..at])
        .collect()
}

/// The texts between an opening and the next closing mark on the same line.
fn between<'a>(text: &'a str, open: &'a str, close: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().flat_map(move |line| {
        let mut rest = line;
        std::iter::from_fn(move || {
            let (_, after) = rest.split_once(open)?;
            let (inner, tail) = after.split_once(close)?;
            rest = tail;
            Some(inner)
        })
    })
}

fn is_source_path(name: &str) -> bool {
    let folders =
        ["src/", "tests/", "docs/", "scripts/", "grafana/", "prometheus/", "templates/", "static/", "benches/", "examples/"];
    folders.iter().any(|folder| name.starts_with(folder)) && !name.contains(['*', '<', ' ', '{', ':'])
}

fn is_metric(word: &str) -> bool {
    word.starts_with("tidemark_") && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn comments_and_strings_are_not_code() {
    let text = "use a::b; // crate::x\nlet s = \"crate::y \\\" z\"; /* crate::q */ let c = '\"'; fn f<'a>(x: &'a str) {}";
    let code = code_of(text);
    assert!(!code.contains("crate::"), "{code}");
    assert!(code.contains("use a::b;") && code.contains("<'a>(x: &'a str)"), "{code}");
}

#[test]
fn a_braced_import_names_each_of_its_modules() {
    assert_eq!(first_segments("{lag::{Lag, Offset}, store, kafka::wire::{a, b}};"), ["lag", "store", "kafka"]);
    assert_eq!(first_segments("monitor::view::View;"), ["monitor"]);
}
