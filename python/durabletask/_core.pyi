# Types of the native module. Documentation stands where the code is written.

from collections.abc import Callable, Generator, Iterable, Sequence
from contextvars import Context
from datetime import datetime, timedelta
from logging import Logger
from typing import Any, Generic, Literal, TypeAlias, TypeVar, final, overload, type_check_only
from uuid import UUID

from grpc import RpcError
from typing_extensions import Self, disjoint_base

from durabletask.task import HistoryPropagation, PropagatedHistory, RetryPolicy

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)
_T1 = TypeVar("_T1")
_T2 = TypeVar("_T2")
_T3 = TypeVar("_T3")
_T4 = TypeVar("_T4")
_T5 = TypeVar("_T5")

__version__: str
PROTOCOL_DESCRIPTOR_HEX: str

# --------------------------------------------------------------------------------------------------
# Tasks (rust/python/src/tasks)

@disjoint_base
class Task(Generic[_T_co]):
    def __new__(cls, *arguments: Any, **named: Any) -> Self: ...
    @property
    def is_complete(self) -> bool: ...
    @property
    def is_failed(self) -> bool: ...
    def get_result(self) -> _T_co: ...
    def get_exception(self) -> Exception: ...
    def __class_getitem__(cls, key: Any) -> Any: ...
    def __await__(self) -> Generator[Any, Any, _T_co]: ...
    _is_complete: bool
    _result: Any
    _exception: Any
    @property
    def _parent(self) -> Any: ...

class CompletableTask(Task[_T]):
    def __new__(cls, *arguments: Any, **named: Any) -> Self: ...
    def complete(self, result: _T) -> None: ...
    def fail(self, message: str, details: Any) -> None: ...

@disjoint_base
class TimerTask(CompletableTask[_T]):
    def __new__(cls, *arguments: Any, **named: Any) -> Self: ...
    def set_retryable_parent(self, retryable_task: RetryableTask[Any]) -> None: ...
    @property
    def _retryable_parent(self) -> RetryableTask[Any] | None: ...

@disjoint_base
class RetryableTask(CompletableTask[_T]):
    def __new__(
        cls,
        retry_policy: RetryPolicy | None = None,
        start_time: datetime | None = None,
        *arguments: Any,
        **named: Any,
    ) -> Self: ...
    def increment_attempt_count(self) -> None: ...
    def compute_next_delay(self) -> timedelta | None: ...

class CompositeTask(Task[_T_co]):
    def __init__(
        self, tasks: Iterable[Task[Any]] | None = None, *arguments: Any, **named: Any
    ) -> None: ...
    def get_tasks(self) -> list[Task[Any]]: ...
    def on_child_completed(self, task: Task[Any]) -> None: ...

class WhenAllTask(CompositeTask[list[_T]]):
    def __new__(cls, tasks: Iterable[Task[_T]]) -> Self: ...
    @property
    def pending_tasks(self) -> int: ...
    def get_completed_tasks(self) -> int: ...

class WhenAnyTask(CompositeTask[Task[Any]]):
    def __new__(cls, tasks: Iterable[Task[Any]]) -> Self: ...

# What `when_all` gives for a tuple of tasks: results of different types, told apart as `asyncio.gather`
# does it. They are a list, which has no type for each of its items.
@type_check_only
class _WhenAllOf(CompositeTask[_T_co]):
    @property
    def pending_tasks(self) -> int: ...
    def get_completed_tasks(self) -> int: ...

