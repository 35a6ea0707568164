//! The runner as a process: over the real `marmot ingest` against a server that refuses, and over children that misbehave.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
#![allow(missing_docs, unreachable_pub, reason = "a test binary has no users")]

#[path = "runner/api.rs"]
mod api;
#[path = "runner/cases.rs"]
mod cases;
#[path = "runner/cli.rs"]
mod cli;
#[path = "runner/plain.rs"]
mod plain;
#[path = "runner/pod.rs"]
mod pod;

use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use api::{Manners, Marmot};
use pod::{Ended, Pod, is_running, signal, wait};
use serde_json::{Value, json};

fn shelf(assets: u32) -> Value {
    json!([{ "shelf": { "assets": assets, "password": "x" } }])
}

fn host(pod: Pod, marmot: &Marmot) -> Pod {
    pod.env("MARMOT_HOST", &marmot.url)
}

#[track_caller]
fn assert_ends(ended: &Ended, outcome: &str, reason: &str, code: i32) {
    let (is_outcome, is_reason, is_code) = ended.verdict();
    assert_eq!((is_outcome.as_str(), is_reason.as_str(), is_code), (outcome, reason, code), "{}", ended.stderr);
}

// R36: the real CLI, from good to bad; without the runner every one of these ends with 0.
#[test]
fn outcomes_of_the_real_marmot() {
    let good = Marmot::start(Manners::default());
    let ended = host(Pod::with_runs(&shelf(4)), &good).ingest();
    assert_ends(&ended, "Succeeded", "Completed", 0);
    let counts = ended.report().counts;
    assert_eq!((counts.sources, counts.discovered, counts.created), (1, 4, 4));
    assert_eq!(good.calls().len(), 3);
    assert!(
        String::from_utf8(ended.stdout).unwrap().ends_with("✅ All operations completed successfully\u{1b}[0m\n\n")
    );

    let ended = host(Pod::with_runs(&shelf(0)), &good).ingest();
    assert_ends(&ended, "Succeeded", "NoAssets", 0);

    let losing = Marmot::start(Manners { loses: 1, ..Manners::default() });
    let ended = host(Pod::with_runs(&shelf(3)), &losing).ingest();
    assert_ends(&ended, "Partial", "AssetsLost", 3);
    assert_eq!(ended.report().message, "2 of 3 discovered assets arrived in Marmot");

    let failing = Marmot::start(Manners { fails: 1, ..Manners::default() });
    assert_ends(&host(Pod::with_runs(&shelf(3)), &failing).ingest(), "Partial", "AssetErrors", 3);

    let unfinished = Marmot::start(Manners::default()).refuse("/runs/complete", &[500]);
    assert_ends(&host(Pod::with_runs(&shelf(3)), &unfinished).ingest(), "Partial", "CompletionLost", 3);

    let closed = Marmot::start(Manners::default()).refuse("/runs/start", &[401]);
    let ended = host(Pod::with_runs(&shelf(3)), &closed).ingest();
    assert_ends(&ended, "Failed", "Unauthorized", 1);
    assert!(ended.report().message.starts_with("Marmot answered 401, unauthorized: the API key"));

    let source = json!([{ "shelf": { "password": "x", "error": "the shelf is locked" } }]);
    let ended = host(Pod::with_runs(&source), &good).ingest();
    assert_ends(&ended, "Failed", "DiscoveryFailed", 1);
    assert!(ended.report().message.ends_with("the shelf is locked"), "{}", ended.report().message);

    let source = json!([{ "shelf": { "password": "x", "error": "no" } }, { "other": {} }]);
    assert_ends(&host(Pod::with_runs(&source), &good).ingest(), "Failed", "DiscoveryFailed", 1);
    assert_ends(&host(Pod::with_runs(&json!([{ "other": {} }])), &good).ingest(), "Failed", "UnknownSource", 1);
    assert_ends(&host(Pod::with_runs(&json!([{ "shelf": {} }])), &good).ingest(), "Failed", "InvalidSourceConfig", 1);
}

