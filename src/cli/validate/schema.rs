//! A manifest against the CRD's own schema, as the API server reads it: structure, bounds, and the CEL rules as they stand
//! there.

use std::sync::Arc;

use cel::extractors::This;
use cel::{Context, Program, Value as CelValue};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool, ValidationRule,
};
use serde_json::Value;

use super::{Findings, Level};
use crate::cli::manifest::{Data, Node};

/// Checks `spec` of a Run.
pub(super) fn check(run: &Node, findings: &mut Findings) {
    let crd = crds::crd();
    let version = crd.spec.versions.into_iter().find(|version| version.name == crds::VERSION);
    let root = version.and_then(|version| version.schema?.open_api_v3_schema);
    let spec = root.and_then(|root| root.properties?.remove("spec"));
    match (run.get("spec").filter(|spec| !is_null(spec)), spec) {
        (Some(node), Some(schema)) => walk("spec", node, &schema, findings),
        (None, _) => findings.add(Level::Error, run.line, "spec", "it is missing: spec.runs names the sources"),
        (_, None) => {}
    }
}

fn walk(path: &str, node: &Node, schema: &JSONSchemaProps, findings: &mut Findings) {
    if is_null(node) {
        // The API server takes a null for a field that was left out.
        return;
    }
    let before = findings.errors();
    if schema.x_kubernetes_int_or_string == Some(true) {
        text_bounds(path, node, schema, findings);
    } else if let Some(wanted) = schema.type_.as_deref().filter(|wanted| !is_a(wanted, node)) {
        let message = format!("it must be {}, and is {}", article(wanted), article(type_of(node)));
        findings.add(Level::Error, node.line, path, &message);
        return;
    }
    match &node.data {
        Data::Map(_) => walk_map(path, node, schema, findings),
        Data::List(entries) => {
            bounds(path, node, entries.len(), schema.min_items, schema.max_items, "entries", findings);
            if let Some(JSONSchemaPropsOrArray::Schema(inner)) = &schema.items {
                for (index, entry) in entries.iter().enumerate() {
                    walk(&format!("{path}[{index}]"), entry, inner, findings);
                }
            }
        }
        Data::Plain(Value::Number(number)) => {
            let number = number.as_f64().unwrap_or_default();
            if let Some(least) = schema.minimum.filter(|least| number < *least) {
                findings.add(Level::Error, node.line, path, &format!("it must be {least} or more"));
            }
            if let Some(most) = schema.maximum.filter(|most| number > *most) {
                findings.add(Level::Error, node.line, path, &format!("it must be {most} or less"));
            }
        }
        Data::Plain(_) => text_bounds(path, node, schema, findings),
    }
    if findings.errors() == before {
        for rule in schema.x_kubernetes_validations.iter().flatten().filter(|rule| !holds(rule, node)) {
            findings.add(Level::Error, node.line, path, rule.message.as_deref().unwrap_or(&rule.rule));
        }
    }
}

fn is_null(node: &Node) -> bool {
    matches!(node.data, Data::Plain(Value::Null))
}

fn walk_map(path: &str, node: &Node, schema: &JSONSchemaProps, findings: &mut Findings) {
    let Data::Map(map) = &node.data else { return };
    let (least, most) = (schema.min_properties, schema.max_properties);
    bounds(path, node, map.len(), least, most, "keys", findings);
    for name in schema.required.iter().flatten().filter(|name| map.get(*name).is_none_or(is_null)) {
        findings.add(Level::Error, node.line, &format!("{path}.{name}"), "it is missing");
    }
    let free = schema.x_kubernetes_preserve_unknown_fields == Some(true);
    for (key, value) in map {
        let path = format!("{path}.{key}");
        match (schema.properties.as_ref().and_then(|known| known.get(key)), &schema.additional_properties) {
            (Some(inner), _) => walk(&path, value, inner, findings),
            (None, Some(JSONSchemaPropsOrBool::Schema(inner))) => walk(&path, value, inner, findings),
            (None, Some(JSONSchemaPropsOrBool::Bool(true))) => {}
            (None, _) if free => {}
            (None, _) => {
                let known = schema.properties.iter().flat_map(|known| known.keys());
                let near = known.min_by_key(|known| strsim::levenshtein(known, key));
                let near = near.filter(|near| strsim::levenshtein(near, key) <= 3);
                let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                let message = format!("there is no such field, the API server would drop it{hint}");
                findings.add(Level::Error, value.line, &path, &message);
            }
        }
    }
}

