//! What a server says of itself that matters for a ledger, and what is wrong with it: version, eviction, persistence, role.

use super::books::{RUN_FACT, ServerFact};
use super::redis_info::Info;
use chrono::{DateTime, SecondsFormat};

/// Reads what `INFO` answered.
pub(super) fn facts(info: &str) -> Vec<ServerFact> {
    let info = Info::new(info);
    let known = |name: &str| info.value(name).unwrap_or("unknown").to_owned();
    let version = known("redis_version");
    let old = version.split('.').next().and_then(|major| major.parse::<u32>().ok()).is_some_and(|v| v < 7);
    let policy = known("maxmemory_policy");
    let role = known("role");
    let mut facts = vec![
        fact("version", version, old.then_some("older than 7.0: the scripts need it; update the server")),
        fact(
            "maxmemory-policy",
            policy.clone(),
            (policy != "noeviction").then_some("the server may evict what was processed; set it to noeviction"),
        ),
    ];
    facts.extend(persistence(info));
    facts.extend([
        fact(
            "role",
            role.clone(),
            (role != "master").then_some("not the primary: writes are refused; connect to the primary"),
        ),
        fact("replicas", info.online_replicas().to_string(), None),
        fact("memory", known("used_memory_human"), None),
        fact(RUN_FACT, known("run_id"), None),
    ]);
    facts
}

fn fact(name: &'static str, value: String, problem: Option<&str>) -> ServerFact {
    ServerFact { name, value, problem: problem.map(str::to_owned) }
}