// R37: secrets reach the source through memory, and nothing else.
#[test]
fn secrets_reach_the_source_and_no_message() {
    let marmot = Marmot::start(Manners::default());
    let echo = json!([{ "shelf": { "assets": 1, "password": "${SHELF_PASSWORD}", "echo": "it's \"${ECHO}\" $${LITERAL} $1" } }]);
    let pod = host(Pod::with_runs(&echo), &marmot)
        .env("SHELF_PASSWORD", "hunter2")
        .env("ECHO", "a: 'b'\n- \u{2028}\"c\" ${X}");
    assert_ends(&pod.ingest(), "Succeeded", "Completed", 0);
    let body = &marmot.bodies("/assets/batch")[0];
    assert_eq!(body["assets"][0]["description"], "it's \"a: 'b'\n- \u{2028}\"c\" ${X}\" ${LITERAL} $1");
    assert_eq!(body["config"]["password"], "********");

    let leak = json!([{ "shelf": { "password": "${SHELF_PASSWORD}", "error": "cannot log in with PASSWORD at key-of-the-tests" } }]);
    let pod = host(Pod::with_runs(&leak), &marmot).env("SHELF_PASSWORD", "hunter2");
    let ended = pod.ingest();
    assert_ends(&ended, "Failed", "DiscoveryFailed", 1);
    assert!(ended.message.contains("cannot log in with *** at ***"), "{}", ended.message);
    assert!(!ended.message.contains("hunter2"));
    assert!(String::from_utf8_lossy(&ended.stdout).contains("hunter2"), "the container's output is Marmot's own");
}

// R37: marmot does not start.
#[test]
fn an_unset_variable_is_named_with_its_place() {
    let pod = Pod::with_script("touch started");
    let runs = json!([{ "shelf": { "auth": { "password": "${SHELF_PASSWORD}" } } }]);
    fs::write(pod.dir.join("pipeline.yaml"), marmot_operator::pipeline::render("books", &runs.to_string()).unwrap())
        .unwrap();
    let ended = pod.ingest();
    assert_ends(&ended, "Failed", "UnsetVariable", 1);
    let wanted = "runs[0].shelf.auth.password: the environment variable SHELF_PASSWORD is not set";
    assert!(ended.report().message.starts_with(wanted), "{}", ended.message);
    assert!(!pod.dir.join("started").exists());
}

// R37: what is written can be read by nobody else, and only into memory.
#[test]
fn the_expanded_file_is_private() {
    let pod = Pod::with_script("stat -c '%a %n' \"$3\" >seen; cat \"$3\" >>seen; exit 1").env("WORD", "word");
    fs::write(pod.dir.join("pipeline.yaml"), "name: books\nruns:\n- shelf: {a: '${WORD}', b: ~, c: 1.5}\n").unwrap();
    pod.ingest();
    let seen = pod.file("seen");
    let (head, text) = seen.split_once('\n').unwrap();
    assert!(head.starts_with(&format!("600 {}", pod.memory.display())), "{head}");
    assert_eq!(text, r#"{"name": "books","runs": [{"shelf": {"a": "word","b": null,"c": 1.5}}]}"#);
    let work_dir = format!("--work-dir={}", pod.dir.display());
    let on_disk = Pod::with_script("touch started").env("WORD", "word");
    fs::copy(pod.dir.join("pipeline.yaml"), on_disk.dir.join("pipeline.yaml")).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_marmot-operator"))
        .args(["runner", "ingest", &work_dir, "--termination-log=/dev/stdout", "--marmot=true", "--config"])
        .arg(on_disk.dir.join("pipeline.yaml"))
        .env("WORD", "word")
        .output()
        .unwrap();
    let message = String::from_utf8(output.stdout).unwrap();
    assert!(message.contains("NoWorkDirectory") && message.contains("not in memory"), "{message}");
}

// R30: the question is answered, and "nothing found" is told apart.
#[test]
fn teardowns_of_the_real_marmot() {
    let full = Marmot::start(Manners { holds: 4, ..Manners::default() });
    let ended = host(Pod::new(), &full).destroy();
    assert_ends(&ended, "Succeeded", "Destroyed", 0);
    assert_eq!(ended.report().counts.deleted, 4);
    assert_eq!(full.calls()[0].0, "DELETE /api/v1/pipelines/books");

    let empty = Marmot::start(Manners::default());
    assert_ends(&host(Pod::new(), &empty).destroy(), "Succeeded", "NothingFound", 0);

    let closed = Marmot::start(Manners::default()).refuse("/pipelines/books", &[401]);
    assert_ends(&host(Pod::new(), &closed).destroy(), "Failed", "Unauthorized", 1);
    let starting = Marmot::start(Manners { holds: 1, ..Manners::default() }).refuse("/pipelines/books", &[503]);
    assert_ends(&host(Pod::new(), &starting).destroy(), "Succeeded", "Destroyed", 0);
    assert_eq!(starting.calls().len(), 2);
}

// R36: a Marmot that is just starting is waited for; nothing else is tried again.
#[test]
fn only_a_marmot_that_is_not_up_yet_is_tried_again() {
    let starting = Marmot::start(Manners::default()).refuse("/runs/start", &[503, 503]);
    let ended = host(Pod::with_runs(&shelf(2)), &starting).ingest();
    assert_ends(&ended, "Succeeded", "Completed", 0);
    assert_eq!(starting.bodies("/runs/start").len(), 3);
    assert_eq!(ended.stderr.matches("trying again in").count(), 2, "{}", ended.stderr);

    let away = Marmot::start(Manners::default()).refuse("/runs/start", &[503; 50]);
    let ended = host(Pod::with_runs(&shelf(2)), &away).flag("--retry-for=2s").ingest();
    assert_ends(&ended, "Failed", "MarmotUnreachable", 1);
    // One and a second later another, if the first took no longer than that.
    assert!((1..=2).contains(&away.bodies("/runs/start").len()));

    // Any other refusal is the end.
    let broken = Marmot::start(Manners::default()).refuse("/runs/start", &[500]);
    assert_ends(&host(Pod::with_runs(&shelf(2)), &broken).ingest(), "Failed", "MarmotError", 1);
    assert_eq!(broken.calls().len(), 1);
}

// R36: refused connections, too; the server comes up on the same port.
#[test]
fn a_refused_connection_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let pod = Pod::with_runs(&shelf(1)).env("MARMOT_HOST", &format!("http://{address}"));
    let mut runner = pod.start_ingest();
    let mut stderr = runner.stderr.take().unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("trying again") {
        let mut piece = [0; 1024];
        let read = stderr.read(&mut piece).unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend(&piece[..read]);
    }
    let marmot = Marmot::on(TcpListener::bind(address).unwrap(), Manners::default());
    std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
    assert_ends(&wait(runner, &pod), "Succeeded", "Completed", 0);
    assert_eq!(marmot.bodies("/runs/start").len(), 1);

    // While it waits, it can be stopped.
    let pod = Pod::with_runs(&shelf(1)).env("MARMOT_HOST", "http://127.0.0.1:1");
    let mut runner = pod.start_ingest();
    let mut stderr = runner.stderr.take().unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("trying again") {
        let mut piece = [0; 1024];
        let read = stderr.read(&mut piece).unwrap();
        seen.extend(&piece[..read]);
    }
    signal(runner.id(), "TERM");
    assert_ends(&wait(runner, &pod), "Killed", "Terminated", 143);
}

