"""Snakemake processes that start at once, as forks of a server that has imported Snakemake, but nothing of fastscale.

Each fork has its own arguments, folder, environment and output. Tests of the start itself, or of the place that modules
are imported from, do not use forks: they start Snakemake by its script or by `python -m`.
"""

import atexit
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile

SERVER = """
import json, os, signal, sys
import numpy.random, smart_open, snakemake.report.html_reporter
from snakemake import cli

for line in sys.stdin:
    folder, arguments, environment, output, seconds = json.loads(line)
    if child := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(output, os.O_WRONLY), 1)
    os.dup2(1, 2)
    signal.alarm(seconds)
    os.chdir(folder)
    os.environ |= environment
    sys.path.insert(0, folder)  # as `python -m` does
    sys.argv = ["snakemake", *arguments]
    cli.main()
"""


@cache
def server() -> "subprocess.Popen[str]":
    """Start the process that forks; it ends with the tests."""
    command = [sys.executable, "-P", "-c", SERVER]
    process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    atexit.register(process.communicate)  # closes the server's standard input, and waits for its end
    return process


def snakemake(
    folder: Path, *arguments: str, seconds: int = 600, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run Snakemake in a folder, for `seconds` at most; standard error is part of the output."""
    with TemporaryFile() as output:
        order = (str(folder), arguments, environment, f"/proc/{os.getpid()}/fd/{output.fileno()}", seconds)
        print(json.dumps(order), file=server().stdin, flush=True)
        code = int(server().stdout.readline())
        output.seek(0)
        return subprocess.CompletedProcess(arguments, code, output.read().decode())
