//! Reads the contract and the compiled protocol into one shape: sorted tables of strings that can be compared.

use std::collections::{BTreeMap, HashMap};
use std::fs;

use durabletask_gen_proto::{PROTO_FILE, descriptors, repository_root};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, MessageOptions};
use serde_json::Value;

type Table = BTreeMap<String, String>;

/// What `tests/contract/contract.json` lists.
pub(crate) struct Contract {
    pub(crate) messages: Table,
    pub(crate) fields: Table,
    pub(crate) enum_values: Table,
    pub(crate) methods: Table,
}

/// What `proto/orchestrator_service.proto` compiles to.
pub(crate) struct Protocol {
    pub(crate) package: String,
    pub(crate) messages: Table,
    pub(crate) fields: Table,
    pub(crate) enum_values: Table,
    pub(crate) methods: Table,
}

fn insert(table: &mut Table, key: &str, value: String) {
    if let Some(earlier) = table.insert(key.to_owned(), value) {
        panic!("{key} is defined twice; the first time as `{earlier}`");
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("contract.json: no string `{key}` in {value}"))
}

fn field_facts(number: i64, kind: &str, label: &str, oneof: Option<&str>) -> String {
    let oneof = oneof.map(|name| format!(" in oneof {name}"));
    format!("{label} {kind} = {number}{}", oneof.unwrap_or_default())
}

fn method_facts(request: &str, response: &str, streams: bool) -> String {
    let stream = if streams { "stream " } else { "" };
    format!("({request}) returns ({stream}{response})")
}

impl Contract {
    pub(crate) fn load() -> Self {
        let path = repository_root().join("tests/contract/contract.json");
        let json = fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
        let json: Value = serde_json::from_str(&json).expect("contract.json is JSON");
        let object = |key: &str| json[key].as_object().expect("contract.json: an object");

        let (mut messages, mut fields) = (Table::new(), Table::new());
        for (message, body) in object("messages") {
            insert(&mut messages, message, "message".to_owned());
            Self::add_fields(&mut fields, message, &body["fields"]);
        }
        let mut enum_values = Table::new();
        for (name, values) in object("enums") {
            for (value, number) in values.as_object().expect("contract.json: enum values") {
                insert(&mut enum_values, &format!("{name}.{value}"), number.to_string());
            }
        }
        let mut methods = Table::new();
        for (service, list) in object("services") {
            for method in list.as_array().expect("contract.json: methods") {
                let streams = method["server_streaming"].as_bool().expect("contract.json: server_streaming");
                insert(
                    &mut methods,
                    &format!("{service}/{}", text(method, "name")),
                    method_facts(text(method, "request"), text(method, "response"), streams),
                );
            }
        }
        Self { messages, fields, enum_values, methods }
    }

    fn add_fields(table: &mut Table, message: &str, list: &Value) {
        let list = list.as_array().expect("contract.json: fields");
        let mut uses = HashMap::new();
        for field in list {
            *uses.entry(text(field, "name")).or_insert(0) += 1;
        }
        for field in list {
            let mut name = text(field, "name").to_owned();
            if uses[name.as_str()] > 1 && field.get("retired").is_some() {
                name = format!("retired{}{}", name[..1].to_uppercase(), &name[1..]);
            }
            let opaque =
                field.get("opaque").is_some_and(|flag| flag.as_bool().expect("contract.json: opaque is a bool"));
            let kind = if opaque { "bytes" } else { text(field, "type") };
            let number = field["number"].as_i64().expect("contract.json: number");
            let oneof = field.get("oneof").map(|_| text(field, "oneof"));
            insert(table, &format!("{message}.{name}"), field_facts(number, kind, text(field, "label"), oneof));
        }
    }
}

impl Protocol {
    pub(crate) fn compile() -> Self {
        let set = descriptors().expect("the .proto compiles");
        let file = set.file.iter().find(|file| file.name() == PROTO_FILE).expect("the descriptor set holds our file");

        let (mut messages, mut fields) = (Table::new(), Table::new());
        for message in &file.message_type {
            insert(&mut messages, message.name(), "message".to_owned());
            for field in &message.field {
                let key = format!("{}.{}", message.name(), field.name());
                insert(&mut fields, &key, describe(message, field));
            }
            // A map is a nested message of protobuf's own making; anything else would escape the comparison.
            for nested in &message.nested_type {
                assert!(
                    nested.options.as_ref().is_some_and(MessageOptions::map_entry),
                    "{}.{}: the contract knows no nested messages",
                    message.name(),
                    nested.name()
                );
            }
            assert!(message.enum_type.is_empty(), "{}: the contract knows no nested enums", message.name());
        }
        let mut enum_values = Table::new();
        for list in &file.enum_type {
            for value in &list.value {
                insert(&mut enum_values, &format!("{}.{}", list.name(), value.name()), value.number().to_string());
            }
        }
        let mut methods = Table::new();
        for service in &file.service {
            for method in &service.method {
                assert!(!method.client_streaming(), "{}", method.name());
                insert(
                    &mut methods,
                    &format!("{}/{}", service.name(), method.name()),
                    method_facts(
                        unqualified(method.input_type()),
                        unqualified(method.output_type()),
                        method.server_streaming(),
                    ),
                );
            }
        }
        Self { package: file.package().to_owned(), messages, fields, enum_values, methods }
    }
}

fn unqualified(name: &str) -> &str {
    name.trim_start_matches('.')
}

/// A field as [`field_facts`] writes it.
fn describe(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let map = map_type(message, field);
    let label = match field.label() {
        Label::Repeated if map.is_none() => "repeated",
        _ if field.proto3_optional() => "optional",
        _ => "single",
    };
    // A proto3 optional field sits in a oneof of its own, which is how protobuf spells presence.
    let oneof = field
        .oneof_index
        .filter(|_| !field.proto3_optional())
        .map(|index| message.oneof_decl[usize::try_from(index).expect("an index")].name());
    let kind = map.unwrap_or_else(|| type_name(field));
    field_facts(i64::from(field.number()), &kind, label, oneof)
}

/// `map<key,value>` if the field is one.
fn map_type(message: &DescriptorProto, field: &FieldDescriptorProto) -> Option<String> {
    let entry = message.nested_type.iter().find(|nested| {
        nested.options.as_ref().is_some_and(MessageOptions::map_entry)
            && field.type_name().ends_with(&format!(".{}.{}", message.name(), nested.name()))
    })?;
    let [key, value] = entry.field.as_slice() else {
        panic!("{}: a map entry has a key and a value", entry.name());
    };
    Some(format!("map<{},{}>", type_name(key), type_name(value)))
}

fn type_name(field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Message | Type::Enum => unqualified(field.type_name()).to_owned(),
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    }
}
