"""What debuggers, profilers and nest_asyncio do to Python, and what of it reaches handlers. Each in
a process of its own, since nothing undoes it."""

from __future__ import annotations

import subprocess
import sys

import pytest

SERVE = """
import asyncio, http.client, sys, threading, time
BEFORE
import fluvial
from fluvial import Config, Loop
from fluvial._serving.load import adapt
from fluvial._serving.server import Service
from fluvial._serving.sockets import bind

AFTER

app = fluvial.App()
seen = []

@app.get("/def")
def in_a_thread() -> str:
    marker = 1
    return "def"

@app.get("/async")
async def on_the_loop() -> str:
    await asyncio.sleep(0.001)
    await asyncio.gather(asyncio.create_task(asyncio.sleep(0.001)), asyncio.to_thread(time.time))
    async with asyncio.timeout(10):
        return asyncio.current_task().get_name() and "async"

def ask(port, loop, service):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for path in ("/def", "/async", "/def"):
        client.request("GET", path)
        print(client.getresponse().read().decode())
    client.close()
    loop.call_soon_threadsafe(service.stop)

async def main():
    config = Config(port=0, access_log=False)
    sockets = bind(config)
    service = Service(adapt(app), sockets, config)
    port = sockets[0].getsockname()[1]
    loop = asyncio.get_running_loop()
    plain = plain_thread(target=ask, args=(port, loop, service))
    await service.run(lambda *_: plain.start())
    plain.join()

plain_thread = threading.Thread
with asyncio.Runner(loop_factory=Loop) as runner:
    runner.run(main())
print(sorted(set(seen)))
"""

ANSWERS = ['"def"', '"async"', '"def"']


def lines(before: str = "", after: str = "") -> list[str]:
    code = SERVE.replace("BEFORE", before).replace("AFTER", after)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


# ---- Tracing ------------------------------------------------------------------------------------

TRACER = """
def tracer(frame, event, arg):
    if frame.f_code.co_name == "in_a_thread":
        seen.append(event)
    return tracer
"""

# As pydevd does before Python 3.12: who starts a thread gets a function that traces it.
HOOK = (
    TRACER
    + """
import _thread
plain_start = _thread.start_new_thread

def start_traced(function, args=(), kwargs={}):
    def run():
        sys.settrace(tracer)
        function(*args, **kwargs)
    return plain_start(run, ())

threading._start_new_thread = _thread.start_new_thread = start_traced
"""
)


def test_threads_started_by_a_hook_are_traced() -> None:
    *answers, seen = lines(after=HOOK)
    assert answers == ANSWERS
    assert seen == "['call', 'line', 'return']"


@pytest.mark.parametrize("install", ["settrace", "setprofile"])
def test_tracers_for_new_threads(install: str) -> None:
    *answers, seen = lines(after=f"{TRACER}\nthreading.{install}(tracer)")
    assert answers == ANSWERS
    assert "'call'" in seen
    assert "'return'" in seen


@pytest.mark.parametrize("module", ["gevent.thread", "eventlet.green.thread"])
def test_a_hook_that_starts_no_thread_is_left_alone(module: str) -> None:
    hook = f"""
def start(*args):
    raise SystemExit("a greenlet can't wait for a worker")
start.__module__ = {module!r}
threading._start_new_thread = start
"""
    # The asyncio.to_thread of the handler isn't ours, and needs threads.
    code = hook + "\nasyncio.to_thread = lambda f: asyncio.sleep(0)\n"
    code += "import _thread\nclass Plain(threading.Thread):\n    def start(self):\n"
    code += "        _thread.start_new_thread(self.run, ())\n    def join(self): pass\n"
    code = SERVE.replace("BEFORE", "").replace("AFTER", code)
    code = code.replace("plain_thread = threading.Thread", "plain_thread = Plain")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.stdout.splitlines()[:3] == ANSWERS, done.stderr


def test_a_hook_that_fails_is_reported_and_replaced() -> None:
    hook = """
def start(*args):
    if "fluvial_worker" in repr(args):
        raise RuntimeError("no more threads")
    return plain_start(*args)
import _thread
plain_start = _thread.start_new_thread
threading._start_new_thread = start
"""
    *answers, _ = lines(after=hook)
    assert answers == ANSWERS


# ---- nest_asyncio -------------------------------------------------------------------------------

# What nest_asyncio 1.6 does to asyncio, in short: Tasks and Futures are Python's, and loops of
# asyncio's run rounds of their own queues.
NEST = """
import asyncio.events
asyncio.Task = asyncio.tasks._CTask = asyncio.tasks.Task = asyncio.tasks._PyTask
asyncio.Future = asyncio.futures._CFuture = asyncio.futures.Future = asyncio.futures._PyFuture

def patch(loop):
    def run_until_complete(self, future):
        f = asyncio.ensure_future(future, loop=self)
        while not f.done():
            self._run_once()
        return f.result()
    def _run_once(self):
        self._ready, self._scheduled
    def _check_running(self):
        pass
    if hasattr(loop, "_nest_patched"):
        return
    cls = loop.__class__
    cls.run_until_complete = cls.run_forever = run_until_complete
    cls._run_once = _run_once
    cls._check_running = _check_running
    cls._nest_patched = True

stock = asyncio.new_event_loop()
patch(stock)
stock.close()
"""


@pytest.mark.parametrize("when", ["before", "after", "own loop"])
def test_nest_asyncio(when: str) -> None:
    """Applied at import, before or after fluvial's, to asyncio's loop or to ours."""
    if when == "before":
        *answers, _ = lines(before=NEST)
    else:
        more = "\nours = Loop()\npatch(ours)\nours.close()" if when == "own loop" else ""
        *answers, _ = lines(after=NEST + more)
    assert answers == ANSWERS


def test_running_a_loop_that_runs() -> None:
    """nest_asyncio's wish can't be fulfilled: the error says what is the matter."""
    code = f"""
import asyncio, fluvial, sys
{NEST}
sys.modules["nest_asyncio"] = sys
async def main():
    patch(asyncio.get_running_loop())
    coroutine = asyncio.sleep(0)
    try:
        asyncio.get_running_loop().run_until_complete(coroutine)
    except RuntimeError as exc:
        print(exc)
    coroutine.close()
with asyncio.Runner(loop_factory=fluvial.Loop) as runner:
    runner.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.startswith("This event loop is already running; nest_asyncio can't")
