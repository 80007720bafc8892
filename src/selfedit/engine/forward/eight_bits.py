"""L1. Products with weights of 8 bits, for drawing texts: a quarter of the memory to be read, and quicker arithmetic.

Weights are rounded once: each output's to whole numbers from -127 to 127 of a scale of its own. What comes in is not so
forgiving (rounded to 8 bits it costs ten times what the weights do, for some channels are far larger than the others),
so that it keeps 15 bits, as the sum of two bytes: the product is made of both in one call. Each row has a scale of its
own, so that its result does not depend on the rows beside it. The product is oneDNN's, of unsigned by signed bytes.
"""

from __future__ import annotations

import torch

_MOST = 127
"""The largest whole number."""
_ZERO = 128
"""What stands for 0 among unsigned bytes."""
_FINER = 254
"""Steps of the lower byte in one of the upper's."""
_LEAST_SCALE = 1e-12
"""Of a row of zeros."""


class EightBits:
    """A weight [out, in] in 8 bits, on a CPU."""

    __slots__ = ("_by_rows", "_packed", "_scales", "_zeros")

    def __init__(self, weight: torch.Tensor) -> None:
        whole, self._scales = _whole_numbers(weight)
        self._by_rows: torch.Tensor | None = None
        self._zeros = torch.zeros(len(weight), dtype=torch.int64)
        self._packed = torch.ops.onednn.qlinear_prepack(whole, None)

    def product(self, x: torch.Tensor) -> torch.Tensor:
        """x [T, in] → x Wᵀ [T, out], of the number type of x."""
        wide = x.float()
        scales = wide.abs().amax(1, keepdim=True).div_(_MOST).clamp_(min=_LEAST_SCALE)
        exact = wide / scales
        upper = exact.round()
        lower = exact.sub_(upper).mul_(_FINER).round_()
        both = torch.cat((upper, lower)).add_(_ZERO).to(torch.uint8)
        weight = self._packed, self._scales, self._zeros
        y = torch.ops.onednn.qlinear_pointwise(both, 1.0, _ZERO, *weight, None, 1.0, 0, torch.float32, "none", [], "")
        return y[: len(x)].add_(y[len(x) :], alpha=1 / _FINER).mul_(scales).to(x.dtype)

    def by_rows(self, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(the weight's whole numbers [out, in], as they lie; its scales [out]), for compiled products. Made from it at
        the first call, and kept: packed as they are above, only oneDNN can read them."""
        if self._by_rows is None:
            self._by_rows = _whole_numbers(weight)[0]
        return self._by_rows, self._scales


def _whole_numbers(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(weight [out, in] in steps, int8; the size of each output's step [out])."""
    wide = weight.detach().float().contiguous()
    scales = wide.abs().amax(1).div_(_MOST).clamp_(min=_LEAST_SCALE)
    return (wide / scales[:, None]).round_().to(torch.int8), scales