// R36: SIGTERM reaches marmot and its plugin; the plugin does not outlive the runner.
#[test]
fn a_stopped_marmot_leaves_no_plugin() {
    let marmot = Marmot::start(Manners::default());
    for (name, code) in [("TERM", 143), ("INT", 130)] {
        let mut pod = Pod::new();
        let pid_file = pod.dir.join("plugin").display().to_string();
        let runs = json!([{ "shelf": { "password": "x", "pause": "10m", "pid_file": pid_file } }]);
        fs::write(
            pod.dir.join("pipeline.yaml"),
            marmot_operator::pipeline::render("books", &runs.to_string()).unwrap(),
        )
        .unwrap();
        pod = host(pod, &marmot);
        let runner = pod.start_ingest();
        let plugin = pod.file("plugin");
        assert!(is_running(&plugin));
        let since = Instant::now();
        signal(runner.id(), name);
        assert_ends(&wait(runner, &pod), "Killed", "Terminated", code);
        assert!(since.elapsed() < Duration::from_secs(60), "{:?}", since.elapsed());
        assert!(!is_running(&plugin), "plugin {plugin} lives on after SIG{name}");
    }
}

// R36: who does not hear SIGTERM is killed when the grace period is over, with all its children.
#[test]
fn a_deaf_child_is_killed_after_the_grace_period() {
    let script = "trap '' TERM; (trap '' TERM; echo $$ >/dev/null; exec sleep 600) & echo $! >orphan; echo ready >ready; sleep 600";
    let pod = Pod::with_script(script).flag("--grace-period=1s");
    let runner = pod.start_ingest();
    pod.file("ready");
    let orphan = pod.file("orphan");
    let since = Instant::now();
    signal(runner.id(), "TERM");
    assert_ends(&wait(runner, &pod), "Killed", "Terminated", 137);
    assert!((1..10).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
    assert!(!is_running(&orphan));
}

// R36: a child may use its grace to end well.
#[test]
fn a_child_that_ends_well_after_sigterm_has_succeeded() {
    let script = r"well() {
          kill $!
          echo '  ✅ Run started (ID: 1)'
          echo '  ⚠️  No assets discovered'
          echo '✅ All operations completed successfully'
          exit 0
        }
        trap well TERM; sleep 600 & echo ready >ready; wait";
    let pod = Pod::with_script(script);
    let runner = pod.start_ingest();
    pod.file("ready");
    signal(runner.id(), "TERM");
    assert_ends(&wait(runner, &pod), "Succeeded", "NoAssets", 0);
}

