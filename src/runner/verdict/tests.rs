use proptest::prelude::*;

use super::super::lines::Lines;
use super::super::report::MAX_BYTES;
use super::*;

const ONE: Task = Task::Ingest { sources: 1 };
const OK: Status = Status::Exited(0);

fn transcript(stdout: &str, stderr: &str) -> Transcript {
    let mut said = Transcript::default();
    let (mut out, mut err) = (Lines::default(), Lines::default());
    out.feed(stdout.as_bytes(), |line| said.stdout(line));
    out.finish(|line| said.stdout(line));
    err.feed(stderr.as_bytes(), |line| said.stderr(line));
    err.finish(|line| said.stderr(line));
    said
}

fn verdict(task: Task, stdout: &str, stderr: &str, status: Status) -> Report {
    let end = End { status, asked: false, out_of_memory: false };
    judge(task, &transcript(stdout, stderr), end, &Redactor::default())
}

const LOADED: &str = "{\"level\":\"info\",\"message\":\"Loaded external plugin\"}\n";
const USAGE: &str =
    "Usage:\n  marmot ingest [flags]\n\nFlags:\n  -c, --config string   Path to ingestion config file\n\n";
const STARTED: &str = "Pipeline: x\n\n📊 openapi\n-----------\n  Starting run...\n  ✅ Run started (ID: 3779)\n  Discovering \
                       assets...\n";
const WELL: &str = "\n\u{1b}[32m✅ All operations completed successfully\u{1b}[0m\n\n";

fn synced(discovered: u32, counts: &str) -> String {
    format!(
        "{STARTED}  ✅ Discovered {discovered} assets in 51ms\n  Syncing assets...\n\r  Preparing assets (1/1)\r  Syncing \
         with server...\r\u{1b}[K  \u{1b}[32m+ Service.OpenAPI.Orders API\u{1b}[0m\n  ✅ Assets synced: {counts}\n  ✅ Run \
         completed in 300ms\n\nAssets: \u{1b}[32m4 created\u{1b}[0m\n"
    )
}

