//! The two text forms of metrics.

/// A text form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `OpenMetrics` 1.0, which Prometheus asks for.
    OpenMetrics,
    /// The older Prometheus form, for all that did not ask.
    Classic,
}

/// The form for an `Accept` header. Weights do not matter: whoever lists `OpenMetrics` at all can read it.
pub(super) fn negotiate(accept: &str) -> Form {
    let open = accept.split(',').any(|media| {
        let mut parts = media.split(';').map(str::trim);
        parts.next() == Some("application/openmetrics-text") && !parts.any(|part| part == "q=0")
    });
    if open { Form::OpenMetrics } else { Form::Classic }
}

impl Form {
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// `OpenMetrics` text in this form.
    pub(super) fn render(self, open_metrics: String) -> String {
        match self {
            Self::OpenMetrics => open_metrics,
            Self::Classic => classic(&open_metrics),
        }
    }
}

/// The classic form names a counter with its `_total`, knows no infos, units or end mark.
fn classic(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    // HELP comes before the TYPE that decides about its name.
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                other => ("", other),
            };
            if let Some((_, words)) = help.take() {
                for part in ["# HELP ", name, suffix, " ", words, "\n"] {
                    text.push_str(part);
                }
            }
            for part in ["# TYPE ", name, suffix, " ", kind, "\n"] {
                text.push_str(part);
            }
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_those_who_ask() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        assert_eq!(negotiate(prometheus), Form::OpenMetrics);
        for accept in ["", "*/*", "text/plain", "application/openmetrics-text;q=0"] {
            assert_eq!(negotiate(accept), Form::Classic, "{accept}");
        }
    }

    #[test]
    fn the_classic_form_has_its_own_names() {
        let open = "# HELP a_ticks Ticks.\n# TYPE a_ticks counter\na_ticks_total{x=\"y\"} 1\n# HELP a_build B.\n\
                    # TYPE a_build info\na_build_info{version=\"1\"} 1\n# TYPE a_lag_seconds histogram\n\
                    # UNIT a_lag_seconds seconds\na_lag_seconds_sum 0.0\n# EOF\n";
        let classic = "# HELP a_ticks_total Ticks.\n# TYPE a_ticks_total counter\na_ticks_total{x=\"y\"} 1\n\
                       # HELP a_build_info B.\n# TYPE a_build_info gauge\na_build_info{version=\"1\"} 1\n\
                       # TYPE a_lag_seconds histogram\na_lag_seconds_sum 0.0\n";
        assert_eq!(Form::Classic.render(open.to_owned()), classic);
    }
}
