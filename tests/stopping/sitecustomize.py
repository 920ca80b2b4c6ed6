"""On the path of a training that is to be stopped within an epoch: it sends itself USR2 after step $STOP_AFTER_STEP."""

import multiprocessing
import os
import signal

from tqdm import tqdm

steps = 0
update = tqdm.update


def counted(bar: tqdm, n: float = 1) -> bool | None:
    global steps
    steps += 1
    if steps == int(os.environ["STOP_AFTER_STEP"]):
        is_rank = multiprocessing.parent_process() is not None
        os.kill(os.getppid() if is_rank else os.getpid(), signal.SIGUSR2)
    return update(bar, n)


tqdm.update = counted
