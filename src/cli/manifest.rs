//! YAML manifests with the line of each value.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use serde_saphyr::Spanned;

/// A value, and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// Line, from 1; 0 where it is not known.
    pub line: u64,
    /// What stands there.
    pub data: Data,
}

/// What a [`Node`] is.
#[derive(Clone, Debug)]
pub enum Data {
    /// Text, a number, a truth value or nothing.
    Plain(Value),
    /// A list.
    List(Vec<Node>),
    /// A map.
    Map(BTreeMap<String, Node>),
}

impl Node {
    /// The value under that key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        if let Data::Map(map) = &self.data { map.get(key) } else { None }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        if let Data::Plain(Value::String(text)) = &self.data { Some(text) } else { None }
    }

    /// The entries of a list; of anything else none.
    #[must_use]
    pub fn entries(&self) -> &[Self] {
        if let Data::List(entries) = &self.data { entries } else { &[] }
    }

    /// The value without its lines.
    #[must_use]
    pub fn value(&self) -> Value {
        match &self.data {
            Data::Plain(value) => value.clone(),
            Data::List(entries) => entries.iter().map(Self::value).collect(),
            Data::Map(map) => map.iter().map(|(key, node)| (key.clone(), node.value())).collect(),
        }
    }
}

/// The objects of a file, lists of objects taken apart; `-` is standard input.
///
/// # Errors
///
/// A sentence where the file cannot be read or is no YAML.
pub fn read(file: &str) -> Result<Vec<Node>, String> {
    let mut text = String::new();
    if file == "-" {
        std::io::stdin().read_to_string(&mut text).map_err(|error| format!("standard input: {error}"))?;
    } else {
        text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    }
    // As kubectl reads it: `defaultMode: 0400`.
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    let documents: Vec<Spanned<Data>> = serde_saphyr::from_multiple_with_options(&text, options)
        .map_err(|error| format!("{file}: {}", error.without_snippet()))?;
    let mut objects = Vec::new();
    for document in documents {
        let node = Node::from(document);
        let is_list = node.get("kind").and_then(Node::text).is_some_and(|kind| kind.ends_with("List"));
        match node.get("items") {
            Some(items) if is_list => objects.extend(items.entries().iter().cloned()),
            _ if matches!(node.data, Data::Plain(Value::Null)) => {}
            _ => objects.push(node),
        }
    }
    Ok(objects)
}

/// The object is a Run.
#[must_use]
pub fn is_run(object: &Node) -> bool {
    let group = object.get("apiVersion").and_then(Node::text).and_then(|api| api.split_once('/')).map(|parts| parts.0);
    object.get("kind").and_then(Node::text) == Some(crds::KIND) && group == Some(crds::GROUP)
}

impl From<Spanned<Data>> for Node {
    fn from(spanned: Spanned<Data>) -> Self {
        Self { line: spanned.referenced.line(), data: spanned.value }
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DataVisitor)
    }
}

struct DataVisitor;

impl<'de> Visitor<'de> for DataVisitor {
    type Value = Data;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Data, E> {
        Ok(Data::Plain(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Data, E> {
        Ok(Data::Plain(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Data, E> {
        Ok(Data::Plain(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Data, E> {
        Ok(Data::Plain(Number::from_f64(value).map_or(Value::Null, Value::Number)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Data, E> {
        Ok(Data::Plain(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Data, E> {
        Ok(Data::Plain(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Data, E> {
        Ok(Data::Plain(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Data, D::Error> {
        Data::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Data, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element::<Spanned<Data>>()? {
            list.push(entry.into());
        }
        Ok(Data::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Data, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((key, value)) = entries.next_entry::<String, Spanned<Data>>()? {
            map.insert(key, value.into());
        }
        Ok(Data::Map(map))
    }
}
