//! `tidemark conformance`: holds the scripts on a Redis, or any other implementation, to the vectors of the ledger's protocol.

mod peer;

use super::{Failure, out::say};
use crate::store::{PlayedCase, VECTORS, play_scripts};
use anyhow::Context;
use clap::Args;
use peer::Peer;
use serde_json::Value;
use std::{collections::BTreeMap, path::PathBuf, process::ExitCode, time::Duration};

const EXAMPLES: &str = "\
Examples:
  tidemark conformance --redis redis://localhost:6390
      the shipped scripts on that server, which has to be empty
  tidemark conformance -- python3 examples/python/ledger_consumer.py --conformance
      a client library: questions go to its standard input, a JSON object a line; an answer a line comes back

docs/ledger-protocol.md has the questions. The exit code is 1 when an answer is wrong.";

#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ConformanceArgs {
    /// Play the vectors with the shipped scripts on this server, which has to be empty
    #[arg(long, env = "TIDEMARK_REDIS", value_name = "URL", hide_env_values = true, conflicts_with = "program")]
    redis: Option<String>,
    /// Vectors other than those that are shipped
    #[arg(long, env = "TIDEMARK_VECTORS", value_name = "FILE")]
    vectors: Option<PathBuf>,
    /// How long an answer may take
    #[arg(long, env = "TIDEMARK_TIMEOUT", default_value = "10s", value_name = "DURATION")]
    timeout: humantime::Duration,
    /// Program that answers questions, with its arguments
    #[arg(last = true, required_unless_present = "redis", value_name = "PROGRAM")]
    program: Vec<String>,
}

pub async fn run(args: ConformanceArgs) -> Result<ExitCode, Failure> {
    let text = match &args.vectors {
        Some(path) => std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?,
        None => VECTORS.to_owned(),
    };
    let vectors: Value = serde_json::from_str(&text).context("the vectors are JSON")?;
    if let Some(url) = &args.redis {
        let played = play_scripts(url, &vectors).await.context("play the vectors")?;
        return Ok(report_cases(&played));
    }
    let timeout: Duration = *args.timeout;
    let program = args.program;
    let asked = tokio::task::spawn_blocking(move || ask_all(&program, timeout, &vectors));
    let tally = asked.await.context("asking died")??;
    Ok(tally.report())
}

