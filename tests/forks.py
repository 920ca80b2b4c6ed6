"""Snakemakes that start at once: forks of one process that has imported Snakemake and what it rests on, none of ours.

Each has its own arguments, folder, environment and output, and shares nothing with another. A test that is about the
start itself, or about what is imported from where, starts Snakemake with its script or `python -m`.
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
import json, os, sys
import numpy.random, smart_open, snakemake.report.html_reporter
from snakemake import cli

for line in sys.stdin:
    folder, arguments, environment, output = json.loads(line)
    if child := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(output, os.O_WRONLY), 1)
    os.dup2(1, 2)
    os.chdir(folder)
    os.environ |= environment
    sys.path.insert(0, folder)  # as `python -m` does
    sys.argv = ["snakemake", *arguments]
    cli.main()
"""


@cache
def server() -> "subprocess.Popen[str]":
    """The process to fork from; it ends with the tests."""
    command = [sys.executable, "-P", "-c", SERVER]
    process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    atexit.register(process.communicate)  # closes its standard input, and waits
    return process


def snakemake(folder: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run Snakemake in a folder; standard error comes with the output."""
    with TemporaryFile() as output:
        order = (str(folder), arguments, environment, f"/proc/{os.getpid()}/fd/{output.fileno()}")
        print(json.dumps(order), file=server().stdin, flush=True)
        code = int(server().stdout.readline())
        output.seek(0)
        return subprocess.CompletedProcess(arguments, code, output.read().decode())
