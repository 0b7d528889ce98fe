//! Arbitrary messages of the protocol, in every field that the engine reads and in many that it does not.
//!
//! Each strategy is boxed: unboxed, one event takes more of the stack than a test has.

use durabletask_proto as pb;
use pb::history_event::EventType;
use proptest::option::of;
use proptest::prelude::*;

pub(crate) fn text() -> BoxedStrategy<String> {
    prop_oneof![Just(String::new()), "[a-z]{1,8}", any::<String>()].boxed()
}

fn maybe() -> BoxedStrategy<Option<String>> {
    of(text()).boxed()
}

fn number() -> impl Strategy<Value = i32> {
    prop_oneof![-1..20, any::<i32>()]
}

fn timestamp() -> impl Strategy<Value = pb::prost_types::Timestamp> {
    (prop_oneof![0..4_000_000_000_i64, any::<i64>()], prop_oneof![0..1_000_000_000, any::<i32>()])
        .prop_map(|(seconds, nanos)| pb::prost_types::Timestamp { seconds, nanos })
}

fn router() -> BoxedStrategy<pb::TaskRouter> {
    (text(), maybe(), maybe())
        .prop_map(|(source_app_id, target_app_id, target_app_namespace)| pb::TaskRouter {
            source_app_id,
            target_app_id,
            target_app_namespace,
        })
        .boxed()
}

fn failure() -> BoxedStrategy<pb::TaskFailureDetails> {
    let flat = || {
        (text(), text(), maybe(), any::<bool>()).prop_map(
            |(error_type, error_message, stack_trace, is_non_retriable)| pb::TaskFailureDetails {
                error_type,
                error_message,
                stack_trace,
                inner_failure: None,
                is_non_retriable,
            },
        )
    };
    (flat(), of(flat()))
        .prop_map(|(failure, inner)| pb::TaskFailureDetails { inner_failure: inner.map(Box::new), ..failure })
        .boxed()
}

fn instance() -> BoxedStrategy<pb::OrchestrationInstance> {
    (text(), maybe())
        .prop_map(|(instance_id, execution_id)| pb::OrchestrationInstance { instance_id, execution_id })
        .boxed()
}

fn execution_started() -> BoxedStrategy<EventType> {
    let parent = (number(), maybe(), of(instance()), maybe()).prop_map(
        |(task_scheduled_id, name, orchestration_instance, app_id)| pb::ParentInstanceInfo {
            task_scheduled_id,
            name,
            orchestration_instance,
            app_id,
            ..Default::default()
        },
    );
    let trace = (text(), text()).prop_map(|(trace_parent, span_id)| pb::TraceContext {
        trace_parent,
        span_id,
        trace_state: None,
    });
    let head = (text(), maybe(), maybe(), of(instance()));
    (head, of(parent), of(timestamp()), of(trace), of((text(), text())))
        .prop_map(
            |((name, version, input, orchestration_instance), parent_instance, start, parent_trace_context, tag)| {
                EventType::ExecutionStarted(pb::ExecutionStartedEvent {
                    name,
                    version,
                    input,
                    orchestration_instance,
                    parent_instance,
                    scheduled_start_timestamp: start,
                    parent_trace_context,
                    orchestration_span_id: None,
                    tags: tag.into_iter().collect(),
                })
            },
        )
        .boxed()
}

fn confirmations() -> BoxedStrategy<EventType> {
    prop_oneof![
        (text(), maybe(), maybe(), text()).prop_map(|(name, version, input, task_execution_id)| {
            EventType::TaskScheduled(pb::TaskScheduledEvent {
                name,
                version,
                input,
                task_execution_id,
                ..Default::default()
            })
        }),
        (text(), text(), maybe(), maybe()).prop_map(|(instance_id, name, version, input)| {
            EventType::SubOrchestrationInstanceCreated(pb::SubOrchestrationInstanceCreatedEvent {
                instance_id,
                name,
                version,
                input,
                ..Default::default()
            })
        }),
        (of(timestamp()), maybe()).prop_map(|(fire_at, name)| {
            EventType::TimerCreated(pb::TimerCreatedEvent { fire_at, name, ..Default::default() })
        }),
        (text(), text(), maybe()).prop_map(|(instance_id, name, input)| EventType::EventSent(pb::EventSentEvent {
            instance_id,
            name,
            input
        })),
        text().prop_map(|instance_id| {
            EventType::DetachedOrchestrationInstanceCreated(pb::DetachedOrchestrationInstanceCreatedEvent {
                instance_id,
            })
        }),
    ]
    .boxed()
}