/// The append-only file and the snapshots: what a crash takes back, and whether the disk takes what is written. The time
/// between two flushes (`appendfsync`) and the schedule of snapshots (`save`) are not told by `INFO`.
fn persistence(info: Info<'_>) -> Vec<ServerFact> {
    let value = |name: &str| info.value(name);
    let failed = |name: &str| value(name).is_some_and(|status| status != "ok");
    let snapshots = value("rdb_saves").and_then(|saves| saves.parse::<u64>().ok()).unwrap_or(0);
    let append_only = match (value("aof_enabled"), snapshots) {
        (Some("1"), _) => fact("appendonly", "yes".to_owned(), None),
        (None, _) => fact("appendonly", "unknown".to_owned(), Some("whether anything survives a crash is not known")),
        (Some(_), 0) => fact(
            "appendonly",
            "no".to_owned(),
            Some("a restart takes back all that was answered, unless a snapshot is made; set appendonly to yes"),
        ),
        (Some(_), _) => fact(
            "appendonly",
            "no".to_owned(),
            Some("a crash takes back what was answered since the last snapshot; set appendonly to yes"),
        ),
    };
    let file =
        (append_only.value == "yes").then(|| match (failed("aof_last_write_status"), failed("aof_last_bgrewrite_status")) {
            (true, _) => fact(
                "append-only-file",
                "the last write failed".to_owned(),
                Some("the server refuses writes until its disk takes them again; look at space and rights there"),
            ),
            (false, true) => fact(
                "append-only-file",
                "the last rewrite failed".to_owned(),
                Some("the file grows until a rewrite succeeds; look at memory and space of the server"),
            ),
            (false, false) => fact("append-only-file", "written without errors".to_owned(), None),
        });
    let snapshot = match (failed("rdb_last_bgsave_status"), snapshots) {
        (true, _) => fact(
            "snapshots",
            "the last one failed".to_owned(),
            Some("the server may refuse writes until one succeeds; look at memory and space of the server"),
        ),
        (false, 0) => fact("snapshots", "none since the server started".to_owned(), None),
        (false, _) => {
            let at =
                value("rdb_last_save_time").and_then(|at| at.parse().ok()).and_then(|at| DateTime::from_timestamp(at, 0));
            let at = at.map_or_else(|| "at an unknown time".to_owned(), |at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
            let changes = value("rdb_changes_since_last_save").unwrap_or("unknown");
            fact("snapshots", format!("last {at}, changes since: {changes}"), None)
        }
    };
    [Some(append_only), file, Some(snapshot)].into_iter().flatten().collect()
}

/// The facts of several servers as one list: what differs is shown beside each other, and what is wrong with any is wrong.
pub(super) fn several(mut servers: Vec<Vec<ServerFact>>) -> Vec<ServerFact> {
    let Some(mut first) = servers.pop() else { return Vec::new() };
    for fact in servers.into_iter().rev().flatten() {
        let Some(known) = first.iter_mut().find(|known| known.name == fact.name) else {
            first.push(fact);
            continue;
        };
        if known.value != fact.value {
            known.value = format!("{}, {}", fact.value, known.value);
        }
        known.problem = fact.problem.or(known.problem.take());
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# Server\r\nredis_version:7.2.4\r\nrun_id:abc\r\n# Memory\r\nused_memory_human:1.02M\r\n\
        maxmemory_policy:noeviction\r\n# Persistence\r\nrdb_changes_since_last_save:12\r\nrdb_last_save_time:1764338400\r\n\
        rdb_last_bgsave_status:ok\r\nrdb_saves:3\r\naof_enabled:1\r\naof_last_bgrewrite_status:ok\r\n\
        aof_last_write_status:ok\r\n# Replication\r\nrole:master\r\nslave0:ip=10.0.0.9,port=6379,state=online,offset=1\r\n";

    fn of(info: &str, name: &str) -> ServerFact {
        facts(info).into_iter().find(|fact| fact.name == name).unwrap_or_else(|| panic!("no fact {name}"))
    }

    #[test]
    fn a_server_that_is_set_up_for_a_ledger_has_no_problem() {
        assert!(facts(GOOD).iter().all(|fact| fact.problem.is_none()), "{:?}", facts(GOOD));
        let shown = ["version", "maxmemory-policy", "appendonly", "append-only-file", "snapshots", "role", "replicas"]
            .map(|name| of(GOOD, name).value);
        let snapshots = "last 2025-11-28T14:00:00Z, changes since: 12";
        assert_eq!(shown, ["7.2.4", "noeviction", "yes", "written without errors", snapshots, "master", "1"]);
    }

    #[test]
    fn each_setting_that_is_wrong_is_a_problem_of_its_own() {
        let cases = [
            ("redis_version:7.2.4", "redis_version:6.2.14", "version", "older than 7.0"),
            ("noeviction", "allkeys-lru", "maxmemory-policy", "set it to noeviction"),
            ("aof_enabled:1", "aof_enabled:0", "appendonly", "since the last snapshot"),
            ("aof_enabled:1\r\n", "", "appendonly", "is not known"),
            ("aof_last_write_status:ok", "aof_last_write_status:err", "append-only-file", "refuses writes"),
            ("aof_last_bgrewrite_status:ok", "aof_last_bgrewrite_status:err", "append-only-file", "grows"),
            ("rdb_last_bgsave_status:ok", "rdb_last_bgsave_status:err", "snapshots", "may refuse writes"),
            ("role:master", "role:slave", "role", "not the primary"),
        ];
        for (right, wrong, name, words) in cases {
            let info = GOOD.replace(right, wrong);
            let problems: Vec<_> = facts(&info).into_iter().filter(|fact| fact.problem.is_some()).collect();
            assert_eq!(problems.len(), 1, "{wrong}: {problems:?}");
            assert!(problems[0].name == name && problems[0].problem.as_ref().unwrap().contains(words), "{problems:?}");
        }
        let nothing = GOOD.replace("aof_enabled:1", "aof_enabled:0").replace("rdb_saves:3", "rdb_saves:0");
        assert!(of(&nothing, "appendonly").problem.unwrap().contains("all that was answered"));
        assert_eq!(of(&nothing, "snapshots").value, "none since the server started");
    }

    #[test]
    fn of_several_servers_what_is_wrong_with_one_is_wrong() {
        let bad = GOOD.replace("noeviction", "volatile-lru");
        let all = several(vec![facts(GOOD), facts(&bad)]);
        let policy = all.iter().find(|fact| fact.name == "maxmemory-policy").unwrap();
        assert_eq!(policy.value, "noeviction, volatile-lru");
        assert!(policy.problem.is_some());
        assert_eq!(all.iter().find(|fact| fact.name == "version").unwrap().value, "7.2.4");
    }
}
