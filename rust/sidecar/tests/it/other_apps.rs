//! What clients ask of other apps, which this sidecar does not serve.

use durabletask_proto::{
    CreateInstanceRequest, GetInstanceRequest, PurgeInstancesRequest, RaiseEventRequest, RerunWorkflowFromEventRequest,
    ResumeRequest, SuspendRequest, TaskRouter, TerminateRequest, purge_instances_request,
};
use durabletask_sidecar::Options;
use tonic::{Code, Status};

use crate::support::{Client, create, start_with, state};

fn router(app: &str) -> TaskRouter {
    TaskRouter { target_app_id: Some(app.to_owned()), ..TaskRouter::default() }
}

/// What each call that can name an app answers when it names this one.
async fn all_calls(client: &mut Client, app: &str) -> Vec<(&'static str, Result<(), Status>)> {
    let id = || "id".to_owned();
    let router = Some(router(app));
    let start =
        CreateInstanceRequest { instance_id: id(), name: "a".into(), router: router.clone(), ..Default::default() };
    let get = GetInstanceRequest { instance_id: id(), router: router.clone(), ..Default::default() };
    let raise =
        RaiseEventRequest { instance_id: id(), name: "go".into(), router: router.clone(), ..Default::default() };
    let suspend = SuspendRequest { instance_id: id(), router: router.clone(), ..Default::default() };
    let resume = ResumeRequest { instance_id: id(), router: router.clone(), ..Default::default() };
    let terminate = TerminateRequest { instance_id: id(), router: router.clone(), ..Default::default() };
    let request = Some(purge_instances_request::Request::InstanceId(id()));
    let purge = PurgeInstancesRequest { request, force: Some(true), router: router.clone(), ..Default::default() };
    let rerun = RerunWorkflowFromEventRequest { source_instance_id: id(), router, ..Default::default() };
    let mut answers = vec![
        ("StartInstance", client.start_instance(start).await.map(drop)),
        ("GetInstance", client.get_instance(get.clone()).await.map(drop)),
        ("RaiseEvent", client.raise_event(raise).await.map(drop)),
        ("SuspendInstance", client.suspend_instance(suspend).await.map(drop)),
        ("ResumeInstance", client.resume_instance(resume).await.map(drop)),
        ("TerminateInstance", client.terminate_instance(terminate).await.map(drop)),
        ("PurgeInstances", client.purge_instances(purge).await.map(drop)),
        ("RerunWorkflowFromEvent", client.rerun_workflow_from_event(rerun).await.map(drop)),
    ];
    if app != "shop" {
        // Nobody is there who would start it.
        answers.push(("WaitForInstanceStart", client.wait_for_instance_start(get.clone()).await.map(drop)));
        answers.push(("WaitForInstanceCompletion", client.wait_for_instance_completion(get).await.map(drop)));
    }
    answers
}

#[tokio::test]
async fn a_call_for_another_app_is_refused_instead_of_being_done_here() {
    let (sidecar, mut client) = start_with(Options { app_id: "shop".to_owned(), ..Options::default() }).await;
    create(&mut client, "id", "order").await.expect("the id is free");
    for (method, answer) in all_calls(&mut client, "bank").await {
        let refused = answer.expect_err(method);
        assert_eq!(refused.code(), Code::FailedPrecondition, "{method}");
        let expected = format!("{method} is asked of the app 'bank', and this sidecar serves 'shop' alone");
        assert!(refused.message().starts_with(&expected), "{}", refused.message());
    }
    let untouched = state(&mut client, "id").await.expect("it is there");
    assert_eq!(untouched.name, "order");
    sidecar.stop().await;
}

#[tokio::test]
async fn a_call_for_its_own_app_is_done() {
    let (sidecar, mut client) = start_with(Options { app_id: "shop".to_owned(), ..Options::default() }).await;
    for (method, answer) in all_calls(&mut client, "shop").await {
        // There is nothing left by then that could be run again.
        let expected = if method == "RerunWorkflowFromEvent" { Err(Code::NotFound) } else { Ok(()) };
        assert_eq!(answer.map_err(|status| status.code()), expected, "{method}");
    }
    sidecar.stop().await;
}