# Tuples are iterables, too: the last signature is for those of other lengths.
@overload
def when_all(  # type: ignore[overload-overlap]
    tasks: tuple[Task[_T1], Task[_T2]],
) -> _WhenAllOf[tuple[_T1, _T2]]: ...
@overload
def when_all(  # type: ignore[overload-overlap]
    tasks: tuple[Task[_T1], Task[_T2], Task[_T3]],
) -> _WhenAllOf[tuple[_T1, _T2, _T3]]: ...
@overload
def when_all(  # type: ignore[overload-overlap]
    tasks: tuple[Task[_T1], Task[_T2], Task[_T3], Task[_T4]],
) -> _WhenAllOf[tuple[_T1, _T2, _T3, _T4]]: ...
@overload
def when_all(  # type: ignore[overload-overlap]
    tasks: tuple[Task[_T1], Task[_T2], Task[_T3], Task[_T4], Task[_T5]],
) -> _WhenAllOf[tuple[_T1, _T2, _T3, _T4, _T5]]: ...
@overload
def when_all(tasks: Iterable[Task[_T]]) -> WhenAllTask[_T]: ...
def when_any(tasks: Iterable[Task[Any]]) -> WhenAnyTask: ...

# --------------------------------------------------------------------------------------------------
# The orchestrator's half of a worker (rust/python/src/context, rust/python/src/engine)

@disjoint_base
class RuntimeContext:
    def __new__(cls, instance_id: str) -> Self: ...
    def _read_payloads_with(self, reader: Callable[[str], Any]) -> None: ...
    @property
    def instance_id(self) -> str: ...
    @property
    def app_id(self) -> str | None: ...
    @property
    def current_utc_datetime(self) -> datetime: ...
    @current_utc_datetime.setter
    def current_utc_datetime(self, value: datetime) -> None: ...
    @property
    def is_replaying(self) -> bool: ...
    def set_custom_status(self, custom_status: Any) -> None: ...
    def create_timer(self, fire_at: datetime | timedelta) -> Task[Any]: ...
    def call_activity(
        self,
        activity: Any,
        *,
        input: Any = None,
        retry_policy: RetryPolicy | None = None,
        app_id: str | None = None,
        propagation: HistoryPropagation | None = None,
        timeout: timedelta | None = None,
    ) -> Task[Any]: ...
    def call_sub_orchestrator(
        self,
        orchestrator: Any,
        *,
        input: Any = None,
        instance_id: str | None = None,
        retry_policy: RetryPolicy | None = None,
        app_id: str | None = None,
        propagation: HistoryPropagation | None = None,
        timeout: timedelta | None = None,
    ) -> Task[Any]: ...
    def wait_for_external_event(
        self, name: str, *, timeout: datetime | timedelta | None = None
    ) -> Task[Any]: ...
    def send_event(self, instance_id: str, name: str, *, data: Any = None) -> None: ...
    def get_propagated_history(self) -> PropagatedHistory | None: ...
    def continue_as_new(self, new_input: Any, *, save_events: bool = False) -> None: ...
    def is_patched(self, patch_name: str) -> bool: ...
    def uuid4(self) -> UUID: ...
    @property
    def _last_action_id(self) -> int: ...
    def new_guid(self) -> UUID: ...

@final
class Executor:
    def __new__(
        cls,
        registry: Any,
        logger: Logger | None = None,
        context_class: Any = None,
        *,
        replay_cache: tuple[int, int, float] | None = None,
        context: Context | None = None,
        on_mismatch: Literal["fail", "stall"] = "fail",
        long_turn: float = 2.0,
        semantics: str = "0.17",
        spans: Any = None,
    ) -> Self: ...
    def execute(
        self,
        request: bytes,
        completion_token: str = "",
        fetch_history: Callable[[str], bytes] | None = None,
    ) -> bytes: ...
    def execute_work_item(
        self, item: bytes, fetch_history: Callable[[str], bytes] | None = None
    ) -> bytes: ...
    def counters(self) -> dict[str, int]: ...
    def replay_cache_counters(self) -> dict[str, int]: ...
    def tell_of_attempt(
        self, instance_id: str, task_id: int, activity: str, error_type: str, now: int
    ) -> tuple[int, int, int | None] | None: ...
    def expire_idle(self) -> None: ...
    def clear_replay_cache(self) -> None: ...

