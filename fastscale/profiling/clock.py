"""Seconds on a CPU that other programs disturb least."""

import time
from collections.abc import Callable

import torch


def time_on_cpu(step: Callable[[], object], repeats: int) -> tuple[list[float], float]:
    """Time each of `repeats` steps on a CPU, in seconds; returns them with the load by other programs.

    On one thread the seconds are processor time: that of a step whose core no other program takes. On several threads
    they are wall time, as threads wait for each other. The load is wall time over the processor time of this thread,
    which computes in all of a step: 1 where no other program takes its core.
    """
    walls, processors = [], []
    for _ in range(repeats):
        wall, processor = time.perf_counter(), time.thread_time()
        step()
        processors.append(time.thread_time() - processor)
        walls.append(time.perf_counter() - wall)
    load = sum(walls) / max(sum(processors), 1e-9)
    return processors if torch.get_num_threads() == 1 else walls, load
