//! Every case in which the real CLI was observed, in three versions of it, through the whole runner (R30, R36).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::api::{Manners, Marmot};
use crate::cli::{Batch, Cli, LOADED, TIME, VERSIONS, Version};
use crate::pod::{Ended, Pod};
use crate::{host, shelf};

/// A case: its number and words, what `marmot` prints, and the verdict.
type Case = (&'static str, Cli, &'static str, &'static str);

const REFUSED: &str = "dial tcp 127.0.0.1:1: connect: connection refused";
const SOURCE_REFUSES: &str = "rpc error: code = Unknown desc = initializing database connection: failed to connect to \
                              `user=x database=x`: 127.0.0.1:2 (127.0.0.1): dial error: dial tcp 127.0.0.1:2: connect: \
                              connection refused";

fn destroy(why: &str) -> String {
    format!("Delete \"http://127.0.0.1:1/api/v1/pipelines/books\": {why}")
}

fn created(found: usize, created: usize) -> Batch {
    Batch { found, created, ..Batch::default() }
}

/// Commands that fail, each with the step that says so: all of them are failures.
fn failures(version: Version) -> Vec<Case> {
    let new = || Cli::new(version);
    let source = || new().reads().source("shelf");
    let fails = |step: &str, why: &str| match step {
        "" => new().fails("", why),
        "source" => new().reads().fails("", why),
        "Config validation failed" => source().fails(step, why),
        "Failed to start run" => source().asks_to_start().fails(step, why),
        "Asset sync failed" => source().starts().discovers(4).clears_progress().fails(step, why),
        _ => source().starts().fails(step, why),
    };
    let start = "Failed to start run";
    let config = "Config validation failed";
    let discovery = "Discovery failed";
    let database = "rpc error: code = Unknown desc = initializing database connection:";
    let refused = format!("Post \"http://127.0.0.1:1/api/v1/runs/start\": {REFUSED}");
    let no_host = "Post \"http://m/api/v1/runs/start\": dial tcp: lookup m on 10.0.0.10:53: no such host";
    let missing = "rpc error: code = Unknown desc = host: host is required; user: user is required";
    let no_path = "rpc error: code = Unknown desc = spec path does not exist: /nowhere";
    let yaml = "parsing config file: error converting YAML to JSON: yaml: line 2: mapping values are not allowed in this \
                context";
    let string = "parsing config file: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal string into Go \
                  struct field Config.runs of type plugin.SourceRun";
    let no_file = "reading config file: open /config/pipeline.yaml: no such file or directory";
    let password = format!("{database} FATAL: password authentication failed for user \"x\" (SQLSTATE 28P01)");
    let no_database = format!("{database} hostname resolving error: lookup db: no such host");
    let silent =
        "rpc error: code = DeadlineExceeded desc = initializing database connection: context deadline exceeded";
    let mut cases: Vec<Case> = [
        ("2 wrong key, no key", start, "request failed with status 401", "Unauthorized"),
        ("2 key without ingestion:manage", start, "request failed with status 403", "Forbidden"),
        ("2 refused", start, &refused, "MarmotUnreachable"),
        ("2 DNS", start, no_host, "MarmotUnreachable"),
        ("2 server 503", start, "request failed with status 503", "MarmotUnreachable"),
        ("2 newer CLI, older server", start, "request failed with status 400", "BadRequest"),
        ("3 unknown source", "source", "unknown source: nosuchsource", "UnknownSource"),
        ("3 required field missing", config, missing, "InvalidSourceConfig"),
        ("3 spec path absent", config, no_path, "InvalidSourceConfig"),
        ("3 invalid YAML", "", yaml, "InvalidPipeline"),
        ("3 entry is a string", "", string, "InvalidPipeline"),
        ("3 no name", "", "pipeline name is required", "InvalidPipeline"),
        ("3 file missing", "", no_file, "InvalidPipeline"),
        ("3 no -c", "", "required flag(s) \"config\" not set", "MarmotError"),
        ("3 unknown flag", "", "unknown flag: --yes", "MarmotError"),
        ("4 source password wrong", discovery, &password, "DiscoveryFailed"),
        ("4 source host wrong", discovery, &no_database, "DiscoveryFailed"),
        ("4 source refuses", discovery, SOURCE_REFUSES, "DiscoveryFailed"),
        ("4 source stays silent", discovery, silent, "DiscoveryFailed"),
        ("11 batch answers 500", "Asset sync failed", "request failed with status 500", "MarmotError"),
    ]
    .map(|(case, step, why, reason)| (case, fails(step, why), "Failed", reason))
    .into();

    // Plugins that cannot be loaded say so before.
    let tries = "{\"level\":\"info\",\"plugin\":\"x\",\"message\":\"Installing plugin\"}\n\
                 {\"level\":\"error\",\"error\":\"connection refused\",\"message\":\"Failed to install core plugin\"}\n";
    let read_only = "{\"level\":\"warn\",\"error\":\"Unrecognized remote plugin message: \\nFailed to read any lines from \
                     plugin's stdout\",\"message\":\"Failed to load external plugin\"}\n2026-01-01T00:00:00.000Z [WARN]  \
                     plugin: plugin failed to exit gracefully\n";
    for (case, said) in
        [("8 no plugins, none can be downloaded", tries.repeat(31)), ("8 read-only root", read_only.to_owned())]
    {
        let mut cli = new().reads();
        cli.stderr = said;
        cases.push((case, cli.fails("", "unknown source: shelf"), "Failed", "UnknownSource"));
    }
    cases
}

/// Ingestions of one source that come further.
fn ingestions(version: Version) -> Vec<Case> {
    let new = || Cli::new(version);
    let started = || new().reads().source("shelf").starts();
    let brings = |batch| started().brings(batch).sums_up();
    let mut silent = new();
    silent.stderr.clear();
    let again = Batch { found: 4, updated: 1, unchanged: 3, ..Batch::default() };
    let half = Batch { found: 1, updated: 1, deleted: 4, ..Batch::default() };
    let lost = Batch { lineage: 351, ..created(353, 214) };
    let unfinished = started().discovers(4).syncs(created(4, 4)).cannot_complete("request failed with status 500");
    let absent = Batch { found: 3, unchanged: 3, ..Batch::default() };
    let too_long = match version {
        Version::Head => (brings(Batch { errors: 1, ..created(3, 2) }), "AssetErrors"),
        _ => (brings(created(3, 2)), "AssetsLost"),
    };
    let of_another = match version {
        Version::Head => (brings(Batch { found: 4, updated: 4, ..Batch::default() }), "Succeeded", "Completed"),
        _ => (brings(created(4, 0)), "Partial", "AssetsLost"),
    };
    vec![
        ("1 first run", brings(created(4, 4)), "Succeeded", "Completed"),
        ("1 again", brings(again), "Succeeded", "Completed"),
        ("1 postgresql, 139 of 353 assets lost", brings(lost), "Partial", "AssetsLost"),
        ("3 runs: [] or no runs", new().reads().sums_up(), "Failed", "NothingRan"),
        ("6 zero assets", started().discovers(0).sums_up(), "Succeeded", "NoAssets"),
        ("9 broke off in the batch", started().discovers(4), "Killed", "Incomplete"),
        ("9 broke off in the discovery", started(), "Killed", "Incomplete"),
        ("9 said nothing", silent, "Killed", "Incomplete"),
        ("10 one asset too long", too_long.0, "Partial", too_long.1),
        ("10 and again: nothing shows it", brings(absent), "Succeeded", "Completed"),
        ("11 completion answers 500", unfinished.completes(0).sums_up(), "Partial", "CompletionLost"),
        ("12 half a discovery: nothing shows it", brings(half), "Succeeded", "Completed"),
        ("13 two at once", brings(Batch { unchanged: 208, ..created(217, 9) }), "Succeeded", "Completed"),
        ("15 assets of another pipeline", of_another.0, of_another.1, of_another.2),
    ]
}

/// Ingestions of two sources.
fn pairs(version: Version) -> Vec<Case> {
    let first = || Cli::new(version).reads().source("shelf").starts();
    let second = |cli: Cli| cli.source("other").starts();
    let brings = |cli: Cli| cli.brings(created(4, 4));
    vec![
        ("5 the first fails", first().fails("Discovery failed", SOURCE_REFUSES), "Failed", "DiscoveryFailed"),
        (
            "5 the second fails",
            second(brings(first())).fails("Discovery failed", SOURCE_REFUSES),
            "Failed",
            "DiscoveryFailed",
        ),
        ("14 both bring assets", brings(second(brings(first()))).sums_up(), "Succeeded", "Completed"),
        ("one is never reported", brings(first()).sums_up(), "Partial", "Incomplete"),
        ("one has none", second(brings(first())).discovers(0).sums_up(), "Succeeded", "Completed"),
    ]
}

/// Teardowns.
fn teardowns(version: Version) -> Vec<Case> {
    let asked = || Cli::new(version).asks();
    let told = || asked().told_yes();
    let fails = |why: &str| told().fails("Failed to destroy pipeline", why);
    vec![
        ("7 y or yes", told().destroys(4), "Succeeded", "Destroyed"),
        ("7 many", told().destroys(214), "Succeeded", "Destroyed"),
        ("7 empty stdin, y without newline", asked().fails("", "reading confirmation: EOF"), "Failed", "MarmotError"),
        ("7 n", asked().told_no(), "Failed", "Cancelled"),
        ("7 server down", fails(&destroy(REFUSED)), "Failed", "MarmotUnreachable"),
        ("7 connection cut", fails(&destroy("EOF")), "Failed", "MarmotUnreachable"),
        ("7 wrong key", fails("request failed with status 401"), "Failed", "Unauthorized"),
        ("7 unknown pipeline, or twice", told().destroys(0), "Succeeded", "NothingFound"),
        if version == Version::Head {
            ("6 then destroy", told().destroys(4), "Succeeded", "Destroyed")
        } else {
            ("6 then destroy", told().destroys(0), "Succeeded", "NothingFound")
        },
    ]
}

/// A `marmot` that prints that and ends with 0, as it always does.
fn standing_in(cli: &Cli) -> Pod {
    let pod = Pod::with_script("cat printed-err >&2; cat printed-out");
    fs::write(pod.dir.join("printed-out"), &cli.stdout).unwrap();
    fs::write(pod.dir.join("printed-err"), &cli.stderr).unwrap();
    pod.flag("--retry-for=0s")
}

fn check(version: Version, case: &Case, ended: &Ended) {
    let (name, cli, outcome, reason) = case;
    let code = match *outcome {
        "Succeeded" => 0,
        "Partial" => 3,
        "Failed" => 1,
        _ => 143,
    };
    let (is_outcome, is_reason, is_code) = ended.verdict();
    assert_eq!(
        (is_outcome.as_str(), is_reason.as_str(), is_code),
        (*outcome, *reason, code),
        "{version:?}: {name}: {}",
        ended.message
    );
    assert_eq!(String::from_utf8_lossy(&ended.stdout), cli.stdout, "{version:?}: {name}");
    assert!(ended.stderr.starts_with(&cli.stderr), "{version:?}: {name}: {}", ended.stderr);
    assert!(!ended.report().message.is_empty(), "{version:?}: {name}");
}

// R30, R36: every case, whatever exit code says; output passes unchanged.
#[test]
fn every_case_of_three_versions() {
    for version in VERSIONS {
        for case in failures(version).into_iter().chain(ingestions(version)) {
            check(version, &case, &standing_in(&case.1).ingest());
        }
        for case in pairs(version) {
            let pod = standing_in(&case.1);
            fs::write(pod.dir.join("pipeline.yaml"), "name: books\nruns:\n- shelf: {}\n- other: {}\n").unwrap();
            check(version, &case, &pod.ingest());
        }
        for case in teardowns(version) {
            check(version, &case, &standing_in(&case.1).destroy());
        }
    }
}

/// Output of v0.10.0 with its measured times and paths as the script has them.
fn steady(text: &str) -> String {
    let line = |line: &str| {
        if line.starts_with("{\"level\":\"info\"") && line.contains("Loaded external plugin") {
            return LOADED.trim_end().to_owned();
        }
        let timed = ["  ✅ Discovered ", "  ✅ Run completed in "].iter().any(|start| line.starts_with(start));
        match line.rsplit_once(" in ") {
            Some((what, _)) if timed => format!("{what} in {TIME}"),
            _ => line.to_owned(),
        }
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

// R36: what stands in for `marmot` here prints what v0.10.0 prints, to the byte.
#[test]
fn the_real_marmot_says_the_same() {
    let same = |case: &str, ended: &Ended, cli: Cli| {
        assert_eq!(steady(std::str::from_utf8(&ended.stdout).unwrap()), cli.stdout, "{case}");
        let own = |line: &&str| !line.starts_with("marmot-operator runner: ");
        let stderr: String = ended.stderr.split_inclusive('\n').filter(own).collect();
        assert_eq!(steady(&stderr), cli.stderr, "{case}");
    };
    let new = || Cli::new(Version::V0_10_0);
    let source = || new().reads().source("shelf");
    let good = Marmot::start(Manners::default());
    let refusing = |path: &'static str, status: u16| Marmot::start(Manners::default()).refuse(path, &[status]);
    let ingest = |runs: &Value, marmot: &Marmot| host(Pod::with_runs(runs), marmot).flag("--retry-for=0s").ingest();

    same("1", &ingest(&shelf(4), &good), source().starts().brings(created(4, 4)).sums_up());
    let losing = Marmot::start(Manners { loses: 1, ..Manners::default() });
    same("10", &ingest(&shelf(3), &losing), source().starts().brings(created(3, 2)).sums_up());
    let ended = ingest(&shelf(3), &refusing("/runs/start", 401));
    same("2", &ended, source().asks_to_start().fails("Failed to start run", "request failed with status 401"));
    let nowhere = Pod::with_runs(&shelf(1)).env("MARMOT_HOST", "http://127.0.0.1:1").flag("--retry-for=0s");
    let refused = format!("Post \"http://127.0.0.1:1/api/v1/runs/start\": {REFUSED}");
    same("2 refused", &nowhere.ingest(), source().asks_to_start().fails("Failed to start run", &refused));
    same("3 unknown", &ingest(&json!([{ "other": {} }]), &good), new().reads().fails("", "unknown source: other"));
    let missing = "rpc error: code = Unknown desc = password: password is required";
    let ended = ingest(&json!([{ "shelf": {} }]), &good);
    same("3 missing", &ended, source().fails("Config validation failed", missing));
    let pod = host(Pod::new(), &good);
    fs::write(pod.dir.join("pipeline.yaml"), "name: books\n").unwrap();
    same("3 no runs", &pod.ingest(), new().reads().sums_up());
    fs::write(pod.dir.join("pipeline.yaml"), "runs: []\n").unwrap();
    same("3 no name", &pod.ingest(), new().fails("", "pipeline name is required"));
    let locked = json!([{ "shelf": { "password": "x", "error": "locked" } }]);
    let why = "rpc error: code = Unknown desc = locked";
    same("4", &ingest(&locked, &good), source().starts().fails("Discovery failed", why));
    same("6", &ingest(&shelf(0), &good), source().starts().discovers(0).sums_up());
    let ended = ingest(&shelf(4), &refusing("/runs/complete", 500));
    let synced = source().starts().discovers(4).syncs(created(4, 4));
    same("11", &ended, synced.cannot_complete("request failed with status 500").completes(0).sums_up());
    let ended = ingest(&shelf(4), &refusing("/assets/batch", 500));
    let sent = source().starts().discovers(4).clears_progress();
    same("11 batch", &ended, sent.fails("Asset sync failed", "request failed with status 500"));

    let failing = Marmot::start(Manners { fails: 1, ..Manners::default() });
    let said = source().starts().brings(Batch { errors: 1, ..created(3, 2) }).sums_up();
    same("10 on a server that tells", &ingest(&shelf(3), &failing), said);

    let told = || new().asks().told_yes();
    for holds in [0, 4, 12] {
        let marmot = Marmot::start(Manners { holds, ..Manners::default() });
        same("7", &host(Pod::new(), &marmot).destroy(), told().destroys(holds));
    }
    let closed = refusing("/pipelines/books", 401);
    let why = "request failed with status 401";
    same("7 wrong key", &host(Pod::new(), &closed).destroy(), told().fails("Failed to destroy pipeline", why));
}

// R36: other ends than 0, each with the output of a success that was cut.
#[test]
fn other_ends_than_0() {
    let cut = "printf '  ✅ Run started (ID: 1)\\n  ✅ Discovered 4 as'";
    let ends = [
        ("kill -9 $$", "Killed", 137, "signal 9 (SIGKILL)"),
        ("kill -11 $$", "Killed", 139, "signal 11 (SIGSEGV)"),
        ("echo 'panic: boom' >&2; exit 2", "ExitCode", 143, "exit code 2: panic: boom"),
        (
            "printf '\\377\\376\\r\\033['; exit 0",
            "Incomplete",
            143,
            "its last line: ✅ Discovered 4 as\u{fffd}\u{fffd}",
        ),
    ];
    for (end, reason, code, words) in ends {
        let ended = Pod::with_script(&format!("{cut}\n{end}")).ingest();
        assert_eq!(ended.verdict(), ("Killed".to_owned(), reason.to_owned(), code), "{end}");
        assert!(ended.report().message.contains(words), "{end}: {}", ended.message);
    }
}

// R36: what `marmot` leaves behind while it runs on is taken in at once, and stays no zombie.
#[test]
fn orphans_are_taken_in_meanwhile() {
    let pod = Pod::with_script(
        "sh -c 'sh -c \"echo \\$\\$ >orphan\" &'; i=0; said=done; \
         until [ -s orphan ] && ! [ -d /proc/$(cat orphan) ]; do \
           i=$((i + 1)); [ $i -lt 1000 ] || { said=zombie; break; }; sleep 0.01; done; echo \"Error: $said\" >&2",
    );
    let ended = pod.ingest();
    assert_eq!(ended.report().message, "done", "{}", ended.stderr);
}

// R36: a `marmot` whose user is another one, and whose folder cannot be written.
#[test]
fn a_program_that_may_not_be_run_is_said_in_words() {
    let pod = Pod::with_script("exit 0");
    fs::set_permissions(pod.dir.join("marmot.sh"), fs::Permissions::from_mode(0o644)).unwrap();
    let ended = pod.ingest();
    assert_eq!(ended.verdict(), ("Failed".to_owned(), "CannotStart".to_owned(), 1));
    assert!(ended.report().message.contains("Permission denied"), "{}", ended.message);
}
