//! Alerts and dashboard ask for metrics that exist, by labels and values that occur.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::time::Duration;

use marmot_operator::metrics::{Metrics, PREFIX, Resource, Verb};
use promql_parser::label::MatchOp;
use promql_parser::parser::{self, Expr, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};
use scheduler::state::{Outcome, RunKind, SkipReason};
use serde_json::Value;

use crate::{file, helm};

/// Series name → label → values. Every label that a sample of that name has is there.
type Exposed = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// Labels that Prometheus adds to every series of a target.
const TARGET_LABELS: [&str; 3] = ["namespace", "job", "pod"];

/// What an operator exposes that has seen everything once.
fn exposed() -> Exposed {
    let metrics = Metrics::new();
    metrics.tick_run(Duration::from_millis(1));
    for reason in [
        SkipReason::Missed,
        SkipReason::TooLate,
        SkipReason::Suspended,
        SkipReason::ConcurrencyForbidden,
        SkipReason::Superseded,
        SkipReason::CapReached,
        SkipReason::NameConflict,
        SkipReason::Rejected,
        SkipReason::Invalid,
        SkipReason::NoMarmot,
    ] {
        metrics.ticks_skipped(reason, 1);
    }
    for reason in ["PipelineShared", "NamespaceTerminating"] {
        metrics.teardown_skipped(reason);
    }
    for kind in [RunKind::Scheduled, RunKind::OneShot, RunKind::Trigger, RunKind::Teardown] {
        for outcome in [Outcome::Succeeded, Outcome::Partial, Outcome::Failed, Outcome::Killed] {
            metrics.run_finished(kind, outcome);
        }
    }
    for code in [Some(200), Some(403), Some(500), None] {
        metrics.api_call(Verb::Get, Resource::Runs, code, Duration::from_millis(1));
    }
    let mut exposed = Exposed::new();
    for line in metrics.encode().unwrap().lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let entry = exposed.entry(name.to_owned()).or_default();
        for label in labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty()) {
            let (name, value) = label.split_once('=').unwrap();
            entry.entry(name.to_owned()).or_default().insert(value.trim_matches('"').to_owned());
        }
    }
    exposed
}

/// Every alert with its expression, and every panel with its queries.
fn queries() -> Vec<(String, String)> {
    let mut queries = Vec::new();
    let set = ["operator.enabled=true", "operator.prometheusRule.enabled=true"];
    let objects = helm::render(&set);
    let rule = objects.iter().find(|object| object["kind"] == "PrometheusRule").expect("there is a PrometheusRule");
    for group in rule["spec"]["groups"].as_array().unwrap() {
        for alert in group["rules"].as_array().unwrap() {
            let text = |field: &str| alert[field].as_str().unwrap().to_owned();
            queries.push((text("alert"), text("expr")));
        }
    }
    let dashboard: Value = serde_json::from_str(&file("files/dashboard.json")).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let query = target["expr"].as_str().unwrap().replace("$__rate_interval", "5m");
            queries.push((format!("panel {}", panel["title"]), query));
        }
    }
    queries
}

/// What is wrong with the selectors and groupings of one query.
struct Check<'a> {
    exposed: &'a Exposed,
    /// Labels of the series seen so far: a grouping may name them.
    labels: BTreeSet<String>,
    groupings: Vec<String>,
    used: BTreeSet<String>,
    wrong: Vec<String>,
}

impl Check<'_> {
    fn selector(&mut self, selector: &VectorSelector) {
        let name = selector.name.clone().unwrap_or_default();
        let Some(labels) = self.exposed.get(&name) else {
            self.wrong.push(format!("{name} is no metric of src/metrics.rs"));
            return;
        };
        self.used.insert(name.clone());
        self.labels.extend(labels.keys().cloned());
        for matcher in &selector.matchers.matchers {
            if TARGET_LABELS.contains(&matcher.name.as_str()) {
                continue;
            }
            let Some(values) = labels.get(&matcher.name) else {
                self.wrong.push(format!("{name} has no label {}", matcher.name));
                continue;
            };
            // Each word of an alternative must occur, or it is a mistake that matches nothing.
            let words = match matcher.op {
                MatchOp::Re(_) => matcher.value.split('|').collect(),
                _ => vec![matcher.value.as_str()],
            };
            for word in words {
                let occurs = values.contains(word) || word.contains("..");
                if !occurs {
                    self.wrong.push(format!("{name}{{{}}} is never {word:?}, but one of {values:?}", matcher.name));
                }
            }
        }
    }
}

