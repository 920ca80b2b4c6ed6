"""Snakemake processes that start at once, as forks of a server that has imported Snakemake, but nothing of fastscale.

Each fork has its own arguments, folder, environment, output and session. Tests of the start itself, or of the place
that modules are imported from, do not use forks: they start Snakemake by its script or by `python -m`.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import Future
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Thread

# Executors for tests, which `python -m` would find by PYTHONPATH.
PLUGINS = str(Path(__file__).parent / "plugins")

# Each fork has a parent of its own, which reports its end. Snakemake imports the plugin, which notes the time.
SERVER = f"""
import gc, json, os, signal, sys, time
sys.path.append({PLUGINS!r})
import numpy.random, smart_open, snakemake.report.html_reporter
from snakemake import cli
from snakemake_executor_plugin_submitit import inner

gc.freeze()  # forks share the pages of all that is imported, which the garbage collector would copy
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    if os.fork():
        continue
    folder, arguments, environment, output, ending = json.loads(line)
    output, ending = os.open(output, os.O_WRONLY), os.open(ending, os.O_WRONLY)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if child := os.fork():
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.write(ending, str(code).encode())
        os._exit(0)
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    print(os.getpid(), flush=True)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.close(ending)
    os.chdir(folder)
    os.environ.clear()
    os.environ |= environment
    inner.STARTED = time.time()
    sys.path.insert(0, folder)  # as `python -m` does
    sys.argv = ["snakemake", *arguments]
    cli.main()
"""


@cache
def server() -> "subprocess.Popen[str]":
    """Start the process that forks; it ends with the tests, and Ctrl-C is left to them."""
    command = [sys.executable, "-P", "-c", SERVER]
    process = subprocess.Popen(
        command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    atexit.register(process.communicate)  # closes the server's standard input, and waits for its end
    return process


class Fork:
    """A Snakemake that runs in a folder, in this environment alone: what tests use of `Popen`."""

    def __init__(self, folder: Path, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
        """Fork; standard error is part of the output."""
        (output, writes), (ending, ends) = os.pipe(), os.pipe()
        files = [f"/proc/{os.getpid()}/fd/{number}" for number in (writes, ends)]
        print(json.dumps([str(folder), arguments, environment, *files]), file=server().stdin, flush=True)
        self.pid = int(server().stdout.readline())
        os.close(writes)
        os.close(ends)
        self.output, self.ending = read(output), read(ending)

    @property
    def returncode(self) -> int | None:
        """The exit code, or the negative number of the signal that has ended the process; None while it runs."""
        return self.wait() if self.ending.done() else None

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        return int(self.ending.result(timeout))

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        """Wait for the end of the output, which children may hold open, and of the process."""
        output = self.output.result(timeout)
        self.wait(timeout)
        return output, None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the process, if it runs, with its children that have no session of their own."""
        if self.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)


def read(pipe: int) -> "Future[str]":
    """Read a pipe to its end, in a thread."""
    text: Future[str] = Future()

    def run() -> None:
        with os.fdopen(pipe, encoding="utf-8") as file:
            text.set_result(file.read())

    Thread(target=run, daemon=True).start()
    return text


def snakemake(
    folder: Path, *arguments: str, seconds: int = 600, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run Snakemake in a folder, for `seconds` at most; standard error is part of the output."""
    fork = Fork(folder, arguments, {**os.environ, **environment})
    try:
        with suppress(TimeoutError):
            fork.wait(seconds)
    finally:
        fork.kill()
    output, _ = fork.communicate()
    return subprocess.CompletedProcess(arguments, fork.wait(), output)
