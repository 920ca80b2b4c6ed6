"""Ranks: processes of one machine that train a network together, a GPU each. A process alone is rank 0 of 1."""

import logging
import os
import pickle
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, distributed
from torch import multiprocessing as processes

from fastscale.errors import Stopped, UserError
from fastscale.runtime._torch import copy_to_each
from fastscale.runtime.signals import STOPPING

GRACE = 5.0  # seconds for the other ranks to end by themselves when one has failed
log = logging.getLogger(__name__)


def run(size: int, device: torch.device, function: Callable[..., Any], *arguments: Any) -> Any:
    """`function(device, *arguments)` in `size` ranks, each with a GPU of its own; returns what rank 0's returns.

    Function, arguments and result must be picklable. A STOPPING signal reaches all ranks. A single rank is this
    process.

    Raises:
        UserError, Stopped, torch.OutOfMemoryError: what the function raised, in whichever rank.
        SystemExit: a rank was killed; the exit code tells by which signal.
        ProcessRaisedException: the function raised something else; the message is the traceback.
    """
    if size == 1:
        return function(device, *arguments)
    if device.type == "cuda" and size > torch.cuda.device_count():
        raise UserError(f"{size} GPUs are asked for, but there are {torch.cuda.device_count()} here; ask for fewer")
    with tempfile.TemporaryDirectory() as name:
        folder, failure = Path(name), None
        with _forwarded() as pids:
            context = processes.start_processes(
                _be, (folder, size, device, function, arguments), nprocs=size, join=False, start_method="spawn"
            )
            pids.extend(context.pids())
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
            try:
                while not context.join(grace_period=GRACE):
                    pass
            except (processes.ProcessRaisedException, processes.ProcessExitedException) as error:
                failure = error
        outcomes = [pickle.loads(path.read_bytes()) for path in sorted(folder.glob("*.outcome"))]
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    if isinstance(failure, processes.ProcessExitedException) and failure.exit_code < 0:
        log.error("rank %d of %d was ended by %s", failure.error_index, size, failure.signal_name)
        sys.exit(128 - failure.exit_code)
    if failure:
        raise failure
    return outcomes[0]


@contextmanager
def _forwarded() -> Iterator[list[int]]:
    """A list for the ranks' process numbers; a STOPPING signal that comes is sent on to them.

    Until they are unblocked these signals wait, in the ranks too: none of them dies of one while it starts.
    """
    pids: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    before = {number: signal.signal(number, forward) for number in STOPPING}
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield pids
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        for number, handler in before.items():
            signal.signal(number, handler)


def _be(
    index: int, folder: Path, size: int, device: torch.device, function: Callable[..., Any], arguments: Sequence[Any]
) -> None:
    """Be one of the ranks, from its start to its end."""
    if index:
        logging.disable(logging.WARNING)  # each has the same to say
    if device.type == "cuda":
        device = torch.device("cuda", index)
        torch.cuda.set_device(device)
    if any(name == "lo" for _, name in socket.if_nameindex()):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # or gloo asks which address belongs to the host's name
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
        store=distributed.FileStore(str(folder / "store"), size),
        rank=index,
        world_size=size,
    )
    told, failed = folder / f"{index:04}.outcome", False
    try:
        outcome = function(device, *arguments)
    except Stopped as stopped:  # at the same step in all ranks
        outcome = stopped
    except (UserError, torch.OutOfMemoryError) as error:
        outcome, failed = error, True
    if failed or index == 0:
        told.write_bytes(pickle.dumps(outcome))
    if failed:
        sys.exit(1)
    distributed.destroy_process_group()


def index() -> int:
    """This process's rank."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def count() -> int:
    """How many ranks there are."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def first(function: Callable[[], Any]) -> Any:
    """What it returns in the first rank, for all; the others wait."""
    if count() == 1:
        return function()
    told = [function() if index() == 0 else None]
    distributed.broadcast_object_list(told)
    return told[0]


def any_rank(flag: bool) -> bool:
    """Whether `flag` is true in any rank. All must ask."""
    if count() == 1:
        return flag
    asked = torch.tensor(int(flag))
    distributed.all_reduce(asked, distributed.ReduceOp.MAX)
    return bool(asked)


def average(tensors: Sequence[Tensor]) -> None:
    """Replace tensors of one dtype by their means over all ranks, with one call."""
    if count() == 1:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    distributed.all_reduce(flat)
    means = (flat / count()).split([tensor.numel() for tensor in tensors])
    copy_to_each(list(tensors), [mean.view_as(tensor) for mean, tensor in zip(means, tensors, strict=True)])


def total(tensor: Tensor) -> Tensor:
    """The tensor's sum over all ranks."""
    if count() > 1:
        distributed.all_reduce(tensor)
    return tensor