@final
class Stalled(Exception):
    @property
    def instance_id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str | None: ...
    @property
    def kind(self) -> Literal["nondeterminism", "orchestrator", "version"]: ...
    @property
    def report(self) -> str: ...

# what it is, message, event_index, event_id, where the orchestrator stands
CheckFinding: TypeAlias = tuple[str, str, int | None, int | None, str | None]

def check_history(
    registry: Any,
    new_context: Callable[[str], RuntimeContext],
    data: bytes,
    semantics: str = "0.17",
) -> tuple[str, str, int, CheckFinding | None]: ...

# --------------------------------------------------------------------------------------------------
# Messages of the sidecar protocol (rust/python/src/messages)

# message, error_type, stack_trace, inner failure of the same shape
Failure: TypeAlias = tuple[str, str, str | None, Any]
# error_type, message, stack_trace, whether trying again is of no use; outermost first
FailureLink: TypeAlias = tuple[str, str, str | None, bool]
# name, status, created_micros, updated_micros, input, output, custom_status, failure
InstanceState: TypeAlias = tuple[
    str, int, int, int, str | None, str | None, str | None, Failure | None
]
# statuses, name, created from and to, updated from and to in microseconds, prefix of the id, roots only
InstanceFilter: TypeAlias = tuple[
    list[int],
    str | None,
    tuple[int | None, int | None],
    tuple[int | None, int | None],
    str | None,
    bool,
]
# event_id, timestamp_micros, type, attributes, serialized
HistoryEvent: TypeAlias = tuple[int, int | None, str, dict[str, Any], bytes]

def encode_create_instance_request(
    instance_id: str,
    name: str,
    *,
    input: str | None = None,
    start_at_micros: int | None = None,
    reuse_id_policy: tuple[list[int], int] | None = None,
    trace_context: tuple[str, str | None] | None = None,
    unique_instance_id: bool = False,
    app_id: str | None = None,
) -> bytes: ...
def encode_get_instance_request(
    instance_id: str, fetch_payloads: bool, *, app_id: str | None = None
) -> bytes: ...
def encode_raise_event_request(
    instance_id: str,
    name: str,
    input: str | None = None,
    *,
    app_id: str | None = None,
) -> bytes: ...
def encode_terminate_request(
    instance_id: str, output: str | None = None, *, recursive: bool, app_id: str | None = None
) -> bytes: ...
def encode_suspend_request(instance_id: str, *, app_id: str | None = None) -> bytes: ...
def encode_resume_request(instance_id: str, *, app_id: str | None = None) -> bytes: ...
def encode_purge_instances_request(
    instance_id: str, *, recursive: bool, force: bool | None = None, app_id: str | None = None
) -> bytes: ...
def encode_rerun_request(
    instance_id: str,
    event_id: int,
    *,
    new_instance_id: str | None = None,
    input: str | None = None,
    overwrite_input: bool = False,
    new_child_instance_id: str | None = None,
    app_id: str | None = None,
) -> bytes: ...
def encode_list_instance_ids_request(
    continuation_token: str | None = None, page_size: int | None = None
) -> bytes: ...
def encode_list_instances_request(
    wanted: InstanceFilter,
    payloads: bool,
    continuation_token: str | None = None,
    page_size: int | None = None,
) -> bytes: ...
def encode_purge_by_filter_request(wanted: InstanceFilter, *, recursive: bool) -> bytes: ...
def encode_restart_request(
    response: bytes, new_instance_id: str, *, app_id: str | None = None
) -> bytes | None: ...
def decode_list_instances_response(
    data: bytes,
) -> tuple[list[tuple[str, InstanceState]], str | None]: ...
def decode_purge_by_filter_response(data: bytes) -> int: ...
def decode_parent_instance_id(data: bytes) -> str | None: ...
def encode_get_instance_history_request(instance_id: str) -> bytes: ...
def encode_get_work_items_request(
    max_orchestrations: int, max_activities: int, capabilities: Sequence[int]
) -> bytes: ...
def decode_create_instance_response(data: bytes) -> str: ...
def decode_get_instance_response(data: bytes) -> InstanceState | None: ...
def decode_purge_instances_response(data: bytes) -> tuple[int, bool | None]: ...
def decode_rerun_response(data: bytes) -> str: ...
def decode_list_instance_ids_response(data: bytes) -> tuple[list[str], str | None]: ...
def decode_history(data: bytes) -> list[HistoryEvent]: ...
def decode_propagated_history(
    data: bytes,
) -> tuple[int, list[tuple[str, str, str, list[HistoryEvent]]]]: ...
def decode_work_item(data: bytes) -> WorkItem: ...
def encode_activity_result(
    instance_id: str, task_id: int, completion_token: str, result: str | None
) -> bytes: ...
def encode_activity_failure(
    instance_id: str, task_id: int, completion_token: str, failure: Sequence[FailureLink]
) -> bytes: ...
def encode_orchestrator_failure(
    instance_id: str, completion_token: str, failure: Sequence[FailureLink]
) -> bytes: ...
def encode_orchestrator_stall(instance_id: str, completion_token: str) -> bytes: ...