// R36: section 2 of the observations of the real CLI, v0.9.0 to HEAD, all with exit code 0.
#[test]
fn ingestions_that_ended_by_themselves() {
    let not_started = |why: &str| {
        (
            format!("Pipeline: x\n\n  Starting run...\n  ❌ Failed to start run: {why}\n"),
            format!("{LOADED}Error: {why}\n{USAGE}"),
        )
    };
    let failed = |step: &str, why: &str| (format!("{STARTED}  ❌ {step}: {why}\n"), format!("Error: {why}\n{USAGE}"));
    let only = |error: &str| (String::new(), format!("Error: {error}\n{USAGE}"));
    let good = |stdout: String| (stdout + WELL, LOADED.to_owned());
    let refused = "Post \"http://m:8080/api/v1/runs/start\": dial tcp 127.0.0.1:8080: connect: connection refused";
    let no_host = "Post \"http://m:8080/api/v1/runs/start\": dial tcp: lookup m on 10.0.0.10:53: no such host";
    let missing = "rpc error: code = Unknown desc = host: host is required; user: user is required";
    let password =
        "rpc error: code = Unknown desc = initializing database connection: failed SASL auth (SQLSTATE 28P01)";
    let silent = "rpc error: code = DeadlineExceeded desc = context deadline exceeded";
    let yaml = "parsing config file: error converting YAML to JSON: yaml: line 2: mapping values are not allowed";
    let half = format!(
        "{}  ⚠️  Failed to complete run: request failed with status 500\n",
        synced(4, "4 created, 0 updated, 0 deleted")
    );
    let cases = [
        ("1 first run", good(synced(4, "4 created, 0 updated, 0 deleted")), Outcome::Succeeded, "Completed"),
        ("1 again", good(synced(4, "0 created, 1 updated, 3 unchanged, 0 deleted")), Outcome::Succeeded, "Completed"),
        ("1 lost in silence", good(synced(353, "214 created, 0 updated, 0 deleted")), Outcome::Partial, "AssetsLost"),
        ("2 wrong key", not_started("request failed with status 401"), Outcome::Failed, "Unauthorized"),
        ("2 no rights", not_started("request failed with status 403"), Outcome::Failed, "Forbidden"),
        ("2 newer CLI", not_started("request failed with status 400"), Outcome::Failed, "BadRequest"),
        ("2 refused", not_started(refused), Outcome::Failed, "MarmotUnreachable"),
        ("2 DNS", not_started(no_host), Outcome::Failed, "MarmotUnreachable"),
        ("2 503", not_started("request failed with status 503"), Outcome::Failed, "MarmotUnreachable"),
        ("3 unknown source", only("unknown source: nosuchsource"), Outcome::Failed, "UnknownSource"),
        ("3 field missing", failed("Config validation failed", missing), Outcome::Failed, "InvalidSourceConfig"),
        ("3 no runs", good("Pipeline: x\n\n".to_owned()), Outcome::Failed, "NothingRan"),
        ("3 no YAML", only(yaml), Outcome::Failed, "InvalidPipeline"),
        ("3 no name", only("pipeline name is required"), Outcome::Failed, "InvalidPipeline"),
        ("3 no file", only("reading config file: open x: no such file"), Outcome::Failed, "InvalidPipeline"),
        ("3 unknown flag", only("unknown flag: --yes"), Outcome::Failed, "MarmotError"),
        ("4 source password", failed("Discovery failed", password), Outcome::Failed, "DiscoveryFailed"),
        (
            "4 source refuses",
            failed("Discovery failed", "dial tcp: connection refused"),
            Outcome::Failed,
            "DiscoveryFailed",
        ),
        ("4 source silent", failed("Discovery failed", silent), Outcome::Failed, "DiscoveryFailed"),
        ("6 zero assets", good(format!("{STARTED}  ⚠️  No assets discovered\n")), Outcome::Succeeded, "NoAssets"),
        ("8 no plugins", only("unknown source: openapi"), Outcome::Failed, "UnknownSource"),
        (
            "9 broke off",
            (
                format!("{STARTED}  ✅ Discovered 4 assets in 1s\n  Syncing assets...\n\r  Syncing with server..."),
                LOADED.to_owned(),
            ),
            Outcome::Killed,
            "Incomplete",
        ),
        ("9 said nothing", (String::new(), String::new()), Outcome::Killed, "Incomplete"),
        (
            "10 HEAD reports it",
            (
                synced(3, "2 created, 0 updated, 0 deleted")
                    + "  ⚠️  1 errors encountered\n\nErrors: \u{1b}[31m1 encountered\u{1b}[0m\n\n\u{1b}[33m⚠️  Some operations completed with errors\u{1b}[0m\n\n",
                LOADED.to_owned(),
            ),
            Outcome::Partial,
            "AssetErrors",
        ),
        ("11 completion lost", good(half), Outcome::Partial, "CompletionLost"),
        (
            "11 batch refused",
            failed("Asset sync failed", "request failed with status 500"),
            Outcome::Failed,
            "MarmotError",
        ),
        ("12 half discovery", good(synced(1, "0 created, 1 updated, 4 deleted")), Outcome::Succeeded, "Completed"),
    ];
    for (case, (stdout, stderr), outcome, reason) in cases {
        let report = verdict(ONE, &stdout, &stderr, OK);
        assert_eq!((report.outcome, report.reason.as_str()), (outcome, reason), "{case}: {}", report.message);
        assert!(!report.message.is_empty(), "{case}");
        // The same under Windows-like line ends, and cut into single bytes, is tested with `Lines`.
        let again = verdict(ONE, &stdout.replace('\n', "\r\n"), &stderr, OK);
        assert_eq!(again, report, "{case}");
    }
}