fn completions() -> BoxedStrategy<EventType> {
    let signature = || of(prop::collection::vec(any::<u8>(), 0..9));
    prop_oneof![
        (number(), maybe(), text(), signature()).prop_map(
            |(task_scheduled_id, result, task_execution_id, attestation)| {
                EventType::TaskCompleted(pb::TaskCompletedEvent {
                    task_scheduled_id,
                    result,
                    task_execution_id,
                    attestation,
                    signer_certificate: None,
                })
            }
        ),
        (number(), of(failure()), text(), signature()).prop_map(
            |(id, failure_details, task_execution_id, attestation)| {
                EventType::TaskFailed(pb::TaskFailedEvent {
                    task_scheduled_id: id,
                    failure_details,
                    task_execution_id,
                    attestation,
                    signer_certificate: None,
                })
            }
        ),
        (number(), maybe(), signature()).prop_map(|(task_scheduled_id, result, attestation)| {
            EventType::SubOrchestrationInstanceCompleted(pb::SubOrchestrationInstanceCompletedEvent {
                task_scheduled_id,
                result,
                attestation,
                signer_certificate: None,
            })
        }),
        (number(), of(failure()), signature()).prop_map(|(task_scheduled_id, failure_details, attestation)| {
            EventType::SubOrchestrationInstanceFailed(pb::SubOrchestrationInstanceFailedEvent {
                task_scheduled_id,
                failure_details,
                attestation,
                signer_certificate: None,
            })
        }),
        (of(timestamp()), number())
            .prop_map(|(fire_at, timer_id)| EventType::TimerFired(pb::TimerFiredEvent { fire_at, timer_id })),
    ]
    .boxed()
}

fn turns_and_ends() -> BoxedStrategy<EventType> {
    let version = (prop::collection::vec(text(), 0..4), maybe())
        .prop_map(|(patches, name)| pb::OrchestrationVersion { patches, name });
    prop_oneof![
        of(version).prop_map(|version| EventType::OrchestratorStarted(pb::OrchestratorStartedEvent { version })),
        Just(EventType::OrchestratorCompleted(pb::OrchestratorCompletedEvent {})),
        (0..9, maybe(), of(failure())).prop_map(|(orchestration_status, result, failure_details)| {
            EventType::ExecutionCompleted(pb::ExecutionCompletedEvent { orchestration_status, result, failure_details })
        }),
        (maybe(), any::<bool>()).prop_map(|(input, recurse)| {
            EventType::ExecutionTerminated(pb::ExecutionTerminatedEvent { input, recurse })
        }),
        (0..3, maybe()).prop_map(|(reason, description)| {
            EventType::ExecutionStalled(pb::ExecutionStalledEvent { reason, description })
        }),
        maybe().prop_map(|input| EventType::ContinueAsNew(pb::ContinueAsNewEvent { input })),
        maybe().prop_map(|input| EventType::ExecutionSuspended(pb::ExecutionSuspendedEvent { input })),
        maybe().prop_map(|input| EventType::ExecutionResumed(pb::ExecutionResumedEvent { input })),
        (text(), maybe()).prop_map(|(name, input)| EventType::EventRaised(pb::EventRaisedEvent { name, input })),
    ]
    .boxed()
}

/// Any event of any type, and events without one.
pub(crate) fn event() -> BoxedStrategy<pb::HistoryEvent> {
    let event_type = prop_oneof![execution_started(), confirmations(), completions(), turns_and_ends()];
    (number(), of(timestamp()), of(router()), prop::option::weighted(0.95, event_type))
        .prop_map(|(event_id, timestamp, router, event_type)| pb::HistoryEvent {
            event_id,
            timestamp,
            router,
            event_type,
        })
        .boxed()
}

/// Any request, with up to a dozen events.
pub(crate) fn request() -> BoxedStrategy<pb::OrchestratorRequest> {
    let events = || prop::collection::vec(event(), 0..12);
    let head = (text(), maybe(), any::<bool>(), of(router()), of(number()));
    (head, events(), events())
        .prop_map(
            |((instance_id, execution_id, requires_history_streaming, router, cached), past_events, new_events)| {
                pb::OrchestratorRequest {
                    instance_id,
                    execution_id,
                    past_events,
                    new_events,
                    requires_history_streaming,
                    router,
                    propagated_history: None,
                    cached_history: cached.map(|event_count| pb::CachedHistory { event_count }),
                }
            },
        )
        .boxed()
}
