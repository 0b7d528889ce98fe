//! The sidecar's own service: looking for instances, counting and forgetting them.

use std::collections::HashMap;

use durabletask_proto::prost_types::Timestamp;
use durabletask_proto::sidecar::client::SidecarServiceClient;
use durabletask_proto::sidecar::instance_filter::Family;
use durabletask_proto::sidecar::{
    CountInstancesRequest, InstanceFilter, ListInstancesRequest, PurgeInstancesByFilterRequest, Unserved,
};
use durabletask_proto::{CreateInstanceRequest, OrchestrationStatus};
use durabletask_sidecar::Sidecar;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use crate::support::actions::{child, complete, schedule};
use crate::support::{Client, Worker, create, finished, raise, start, state};
use crate::workers::choosy;

type Lister = SidecarServiceClient<Channel>;

async fn lister(sidecar: &Sidecar) -> Lister {
    let endpoint = Endpoint::from_shared(format!("http://{}", sidecar.address())).expect("an address is a valid URI");
    Lister::new(endpoint.connect().await.expect("the sidecar listens"))
}

/// The ids on all pages of so many instances each.
async fn ids(lister: &mut Lister, filter: InstanceFilter, page_size: u32) -> Vec<String> {
    let mut found = Vec::new();
    let mut continuation_token = String::new();
    loop {
        let filter = Some(filter.clone());
        let request = ListInstancesRequest { filter, page_size, continuation_token, payloads: false };
        let page = lister.list_instances(request).await.expect("a page").into_inner();
        assert!(page.instances.len() <= page_size as usize);
        found.extend(page.instances.into_iter().map(|state| state.instance_id));
        continuation_token = page.continuation_token;
        if continuation_token.is_empty() {
            return found;
        }
        assert_eq!(found.len() % page_size as usize, 0, "only the last page may hold fewer");
    }
}

async fn create_many(client: &mut Client, prefix: &str, count: usize) -> Vec<String> {
    let mut made = Vec::new();
    for number in 0..count {
        // The order of ids is another one than that of creation.
        let id = format!("{prefix}{:04}", (number * 37) % count);
        create(client, &id, "greet").await.expect("the id is free");
        made.push(id);
    }
    made
}

fn of_status(status: OrchestrationStatus) -> InstanceFilter {
    InstanceFilter { statuses: vec![status.into()], ..InstanceFilter::default() }
}

#[tokio::test]
async fn instances_are_listed_in_the_order_of_their_creation_page_by_page() {
    let (sidecar, mut client) = start().await;
    let mut lister = lister(&sidecar).await;
    let made = create_many(&mut client, "i", 23).await;
    for size in [1, 5, 23, 1_000] {
        assert_eq!(ids(&mut lister, InstanceFilter::default(), size).await, made, "pages of {size}");
    }
    // Pages are counted out of what fits, however much of it there is.
    let pending = of_status(OrchestrationStatus::Pending);
    assert_eq!(ids(&mut lister, pending, 7).await, made);
    sidecar.stop().await;
}

#[tokio::test]
async fn more_instances_than_are_looked_at_in_one_step_are_all_listed_once() {
    let (sidecar, mut client) = start().await;
    let mut lister = lister(&sidecar).await;
    let made = create_many(&mut client, "many-", 1_203).await;
    let prefix = |prefix: &str| InstanceFilter { instance_id_prefix: prefix.to_owned(), ..InstanceFilter::default() };
    assert_eq!(ids(&mut lister, InstanceFilter::default(), 1_000).await, made);
    assert_eq!(ids(&mut lister, prefix("many-"), 401).await, made);
    let two = InstanceFilter {
        statuses: vec![OrchestrationStatus::Pending.into(), OrchestrationStatus::Failed.into()],
        ..prefix("many-12")
    };
    let some: Vec<_> = made.iter().filter(|id| id.starts_with("many-12")).cloned().collect();
    assert_eq!(some.len(), 3);
    assert_eq!(ids(&mut lister, two, 2).await, some);
    sidecar.stop().await;
}

