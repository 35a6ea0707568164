//! What the API server checks and sets, field by field (R1–R3).
//!
//! CEL only where OpenAPI cannot say it or would not say what to do, and never on the root: the API server lets a stored
//! field that breaks a newer rule stand as long as it is not changed, which a rule on the root would spoil. Lengths are
//! bounded so that the estimated cost of each rule stays within the API server's budget.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::names::{DEFAULT_BACKOFF_LIMIT, DEFAULT_FAILED_HISTORY, DEFAULT_SUCCESSFUL_HISTORY};

/// Key of a label: `name` or `example.com/name`.
const LABEL_KEY: &str = "^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";
/// Key of an annotation: the same, but its prefix may have capitals.
const ANNOTATION_KEY: &str =
    "^([A-Za-z0-9]([-A-Za-z0-9.]{0,251}[A-Za-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";
/// Value of a label.
const LABEL_VALUE: &str = "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$";
/// Name of an object.
const DNS_SUBDOMAIN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

pub(crate) fn runs(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "items": { "type": "object", "minProperties": 1, "x-kubernetes-preserve-unknown-fields": true },
    })
}

pub(crate) fn schedule(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 1024,
        "x-kubernetes-validations": [{
            "rule": "!self.contains('TZ=')",
            "message": "spec.schedule cannot hold TZ= or CRON_TZ=: name the zone in spec.timeZone",
        }],
    })
}

pub(crate) fn time_zone(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 64,
        "x-kubernetes-validations": [{
            "rule": "self != '' && self.lowerAscii() != 'local'",
            "message": "spec.timeZone cannot be empty or Local: name a zone such as Europe/Berlin, or leave it out for UTC",
        }],
    })
}

pub(crate) fn no(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "boolean", "default": false })
}

pub(crate) fn yes(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "boolean", "default": true })
}

pub(crate) fn concurrency_policy(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["Allow", "Forbid", "Replace"], "default": "Forbid" })
}

pub(crate) fn backoff_limit(_: &mut SchemaGenerator) -> Schema {
    count(DEFAULT_BACKOFF_LIMIT)
}

pub(crate) fn successful_history(_: &mut SchemaGenerator) -> Schema {
    count(DEFAULT_SUCCESSFUL_HISTORY)
}

pub(crate) fn failed_history(_: &mut SchemaGenerator) -> Schema {
    count(DEFAULT_FAILED_HISTORY)
}

fn count(default: i32) -> Schema {
    json_schema!({ "type": "integer", "format": "int32", "minimum": 0, "default": default })
}

pub(crate) fn seconds_from_0(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int64", "minimum": 0 })
}

pub(crate) fn seconds_from_1(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int64", "minimum": 1 })
}

pub(crate) fn image(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 1024,
        "x-kubernetes-validations": [{
            "rule": r"self.matches(r'^\S+$')",
            "message": "spec.image cannot be empty or hold blanks: name an image, or leave it out for the operator's default",
        }],
    })
}

pub(crate) fn image_pull_policy(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["Always", "IfNotPresent", "Never"] })
}

pub(crate) fn service_account_name(_: &mut SchemaGenerator) -> Schema {
    object_name("serviceAccountName", "service account")
}

pub(crate) fn priority_class_name(_: &mut SchemaGenerator) -> Schema {
    object_name("priorityClassName", "priority class")
}

fn object_name(field: &str, what: &str) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 253,
        "x-kubernetes-validations": [{
            "rule": format!("self.matches(r'{DNS_SUBDOMAIN}')"),
            "message": format!(
                "spec.{field} is not the name of a {what}: use small letters, digits, '-' and '.', a letter or digit \
                 first and last, or leave it out"
            ),
        }],
    })
}

pub(crate) fn pod_labels(_: &mut SchemaGenerator) -> Schema {
    labels("podLabels")
}

pub(crate) fn node_selector(_: &mut SchemaGenerator) -> Schema {
    labels("nodeSelector")
}

fn labels(field: &str) -> Schema {
    let value = json!({
        "type": "string",
        "maxLength": 63,
        "x-kubernetes-validations": [{
            "rule": format!("self.matches('{LABEL_VALUE}')"),
            "message": format!(
                "spec.{field} has a value that no label may have: use letters, digits, '-', '_' or '.', a letter or \
                 digit first and last, or nothing at all"
            ),
        }],
    });
    keyed(field, LABEL_KEY, &value)
}

pub(crate) fn pod_annotations(_: &mut SchemaGenerator) -> Schema {
    keyed("podAnnotations", ANNOTATION_KEY, &json!({ "type": "string" }))
}

/// A map that goes into the pods: with any other key in it every Job would be refused.
fn keyed(field: &str, key: &str, values: &Value) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": values,
        "x-kubernetes-validations": [{
            "rule": format!("self.all(key, key.matches('{key}'))"),
            "message": format!(
                "spec.{field} has a key that Kubernetes does not accept: use at most 63 letters, digits, '-', '_' or \
                 '.', a letter or digit first and last, after an optional prefix such as example.com/"
            ),
        }],
    })
}

pub(crate) fn conditions(generator: &mut SchemaGenerator) -> Schema {
    let items = generator.subschema_for::<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition>();
    json_schema!({
        "type": "array",
        "items": items,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    })
}