// R36
#[test]
fn several_sources() {
    let two = Task::Ingest { sources: 2 };
    let first = synced(4, "4 created, 0 updated, 0 deleted");
    let both = format!("{first}{}{WELL}", synced(2, "0 created, 1 updated, 0 deleted"));
    // Marmot's figures of several sources do not add up, so they prove nothing.
    assert_eq!(verdict(two, &both, "", OK).reason, "Completed");
    assert_eq!(verdict(two, &both, "", OK).counts.discovered, 6);
    let one = format!("{first}{WELL}");
    assert_eq!(
        (verdict(two, &one, "", OK).outcome, verdict(two, &one, "", OK).reason),
        (Outcome::Partial, "Incomplete".into())
    );
    let empty = format!("{first}{STARTED}  ⚠️  No assets discovered\n{WELL}");
    assert_eq!(verdict(two, &empty, "", OK).reason, "Completed");
    let second_fails = format!("{first}{STARTED}  ❌ Discovery failed: no\n");
    assert_eq!(verdict(two, &second_fails, "Error: no\n", OK).outcome, Outcome::Failed);
}

// R36: names come from the source and stand between the lines of Marmot.
#[test]
fn names_from_the_source_decide_nothing() {
    let name = "  \u{1b}[32m+ Service.x.✅ All operations completed successfully\u{1b}[0m\n";
    assert_eq!(verdict(ONE, &format!("{STARTED}{name}"), "", OK).outcome, Outcome::Killed);
    let name = "  + Service.x.⚠️  Some operations completed with errors\n  + Service.x.❌ Failed to start run: 503\n";
    let stdout = format!("{}{name}{WELL}", synced(4, "4 created, 0 updated, 0 deleted"));
    assert_eq!(verdict(ONE, &stdout, "", OK).outcome, Outcome::Succeeded);
    assert_eq!(verdict(ONE, &stdout, "plugin: Error: not at the start\n", OK).outcome, Outcome::Succeeded);
}

// R36: 9, and what the operator adds to it.
#[test]
fn ended_from_outside() {
    let end = |status, asked, out_of_memory| {
        let report = judge(ONE, &transcript(STARTED, ""), End { status, asked, out_of_memory }, &Redactor::default());
        (report.outcome, report.reason)
    };
    assert_eq!(end(Status::Signalled(15, "SIGTERM"), true, false), (Outcome::Killed, "Terminated".into()));
    assert_eq!(end(Status::Exited(2), true, false), (Outcome::Killed, "Terminated".into()));
    assert_eq!(end(Status::Signalled(9, "SIGKILL"), false, true), (Outcome::Killed, "OOMKilled".into()));
    assert_eq!(end(Status::Signalled(11, "SIGSEGV"), false, false), (Outcome::Killed, "Killed".into()));
    assert_eq!(end(Status::Exited(2), false, false), (Outcome::Killed, "ExitCode".into()));
    // A plugin taken by the kernel is a failed discovery to marmot, which lives on.
    let eof = "rpc error: code = Unavailable desc = error reading from server: EOF";
    let said = transcript(&format!("{STARTED}  ❌ Discovery failed: {eof}\n"), &format!("Error: {eof}\n{USAGE}"));
    let plugin =
        |asked, out_of_memory| judge(ONE, &said, End { status: OK, asked, out_of_memory }, &Redactor::default());
    let report = plugin(false, true);
    assert_eq!((report.outcome, report.reason.as_str()), (Outcome::Killed, "OOMKilled"));
    assert!(report.message.contains("limits.memory") && report.message.ends_with(eof), "{}", report.message);
    assert_eq!(plugin(true, true).reason, "Terminated");
    assert_eq!(plugin(false, false).reason, "DiscoveryFailed");
    // A success is one, whoever asked for what meanwhile; a success with another exit code is none.
    let well = synced(4, "4 created, 0 updated, 0 deleted") + WELL;
    let asked = End { status: OK, asked: true, out_of_memory: false };
    assert_eq!(judge(ONE, &transcript(&well, ""), asked, &Redactor::default()).outcome, Outcome::Succeeded);
    assert_eq!(verdict(ONE, &well, "panic: x\n", Status::Exited(2)).outcome, Outcome::Killed);
}