impl ExprVisitor for Check<'_> {
    type Error = Infallible;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Infallible> {
        match expr {
            Expr::VectorSelector(selector) => self.selector(selector),
            Expr::MatrixSelector(matrix) => self.selector(&matrix.vs),
            Expr::Aggregate(aggregate) => {
                let labels = aggregate.modifier.iter().flat_map(|modifier| modifier.labels().labels.clone());
                self.groupings.extend(labels);
            }
            _ => {}
        }
        Ok(true)
    }
}

/// What is wrong with a query, and the metrics it uses.
fn check(exposed: &Exposed, query: &str) -> (Vec<String>, BTreeSet<String>) {
    let expr = match parser::parse(query) {
        Ok(expr) => expr,
        Err(error) => return (vec![error], BTreeSet::new()),
    };
    let mut check =
        Check { exposed, labels: BTreeSet::new(), groupings: Vec::new(), used: BTreeSet::new(), wrong: Vec::new() };
    let Ok(_) = walk_expr(&mut check, &expr);
    for label in &check.groupings {
        if !check.labels.contains(label) && !TARGET_LABELS.contains(&label.as_str()) {
            check.wrong.push(format!("grouped by {label}, which no series has"));
        }
    }
    (check.wrong, check.used)
}

#[test]
fn alerts_and_dashboard_ask_for_what_exists() {
    let (exposed, mut used) = (exposed(), BTreeSet::new());
    for (place, query) in queries() {
        let (wrong, more) = check(&exposed, &query);
        assert!(wrong.is_empty(), "{place}: {query}\n{}", wrong.join("\n"));
        used.extend(more);
    }
    // Nobody looks at a metric that is nowhere shown.
    let families = |names: &mut dyn Iterator<Item = &String>| {
        names
            .map(|name| {
                let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
                family.unwrap_or(name).to_owned()
            })
            .collect::<BTreeSet<String>>()
    };
    let unseen: Vec<_> = families(&mut exposed.keys()).difference(&families(&mut used.iter())).cloned().collect();
    assert_eq!(unseen, Vec::<String>::new(), "no panel and no alert shows these");
}

// `.ci/alerts` runs them.
#[test]
fn every_alert_has_a_unit_test_that_fires_and_one_that_does_not() {
    let tests: Value = serde_saphyr::from_str(&file("tests/alerts.promtool.yaml")).unwrap();
    for (alert, _) in queries().iter().filter(|(place, _)| !place.starts_with("panel")) {
        let cases =
            tests["tests"].as_array().unwrap().iter().flat_map(|test| test["alert_rule_test"].as_array().unwrap());
        let fires: BTreeSet<bool> = cases
            .filter(|case| case["alertname"] == alert.as_str())
            .map(|case| case["exp_alerts"] != Value::Array(Vec::new()))
            .collect();
        assert_eq!(fires, BTreeSet::from([false, true]), "{alert} in tests/alerts.promtool.yaml");
    }
}

#[test]
fn the_check_finds_mistakes() {
    let exposed = exposed();
    for (query, expected) in [
        (format!("{PREFIX}_tick_total"), "is no metric"),
        (format!("{PREFIX}_leader{{outcome=\"run\"}}"), "has no label outcome"),
        (format!("{PREFIX}_ticks_total{{reason=\"missed\"}}"), "is never \"missed\""),
        (format!("sum by (kind) ({PREFIX}_ticks_total)"), "grouped by kind"),
        (format!("sum({PREFIX}_ticks_total"), "unclosed"),
    ] {
        let (wrong, _) = check(&exposed, &query);
        assert!(wrong.iter().any(|wrong| wrong.contains(expected)), "{query}: {wrong:?}");
    }
}
