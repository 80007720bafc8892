"""L1. A decoder layer for few rows as one compiled function, and the head likewise. Needs numba.

One row's step through a small model is some thousands of operators of a few microseconds each; here a layer is one
call, and its weights pass through the processor once for all rows. Importing this module compiles nothing: that happens
at the first call, once for a kind of processor, and what was compiled is kept in the cache folder.

Products in 8 bits are those of `forward/eight_bits.py`: the same whole numbers, summed exactly. All else is the plain
way's arithmetic in another order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import config, njit

from selfedit.cache import cache_folder

_SUMS = {"reassoc", "contract", "nsz"}
"""What LLVM may do with floats: sums in any order, a product and a sum in one. NaN and infinity stay what they are."""
_LEAST_SCALE = np.float32(1e-12)
_MOST, _FINER = np.float32(127), np.float32(254)
_EXACT = 2**31 // 127
"""Sums of fewer steps of what comes in, times weights of at most 127, fit 32 bits."""
F = TypeVar("F", bound=Callable[..., Any])


def _compiled(function: F) -> F:
    """The function, compiled at its first call; found in the cache folder the next time."""
    before, config.CACHE_DIR = config.CACHE_DIR, str(cache_folder() / "compiled")
    try:
        return njit(nogil=True, cache=True, fastmath=_SUMS)(function)  # type: ignore[no-any-return]
    finally:
        config.CACHE_DIR = before


@njit(fastmath={"contract"})
def _exp(x):
    """e to the x, in float32, for loops that are to become vectors; within two units of the last place."""
    x = min(max(x, np.float32(-87)), np.float32(88))
    power = np.rint(x * np.float32(1.44269504))
    rest = (x - power * np.float32(0.693359375)) + power * np.float32(2.12194440e-4)
    total = np.float32(1 / 5040)
    for coefficient in (1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0):
        total = total * rest + np.float32(coefficient)
    return total * np.int32((np.int32(power) + np.int32(127)) << np.int32(23)).view(np.float32)


@njit(fastmath=_SUMS)
def _norm(x, weight, eps, out):
    """x [R, n] divided by its root mean square, times the weight [n]."""
    rows, width = x.shape
    for r in range(rows):
        total = np.float32(0)
        for k in range(width):
            total += x[r, k] * x[r, k]
        scale = np.float32(1) / np.sqrt(total / np.float32(width) + eps)
        for k in range(width):
            out[r, k] = weight[k] * (x[r, k] * scale)


@njit(fastmath={"contract"})
def _steps(x, steps):
    """x [n] in whole steps, upper and lower byte in one number; returns (the size of a step, whether sums are exact)."""
    largest = np.float32(0)
    for k in range(len(x)):
        largest = max(largest, abs(x[k]))
    scale = max(largest / _MOST, _LEAST_SCALE)
    total = np.int64(0)
    for k in range(len(x)):
        exact = x[k] / scale
        upper = np.rint(exact)
        step = np.int16(upper * _FINER + np.rint((exact - upper) * _FINER))
        steps[k] = step
        total += abs(np.int32(step))
    return scale / _FINER, total < _EXACT


@njit(fastmath=_SUMS)
def _product_in_8_bits(x, weight, scales, out):
    rows, width = x.shape
    steps, sizes, are_exact = np.empty((rows, width), np.int16), np.empty(rows, np.float32), True
    for r in range(rows):
        sizes[r], is_exact = _steps(x[r], steps[r])
        are_exact = are_exact and is_exact
    for o in range(len(weight)):
        for r in range(rows):
            if are_exact:
                total = np.int32(0)
                for k in range(width):
                    total = np.int32(total + np.int32(np.int32(weight[o, k]) * np.int32(steps[r, k])))
                out[r, o] = np.float32(total) * (sizes[r] * scales[o])
            else:
                wide = np.int64(0)
                for k in range(width):
                    wide += np.int64(weight[o, k]) * np.int64(steps[r, k])
                out[r, o] = np.float32(wide) * (sizes[r] * scales[o])


@njit(fastmath=_SUMS)
def _product(x, weight, scales, out):
    """x [R, in] times the weight's transpose [out, in] → out [R, out]; `scales` [out] of a weight in 8 bits, or None."""
    if scales is not None:
        _product_in_8_bits(x, weight, scales, out)
        return
    rows, width = x.shape
    paired = rows - rows % 2
    for o in range(len(weight)):
        for r in range(0, paired, 2):
            one, other = np.float32(0), np.float32(0)
            for k in range(width):
                one += weight[o, k] * x[r, k]
                other += weight[o, k] * x[r + 1, k]
            out[r, o], out[r + 1, o] = one, other
        if paired < rows:
            total = np.float32(0)
            for k in range(width):
                total += weight[o, k] * x[paired, k]
            out[paired, o] = total


@njit(fastmath=_SUMS)
def _add_under(x, under, widths, out):
    """Each layer's frozen adapter, (A [r, in], B [out, r]) or of rank 0, added to its part of out."""
    start = 0
    for i in range(len(under)):
        low, high = under[i]
        hidden = np.empty(len(low), np.float32)
        for r in range(len(x) if len(low) else 0):
            for j in range(len(low)):
                hidden[j] = np.float32(0)
                for k in range(x.shape[1]):
                    hidden[j] += low[j, k] * x[r, k]
            for o in range(widths[i]):
                total = np.float32(0)
                for j in range(len(low)):
                    total += high[o, j] * hidden[j]
                out[r, start + o] += total
        start += widths[i]


