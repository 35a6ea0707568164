use clap::CommandFactory;
use rstest::rstest;

use super::*;

fn parse(flags: &[&str]) -> Result<OperatorArgs, String> {
    let line = ["marmot-operator", "operator"].iter().chain(flags);
    match Cli::try_parse_from(line).map_err(|error| error.to_string())?.command {
        Command::Operator(args) => Ok(*args),
        other => Err(format!("{other:?}")),
    }
}

fn election(flags: &[&str]) -> Result<Option<LeaderConfig>, String> {
    let args = parse(flags)?;
    args.election.config(Some("marmot"), Path::new("/nowhere")).map_err(|error| error.to_string())
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn names_and_defaults_are_those_of_the_go_operator() {
    let args = parse(&[]).unwrap();
    assert_eq!(args.metrics_bind_address, Bind::Port(8090));
    assert_eq!(args.health_probe_bind_address, Bind::Port(8091));
    assert!(args.election.leader_elect);
    assert_eq!(args.watched_namespace(), None);
    assert_eq!(args.marmot_url, "http://marmot:8080");
    assert_eq!(args.ingest_service_account, "marmot-ingest");
    assert_eq!(args.image, "");

    let config = args.election.config(Some("marmot"), Path::new("/nowhere")).unwrap().unwrap();
    assert_eq!((config.namespace.as_str(), config.lease_name.as_str()), ("marmot", "marmot-operator.marmotdata.io"));
    let times = [config.lease_duration, config.renew_deadline, config.retry_period];
    assert_eq!(times, [15, 10, 2].map(Duration::from_secs));
}

#[test]
fn caps_are_off_unless_given() {
    assert!(parse(&[]).unwrap().limits().are_off());
    let limits = parse(&["--max-concurrent-runs=3", "--max-starts-per-second", "20"]).unwrap().limits();
    assert_eq!((limits.concurrent_runs, limits.starts_per_second), (Some(3), Some(20)));
    for wrong in ["0", "-1", "many", "1.5"] {
        let error = parse(&[&format!("--max-concurrent-runs={wrong}")]).unwrap_err();
        assert!(error.contains("whole number above 0"), "{error}");
    }
}

#[rstest]
#[case("--metrics-bind-address=:9000", Bind::Port(9000))]
#[case("--metrics-bind-address=0", Bind::Off)]
#[case("--metrics-bind-address=:0", Bind::Port(0))]
#[case("--metrics-bind-address=127.0.0.1:9000", Bind::Host("127.0.0.1:9000".to_owned()))]
#[case("--metrics-bind-address=[::1]:9000", Bind::Host("[::1]:9000".to_owned()))]
#[case("--metrics-bind-address=localhost:9000", Bind::Host("localhost:9000".to_owned()))]
fn addresses_are_read_as_go_reads_them(#[case] flag: &str, #[case] expected: Bind) {
    let bind = parse(&[flag]).unwrap().metrics_bind_address;
    assert_eq!(bind, expected);
    assert_eq!(flag.rsplit_once('=').unwrap().1, bind.to_string());
}

#[rstest]
#[case(&["--leader-elect"], true)]
#[case(&["--leader-elect=true"], true)]
#[case(&["--leader-elect=T"], true)]
#[case(&["--leader-elect=false"], false)]
#[case(&["--leader-elect=0"], false)]
#[case(&["--leader-elect", "--namespace=x"], true)]
fn leader_elect_is_a_go_boolean(#[case] flags: &[&str], #[case] expected: bool) {
    assert_eq!(election(flags).unwrap().is_some(), expected);
}

#[rstest]
#[case("--metrics-bind-address=8090", "0 for off")]
#[case("--metrics-bind-address=", "0 for off")]
#[case("--metrics-bind-address=::1:80", "0 for off")]
#[case("--health-probe-bind-address=:70000", "0 for off")]
#[case("--leader-elect=yes", "write true or false")]
#[case("--leader-elect-lease-duration=15", "such as 15s")]
#[case("--leader-election-namespace=", "at most 63 lower-case letters")]
#[case("--namespace=Team_A", "at most 63 lower-case letters")]
#[case("--marmot-url=marmot:8080", "such as http://")]
#[case("--ingest-service-account=", "ServiceAccount")]
#[case("--image=a b", "no spaces")]
#[case("--log-format=xml", "possible values: text, json")]
#[case("--log-level=marmot=loud", "write error, warn, info")]
fn a_wrong_flag_is_named_and_its_remedy_told(#[case] flag: &str, #[case] remedy: &str) {
    let error = parse(&[flag]).unwrap_err();
    let name = flag.split_once('=').unwrap().0;
    assert!(error.contains(name) && error.contains(remedy), "{error}");
}

#[rstest]
#[case(&["--leader-elect-lease-duration=1500ms"], "--leader-elect-lease-duration: 1s 500ms is not a whole number")]
#[case(&["--leader-elect-lease-duration=0s"], "--leader-elect-lease-duration: 0s is not")]
#[case(&["--leader-elect-renew-deadline=15s"], "--leader-elect-renew-deadline: 15s is not shorter")]
#[case(&["--leader-elect-lease-duration=5s"], "than --leader-elect-lease-duration 5s")]
#[case(&["--leader-elect-retry-period=9s"], "--leader-elect-retry-period: 9s leaves no time")]
#[case(&["--leader-elect-retry-period=0s"], "--leader-elect-retry-period: 0s")]
fn times_that_do_not_fit_together_are_refused(#[case] flags: &[&str], #[case] message: &str) {
    let error = election(flags).unwrap_err();
    assert!(error.contains(message), "{error}");
    let alone = flags.iter().copied().chain(["--leader-elect=false"]).collect::<Vec<_>>();
    assert_eq!(election(&alone).unwrap(), None);
}

#[test]
fn the_namespace_of_the_lease_is_the_flag_else_the_environment_else_the_file_else_an_error() {
    let file = std::env::temp_dir().join(format!("marmot-namespace-{}", std::process::id()));
    std::fs::write(&file, "from-file\n").unwrap();
    let namespace = |flags: &[&str], env: Option<&str>, file: &Path| {
        let config = parse(flags).unwrap().election.config(env, file);
        config.map(|config| config.unwrap().namespace)
    };
    assert_eq!(namespace(&["--leader-election-namespace=flag"], Some("env"), &file).unwrap(), "flag");
    assert_eq!(namespace(&[], Some("env"), &file).unwrap(), "env");
    assert_eq!(namespace(&[], None, &file).unwrap(), "from-file");
    let error = namespace(&[], None, Path::new("/nowhere")).unwrap_err();
    assert!(error.to_string().contains("--leader-election-namespace"), "{error}");
    std::fs::remove_file(file).unwrap();
}

#[test]
fn an_unknown_flag_is_named() {
    assert!(parse(&["--leader-elct"]).unwrap_err().contains("--leader-elct"));
}

// R36
#[test]
fn the_runner_is_off_without_an_image() {
    assert_eq!(parse(&["--runner-image-pull-secret=a"]).unwrap().runner(), None);
    let flags = ["--runner-image=o:1", "--runner-image-pull-secret=a", "--runner-image-pull-secret=b"];
    let runner = parse(&flags).unwrap().runner().unwrap();
    assert_eq!(runner.pull_policy, None);
    assert_eq!((runner.image.as_str(), runner.pull_secrets), ("o:1", vec!["a".to_owned(), "b".to_owned()]));
    assert!(parse(&["--runner-image-pull-secret=A b"]).unwrap_err().contains("name of a Secret"));
    let runner = parse(&["--runner-image=o:1", "--runner-image-pull-policy=Never"]).unwrap().runner().unwrap();
    assert_eq!(runner.pull_policy.as_deref(), Some("Never"));
    assert!(parse(&["--runner-image-pull-policy=never"]).unwrap_err().contains("IfNotPresent"));
}
