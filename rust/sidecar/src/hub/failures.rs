//! Failures as they are stored: no deeper than what every worker can read.

use durabletask_proto::orchestrator_action::OrchestratorActionType;
use durabletask_proto::{OrchestratorResponse, TaskFailureDetails};

/// How many failures one inside the other are kept. Readers of protobuf give up at 100 levels of everything, of which a
/// work item around an event around a failure takes some.
const KEPT_FAILURES: usize = 32;

/// Leaves out the causes of causes beyond that.
pub(super) fn shorten(failure: &mut TaskFailureDetails) {
    let mut innermost = failure;
    for _ in 1..KEPT_FAILURES {
        let Some(inner) = innermost.inner_failure.as_deref_mut() else {
            return;
        };
        innermost = inner;
    }
    innermost.inner_failure = None;
}

/// The same for all that a turn says.
pub(super) fn shorten_all(response: &mut OrchestratorResponse) {
    for action in &mut response.actions {
        if let Some(OrchestratorActionType::CompleteOrchestration(asked)) = &mut action.orchestrator_action_type
            && let Some(failure) = &mut asked.failure_details
        {
            shorten(failure);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> TaskFailureDetails {
        let mut failure = TaskFailureDetails::default();
        for _ in 1..depth {
            failure = TaskFailureDetails { inner_failure: Some(Box::new(failure)), ..TaskFailureDetails::default() };
        }
        failure
    }

    #[test]
    fn causes_are_kept_as_far_as_every_worker_can_read_them() {
        for (given, kept) in
            [(1, 1), (KEPT_FAILURES, KEPT_FAILURES), (KEPT_FAILURES + 1, KEPT_FAILURES), (98, KEPT_FAILURES)]
        {
            let mut failure = nested(given);
            shorten(&mut failure);
            assert_eq!(failure, nested(kept), "of {given}");
        }
    }
}