// R36: plugins that outlive a marmot that ended by itself do not hold the pod up, and neither do their open pipes.
#[test]
fn orphans_do_not_hold_the_container_up() {
    let pod = Pod::with_script("sleep 600 & echo $! >orphan; echo 'Error: gone' >&2");
    let since = Instant::now();
    let ended = pod.ingest();
    assert_ends(&ended, "Failed", "MarmotError", 1);
    assert!(since.elapsed() < Duration::from_secs(60), "{:?}", since.elapsed());
    assert!(!is_running(&pod.file("orphan")));
}

// R36: bytes go through unchanged, whatever they are, with bounded memory.
#[test]
fn output_passes_unchanged_and_memory_stays_bounded() {
    let script = "head -c 30000000 /dev/urandom >bytes; cat bytes; cat bytes >&2; tr '\\n' '\\r' <bytes; \
                  grep -E 'VmHWM|RssFile' /proc/$PPID/status >memory";
    let pod = Pod::with_script(script);
    let ended = pod.ingest();
    assert_ends(&ended, "Killed", "Incomplete", 143);
    let bytes = fs::read(pod.dir.join("bytes")).unwrap();
    assert!(ended.stdout.starts_with(&bytes), "standard output is passed on unchanged");
    assert_eq!(ended.stdout.len(), 2 * bytes.len());
    let memory = pod.file("memory");
    let kib: Vec<u64> = memory.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    // What it has allocated at most: how much of the program itself is in memory depends on the build.
    let own = kib[0] - kib[1];
    eprintln!("peak memory of the runner: {own} KiB and the program");
    assert!(own < 4 * 1024, "{memory}");
}

// R36: what a large pipeline takes is given back before `marmot` starts.
#[test]
fn a_large_pipeline_takes_no_memory_beside_marmot() {
    let memory_with = |runs: &Value| {
        let pod = Pod::with_script("grep VmRSS /proc/$PPID/status >memory; echo 'Error: x' >&2").env("WORD", "x");
        let text = marmot_operator::pipeline::render("books", &runs.to_string()).unwrap();
        fs::write(pod.dir.join("pipeline.yaml"), text).unwrap();
        assert_ends(&pod.ingest(), "Failed", "MarmotError", 1);
        pod.file("memory").split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let tables: Vec<_> = (0..20_000).map(|n| json!({ "name": format!("table_{n}"), "word": "${WORD}" })).collect();
    let (small, large) = (memory_with(&shelf(1)), memory_with(&json!([{ "shelf": { "tables": tables } }])));
    eprintln!("the runner beside marmot: {small} KiB, {large} KiB for a large pipeline");
    assert!(large < small + 1024, "{small} KiB became {large} KiB");
}

// R36: nobody reads the output any more: the run goes on and is judged.
#[test]
fn a_closed_log_does_not_end_the_run() {
    let pod = Pod::with_script(
        "i=0; while [ $i -lt 300 ]; do echo \"$i $PWD\"; i=$((i+1)); done; echo done >done; echo 'Error: x' >&2",
    );
    let mut runner = pod.start_ingest();
    drop(runner.stdout.take());
    assert_eq!(runner.wait().unwrap().code(), Some(1));
    assert_eq!(pod.file("done"), "done");
}

#[test]
fn a_missing_marmot_is_said_in_words() {
    let pod = Pod::with_runs(&shelf(1)).flag("--marmot=/nowhere/marmot");
    let ended = pod.ingest();
    assert_ends(&ended, "Failed", "CannotStart", 1);
    assert!(ended.report().message.starts_with("/nowhere/marmot cannot be started: "), "{}", ended.message);
}

// R36: the init container's part.
#[test]
fn the_runner_installs_itself() {
    let pod = Pod::new();
    let install = |directory: &std::path::Path| {
        std::process::Command::new(env!("CARGO_BIN_EXE_marmot-operator"))
            .args(["runner", "install"])
            .arg(directory)
            .output()
            .unwrap()
    };
    for _ in 0..2 {
        assert!(install(&pod.dir).status.success());
    }
    let copy = pod.dir.join("marmot-operator");
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o755);
    let help = std::process::Command::new(&copy).args(["runner", "--help"]).output().unwrap();
    assert!(help.status.success());
    assert_eq!(
        fs::read_dir(&pod.dir).unwrap().filter(|entry| entry.as_ref().unwrap().file_name() == ".unfinished").count(),
        0
    );
    let refused = install(&pod.dir.join("missing"));
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("cannot copy the runner to"), "{refused:?}");
}