#[tokio::test]
async fn what_does_not_fit_is_left_out() {
    let (sidecar, mut client) = start().await;
    let mut lister = lister(&sidecar).await;
    let tagged = CreateInstanceRequest {
        instance_id: "red_one".to_owned(),
        name: "paint".to_owned(),
        tags: HashMap::from([("team".to_owned(), "red".to_owned()), ("size".to_owned(), "1".to_owned())]),
        ..CreateInstanceRequest::default()
    };
    client.start_instance(tagged).await.expect("the id is free");
    create(&mut client, "red-two", "greet").await.expect("the id is free");
    create(&mut client, "r%", "greet").await.expect("the id is free");
    let of_first = state(&mut client, "red_one").await.expect("it exists").created_timestamp;
    let before = of_first.map(|at| Timestamp { seconds: at.seconds - 1, ..at });

    let tags = |value: &str| HashMap::from([("team".to_owned(), value.to_owned())]);
    let any = InstanceFilter::default;
    for (filter, expected) in [
        (InstanceFilter { name: "paint".to_owned(), ..any() }, vec!["red_one"]),
        (InstanceFilter { name: "pain".to_owned(), ..any() }, vec![]),
        (InstanceFilter { instance_id_prefix: "red_".to_owned(), ..any() }, vec!["red_one"]),
        (InstanceFilter { instance_id_prefix: "red".to_owned(), ..any() }, vec!["red_one", "red-two"]),
        (InstanceFilter { instance_id_prefix: "r%".to_owned(), ..any() }, vec!["r%"]),
        (InstanceFilter { tags: tags("red"), ..any() }, vec!["red_one"]),
        (InstanceFilter { tags: tags("blue"), ..any() }, vec![]),
        (InstanceFilter { created_to: of_first, ..any() }, vec!["red_one"]),
        (InstanceFilter { created_to: before, ..any() }, vec![]),
        (InstanceFilter { updated_to: before, ..any() }, vec![]),
        (InstanceFilter { created_from: before, updated_from: before, ..any() }, vec!["red_one", "red-two", "r%"]),
        (of_status(OrchestrationStatus::Completed), vec![]),
    ] {
        assert_eq!(ids(&mut lister, filter.clone(), 2).await, expected, "{filter:?}");
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn families_are_told_apart() {
    let (sidecar, mut client) = start().await;
    let mut lister = lister(&sidecar).await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "parent", "parent").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![child(1, "below", "child")]).await;
    let turn = worker.turn().await;
    assert_eq!(turn.id(), "below");

    let roots = InstanceFilter { family: Some(Family::RootsOnly(true)), ..InstanceFilter::default() };
    let below =
        |id: &str| InstanceFilter { family: Some(Family::ChildrenOf(id.to_owned())), ..InstanceFilter::default() };
    assert_eq!(ids(&mut lister, roots, 10).await, ["parent"]);
    assert_eq!(ids(&mut lister, below("parent"), 10).await, ["below"]);
    assert!(ids(&mut lister, below("below"), 10).await.is_empty());
    let request = ListInstancesRequest { filter: Some(below("nobody")), ..ListInstancesRequest::default() };
    let refused = lister.list_instances(request).await.expect_err("there is no such parent");
    assert_eq!(refused.code(), Code::NotFound);
    sidecar.stop().await;
}

#[tokio::test]
async fn states_have_payloads_if_they_are_asked_for_and_large_pages_end_early() {
    let (sidecar, mut client) = start().await;
    let mut lister = lister(&sidecar).await;
    for id in ["one", "two", "three"] {
        let request = CreateInstanceRequest {
            instance_id: id.to_owned(),
            name: "greet".to_owned(),
            input: Some("x".repeat(3 * 1024 * 1024)),
            ..CreateInstanceRequest::default()
        };
        client.start_instance(request).await.expect("the id is free");
    }
    let mut lister_of_large = lister.clone().max_decoding_message_size(usize::MAX);
    let request = ListInstancesRequest { payloads: true, ..ListInstancesRequest::default() };
    let page = lister_of_large.list_instances(request).await.expect("a page").into_inner();
    assert_eq!(page.instances.len(), 2);
    assert!(page.instances.iter().all(|state| state.input.as_ref().is_some_and(|input| input.len() > 1_000_000)));
    let rest = ListInstancesRequest { continuation_token: page.continuation_token, ..ListInstancesRequest::default() };
    let page = lister.list_instances(rest).await.expect("a page").into_inner();
    assert_eq!((page.instances.len(), page.continuation_token.as_str()), (1, ""));
    assert_eq!((page.instances[0].instance_id.as_str(), &page.instances[0].input), ("three", &None));
    sidecar.stop().await;
}

