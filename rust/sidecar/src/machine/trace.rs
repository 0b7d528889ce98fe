//! Trace contexts. What an orchestration starts belongs under the orchestration's own span, which whoever runs its last turn
//! makes, when all of that has long been started. So the span's id is known beforehand: it follows from the execution's id.

use durabletask_proto::TraceContext;
use uuid::Uuid;

use super::{Environment, Instance};

/// Workers find the same ids by this; `durabletask/_worker/tracing.py` has it too.
const SPAN_IDS: Uuid = Uuid::from_u128(0x9a4d_3c06_5f0e_4c58_8f0b_6f3b_1c2d_7e91);

/// The context for what an instance starts; none, if the instance itself has none.
pub(super) fn below(instance: &Instance) -> Option<TraceContext> {
    let context = instance.start.parent_trace_context.as_ref()?;
    let span = match (instance.start.orchestration_span_id.as_deref(), instance.execution_id()) {
        (Some(given), _) if !given.is_empty() => given.to_owned(),
        (_, Some(execution_id)) => span_id(execution_id),
        (_, None) => return Some(context.clone()),
    };
    // What is no traceparent is not ours to judge: it is handed on as it came.
    let Some((trace, flags)) = trace_and_flags(&context.trace_parent) else { return Some(context.clone()) };
    Some(TraceContext {
        trace_parent: format!("00-{trace}-{span}-{flags}"),
        span_id: span,
        trace_state: context.trace_state.clone(),
    })
}

/// The context of an execution that begins a trace of its own, sampled as the one before was. Its parent is its own span,
/// by which workers see that it has none.
pub(super) fn root(before: &TraceContext, execution_id: &str, environment: &mut Environment<'_>) -> TraceContext {
    let trace = (environment.new_id)().simple();
    let span = span_id(execution_id);
    let flags = trace_and_flags(&before.trace_parent).map_or("01", |(_, flags)| flags);
    TraceContext { trace_parent: format!("00-{trace}-{span}-{flags}"), span_id: span, trace_state: None }
}

fn span_id(execution_id: &str) -> String {
    Uuid::new_v5(&SPAN_IDS, execution_id.as_bytes()).simple().to_string()[..16].to_owned()
}

/// The two parts of a W3C traceparent that do not change on the way down.
fn trace_and_flags(trace_parent: &str) -> Option<(&str, &str)> {
    let mut parts = trace_parent.split('-');
    let (_version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    (trace.len() == 32 && span.len() == 16 && flags.len() == 2).then_some((trace, flags))
}
