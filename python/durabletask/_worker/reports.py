"""Reporting results to the sidecar, as often as it takes and no longer than it makes sense."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import grpc

from durabletask._transport import (
    asks_to_try_again,
    backoff_delays,
    code_of,
    describe,
    is_connection_failure,
)
from durabletask._worker.received import Received

# Seconds for one attempt. A connection that takes longer to swallow a result is taken for dead.
_CALL_TIMEOUT = 120.0


def report(
    received: Received,
    response: bytes,
    *,
    too_large: Callable[[Received, str], bytes],
    logger: logging.Logger,
) -> bool:
    """Report one result. False: the stream has ended, and the sidecar hands the work out again.

    Failures of the connection, and those that ask for it, are tried again while its stream lives. A
    result that is too large for the channel is replaced once, by a failure.

    Args:
        received: The work item that is answered.
        response: The encoded response.
        too_large: Makes the response that takes its place, from the work item and a message.
        logger: Where to log.
    """
    connection, kind = received.connection, received.item.kind
    replaced = False
    delays: Iterator[float] | None = None
    while connection.alive():
        try:
            connection.complete(kind, response, _CALL_TIMEOUT)
            return True
        except ValueError:  # the channel was closed before the call began
            break
        except grpc.RpcError as error:
            if not connection.alive():
                break
            if _is_transient(error):
                logger.debug(
                    "Reporting %s failed, trying again: %s",
                    received.subject,
                    describe(error),
                    extra=received.fields,
                )
                delays = backoff_delays(0.05, 5.0) if delays is None else delays
                connection.wait_ended(next(delays))
            elif code_of(error) is grpc.StatusCode.RESOURCE_EXHAUSTED and not replaced:
                message = (
                    f"The result of {received.subject} was not accepted: it is too large for the channel "
                    f"to the sidecar ({len(response)} bytes; {describe(error)}). Return less, or "
                    f"raise the sidecar's limit on message size."
                )
                logger.error("%s", message, extra=received.fields)
                response = too_large(received, message)
                replaced = True
            else:
                # Most often the work was taken over by somebody else, or its orchestration has
                # ended.
                logger.warning(
                    "The sidecar refused the result of %s: %s",
                    received.subject,
                    describe(error),
                    extra=received.fields,
                )
                return True
    return False


def _is_transient(error: grpc.RpcError) -> bool:
    timed_out = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.ABORTED)
    return code_of(error) in timed_out or is_connection_failure(error) or asks_to_try_again(error)