#[tokio::test]
async fn instances_are_counted_and_what_no_worker_has_is_named() {
    let (sidecar, mut client) = start().await;
    let mut lister = lister(&sidecar).await;
    let mut worker = choosy(&client, r#"["greet"]"#, "[]").await;
    create(&mut client, "done", "greet").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![complete(1, "\"out\"")]).await;
    finished(&mut client, "done").await;
    create(&mut client, "strange", "paint").await.expect("the id is free");
    create(&mut client, "calling", "greet").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![schedule(1, "mix"), schedule(2, "mix")]).await;

    let counts = lister.count_instances(CountInstancesRequest {}).await.expect("counts").into_inner();
    let by_status: HashMap<_, _> = counts.statuses.iter().map(|each| (each.status(), each.count)).collect();
    let expected =
        [(OrchestrationStatus::Pending, 1), (OrchestrationStatus::Running, 1), (OrchestrationStatus::Completed, 1)];
    assert_eq!(by_status, HashMap::from(expected));
    let unserved = |name: &str, count| vec![Unserved { name: name.to_owned(), version: String::new(), count }];
    assert_eq!(counts.unserved_orchestrations, unserved("paint", 1));
    assert_eq!(counts.unserved_activities, unserved("mix", 2));
    sidecar.stop().await;
}

#[tokio::test]
async fn what_has_ended_and_fits_is_purged_and_nothing_else() {
    let (sidecar, mut client) = start().await;
    let mut lister = lister(&sidecar).await;
    let mut worker = Worker::connect(&client).await;
    for id in ["a-done", "b-done", "b-open"] {
        create(&mut client, id, "greet").await.expect("the id is free");
        let turn = worker.turn().await;
        if id.ends_with("done") {
            worker.answer(&turn, vec![complete(1, "\"out\"")]).await;
            finished(&mut client, id).await;
        } else {
            worker.answer(&turn, vec![]).await;
        }
    }
    let purge = |filter: InstanceFilter| PurgeInstancesByFilterRequest { filter: Some(filter), recursive: true };
    let prefix = InstanceFilter { instance_id_prefix: "b".to_owned(), ..InstanceFilter::default() };
    let running = of_status(OrchestrationStatus::Running);
    for (filter, expected) in [(running, 0), (prefix.clone(), 1), (prefix, 0)] {
        let count = lister.purge_instances(purge(filter)).await.expect("it is purged").into_inner().count;
        assert_eq!(count, expected);
    }
    assert_eq!(ids(&mut lister, InstanceFilter::default(), 10).await, ["a-done", "b-open"]);
    raise(&mut client, "b-open", "go").await.expect("it is still there");
    sidecar.stop().await;
}

#[tokio::test]
async fn nonsense_is_refused_with_what_is_wrong_with_it() {
    let (sidecar, _client) = start().await;
    let mut lister = lister(&sidecar).await;
    for token in ["x", "1", "1.", ".1", "1.x", "1.2.3", "99999999999999999999.1"] {
        let request = ListInstancesRequest { continuation_token: token.to_owned(), ..ListInstancesRequest::default() };
        let refused = lister.list_instances(request).await.expect_err("it is no token");
        assert_eq!(refused.code(), Code::InvalidArgument, "{token}");
    }
    let filter = Some(InstanceFilter { statuses: vec![77], ..InstanceFilter::default() });
    let request = ListInstancesRequest { filter, ..ListInstancesRequest::default() };
    assert_eq!(lister.list_instances(request).await.expect_err("no status").code(), Code::InvalidArgument);
    sidecar.stop().await;
}
