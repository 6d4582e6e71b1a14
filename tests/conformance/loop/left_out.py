"""Which of CPython's asyncio tests say nothing about another loop than asyncio's own.

Beside these, a test that makes no loop at all of the class that is judged is not counted.
"""

from __future__ import annotations

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
    "test_subprocess.GenericWatcherTests.test_create_subprocess_fails_with_inactive_watcher": (
        "sets a child watcher, a thing of asyncio's own loop: ours asks none"
    ),
    "test_tasks.*.test_log_destroyed_pending_task": "calls loop._run_once()",
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


def reason(file: str, test: str) -> str | None:
    """Why `test` (CLASS.METHOD) of `file` is left out; None when it counts."""
    name = f"{file}.{test}"
    return next((TESTS[pattern] for pattern in TESTS if fnmatchcase(name, pattern)), None)