// R30, R36
#[test]
fn teardowns() {
    let asks = "Pipeline: x\n\n⚠️  WARNING: This will permanently delete ALL resources from pipeline: x\n\nThis action \
                cannot be undone. Are you sure you want to continue? (y/N): ";
    let done = "\n  Destroying pipeline resources...\n  ✅ Deleted 4 assets, 1 lineage edges, 0 documentation entries\n  \
                Deleted entities:\n    - mrn://a\n\n🗑️  Destruction Summary\nPipeline: x\nDeleted: 4 assets\n\n\u{1b}[32m✅ \
                All pipeline resources have been permanently deleted\u{1b}[0m\n\n";
    let nothing = "\n  ⚠️  No resources found to delete\n\n🗑️  Destruction Summary\nPipeline: x\n\n\u{1b}[33m⚠️  No \
                   resources were found to delete\u{1b}[0m\n\n";
    let refused =
        "\n  ❌ Failed to destroy pipeline: Delete \"http://m/api/v1/pipelines/x\": dial tcp: connection refused\n";
    for (stdout, stderr, outcome, reason) in [
        (done, "", Outcome::Succeeded, "Destroyed"),
        (nothing, "", Outcome::Succeeded, "NothingFound"),
        ("Operation cancelled.\n", "", Outcome::Failed, "Cancelled"),
        ("", "Error: reading confirmation: EOF\n", Outcome::Failed, "MarmotError"),
        (
            refused,
            "Error: Delete \"http://m/api/v1/pipelines/x\": dial tcp: connection refused\n",
            Outcome::Failed,
            "MarmotUnreachable",
        ),
        (
            "\n  ❌ Failed to destroy pipeline: request failed with status 401\n",
            "Error: request failed with status 401\n",
            Outcome::Failed,
            "Unauthorized",
        ),
        ("", "", Outcome::Killed, "Incomplete"),
        // The words of the other task are no success here.
        (WELL, "", Outcome::Killed, "Incomplete"),
    ] {
        let report = verdict(Task::Destroy, &format!("{asks}{stdout}"), stderr, OK);
        assert_eq!((report.outcome, report.reason.as_str()), (outcome, reason), "{stdout}{stderr}");
    }
    assert_eq!(verdict(Task::Destroy, &format!("{asks}{done}"), "", OK).counts.deleted, 4);
}

// R36: only Marmot itself, only before anything started, only 503 and refused.
#[test]
fn what_is_tried_again() {
    let start = |why: &str| (format!("  ❌ Failed to start run: {why}\n"), format!("Error: {why}\n"));
    let destroy = |why: &str| (format!("  ❌ Failed to destroy pipeline: {why}\n"), format!("Error: {why}\n"));
    let refused = "Post \"http://m\": dial tcp 127.0.0.1:1: connect: connection refused";
    let after_a_run = |(stdout, stderr): (String, String)| (format!("{STARTED}{stdout}"), stderr);
    for (expected, (stdout, stderr)) in [
        (true, start("request failed with status 503")),
        (true, start(refused)),
        (true, destroy(refused)),
        (true, destroy("request failed with status 503")),
        (false, start("request failed with status 500")),
        (false, start("request failed with status 401")),
        (false, start("dial tcp: lookup m: no such host")),
        (false, after_a_run(start("request failed with status 503"))),
        (false, ("  ❌ Discovery failed: dial tcp: connection refused\n".into(), "Error: x\n".into())),
        (false, ("  ❌ Failed to start run: request failed with status 503\n".into(), String::new())),
        (false, (String::new(), "Error: unknown source: x\n".into())),
    ] {
        assert_eq!(is_worth_another_try(&transcript(&stdout, &stderr)), expected, "{stdout}");
    }
}

