"""Use private parts of torch: optimizers without its compiler, skipped steps, and operations on lists of tensors.

- torch's optimizers import its compiler, as long as all of torch takes, just to keep the compiler from tracing them.
  Nothing is compiled here: `EagerSGD` calls the functions below those decorators. Another version than those of
  `fastscale.runtime.upstream` is used as it is: only the start is slower. This ends when `torch._disable_dynamo`, and
  the decorator of `SGD.step`, call their function as it is where no compiler was imported.
- `EagerSGD.skipped` is what torch's GradScaler leaves with an optimizer during a step, for kernels: `found_inf`. The
  scaler itself tells of a skipped step only by another scale, which must be waited for. This ends when GradScaler has
  a public tensor that says so.
- `torch._foreach_...` computes with many tensors by a few kernels, where a loop takes one for each tensor. This ends
  when torch gives these functions public names.
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
    """Do what torch's SGD does, outside of its compiler.

    `skipped` is above 0 where torch's GradScaler found a gradient of the last step that was not finite, and the step
    changed nothing: a number on the device; None without a scaler.
    """

    skipped: Tensor | None = None

    add_param_group = _uncompiled(SGD.add_param_group)
    load_state_dict = _uncompiled(SGD.load_state_dict)
    state_dict = _uncompiled(SGD.state_dict)
    zero_grad = _uncompiled(SGD.zero_grad)

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Update the parameters."""
        self.skipped = getattr(self, "found_inf", None)  # a scaler's, who takes it away again
        _step(self)
