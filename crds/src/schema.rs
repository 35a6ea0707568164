//! The `CustomResourceDefinition`: what the derive makes, brought into the form that Kubernetes' own generator gives
//! core types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use serde_json::Value;

use crate::Run;

pub(crate) mod fields;
#[cfg(test)]
mod tests;

/// What a quantity looks like, as in every CRD of controller-gen.
const QUANTITY: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";

/// Lists of core types in which the API server itself refuses two entries of one key.
const MAP_LISTS: [(&str, &str); 2] = [("volumes", "name"), ("volumeMounts", "mountPath")];

/// The `CustomResourceDefinition` of [`Run`].
#[must_use]
pub fn crd() -> CustomResourceDefinition {
    let mut crd = Run::crd();
    for version in &mut crd.spec.versions {
        if let Some(root) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            for schema in children(root) {
                everywhere(schema, &mut like_core);
            }
            for field in property(root, "spec").into_iter().flat_map(children) {
                strip_descriptions_below(field);
            }
            for (list, key) in MAP_LISTS {
                if let Some(list) = property(root, "spec").and_then(|spec| property(spec, list)) {
                    list.x_kubernetes_list_type = Some("map".to_owned());
                    list.x_kubernetes_list_map_keys = Some(vec![key.to_owned()]);
                }
            }
            if let Some(list) = property(root, "status").and_then(|status| property(status, "conditions")) {
                strip_descriptions_below(list);
            }
        }
    }
    crd
}

/// The committed form of [`crd`]: YAML with sorted keys, so that a change of the types shows as a small diff.
///
/// # Errors
///
/// Never for the types of this crate: it would mean that the schema cannot be written as YAML.
pub fn crd_yaml() -> Result<String, String> {
    let mut value = serde_json::to_value(crd()).map_err(|error| error.to_string())?;
    whole_numbers(&mut value);
    serde_saphyr::to_string(&value).map_err(|error| error.to_string())
}

/// `nullable` is what Option means to schemars. No core type has it: without it, the API server takes a null in the
/// input for a field that was left out.
fn like_core(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    // API servers before 1.36 take no notice of the format, and would store what no client in Go or Rust can read.
    if schema.format.as_deref() == Some("int32") {
        schema.minimum = schema.minimum.or(Some(f64::from(i32::MIN)));
        schema.maximum = schema.maximum.or(Some(f64::from(i32::MAX)));
    }
    if schema.x_kubernetes_int_or_string == Some(true) {
        schema.pattern = Some(QUANTITY.to_owned());
    }
}

/// Descriptions inside embedded core types are Kubernetes' own and would make the CRD too large for
/// `kubectl apply`, whose annotation holds 256 KiB.
fn strip_descriptions_below(field: &mut JSONSchemaProps) {
    for inner in children(field) {
        everywhere(inner, &mut |schema| schema.description = None);
    }
}

fn everywhere(schema: &mut JSONSchemaProps, change: &mut dyn FnMut(&mut JSONSchemaProps)) {
    change(schema);
    for inner in children(schema) {
        everywhere(inner, change);
    }
}

fn property<'s>(schema: &'s mut JSONSchemaProps, name: &str) -> Option<&'s mut JSONSchemaProps> {
    schema.properties.as_mut()?.get_mut(name)
}

/// Schemas of the values inside a value of this schema. Structural schemas nest in no other way.
fn children(schema: &mut JSONSchemaProps) -> Vec<&mut JSONSchemaProps> {
    let mut children: Vec<&mut JSONSchemaProps> =
        schema.properties.iter_mut().flat_map(|all| all.values_mut()).collect();
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => children.push(items),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => children.extend(items),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        children.push(values);
    }
    children
}

/// `minimum: 0`, not `0.0`.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Number(number) => {
            let text = number.to_string();
            if let Some(Ok(whole)) = text.strip_suffix(".0").map(str::parse::<i64>) {
                *number = whole.into();
            }
        }
        _ => {}
    }
}