fn text_bounds(path: &str, node: &Node, schema: &JSONSchemaProps, findings: &mut Findings) {
    let Some(text) = node.text() else { return };
    bounds(path, node, text.chars().count(), schema.min_length, schema.max_length, "characters", findings);
    let allowed: Vec<&str> = schema.enum_.iter().flatten().filter_map(|value| value.0.as_str()).collect();
    if !allowed.is_empty() && !allowed.contains(&text) {
        let message = format!("{text:?} is not one of {}", allowed.join(", "));
        findings.add(Level::Error, node.line, path, &message);
    }
    let pattern = schema.pattern.as_deref().and_then(|pattern| regex::Regex::new(pattern).ok());
    if pattern.is_some_and(|pattern| !pattern.is_match(text)) {
        findings.add(Level::Error, node.line, path, &format!("{text:?} has not the form of this field"));
    }
}

fn bounds(
    path: &str,
    node: &Node,
    len: usize,
    least: Option<i64>,
    most: Option<i64>,
    of: &str,
    findings: &mut Findings,
) {
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    if let Some(least) = least.filter(|least| len < *least) {
        findings.add(Level::Error, node.line, path, &format!("it has {len} {of}, and needs {least} or more"));
    }
    if let Some(most) = most.filter(|most| len > *most) {
        findings.add(Level::Error, node.line, path, &format!("it has {len} {of}; the limit is {most}"));
    }
}

/// Evaluates a rule of the CRD. One that cannot be evaluated is the API server's to judge.
fn holds(rule: &ValidationRule, node: &Node) -> bool {
    evaluate(&rule.rule, &node.value()).unwrap_or(true)
}

/// A rule about `self`, with the function that Kubernetes adds to CEL.
///
/// # Errors
///
/// A sentence where the rule cannot be compiled or gives no truth value.
pub(super) fn evaluate(rule: &str, value: &Value) -> Result<bool, String> {
    let program = Program::compile(rule).map_err(|error| error.to_string())?;
    let mut context = Context::default();
    context.add_variable("self", value).map_err(|error| error.to_string())?;
    context
        .add_function("lowerAscii", |This(text): This<Arc<String>>| text.to_ascii_lowercase())
        .map_err(|error| error.to_string())?;
    match program.execute(&context).map_err(|error| error.to_string())? {
        CelValue::Bool(holds) => Ok(holds),
        other => Err(format!("it gives {other:?}")),
    }
}

fn type_of(node: &Node) -> &'static str {
    match &node.data {
        Data::Map(_) => "object",
        Data::List(_) => "array",
        Data::Plain(Value::Bool(_)) => "boolean",
        Data::Plain(Value::Number(number)) if number.is_f64() => "number",
        Data::Plain(Value::Number(_)) => "integer",
        Data::Plain(_) => "string",
    }
}

fn is_a(wanted: &str, node: &Node) -> bool {
    type_of(node) == wanted || (wanted == "number" && type_of(node) == "integer")
}

fn article(kind: &str) -> String {
    match kind {
        "object" => "a map".to_owned(),
        "array" => "a list".to_owned(),
        "integer" => "a whole number".to_owned(),
        "boolean" => "true or false".to_owned(),
        "string" => "a text".to_owned(),
        other => format!("a {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rules(schema: &JSONSchemaProps, found: &mut Vec<String>) {
        found.extend(schema.x_kubernetes_validations.iter().flatten().map(|rule| rule.rule.clone()));
        for inner in schema.properties.iter().flat_map(|properties| properties.values()) {
            rules(inner, found);
        }
        if let Some(JSONSchemaPropsOrArray::Schema(inner)) = &schema.items {
            rules(inner, found);
        }
        if let Some(JSONSchemaPropsOrBool::Schema(inner)) = &schema.additional_properties {
            rules(inner, found);
        }
    }

    // R3: a rule added to the CRD that cannot be evaluated here would go unchecked.
    #[test]
    fn every_rule_of_the_crd_holds_for_something_and_not_for_something_else() {
        let crd = crds::crd();
        let mut found = Vec::new();
        for version in crd.spec.versions {
            rules(&version.schema.unwrap().open_api_v3_schema.unwrap(), &mut found);
        }
        assert!(found.len() >= 10, "{found:?}");
        let samples =
            [json!("a"), json!(""), json!("a b"), json!("TZ=x"), json!("Local"), json!({"a": "b"}), json!({"_": "b"})];
        for rule in found {
            let results: Vec<bool> = samples.iter().filter_map(|sample| evaluate(&rule, sample).ok()).collect();
            assert!(results.contains(&true) && results.contains(&false), "{rule}: {results:?}");
        }
    }
}