@final
class WorkItem:
    @property
    def kind(self) -> str: ...
    @property
    def instance_id(self) -> str: ...
    @property
    def execution_id(self) -> str | None: ...
    @property
    def completion_token(self) -> str: ...
    @property
    def problem(self) -> str | None: ...
    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str | None: ...
    @property
    def task_id(self) -> int: ...
    @property
    def input(self) -> str | None: ...
    @property
    def task_execution_id(self) -> str: ...
    @property
    def trace_parent(self) -> str | None: ...
    @property
    def trace_state(self) -> str | None: ...
    @property
    def propagated_history(self) -> bytes | None: ...

# --------------------------------------------------------------------------------------------------
# The embedded sidecar (rust/python/src/sidecar.rs)

@final
class SidecarServer:
    def __new__(
        cls,
        *,
        host: str,
        port: int,
        metrics_port: int | None,
        db: str | None,
        cache_bytes: int,
        accept_data_loss: bool,
        insecure: bool,
        api_token_file: str | None,
        tls_cert: str | None,
        tls_key: str | None,
        tls_client_ca: str | None,
        max_message_bytes: int | None,
        turn_lease: timedelta,
        retain: list[tuple[str, timedelta]],
        virtual_time: tuple[int, int] | None,
    ) -> Self: ...
    def now(self) -> int: ...
    def skip(self, by: timedelta, patience: timedelta) -> int | None: ...
    @property
    def address(self) -> str: ...
    @property
    def metrics_address(self) -> str | None: ...
    @property
    def pid(self) -> int: ...
    def stop(self) -> None: ...

# The worker's wire (rust/python/src/transport.rs)

@final
class Transport:
    def __new__(cls) -> Self: ...
    def connection(
        self,
        host: str,
        port: int,
        *,
        tls: tuple[bytes, str] | None,
        metadata: Sequence[tuple[str, str | bytes]],
    ) -> TransportConnection: ...
    def stop(self) -> None: ...

@final
class TransportConnection:
    def call(self, path: str, message: bytes, timeout: float) -> bytes: ...
    def stream(
        self, path: str, message: bytes, metadata: Sequence[tuple[str, str | bytes]]
    ) -> None: ...
    def take(
        self, hastened: bool
    ) -> tuple[
        list[tuple[Any, RpcError | Literal[False] | None]], list[bytes], RpcError | bool
    ]: ...
    def take_outcomes(
        self, timeout: float
    ) -> list[tuple[Any, RpcError | Literal[False] | None]]: ...
    def hasten(self) -> None: ...
    def report(self, path: str, message: bytes, report: object) -> bool: ...
    def close(self) -> None: ...

def back_up_sidecar(db: str, to: str) -> int: ...
def sidecar_main(arguments: list[str]) -> int: ...
