"""Private parts of torch: optimizers without its compiler, skipped steps, and operations on lists of tensors.

- torch's optimizers import torch's compiler just to keep the compiler from tracing them; that import takes as long as
  the import of all else of torch. Optimizers are not compiled here: `EagerSGD` calls the functions below those
  decorators. Where the installed torch is none of the versions of `fastscale.runtime.upstream`, its methods are used
  as they are, and only the start is slower. This patch ends when `torch._disable_dynamo`, and the decorator of
  `SGD.step`, call their function directly where no compiler was imported.
- `EagerSGD.skipped` is `found_inf`, which torch's GradScaler leaves with an optimizer during a step, for kernels. The
  scaler itself tells of a skipped step only by another scale, and reading the scale waits for the GPU. This patch ends
  when GradScaler has a public tensor that says whether the step was skipped.
- `torch._foreach_...` computes with many tensors by a few kernels; a loop takes a kernel per tensor. This use ends when
  torch gives these functions public names.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD

from fastscale.runtime.upstream import is_known

add_to_each = torch._foreach_add_
move_each = torch._foreach_lerp_
copy_to_each = torch._foreach_copy_
divide_each = torch._foreach_div


def _uncompiled(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method of torch's optimizers without the decorators that import torch's compiler."""
    return inspect.unwrap(method) if is_known("torch") else method


_step = _uncompiled(SGD.step)


class EagerSGD(SGD):
    """torch's SGD, without the import of torch's compiler.

    `skipped` is a number on the device, above 0 where torch's GradScaler found a gradient that was not finite, so that
    the last step changed nothing; None without a scaler.
    """

    skipped: Tensor | None = None

    add_param_group = _uncompiled(SGD.add_param_group)
    load_state_dict = _uncompiled(SGD.load_state_dict)
    state_dict = _uncompiled(SGD.state_dict)
    zero_grad = _uncompiled(SGD.zero_grad)

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Update the parameters."""
        self.skipped = getattr(self, "found_inf", None)  # the scaler deletes it after the step
        _step(self)
