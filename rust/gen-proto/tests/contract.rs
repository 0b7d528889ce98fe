//! The compiled protocol says what `tests/contract/contract.json` says, item by item, and nothing else.
//!
//! Three conventions stand between the two:
//! * a contract field marked `opaque` is `bytes` here: it is carried along and never looked into;
//! * where the contract lists two fields of one name in one message, the retired one is called `retired<Name>` here;
//! * `upstream_name`, `since` and `retired` are notes for readers of the contract, not part of the wire format.

mod facts;

use std::collections::{BTreeMap, BTreeSet};

use facts::{Contract, Protocol};

/// Describes every key that only one side has, or that the two describe differently.
fn differences(what: &str, contract: &BTreeMap<String, String>, proto: &BTreeMap<String, String>) -> Vec<String> {
    let keys: BTreeSet<_> = contract.keys().chain(proto.keys()).collect();
    keys.into_iter()
        .filter_map(|key| match (contract.get(key), proto.get(key)) {
            (Some(expected), Some(found)) if expected == found => None,
            (Some(expected), Some(found)) => {
                Some(format!("{what} {key}: the contract has `{expected}`, the .proto has `{found}`"))
            }
            (Some(expected), None) => {
                Some(format!("{what} {key}: the contract has `{expected}`, the .proto has no such {what}"))
            }
            (None, Some(found)) => {
                Some(format!("{what} {key}: the .proto has `{found}`, the contract has no such {what}"))
            }
            (None, None) => None,
        })
        .collect()
}

fn assert_agree(what: &str, contract: &BTreeMap<String, String>, proto: &BTreeMap<String, String>, at_least: usize) {
    assert!(
        contract.len() >= at_least,
        "the contract lists only {} {what}s, {at_least} or more were expected: is tests/contract/contract.json complete?",
        contract.len()
    );
    let found = differences(what, contract, proto);
    assert!(
        found.is_empty(),
        "proto/orchestrator_service.proto and tests/contract/contract.json disagree; correct the .proto and run `make gen-proto`:\n  {}",
        found.join("\n  ")
    );
}

#[test]
fn every_message_of_the_contract_exists_and_no_other() {
    let (contract, proto) = (Contract::load(), Protocol::compile());
    assert_agree("message", &contract.messages, &proto.messages, 60);
}

#[test]
fn every_field_has_the_number_type_label_and_oneof_of_the_contract() {
    let (contract, proto) = (Contract::load(), Protocol::compile());
    assert_agree("field", &contract.fields, &proto.fields, 200);
}

#[test]
fn every_enum_value_has_the_number_of_the_contract() {
    let (contract, proto) = (Contract::load(), Protocol::compile());
    assert_agree("enum value", &contract.enum_values, &proto.enum_values, 25);
}

#[test]
fn every_method_has_the_types_and_streaming_of_the_contract() {
    let (contract, proto) = (Contract::load(), Protocol::compile());
    assert_agree("method", &contract.methods, &proto.methods, 15);
}

#[test]
fn the_protocol_has_no_package_so_that_paths_start_with_the_service() {
    assert_eq!(Protocol::compile().package, "");
}

#[test]
fn a_difference_is_found_whichever_side_it_is_on() {
    let side = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let contract = side(&[("A.same", "1"), ("A.changed", "2"), ("A.missing", "3")]);
    let proto = side(&[("A.same", "1"), ("A.changed", "9"), ("A.added", "4")]);
    assert_eq!(
        differences("field", &contract, &proto),
        [
            "field A.added: the .proto has `4`, the contract has no such field",
            "field A.changed: the contract has `2`, the .proto has `9`",
            "field A.missing: the contract has `3`, the .proto has no such field",
        ]
    );
}
