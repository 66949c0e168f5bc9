//! The JSON Schema of a config file, by which editors complete its keys and values.

use super::document::ConfigDocument;
use gce_metadata_routes::{Metadata, OsLogin};
use serde_json::{Value, json};

impl ConfigDocument {
    /// The JSON Schema (draft 2020-12) of a config, or of a dump of a VM. It accepts what `check-config` accepts without errors and
    /// warnings, except for what a schema can't say: duplicate keys, total sizes, and accounts that differ between their names. Unlike
    /// the server, it knows keys in their usual case only.
    pub fn json_schema() -> Value {
        let v1 = Metadata::json_schema();
        let mut properties = json!({
            "$schema": {"type": "string"},
            "computeMetadata": {
                "type": "object",
                "required": ["v1"],
                "properties": {"v1": {"$ref": "#/$defs/v1"}},
            },
            "osLogin": {"$ref": "#/$defs/osLogin"},
        });
        let roots: Vec<_> = v1["properties"].as_object().into_iter().flat_map(|roots| roots.keys()).collect();
        for root in &roots {
            // A dump has them at the top level.
            properties[root.as_str()] = json!({"$ref": format!("#/$defs/v1/properties/{root}")});
        }
        let required = std::iter::once("computeMetadata").chain(roots.iter().map(|root| root.as_str()));
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Config of gce-metadata-server",
            "type": "object",
            "anyOf": required.map(|key| json!({"required": [key]})).collect::<Vec<_>>(),
            "properties": properties,
            "$defs": {"v1": v1.clone(), "osLogin": OsLogin::json_schema()},
        })
    }
}
