"""Ranks: processes of one machine that train a network together, one GPU each. A lone process is rank 0 of 1."""

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

GRACE = 5.0  # seconds in which the other ranks may end by themselves when one has failed
log = logging.getLogger(__name__)


def run_ranks(size: int, device: torch.device, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call `function(device, *arguments)` in `size` ranks, one GPU each; returns the result of rank 0.

    Function, arguments and result must be picklable. A STOPPING signal reaches all ranks. With a `size` of 1, the
    function is called in this process.

    Raises:
        UserError, Stopped, torch.OutOfMemoryError: the function raised it in some rank.
        SystemExit: a rank was killed; the exit code tells by which signal.
        ProcessRaisedException: the function raised another error; the message is its traceback.
    """
    if size == 1:
        return function(device, *arguments)
    if device.type == "cuda" and size > torch.cuda.device_count():
        raise UserError(f"{size} GPUs are asked for, but there are {torch.cuda.device_count()} here; ask for fewer")
    with tempfile.TemporaryDirectory() as name:
        folder, failure = Path(name), None
        with _forwarded() as pids:
            context = processes.start_processes(
                _worker, (folder, size, device, function, arguments), nprocs=size, join=False, start_method="spawn"
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
    """Yield a list for the ranks' process numbers, to which STOPPING signals are forwarded.

    Until they are unblocked these signals wait, in the ranks too: none of the ranks dies of a signal while it starts.
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


def _worker(
    index: int, folder: Path, size: int, device: torch.device, function: Callable[..., Any], arguments: Sequence[Any]
) -> None:
    """Join the group as rank `index`, call `function`, and leave its outcome in `folder`."""
    if index:
        logging.disable(logging.WARNING)  # all ranks have the same to say
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
    path, has_failed = folder / f"{index:04}.outcome", False
    try:
        outcome = function(device, *arguments)
    except Stopped as stopped:  # at the same step in all ranks
        outcome = stopped
    except (UserError, torch.OutOfMemoryError) as error:
        outcome, has_failed = error, True
    if has_failed or index == 0:
        path.write_bytes(pickle.dumps(outcome))
    if has_failed:
        sys.exit(1)
    distributed.destroy_process_group()


def rank() -> int:
    """Return this process's rank."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    """Count the ranks."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def on_rank_zero(function: Callable[[], Any]) -> Any:
    """Call `function` in rank 0 and return its result in all ranks; the others wait."""
    if world_size() == 1:
        return function()
    results = [function() if rank() == 0 else None]
    distributed.broadcast_object_list(results)
    return results[0]


def any_rank(flag: bool) -> bool:
    """Tell whether `flag` is true in any rank. All ranks must call this function."""
    if world_size() == 1:
        return flag
    largest = torch.tensor(int(flag))
    distributed.all_reduce(largest, distributed.ReduceOp.MAX)
    return bool(largest)


def average_over_ranks(tensors: Sequence[Tensor]) -> None:
    """Replace tensors of one dtype by their means over all ranks, by one exchange."""
    if world_size() == 1:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    distributed.all_reduce(flat)
    means = (flat / world_size()).split([tensor.numel() for tensor in tensors])
    copy_to_each(list(tensors), [mean.view_as(tensor) for mean, tensor in zip(means, tensors, strict=True)])


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """Replace a tensor by its sum over all ranks, and return it."""
    if world_size() > 1:
        distributed.all_reduce(tensor)
    return tensor
