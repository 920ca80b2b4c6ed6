"""Trainings that start at once: forks of a server, which has imported torch and compiled FFCV's loaders already.

Both take seconds, and so does a training of the default sweep. `run` hands a command to the server of this checkout,
and starts the server if there is none; the server ends when it has been idle for a while. All this is for a CPU and
Linux: CUDA does not survive a fork, and other systems have no abstract sockets. The client is imported in a tenth of a
second, so nothing that the server imports may be imported at the top of this module.

With forks the trainings of the default sweep take half the CPU seconds that they take with a process each, and a
quarter less than with a process per network, for all trainings of that network: benchmarks/README.md.
"""

import hashlib
import json
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

IDLE_SECONDS = 20.0  # two jobs of a sweep are a second apart
START_SECONDS = 30.0  # for a Python that imports nothing
PREPARED_SECONDS = 120.0  # for the imports of trainings, and to compile their loaders
DIE_WITH_PARENT = 1  # prctl's PR_SET_PDEATHSIG
NUMBER = struct.Struct("!I")


def can_run(device: str | None) -> bool:
    """Tell whether a warm start is possible: not for a GPU, nor within a Slurm job, whose end would end the server."""
    return device == "cpu" and sys.platform == "linux" and "SLURM_JOB_ID" not in os.environ


class NoServer(Exception):
    """There is no server to fork a training from, for the reason in the message: the training has to start cold."""


def run(arguments: Sequence[str], data_folder: Path, recipe: Any, threads: int) -> int:
    """Run `fastscale ARGUMENTS` in a fork of the server, with this process's folder, environment and output.

    Returns the exit code of the command. The other arguments say which loaders the command uses, so that the server can
    compile them. When this process ends, in whatever way, the fork is killed.

    Raises:
        NoServer: the server does not start, or has ended, and its forks with it.
    """
    try:
        request = {
            "arguments": list(arguments),
            "folder": str(Path.cwd()),
            "environment": dict(os.environ),
            "loaders": [str(data_folder.absolute()), recipe, threads],
        }
        message = json.dumps(request).encode()
        sys.stdout.flush()
        try:
            return _ask(message)
        except ConnectionError:  # the server was about to end: another one is started
            return _ask(message)
    except (OSError, ValueError) as error:
        raise NoServer(str(error)) from None


def _ask(message: bytes) -> int:
    """Have the server fork, and wait for the end of the fork; returns the exit code of the fork."""
    with _connected() as connection:
        connection.settimeout(PREPARED_SECONDS)
        socket.send_fds(connection, [NUMBER.pack(len(message))], [1, 2])
        connection.sendall(message)
        if not _receive(connection, NUMBER.size):  # the number of the fork, which has begun
            raise NoServer("it ended before it could start one")
        connection.settimeout(None)
        if answer := _receive(connection, NUMBER.size):
            return NUMBER.unpack(answer)[0]
        raise NoServer("it was killed")


def _connected() -> socket.socket:
    """Connect to the server, and start the server if there is none.

    Raises:
        NoServer, OSError: the server does not start.
    """
    deadline, started = time.monotonic() + START_SECONDS, None
    while time.monotonic() < deadline:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(address())
            return connection
        except ConnectionError:
            connection.close()
        if started is not None and started.poll():
            raise NoServer(f"it ended at once, with exit code {started.returncode}")
        if started is None or started.poll() is not None:
            # -P: the current folder may hold anything, and nothing must be imported from there.
            started = subprocess.Popen(
                [sys.executable, "-P", "-m", "fastscale.cli.warm", address()[1:]],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # a Ctrl-C must not end it, as other clients may use it
            )
        time.sleep(0.05)
    raise NoServer(f"it did not come up in {START_SECONDS:.0f} s")


def address() -> str:
    """Name the server's socket, one per user, Python and state of the code; an abstract name leaves no file behind."""
    package = Path(__file__).parents[1]
    files = sorted((str(path), path.stat().st_mtime_ns) for path in package.rglob("*.py"))
    who = f"{os.getuid()} {sys.executable} {files}"
    return f"\0fastscale-{hashlib.sha256(who.encode()).hexdigest()[:24]}"


