"""Which of CPython's asyncio tests say nothing about another loop than asyncio's own.

Beside these, a test that makes no loop at all of the class that is judged is not counted.
"""

from __future__ import annotations

import sys
from fnmatch import fnmatchcase

# Whole files.
FILES = {
    "test_proactor_events": "the transports of Windows' loop, on mocked sockets",
    "test_selector_events": "private methods of asyncio's own loop and transports, on mocks",
    "test_windows_events": "Windows",
    "test_windows_utils": "Windows",
}

# Classes that repeat the tests of SelectEventLoopTests with another of asyncio's selectors.
SAME_TESTS = {"PollEventLoopTests", "EPollEventLoopTests", "KqueueEventLoopTests"}

# Single tests, which reach into asyncio's own loop: FILE.CLASS.METHOD (or a pattern) and why.
# They are run all the same; one that passes is an error, so that it leaves this table.
TESTS = {
    "test_base_events.BaseEventLoopWithSelectorTests.test_create_datagram_endpoint_ip_addr": (
        "replaces socket.socket by a mock, whose descriptor no poll can watch"
    ),
    **{
        f"test_base_events.BaseEventLoopTests.test_create_connection_happy_eyeballs{end}": (
            "asks asyncio's own transport for its socket, a mock"
        )
        for end in ("", "_ipv4_only")
    },
    "test_subprocess.GenericWatcherTests.test_create_subprocess_fails_with_inactive_watcher": (
        "sets a child watcher, a thing of asyncio's own loop: ours asks none"
    ),
    # These two replace asyncio's Task and its functions by those in Python; our loops make C's.
    "test_free_threading.*Py*.test_all_tasks_from_other_thread_includes_eager_tasks": (
        "asks all_tasks() in Python for tasks that are C's"
    ),
    "test_graph.TestCallStackPy.*": "asks the call graph in Python for tasks that are C's",
    "test_ssl.TestSSL.test_remote_shutdown_receives_trailing_data_on_slow_socket": (
        "replaces a method of the transport's, which is C's and read-only"
    ),
    "test_sslproto.SslProtoHandshakeTests.test_connection_lost_when_busy": (
        "a mock in place of the socket, whose descriptor is none"
    ),
    "test_subprocess.SubprocessThreadedWatcherTests.test_pid_not_reaped_before_exit_published": (
        "looks into the threads of asyncio's own child watcher"
    ),
    **(
        {"test_tasks.*.test_log_destroyed_pending_task": "calls loop._run_once()"}
        if sys.version_info < (3, 14)
        else {}
    ),
    **{
        f"test_tasks.{method}": "runs the loop until loop._ready is empty"
        for method in (
            "CoroutineGatherTests.test_duplicate_coroutines",
            "CoroutineGatherTests.test_one_exception",
            "CoroutineGatherTests.test_result_exception_success",
            "CoroutineGatherTests.test_return_exceptions",
            "CoroutineGatherTests.test_success",
            "FutureGatherTests.test_one_cancellation",
            "FutureGatherTests.test_one_exception",
            "FutureGatherTests.test_result_exception_success",
            "FutureGatherTests.test_return_exceptions",
            "FutureGatherTests.test_success",
        )
    },
}

# These are not even run: they would wait for ever.
ENDLESS = {
    "test_server_context.*.test_gh140947": "waits for attributes of asyncio's own transports",
}


def is_endless(file: str, test: str) -> bool:
    """Whether `test` (CLASS.METHOD) of `file` must not be run."""
    return any(fnmatchcase(f"{file}.{test}", pattern) for pattern in ENDLESS)


def reason(file: str, test: str) -> str | None:
    """Why `test` (CLASS.METHOD) of `file` is left out; None when it counts."""
    name = f"{file}.{test}"
    return next((TESTS[pattern] for pattern in TESTS if fnmatchcase(name, pattern)), None)
