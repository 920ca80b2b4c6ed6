"""Training and inference steps of a network on synthetic images, and how long they take."""

import itertools
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from fastscale.execution import Execution
from fastscale.models.build import build
from fastscale.models.optimizer import sgd
from fastscale.models.placement import MEMORY_FORMATS, autocast, place, prepared_forward, repeatable
from fastscale.networks import Network


def synthetic_images(network: Network, batch: int, device: torch.device, execution: Execution) -> Tensor:
    """Draw images of noise, (batch, 3, r, r)."""
    images = torch.randn(batch, 3, network.resolution, network.resolution, device=device)
    return images.contiguous(memory_format=MEMORY_FORMATS[execution.memory_format])


def training_step(
    network: Network,
    batch: int,
    device: torch.device,
    execution: Execution,
    parallel: Callable[[nn.Module], nn.Module] = lambda model: model,
    make: Callable[[Network], nn.Module] = build,
) -> Callable[[], None]:
    """Make a step of SGD on a synthetic batch: forward, backward, update; the step does not wait for the device.

    `make` builds the model; `parallel` wraps the model where several ranks share the step.
    """
    torch.backends.cudnn.benchmark = True
    with device:  # a GPU draws weights faster than the host
        model = place(make(network), execution, device).train()
    forward = prepared_forward(parallel(model), execution)
    optimizer = sgd(model, momentum=0.9, weight_decay=5e-5)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.1)
    images = synthetic_images(network, batch, device, execution)
    labels = torch.randint(network.classes, (batch,), device=device)

    def accumulate(images: Tensor, labels: Tensor) -> None:
        with autocast(device):
            loss = loss_of(forward(images), labels)
        loss.backward()

    repeat = repeatable(accumulate, execution, (images, labels))

    def step() -> None:
        optimizer.zero_grad(set_to_none=not execution.is_graph)
        repeat(images, labels)
        optimizer.step()

    return step


def inference_step(network: Network, batch: int, device: torch.device, execution: Execution) -> Callable[[], None]:
    """Make a forward pass of a synthetic batch, with the running statistics of batch norm."""
    with device:
        forward = prepared_forward(place(build(network), execution, device).eval(), execution)
    images = synthetic_images(network, batch, device, execution)

    def infer(images: Tensor) -> None:
        with torch.inference_mode(), autocast(device):
            forward(images)

    repeat = repeatable(infer, execution, (images,))
    return lambda: repeat(images)


def time_steps(step: Callable[[], object], repeats: int, device: torch.device) -> list[float]:
    """Time each of `repeats` steps, in seconds; on a GPU by device events, read after the last step."""
    if device.type == "cuda":
        events = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
        events[0].record()
        for event in events[1:]:
            step()
            event.record()
        torch.cuda.synchronize(device)
        return [start.elapsed_time(end) / 1000 for start, end in itertools.pairwise(events)]
    marks = [time.perf_counter()]
    for _ in range(repeats):
        step()
        marks.append(time.perf_counter())
    return [end - start for start, end in itertools.pairwise(marks)]


def spread(times: Sequence[float]) -> dict[str, float]:
    """Compute the quartiles and the median of times, in seconds."""
    if len(times) == 1:
        return dict.fromkeys(("q1", "median", "q3"), times[0])
    return dict(zip(("q1", "median", "q3"), statistics.quantiles(times, n=4, method="inclusive"), strict=True))