def serve() -> None:
    """Serve until there was no request for `IDLE_SECONDS`. A second server for the same address ends at once."""
    with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as selector:
        try:
            listener.bind(address())
        except OSError:
            return
        listener.listen(128)
        selector.register(listener, selectors.EVENT_READ)
        # Two things are watched for each fork: the connection of its client, which closes when the client ends, and the
        # process of the fork, which becomes readable when the fork ends.
        while events := selector.select(IDLE_SECONDS if len(selector.get_map()) == 1 else None):
            for key, _ in events:
                if key.fileobj is listener:
                    connection, _ = listener.accept()
                    if pid := _fork(connection, listener):
                        process = os.pidfd_open(pid)
                        selector.register(connection, selectors.EVENT_READ, data=pid)
                        selector.register(process, selectors.EVENT_READ, data=(pid, connection))
                    else:
                        connection.close()
                elif isinstance(key.fileobj, socket.socket):
                    selector.unregister(key.fileobj)
                    os.kill(key.data, signal.SIGKILL)
                else:
                    selector.unregister(key.fileobj)
                    os.close(key.fd)
                    pid, connection = key.data
                    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                    with suppress(KeyError):
                        selector.unregister(connection)
                    with suppress(ConnectionError), connection:
                        connection.sendall(NUMBER.pack(code if code >= 0 else 128 - code))


def _fork(connection: socket.socket, listener: socket.socket) -> int | None:
    """Fork for one client; returns the number of the fork, or None if the client is another user's or has ended."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    if struct.unpack("3i", credentials)[1] != os.getuid():
        return None
    try:
        header, outputs, _, _ = socket.recv_fds(connection, NUMBER.size, 2)
        request = json.loads(_receive(connection, NUMBER.unpack(header)[0]))
    except (ConnectionError, struct.error, ValueError):
        return None
    _prepare(*request["loaders"])
    import ctypes

    server = os.getpid()
    connection.setblocking(False)
    with suppress(BlockingIOError):
        if not connection.recv(1, socket.MSG_PEEK):  # the client did not wait so long, and trains by itself
            return None
    connection.setblocking(True)
    pid = os.fork()
    if not pid:
        listener.close()
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)  # its client then trains
        if os.getppid() == server:
            _become(request, outputs)
        os._exit(1)
    for output in outputs:
        os.close(output)
    with suppress(ConnectionError):
        connection.sendall(NUMBER.pack(pid))
    return pid


def _become(request: dict[str, Any], outputs: Sequence[int]) -> None:
    """Run, in the fork, the command of the client. Does not return."""
    code = 1
    try:
        for output, standard in zip(outputs, (1, 2), strict=True):
            os.dup2(output, standard)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        main = resolve_name("fastscale.cli.main:main")  # by name, as main imports this module

        main(request["arguments"], prog_name="fastscale")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _prepare(folder: str, recipe: Any, threads: int) -> None:
    """Import all that a training imports, and compile its loaders, unless this has been done."""
    from fastscale.data import Dataset
    from fastscale.data.loaders import compile_loaders
    from fastscale.recipe import Recipe
    from fastscale.records.provenance import code_hash
    from fastscale.training.run import train  # noqa: F401

    code_hash("train")  # computed once for all forks

    if threads == 1:  # a fork would lack the threads that numba starts
        with suppress(Exception):  # the training itself reports what is wrong
            compile_loaders(Dataset.open(Path(folder)), Recipe.from_dict(recipe), threads)


def _receive(connection: socket.socket, size: int) -> bytes:
    """Receive `size` bytes; none if the other side has closed."""
    received = b""
    while len(received) < size:
        part = connection.recv(size - len(received))
        if not part:
            return b""
        received += part
    return received


if __name__ == "__main__":
    if sys.argv[1:] not in ([], [address()[1:]]):
        sys.exit(f"this is another fastscale than the one that asks: {Path(__file__).parent}")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # FFCV would start CUDA, which no fork could use then
    serve()
