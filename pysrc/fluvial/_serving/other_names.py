"""What uvicorn, gunicorn, hypercorn and granian call their options, and what `fluvial run` makes of
those names. Those that are ours, too, are not here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

# The same by another name. A text with a space is our flag and the form of its value, or all of it.
ALIASES = {
    "-b": "--bind",
    "-c": "--config",
    "-g": "--group",
    "-m": "--umask",
    "-p": "--pid",
    "--proxy-allow-from": "--proxy-allow-ips",
    "-t": "--worker-timeout",
    "-u": "--user",
    "-w": "--workers",
    "--access-logfile": "--access-log-file",
    "--asgi-lifespan": "--lifespan",
    "--backpressure": "--limit-in-flight",
    "--blocking-threads": "--threads",
    "--ca-certs": "--ssl-ca-certs",
    "--cert-reqs": "--ssl-cert-reqs",
    "--certfile": "--ssl-certfile",
    "--ciphers": "--ssl-ciphers",
    "--env-files": "--env-file",
    "--fd": "--bind fd://{}",
    "--h11-max-incomplete-event-size": "--limit-headers",
    "--keyfile": "--ssl-keyfile",
    "--keyfile-password": "--ssl-keyfile-password",
    "--limit-concurrency": "--limit-in-flight",
    "--limit-max-requests": "--max-requests",
    "--limit-max-requests-jitter": "--max-requests-jitter",
    "--limit-request-fields": "--limit-header-fields",
    "--no-proxy-headers": "--forwarded-allow-ips ",
    "--no-ssl-client-verify": "--ssl-cert-reqs none",
    "--pid-file": "--pid",
    "--reload-extra-file": "--reload-include",
    "--reload-ignore-dirs": "--reload-exclude",
    "--reload-ignore-paths": "--reload-exclude",
    "--reload-paths": "--reload-dir",
    "--server-name": "--allowed-hosts",
    "--ssl-ca": "--ssl-ca-certs",
    "--ssl-certificate": "--ssl-certfile",
    "--ssl-client-verify": "--ssl-cert-reqs required",
    "--timeout": "--worker-timeout",
    "--timeout-graceful-shutdown": "--graceful-timeout",
    "--timeout-keep-alive": "--keep-alive",
    "--timeout-worker-healthcheck": "--worker-timeout",
    "--uds-permissions": "--uds-mode",
    "--url-path-prefix": "--root-path",
    "--websocket-max-message-size": "--ws-max-size",
    "--websocket-ping-interval": "--ws-ping-interval",
    "--worker-connections": "--limit-connections",
    "--workers-lifetime": "--max-lifetime",
}

# Accepted, but there is nothing to choose: flags, and options with a value.
_ONE_LOOP = "there is one event loop"
_ONE_PARSER = "there is one implementation"
_THREADS = "the thread pool adapts itself"
_REPLACED = "workers that end are always replaced"
IDLE_FLAGS = {
    "-R": "descriptors are inherited as the system does it",
    "--capture-output": "redirect stdout and stderr where the server is started",
    "--disable-redirect-access-to-syslog": "--access-log-file says where lines go",
    "--do-handshake-on-connect": "handshakes never hold up others",
    "--enable-stdio-inheritance": "descriptors are inherited as the system does it",
    "--http1-keep-alive": "connections are kept alive, for --keep-alive",
    "--http1-pipeline-flush": "the responses to pipelined requests always leave together",
    "--initgroups": "--user always sets the groups",
    "--log": "there is always a log",
    "--no-control-socket": "there is none",
    "--no-factory": "that is the default",
    "--no-http1-pipeline-flush": "the responses to pipelined requests always leave together",
    "--no-metrics": "that is the default",
    "--no-reload": "that is the default",
    "--no-reload-ignore-worker-failure": "a program that fails is tried again after a change",
    "--no-sendfile": "the kernel copies files wherever that can be",
    "--no-use-colors": "the log has no colours",
    "--proxy-headers": "--forwarded-allow-ips decides",
    "--reload-ignore-worker-failure": "a program that fails is tried again after a change",
    "--reset-contextvars": "each request always has a context of its own",
    "--respawn-failed-workers": _REPLACED,
    "--suppress-ragged-eofs": "connections that end without TLS's goodbye are no error",
    "--use-colors": "the log has no colours",
}
IDLE_OPTIONS = {
    "-k": "there is one kind of worker",
    "-n": "the processes keep their names",
    "--asgi-disconnect-grace-period": "use --cancel-on-disconnect, which knows no grace",
    "--asgi-loop": _ONE_LOOP,
    "--blocking-threads-idle-timeout": _THREADS,
    "--http-parser": _ONE_PARSER,
    "--http-protocols": "--http auto serves HTTP/2, too",
    "--loop": _ONE_LOOP,
    "--name": "the processes keep their names",
    "--process-name": "the processes keep their names",
    "--reload-delay": "changes are noticed as they happen",
    "--reload-engine": "it is always watchfiles",
    "--reload-tick": "changes are noticed as they happen",
    "--respawn-interval": "the pause grows with the failures",
    "--rss-sample-interval": "workers are looked at once a second",
    "--rss-samples": "one look decides",
    "--runtime-blocking-threads": _THREADS,
    "--runtime-mode": _ONE_LOOP,
    "--runtime-threads": _ONE_LOOP,
    "--task-impl": "tasks are asyncio's",
    "--worker-class": "there is one kind of worker",
    "--worker-tmp-dir": "heartbeats need no files",
    "--ws": _ONE_PARSER,
}

# What means something else, or is not there, and what to do instead.
_DIRTY = "there are no such workers: use a task queue"
_DAEMON = "a service manager or a shell's & starts it in the background"
_HTTP2 = "use --http auto, and the options that begin with --h2"
_LOGGING = "--log-config FILE sets up logging, by JSON or TOML"
_METRICS = "--metrics PATH or HOST:PORT says where they are"
_STATIC = "mount fluvial.staticfiles.StaticFiles in the app"
_STATSD = "statsd is not spoken"
_STRICT = "requests that RFC 9112 doesn't allow are always refused"
_SYSLOG = "pipe stdout and stderr to logger(1), or leave them to the service manager"
_TLS = "TLS 1.2 and 1.3 are offered"
_UWSGI = "only HTTP is spoken"
_PASTE = "make the app in a module and name it"
REFUSED = {
    "-D": _DAEMON,
    "-e": "set the environment, or use --env-file",
    "-v": "ask `fluvial --version`",
    "--access-log-fmt": "use --access-logformat, whose atoms have other names",
    "--casefold-http-method": _STRICT,
    "--chdir": "change the folder before, or use --app-dir",
    "--check-config": "ask `fluvial check`",
    "--control-socket": "signals are the control",
    "--control-socket-mode": "signals are the control",
    "--daemon": _DAEMON,
    "--debug": "use `fluvial dev`, or --log-level debug",
    "--dirty-app": _DIRTY,
    "--dirty-graceful-timeout": _DIRTY,
    "--dirty-threads": _DIRTY,
    "--dirty-timeout": _DIRTY,
    "--dirty-workers": _DIRTY,
    "--dogstatsd-tags": _STATSD,
    "--enable-backlog-metric": _METRICS,
    "--env": "set the environment, or use --env-file",
    "--error-log": "the log goes to stderr: redirect it",
    "--error-logfile": "the log goes to stderr: redirect it",
    "--forwarder-headers": "name the fields in --forwarded-fields",
    "--header-map": "fields with underscores are dropped where they could be mistaken",
    "--http1-buffer-size": "use --limit-headers, and --limit-pipelined for what is read ahead",
    "--http1-header-read-timeout": "use --header-timeout, which takes seconds",
    "--http2": _HTTP2,
    "--http2-adaptive-window": _HTTP2,
    "--http2-cleartext": _HTTP2,
    "--http2-initial-connection-window-size": _HTTP2,
    "--http2-initial-stream-window-size": _HTTP2,
    "--http2-initial-window-size": _HTTP2,
    "--http2-keep-alive-interval": _HTTP2,
    "--http2-keep-alive-timeout": _HTTP2,
    "--http2-max-concurrent-streams": _HTTP2,
    "--http2-max-frame-size": _HTTP2,
    "--http2-max-header-list-size": _HTTP2,
    "--http2-max-headers-size": _HTTP2,
    "--http2-max-send-buffer-size": _HTTP2,
    "--insecure-bind": "start a second server for it",
    "--limit-request-field_size": "use --limit-headers, the size of all fields",
    "--log-config-json": _LOGGING,
    "--log-file": "the log goes to stderr: redirect it",
    "--log-syslog": _SYSLOG,
    "--log-syslog-facility": _SYSLOG,
    "--log-syslog-prefix": _SYSLOG,
    "--log-syslog-to": _SYSLOG,
    "--logger-class": _LOGGING,
    "--metrics-address": _METRICS,
    "--metrics-port": _METRICS,
    "--metrics-scrape-interval": _METRICS,
    "--no-http1-keep-alive": "use --keep-alive with a short time",
    "--no-http2-adaptive-window": _HTTP2,
    "--no-log": "use --log-level critical and --no-access-log",
    "--no-respawn-failed-workers": _REPLACED,
    "--no-ws": "an app without WebSocket routes refuses them",
    "--paste": _PASTE,
    "--paste-global": _PASTE,
    "--paster": _PASTE,
    "--permit-obsolete-folding": _STRICT,
    "--permit-unconventional-http-method": _STRICT,
    "--permit-unconventional-http-version": _STRICT,
    "--print-config": "ask `fluvial config`",
    "--protocol": _UWSGI,
    "--pythonpath": "use --app-dir for one folder, PYTHONPATH for more",
    "--quic-bind": "HTTP/3 is not served: let a proxy do it",
    "--read-timeout": "use --header-timeout, --body-rate and --body-grace",
    "--reload-ignore-patterns": "use --reload-exclude, which takes globs",
    "--spew": "use a debugger, or `fluvial dev`",
    "--ssl-protocol-min": _TLS,
    "--ssl-version": _TLS,
    "--static-path-dir-to-file": _STATIC,
    "--static-path-expires": _STATIC,
    "--static-path-mount": _STATIC,
    "--static-path-route": _STATIC,
    "--statsd-host": _STATSD,
    "--statsd-prefix": _STATSD,
    "--strip-header-spaces": _STRICT,
    "--uwsgi-allow-from": _UWSGI,
    "--verify-mode": "use --ssl-cert-reqs none, optional or required",
    "--workers-kill-timeout": "it is --graceful-timeout and --cleanup-timeout together",
    "--workers-max-rss": "use --max-rss, which takes bytes",
    "--working-dir": "change the folder before, or use --app-dir",
}

# Values that others give to a name that we have, too: what the command line has for them.
VALUES = {"--interface": {"asgi": ("asgi3",), "asginl": ("asgi3", "--lifespan=off")}}
REFUSED_VALUES = {"--interface": {"rsgi": "it is granian's own: serve the app by ASGI or WSGI"}}
# Times that may have units, such as 1h30m; ours are seconds.
DURATIONS = {"--workers-lifetime"}
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_SECONDS = (86400, 3600, 60, 1)

_SHORT = re.compile("(-[A-Za-z])(.+)")


class RefusedName(Exception):
    """An option that another server has. The message says what to do instead."""


def translate(args: Sequence[str], own: frozenset[str], note: Callable[[str], object]) -> list[str]:
    """The command line with our names, which are `own`. `note` gets what is left out, and why.

    Raises: RefusedName when an option or its value has no counterpart here.
    """
    left = list(args)
    found: list[str] = []
    while left:
        arg = left.pop(0)
        if arg == "--":
            return [*found, arg, *left]
        name, equals, value = arg.partition("=")
        if (short := _SHORT.fullmatch(arg)) and short[1] not in own:
            name, equals, value = short[1], "=", short[2]
        if name in own and name in VALUES:
            found += _of_value(name, equals, value, left)
        elif name in own or not name.startswith("-"):
            found.append(arg)
        elif name in ALIASES:
            found += _in_our_words(ALIASES[name], name, equals, value, left)
        elif name in REFUSED:
            raise RefusedName(f"there is no {name}: {REFUSED[name]}")
        elif (reason := IDLE_FLAGS.get(name) or IDLE_OPTIONS.get(name)) is not None:
            note(f"{name} changes nothing: {reason}")
            if name in IDLE_OPTIONS and not equals and left:
                left.pop(0)
        else:
            found.append(arg)
    return found


def _in_our_words(ours: str, name: str, equals: str, value: str, left: list[str]) -> list[str]:
    flag, space, form = ours.partition(" ")
    if name in DURATIONS:
        value = value if equals else left.pop(0) if left else ""
        return [f"{flag}={_seconds(value)}"]
    if not space:
        return [f"{flag}={value}"] if equals else [flag]
    if "{}" not in form:
        return [f"{flag}={form}"]
    if not equals:
        value = left.pop(0) if left else ""
    return [f"{flag}={form.format(value)}"]


def _of_value(name: str, equals: str, value: str, left: list[str]) -> list[str]:
    """An option of ours, of which others have other values.

    Raises: RefusedName when an option or its value has no counterpart here.
    """
    if not equals:
        if not left:
            return [name]
        value = left.pop(0)
    if (reason := REFUSED_VALUES[name].get(value)) is not None:
        raise RefusedName(f"there is no {name} {value}: {reason}")
    first, *more = VALUES[name].get(value, (value,))
    return [f"{name}={first}", *more]


def _seconds(text: str) -> str:
    """The seconds of "1h30m"; a text that isn't of this kind stays as it is."""
    found = _DURATION.fullmatch(text)
    if not text or found is None:
        return text
    return str(sum(int(n) * each for n, each in zip(found.groups("0"), _SECONDS, strict=True)))
