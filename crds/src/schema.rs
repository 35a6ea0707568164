//! What the API server checks (R3), and the CustomResourceDefinition itself.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSONSchemaProps};
use kube::CustomResourceExt;
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::Run;

/// The CustomResourceDefinition of [`Run`].
#[must_use]
pub fn crd() -> CustomResourceDefinition {
    let mut crd = Run::crd();
    for version in &mut crd.spec.versions {
        let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        let spec = schema.and_then(|schema| schema.properties.as_mut()?.get_mut("spec"));
        for field in spec.and_then(|spec| spec.properties.as_mut()).into_iter().flat_map(|fields| fields.values_mut()) {
            strip_descriptions_below(field);
        }
    }
    crd
}

/// The committed form of [`crd`].
///
/// # Errors
///
/// Never for the types of this crate: it would mean that the schema cannot be written as YAML.
pub fn crd_yaml() -> Result<String, String> {
    // By way of a value, so that keys are sorted and a change of the types shows as a small diff.
    let value = serde_json::to_value(crd()).map_err(|error| error.to_string())?;
    serde_saphyr::to_string(&value).map_err(|error| error.to_string())
}

/// Descriptions inside embedded core types are Kubernetes' own and would make the CRD too large for
/// `kubectl apply`, whose annotation holds 256 KiB.
fn strip_descriptions_below(field: &mut JSONSchemaProps) {
    let properties = field.properties.iter_mut().flat_map(|properties| properties.values_mut());
    let items = field.items.iter_mut().flat_map(|items| match items {
        k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaPropsOrArray::Schema(schema) => {
            vec![schema.as_mut()]
        }
        k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaPropsOrArray::Schemas(schemas) => {
            schemas.iter_mut().collect()
        }
    });
    let values = field.additional_properties.iter_mut().filter_map(|values| match values {
        k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaPropsOrBool::Schema(schema) => {
            Some(schema.as_mut())
        }
        k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaPropsOrBool::Bool(_) => None,
    });
    for inner in properties.chain(items).chain(values) {
        inner.description = None;
        strip_descriptions_below(inner);
    }
}

pub(crate) fn pipeline(_: &mut SchemaGenerator) -> Schema {
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
        "minLength": 1,
        "maxLength": 64,
        "x-kubernetes-validations": [{
            "rule": "self.lowerAscii() != 'local'",
            "message": "spec.timeZone cannot be Local: name a zone such as Europe/Berlin, or leave it out for UTC",
        }],
    })
}

pub(crate) fn boolean_false(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "boolean", "default": false })
}

pub(crate) fn boolean_true(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "boolean", "default": true })
}

pub(crate) fn concurrency_policy(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["Allow", "Forbid", "Replace"], "default": "Forbid" })
}

pub(crate) fn not_negative_3(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int32", "minimum": 0, "default": 3 })
}

pub(crate) fn not_negative_1(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int32", "minimum": 0, "default": 1 })
}

pub(crate) fn not_negative_long(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int64", "minimum": 0 })
}

pub(crate) fn positive_long(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int64", "minimum": 1 })
}

pub(crate) fn image(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "minLength": 1, "maxLength": 1024 })
}

pub(crate) fn image_pull_policy(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["Always", "IfNotPresent", "Never"] })
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
