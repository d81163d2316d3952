//! The schema of one kind of object.

use serde_json::{Map, Value as Json, json};

use super::primitive::instant;

/// Properties, and which of them every object has.
#[derive(Default)]
pub(super) struct Object {
    properties: Map<String, Json>,
    required: Vec<String>,
}

impl Object {
    /// Adds a property; `schema` says all but the description.
    pub(super) fn add(&mut self, name: String, always: bool, doc: &str, mut schema: Json) {
        if let Json::Object(map) = &mut schema {
            map.insert("description".into(), doc.into());
        }
        if always {
            self.required.push(name.clone());
        }
        self.properties.insert(name, schema);
    }

    /// Adds a property that every object has.
    pub(super) fn always(&mut self, name: &str, doc: &str, schema: Json) {
        self.add(name.into(), true, doc, schema);
    }

    /// Adds a property that an object has where it needs it.
    pub(super) fn maybe(&mut self, name: String, doc: &str, schema: Json) {
        self.add(name, false, doc, schema);
    }

    pub(super) fn finish(self, title: &str, doc: &str) -> Json {
        json!({
            "title": title,
            "description": doc,
            "type": "object",
            "properties": self.properties,
            "required": self.required,
            "additionalProperties": false,
        })
    }

    pub(super) fn begin(kind: &str) -> Self {
        let mut object = Object::default();
        object.always("kind", "What happened.", json!({ "const": kind, "type": "string" }));
        object
    }

    pub(super) fn time(&mut self, doc: &str) {
        self.always("time", doc, instant());
    }
}