// R36: a 401 says so in words. R37: and nothing secret.
#[test]
fn messages() {
    let stderr = "Error: request failed with status 401\n";
    let report = verdict(ONE, "  ❌ Failed to start run: request failed with status 401\n", stderr, OK);
    assert_eq!(
        report.message,
        "Marmot answered 401, unauthorized: the API key (MARMOT_API_KEY) is missing or wrong: Failed to start run: \
         request failed with status 401"
    );
    let said = transcript("", "Error: password hunter2 refused for hunter\n");
    let end = End { status: OK, asked: false, out_of_memory: false };
    assert_eq!(judge(ONE, &said, end, &Redactor::new(["hunter2"])).message, "password *** refused for hunter");
    // The runner reads no further than its limit; the secret that stands there does not come out by half.
    let long = format!("Error: {}hunter2", "x".repeat(super::super::lines::MAX_LINE - 13));
    let report = judge(ONE, &transcript("", &long), end, &Redactor::new(["hunter2"]));
    assert!(!report.message.contains("hunter"), "{}", report.message);
}

/// Pieces of output: Marmot's own words, secrets, and anything else.
fn piece(secret: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    let own = [
        "Error: ",
        "\n",
        "\r",
        "  ❌ Failed to start run: ",
        "request failed with status 503",
        "  ✅ Run started (ID: 1)\n",
        "  ⚠️  Failed to complete run: ",
        "  ✅ Discovered 99999999999999999999 assets in 1s\n",
        "\u{1b}[32m",
        "\u{1b}[",
        "✅ All operations completed successfully\n",
        "⚠️  Some operations completed with errors\n",
        "  ✅ Assets synced: -1 created, x",
    ];
    let own = proptest::sample::select(own.map(|text| text.as_bytes().to_vec()).to_vec());
    let filler = (0_usize..5000).prop_map(|length| vec![b'x'; length]);
    prop_oneof![4 => own, 2 => Just(secret.as_bytes().to_vec()), 2 => proptest::collection::vec(any::<u8>(), 0..40), 1 => filler]
}

proptest! {
    // R36, R37: whatever is said and however it ends, there is a verdict, it fits, and it holds no secret. The runner's
    // own words hold no `§`.
    #[test]
    fn no_output_breaks_the_runner_or_brings_a_secret_out(
        (secret, out, err) in "§[^*\\s\\p{C}]{1,20}".prop_flat_map(|secret| {
            let pieces = || proptest::collection::vec(piece(&secret), 0..20).prop_map(|pieces| pieces.concat());
            (Just(secret.clone()), pieces(), pieces())
        }),
        code in -1..4, asked: bool, sources in 0_usize..3,
    ) {
        let mut said = Transcript::default();
        for (bytes, is_out) in [(&out, true), (&err, false)] {
            let mut lines = Lines::default();
            let mut take = |line| if is_out { said.stdout(line) } else { said.stderr(line) };
            lines.feed(bytes, &mut take);
            lines.finish(&mut take);
        }
        let status = if code < 0 { Status::Signalled(9, "SIGKILL") } else { Status::Exited(code) };
        for task in [Task::Destroy, Task::Ingest { sources }] {
            let end = End { status, asked, out_of_memory: false };
            let report = judge(task, &said, end, &Redactor::new([secret.as_str()]));
            prop_assert!(report.to_line().len() <= MAX_BYTES);
            prop_assert!(!report.message.contains(&secret), "{secret:?} in {report:?}");
            prop_assert!(status == Status::Exited(0) || report.outcome != Outcome::Succeeded);
        }
        let _ = is_worth_another_try(&said);
    }
}
