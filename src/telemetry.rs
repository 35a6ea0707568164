//! Logs: text for people or JSON for machines, on standard error.

use std::io::IsTerminal as _;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::TryInitError;
use tracing_subscriber::{Layer, layer::SubscriberExt, util::SubscriberInitExt};

/// Form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object per line.
    Json,
}

/// Libraries that have nothing to tell a user below a warning. The lease's crate (which logs by `log`) tells stand-bys
/// every two seconds that the lease is held; what matters of that, `leader` says itself.
const QUIET: &str = "kube=warn,kube_client=warn,kube_runtime=warn,kube_leader_election=warn,hyper=warn,hyper_util=warn,\
                     rustls=warn,tower=warn,tokio_cron_scheduler=warn";
/// It calls each failed call an error and does not say which one it was; whoever made the call does, and how bad it is.
const CALLS: &str = "kube_client::client::builder";

/// The filter for `level`: a level (`info`) or a list of directives (`info,marmot_operator::leader=debug`), with the
/// libraries kept at `warn` unless a directive names them.
///
/// # Errors
/// Where `level` is no such list.
pub fn filter(level: &str) -> Result<EnvFilter, ParseError> {
    // The longer target counts, and of two directives for one target the later one.
    let calls = if level.contains("kube_client") { String::new() } else { format!("{CALLS}=off,") };
    EnvFilter::builder().parse(format!("{QUIET},{calls}{level}"))
}

/// Sends the process's logs to standard error from now on.
///
/// # Errors
/// Where that has been done before.
pub fn init(format: LogFormat, filter: EnvFilter) -> Result<(), TryInitError> {
    let colours = std::io::stderr().is_terminal();
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
    let layer = match format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(layer).try_init()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_quiet_unless_asked() {
        assert!(filter("info").unwrap().to_string().contains("kube_leader_election=warn"));
        let asked = filter("info,kube_leader_election=debug").unwrap().to_string();
        assert!(
            asked.contains("kube_leader_election=debug") && !asked.contains("kube_leader_election=warn"),
            "{asked}"
        );
    }

    #[test]
    fn calls_are_told_by_the_client_only_where_it_is_asked() {
        for (level, off) in [("debug", true), ("info,kube_client=debug", false)] {
            assert_eq!(filter(level).unwrap().to_string().contains(&format!("{CALLS}=off")), off, "{level}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(filter("marmot=loud").is_err());
    }
}
