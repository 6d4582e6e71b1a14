"""Measures static files: Fluvial's C, its Python code, and Debian's nginx, in turns, one core each.

python bench/static.py
python bench/static.py --only 4,300 --rounds 9
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

# The folder of this file must not be searched: it holds an http.py.
ROOT = Path(__file__).resolve().parent.parent
sys.path[:1] = [str(ROOT), str(ROOT / "scripts")]

from bench.harness import load, servers  # noqa: E402
from bench.harness.cases import THROUGHPUT, Case  # noqa: E402
from bench.harness.load import Load  # noqa: E402
from bench.harness.measure import Throughput  # noqa: E402
from bench.harness.options import some_of  # noqa: E402
from bench.harness.results import Results  # noqa: E402
from bench.harness.run import OPEN_FILES, default_cpus, parse_cpus, print_machine, run_case  # noqa: E402

SIZES = {"4": 4096, "16": 16 * 1024, "64": 64 * 1024, "100": 100 * 1024, "300": 300 * 1024}

NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;
    open_file_cache max=1000; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{port}; location / {{ return 200; }}
        location /static/ {{ alias {folder}/files/; }} }}
}}
"""


def nginx(folder: Path) -> servers.Server:
    def command(port: int) -> list[str]:
        config = folder / "nginx.conf"
        config.write_text(NGINX.format(folder=folder, port=port))
        return ["nginx", "-c", str(config)]

    return servers.Server(name="nginx", about="nginx, open_file_cache on", command=command)


def make_case(size: str, where: str, found: list[servers.Server]) -> Case:
    asked = Load(path=f"/{where}/{size}.bin", connections=32)
    return Case(
        name=f"{where} {size}",
        title=f"a file of {size} KiB",
        servers=found,
        measure=Throughput(asked),
        warm=asked,
        columns=THROUGHPUT,
    )


def main() -> int:
    options = parse_options()
    load.allow_descriptors(OPEN_FILES)
    load.pin_to(options.cpus[1])
    print_machine(*options.cpus, options)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx's worker is another user when root starts it
        (folder / "files").mkdir()
        for size in options.only:
            (folder / "files" / f"{size}.bin").write_bytes(os.urandom(SIZES[size]))
        measure(options, folder)
    return 0


def measure(options: argparse.Namespace, folder: Path) -> None:
    ours = servers.fluvial(app="static_app:app")
    ours.env["FILES"] = str(folder / "files")
    beside = [ours, nginx(folder)] if shutil.which("nginx") else [ours]
    print("\n| KiB | C: µs CPU | Python: µs CPU | nginx: µs CPU | C/nginx |\n|---|---|---|---|---|")
    results = Results()
    for size in options.only:
        run_case(make_case(size, "static", beside), results, options)
        run_case(make_case(size, "python", [ours]), results, options)
        figures = [
            results.figure(f"static {size}", "fluvial", "cpu_us"),
            results.figure(f"python {size}", "fluvial", "cpu_us"),
            results.figure(f"static {size}", "nginx", "cpu_us"),
            results.ratio(f"static {size}", "fluvial", "nginx", "cpu_us"),
        ]
        cells = [size, *("-" if each is None else f"{each:.2f}" for each in figures)]
        print(f"| {' | '.join(cells)} |", flush=True)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--only", type=some_of(list(SIZES)), default=list(SIZES), metavar="KIB,…")
    parser.add_argument("--rounds", type=int, default=7, help="rounds per case (7)")
    parser.add_argument("--seconds", type=int, default=2, help="seconds per round, whole (2)")
    parser.add_argument("--cpus", type=parse_cpus, default=default_cpus(), metavar="SERVER,LOAD")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