fn report_cases(played: &[PlayedCase]) -> ExitCode {
    let wrong: Vec<&PlayedCase> = played.iter().filter(|case| case.problem.is_some()).collect();
    for case in &wrong {
        say!("WRONG  {}: {}", case.name, case.problem.as_deref().unwrap_or_default());
    }
    say!("{} of {} cases answered as they have to be", played.len() - wrong.len(), played.len());
    if wrong.is_empty() && !played.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Answers by kind of question: right, left out because they are not supported, and wrong.
#[derive(Debug, Default)]
struct Tally {
    kinds: BTreeMap<String, [usize; 3]>,
}

enum Judged {
    Right,
    Unsupported,
    Wrong(String),
}

impl Tally {
    fn note(&mut self, kind: &str, place: &str, judged: Judged) {
        let counts = self.kinds.entry(kind.to_owned()).or_default();
        match judged {
            Judged::Right => counts[0] += 1,
            Judged::Unsupported => counts[1] += 1,
            Judged::Wrong(problem) => {
                counts[2] += 1;
                say!("WRONG  {kind}, {place}: {problem}");
            }
        }
    }

    fn report(&self) -> ExitCode {
        let mut total = [0; 3];
        for (kind, [right, unsupported, wrong]) in &self.kinds {
            say!("{kind:<18} {right:>4} right  {unsupported:>4} not supported  {wrong:>4} wrong");
            [right, unsupported, wrong].iter().zip(&mut total).for_each(|(count, sum)| *sum += **count);
        }
        if total[2] == 0 && total[0] > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Asks the program everything that the vectors hold.
fn ask_all(program: &[String], timeout: Duration, vectors: &Value) -> anyhow::Result<Tally> {
    let mut peer = Peer::start(program, timeout)?;
    let mut tally = Tally::default();
    for (at, identity) in list(&vectors["identities"]).iter().enumerate() {
        let judged = judge_identity(identity, &peer.ask(&questions::identity(identity))?);
        tally.note("identity", &format!("number {at}"), judged);
    }
    for case in list(&vectors["cases"]) {
        peer.ask(&questions::begin(vectors, case))?;
        for (at, step) in list(&case["steps"]).iter().enumerate() {
            let (op, place) = (step["op"].as_str().unwrap_or_default(), format!("case {} step {at}", case["name"]));
            let answer = peer.ask(&questions::call(vectors, step))?;
            tally.note(&format!("call {op}"), &place, judge_call(step, &answer));
            let question = questions::read(step);
            let judged = judge_reading(&question, &step["means"], &peer.ask(&question)?);
            tally.note(&format!("reply to {op}"), &place, judged);
        }
    }
    peer.end()?;
    Ok(tally)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The lines that are sent.
mod questions {
    use serde_json::{Value, json};

    pub fn identity(identity: &Value) -> Value {
        let mut question = json!({ "ask": "identity" });
        for field in ["source", "id", "key", "value", "shards", "buckets"] {
            question[field] = identity[field].clone();
        }
        question
    }

    pub fn begin(vectors: &Value, case: &Value) -> Value {
        json!({
            "ask": "begin",
            "case": case["name"],
            "namespace": vectors["namespace"],
            "group": vectors["group"],
            "incarnation": vectors["incarnation"],
            "window_ms": vectors["window_ms"],
        })
    }

    pub fn call(vectors: &Value, step: &Value) -> Value {
        json!({
            "ask": "call",
            "call": step["op"],
            "namespace": vectors["namespace"],
            "group": vectors["group"],
            "shard": vectors["shard"],
            "incarnation": vectors["incarnation"],
            "generation": step["generation"],
            "lane": step["lane"],
            "at_us": step["at_us"],
            "asks": step["asks"],
        })
    }

    /// The ids of outbox entries are the server's own: a made-up one stands for each.
    pub fn read(step: &Value) -> Value {
        let made_up = |reply: &Value| reply.as_str().unwrap_or_default().replace('*', "2000000000000-0");
        let reply: Vec<String> = super::list(&step["reply"]).iter().map(made_up).collect();
        json!({ "ask": "read", "call": step["op"], "reply": reply })
    }
}

fn is_unsupported(answer: &Value) -> bool {
    answer["unsupported"] == true
}

fn differs(what: &str, expected: &Value, got: &Value) -> Judged {
    Judged::Wrong(format!("{what}: expected {expected}, got {got}"))
}

fn judge_identity(identity: &Value, answer: &Value) -> Judged {
    if is_unsupported(answer) {
        return Judged::Unsupported;
    }
    let fields = ["digest", "open_key", "bucket_key", "bucket", "shard", "payload_hash"];
    match fields.into_iter().find(|field| answer[field] != identity[field]) {
        Some(field) => differs(field, &identity[field], &answer[field]),
        None => Judged::Right,
    }
}

/// What would be sent, byte by byte; and the reply, of who carries calls out.
fn judge_call(step: &Value, answer: &Value) -> Judged {
    if is_unsupported(answer) {
        return Judged::Unsupported;
    }
    let (has_call, has_reply) = (answer["keys"].is_array() && answer["argv"].is_array(), answer["reply"].is_array());
    if !has_call && !has_reply {
        return Judged::Wrong(format!("an answer has keys and argv, or a reply: {answer}"));
    }
    if has_call && answer["keys"] != step["keys"] {
        return differs("keys", &step["keys"], &answer["keys"]);
    }
    let sent = |argv: &Value| list(argv).iter().map(crate::store::argument_bytes).collect::<Vec<_>>();
    if has_call && sent(&answer["argv"]) != sent(&step["argv"]) {
        return differs("argv", &step["argv"], &answer["argv"]);
    }
    let said =
        list(&answer["reply"]).iter().map(|reply| crate::store::without_entry_ids(reply.as_str().unwrap_or_default()));
    let said = Value::from(said.collect::<Vec<String>>());
    if has_reply && said != step["reply"] {
        return differs("reply", &step["reply"], &answer["reply"]);
    }
    Judged::Right
}

fn judge_reading(question: &Value, means: &Value, answer: &Value) -> Judged {
    if is_unsupported(answer) {
        return Judged::Unsupported;
    }
    let entry = "2000000000000-0";
    let expected: Value =
        serde_json::from_str(&means.to_string().replace("\"*\"", &format!("\"{entry}\""))).unwrap_or_default();
    if answer["means"] == expected {
        Judged::Right
    } else {
        differs(&format!("reading {}", question["reply"]), &expected, answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn vectors() -> Value {
        serde_json::from_str(VECTORS).unwrap()
    }

    fn is_right(judged: &Judged) -> bool {
        matches!(judged, Judged::Right)
    }

    #[test]
    fn a_call_is_right_only_with_the_very_bytes_and_a_reply_only_with_the_very_words() {
        let vectors = vectors();
        let step = &vectors["cases"][0]["steps"][0];
        let sent = json!({ "keys": step["keys"], "argv": step["argv"] });
        assert!(is_right(&judge_call(step, &sent)));
        assert!(is_right(&judge_call(step, &json!({ "reply": step["reply"] }))));
        assert!(is_right(&judge_call(step, &json!({ "keys": step["keys"], "argv": step["argv"], "reply": step["reply"] }))));
        for (part, at, other) in [("keys", 6, json!("x")), ("argv", 0, json!("1")), ("argv", 6, json!({ "hex": "00" }))] {
            let mut wrong = sent.clone();
            wrong[part][at] = other;
            assert!(!is_right(&judge_call(step, &wrong)), "{part} {at}");
        }
        assert!(!is_right(&judge_call(step, &json!({ "reply": ["OK"] }))));
        assert!(!is_right(&judge_call(step, &json!({}))));
        assert!(matches!(judge_call(step, &json!({ "unsupported": true })), Judged::Unsupported));
    }

    #[test]
    fn identities_and_meanings_are_compared_field_by_field() {
        let vectors = vectors();
        let identity = &vectors["identities"][0];
        assert!(is_right(&judge_identity(identity, identity)));
        let mut wrong = identity.clone();
        wrong["shard"] = json!(99);
        assert!(!is_right(&judge_identity(identity, &wrong)));
        for case in list(&vectors["cases"]) {
            for step in list(&case["steps"]) {
                let question = questions::read(step);
                assert!(!question.to_string().contains('*'), "{question}");
                let means = step["means"].to_string().replace("\"*\"", "\"2000000000000-0\"");
                let answer = json!({ "means": serde_json::from_str::<Value>(&means).unwrap() });
                assert!(is_right(&judge_reading(&question, &step["means"], &answer)));
                assert!(!is_right(&judge_reading(&question, &step["means"], &json!({ "means": [] }))));
            }
        }
    }

    #[test]
    fn a_program_that_ends_stays_silent_or_says_no_json_is_told() {
        let asked = |script: &str| {
            let program = ["sh", "-c", script].map(str::to_owned);
            ask_all(&program, Duration::from_millis(300), &vectors()).map(drop).unwrap_err().to_string()
        };
        assert!(asked("exit 3").contains("ended"), "{}", asked("exit 3"));
        assert!(asked("cat >/dev/null").contains("within 300ms"), "{}", asked("cat >/dev/null"));
        assert!(asked("while read -r line; do echo hello; done").contains("no JSON"), "no JSON");
        let missing = Peer::start(&["/no/such/program".to_owned()], Duration::ZERO).map(drop).unwrap_err();
        assert!(missing.to_string().contains("/no/such/program"));
    }

    #[test]
    fn who_supports_nothing_does_not_pass() {
        let script = "while read -r line; do echo '{\"unsupported\": true}'; done";
        let program = ["sh", "-c", script].map(str::to_owned);
        let tally = ask_all(&program, Duration::from_secs(10), &vectors()).unwrap();
        assert!(
            tally.kinds.len() > 10
                && tally.kinds.values().all(|[right, unsupported, wrong]| (*right, *wrong) == (0, 0) && *unsupported > 0)
        );
        assert_eq!(format!("{:?}", tally.report()), format!("{:?}", ExitCode::FAILURE));
    }
}