@njit(fastmath=_SUMS)
def _add_slots(x, slots, place, widths, out):
    """Each row's own adapter, added to out. `slots`: (the bank's rows [K, all], slot of each row, scale of each, rank);
    `place`: (where the site's part begins in a bank's row, which of its layers have one, as bits)."""
    held, slot_of, scale_of, rank = slots
    start, which = place
    n_in = x.shape[1]
    adapted = 0
    for i in range(len(widths)):
        adapted += (which >> i) & 1
    hidden = np.empty(rank, np.float32)
    for r in range(len(x) if adapted else 0):
        if slot_of[r] < 0:
            continue
        row = held[slot_of[r]]
        low, high, column = start, start + adapted * rank * n_in, 0
        for i in range(len(widths)):
            if (which >> i) & 1:
                for j in range(rank):
                    hidden[j] = np.float32(0)
                    for k in range(n_in):
                        hidden[j] += row[low + j * n_in + k] * x[r, k]
                for j in range(rank):
                    factor = hidden[j] * scale_of[r]
                    for o in range(widths[i]):
                        out[r, column + o] += factor * row[high + j * widths[i] + o]
                low += rank * n_in
                high += rank * widths[i]
            column += widths[i]


@njit(fastmath=_SUMS)
def _site(x, site, slots):
    """What the linear layers of a site make of x [R, in], side by side."""
    weight, scales, bias, widths, under, place = site
    out = np.empty((len(x), len(weight)), np.float32)
    _product(x, weight, scales, out)
    for r in range(len(x)):
        for o in range(len(bias)):
            out[r, o] += bias[o]
    _add_under(x, under, widths, out)
    _add_slots(x, slots, place, widths, out)
    return out


@njit(fastmath=_SUMS)
def _turn(head, cos, sin):
    """A head's numbers turned by their place, where they lie."""
    half = len(head) // 2
    for k in range(half):
        left, right = head[k], head[half + k]
        head[k] = left * cos[k] - right * sin[k]
        head[half + k] = right * cos[half + k] + left * sin[half + k]


@njit(fastmath=_SUMS)
def _attend(queries, keys, values, scaling, out):
    """Heads of one group, [h, D], over the keys and values [T, D] that they share → out [h, D]."""
    heads, width = queries.shape
    length = len(keys)
    scores = np.empty(length, np.float32)
    for h in range(heads):
        largest = np.float32(-np.inf)
        for t in range(length):
            total = np.float32(0)
            for k in range(width):
                total += queries[h, k] * keys[t, k]
            scores[t] = total * scaling
            largest = max(largest, scores[t])
        mass = np.float32(0)
        for t in range(length):
            scores[t] = _exp(scores[t] - largest)
            mass += scores[t]
        for k in range(width):
            out[h, k] = np.float32(0)
        for t in range(length):
            share = scores[t] / mass
            for k in range(width):
                out[h, k] += share * values[t, k]


@_compiled
def pass_layer(x, norms, sites, scaling, eps, keys, values, places, turns, slots):
    """One token for each of R rows through a decoder layer; x [R, hidden] becomes what comes out.

    Args:
        norms: weights before attention, before the MLP, and of queries and keys (of length 0: there are none).
        sites: (weight, scales or None, bias, widths, frozen adapters, place in the bank) of queries, keys and values;
            of attention's output; of gate and up; of down.
        scaling: of the scores; `eps`: of the norms.
        keys: [R or more, G, L, D]; the token's own are written. `values` likewise.
        places: [R] how many tokens a row has there.
        turns: (cos, sin), each [R, D].
        slots: see `_add_slots`.
    """
    rows, width = x.shape
    groups, depth = keys.shape[1], keys.shape[3]
    normed = np.empty_like(x)
    _norm(x, norms[0], eps, normed)
    made = _site(normed, sites[0], slots)
    heads = made.shape[1] // depth - 2 * groups
    shared = heads // groups
    attended = np.empty((rows, heads * depth), np.float32)
    for r in range(rows):
        by_head = made[r].reshape(-1, depth)
        if len(norms[2]):
            _norm(by_head[:heads], norms[2], eps, by_head[:heads])
            _norm(by_head[heads : heads + groups], norms[3], eps, by_head[heads : heads + groups])
        for h in range(heads + groups):
            _turn(by_head[h], turns[0][r], turns[1][r])
        out = attended[r].reshape(-1, depth)
        end = places[r] + 1
        for g in range(groups):
            keys[r, g, end - 1] = by_head[heads + g]
            values[r, g, end - 1] = by_head[heads + groups + g]
            these = slice(g * shared, (g + 1) * shared)
            _attend(by_head[these], keys[r, g, :end], values[r, g, :end], scaling, out[these])
    x += _site(attended, sites[1], slots)
    _norm(x, norms[1], eps, normed)
    both = _site(normed, sites[2], slots)
    inner = both.shape[1] // 2
    gated = np.empty((rows, inner), np.float32)
    for r in range(rows):
        for k in range(inner):
            gate = both[r, k]
            gated[r, k] = gate / (np.float32(1) + _exp(-gate)) * both[r, inner + k]
    x += _site(gated, sites[3], slots)


@_compiled
def pass_head(x, norm, eps, weight, scales, bias):
    """[R, vocabulary] logits of what comes out of the last layer, x [R, hidden]."""
    normed = np.empty_like(x)
    _norm(x, norm, eps, normed)
    logits = np.empty((len(x), len(weight)), np.float32)
    _product(normed, weight, scales, logits)
    for r in range(len(x)):
        for o in range(len(bias)):
            logits[r, o] += bias[o]
    return logits
