"""L1. A decoding step of few rows as one compiled function, for models that are built like Llama. Needs numba.

One row's step through a small model is some thousands of operators of a few microseconds each; here it is one call, and
weights pass through the processor once for all rows. Importing this module compiles nothing: that happens at the first
call, once for a kind of processor, and what was compiled is kept in the cache folder.

1. Products in 8 bits are those of `forward/eight_bits.py`: the same whole numbers, summed exactly. All else is the
   plain way's arithmetic in another order.
2. Any number of threads may take part in a step. A phase's work lies in pieces, which who is free takes; the phase is
   over when all pieces are done, so that nobody is waited for who does not hold one. What is cheap (norms, rounding)
   each does for itself. Which thread made a piece does not touch its digits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import carray, config, njit, types
from numba.extending import intrinsic

from selfedit.cache import cache_folder

_SUMS = {"reassoc", "contract", "nsz"}
"""What LLVM may do with floats: sums in any order, a product and a sum in one. NaN and infinity stay what they are."""
_LEAST_SCALE = np.float32(1e-12)
_MOST, _FINER = np.float32(127), np.float32(254)
_EXACT = 2**31 // 127
"""Sums of fewer steps of what comes in, times weights of at most 127, fit 32 bits."""
F = TypeVar("F", bound=Callable[..., Any])


def _compiled(function: F) -> F:
    """The function, compiled at its first call; found in the cache folder the next time, where that can be written."""
    before, config.CACHE_DIR = config.CACHE_DIR, str(cache_folder() / "compiled")
    try:
        return njit(nogil=True, cache=True, fastmath=_SUMS)(function)
    except RuntimeError:  # numba finds no place to keep it
        return njit(nogil=True, fastmath=_SUMS)(function)
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
    """x [n] in whole steps, of two bytes; returns (the size of a step, whether sums of 32 bits are exact)."""
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


@intrinsic
def _floats(context, address):
    """The address as that of floats."""
    return types.CPointer(types.float32)(types.int64), _pointer


@intrinsic
def _bytes(context, address):
    """The address as that of signed bytes."""
    return types.CPointer(types.int8)(types.int64), _pointer


def _pointer(context, builder, signature, arguments):
    return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))


@intrinsic
def _add_one(context, counter):
    """Adds 1 to the number at this address; returns what it was. Who reads it sees all that was written before."""

    def generate(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], context.get_value_type(types.CPointer(types.int64)))
        return builder.atomic_rmw("add", pointer, context.get_constant(types.int64, 1), "acq_rel")

    return types.int64(types.int64), generate


@intrinsic
def _read(context, counter):
    """The number at this address, as others have left it."""

    def generate(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], context.get_value_type(types.CPointer(types.int64)))
        return builder.load_atomic(pointer, "acquire", 8)

    return types.int64(types.int64), generate


PHASES = 5
"""Of a layer; the head is one more."""
_give_way = types.ExternalFunction("sched_yield", types.int32())
_PATIENCE = 2000
"""Looks at a counter before the core is offered to others."""
STRIDE = 16
"""Numbers from one phase's counters to the next one's, so that they share no line of the processor's cache."""


@njit
def _claim(counters, phase):
    """The next piece of the phase that nobody has."""
    return _add_one(counters + phase * STRIDE * 8)


@njit
def _finish(counters, phase):
    """A piece is done; returns the next one that nobody has."""
    _add_one(counters + phase * STRIDE * 8 + 8)
    return _claim(counters, phase)


@njit
def _wait(counters, phase, pieces):
    """Until all pieces of the phase are done."""
    looks = 0
    while _read(counters + phase * STRIDE * 8 + 8) < pieces:
        looks += 1
        if looks % _PATIENCE == 0:
            _give_way()


@njit(fastmath=_SUMS)
def _product(x, weight, first, last, out):
    """x [R, in] times the weight's transpose [out, in] → out [R, out], from output `first` to `last`."""
    rows, width = x.shape
    paired = rows - rows % 2
    for o in range(first, last):
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
def _product_in_8_bits(steps, sizes, are_exact, weight, scales, first, last, out):
    """The same of x in steps [R, in] and a weight in steps [out, in]."""
    rows, width = steps.shape
    for o in range(first, last):
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
def _narrow(x, low, out):
    """A x of an adapter: low [r, in] and x [in] → out [r]."""
    for j in range(len(low)):
        total = np.float32(0)
        for k in range(len(x)):
            total += low[j, k] * x[k]
        out[j] = total


@njit(fastmath=_SUMS)
def _hidden(x, widths, under, place, slots, hidden_under, hidden_slots):
    """A x of each row's adapters on a site, [R, linear layer, rank] each: of those beneath, and of those in slots."""
    held, slot_of, scale_of, rank = slots
    start, which = place[0], place[1]
    n_in = x.shape[1]
    for r in range(len(x)):
        at = start
        for i in range(len(widths)):
            if under[i, 2]:
                _narrow(x[r], carray(_floats(under[i, 0]), (under[i, 2], n_in)), hidden_under[r, i])
            if slot_of[r] >= 0 and (which >> i) & 1:
                _narrow(x[r], held[slot_of[r], at : at + rank * n_in].reshape(rank, n_in), hidden_slots[r, i])
                at += rank * n_in
                for j in range(rank):
                    hidden_slots[r, i, j] *= scale_of[r]


@njit(fastmath=_SUMS)
def _add_adapters(n_in, widths, under, place, slots, hidden_under, hidden_slots, first, last, out):
    """B A x of each row's adapters, added to out [R, out] from output `first` to `last`."""
    held, slot_of, _, rank = slots
    start, which = place[0], place[1]
    adapted = 0
    for i in range(len(widths)):
        adapted += (which >> i) & 1
    for r in range(len(out)):
        begin, at = 0, start + adapted * rank * n_in
        for i in range(len(widths)):
            lowest, highest = max(first - begin, 0), min(last - begin, widths[i])
            if under[i, 2]:
                high = carray(_floats(under[i, 1]), (widths[i], under[i, 2]))
                for o in range(lowest, highest):
                    total = np.float32(0)
                    for j in range(under[i, 2]):
                        total += high[o, j] * hidden_under[r, i, j]
                    out[r, begin + o] += total
            if (which >> i) & 1:
                if slot_of[r] >= 0:
                    for j in range(rank):
                        for o in range(lowest, highest):
                            out[r, begin + o] += hidden_slots[r, i, j] * held[slot_of[r], at + j * widths[i] + o]
                at += rank * widths[i]
            begin += widths[i]


@njit(fastmath=_SUMS)
def _make(x, steps, sizes, are_exact, is_rounded, weight, first, last, out):
    """A product with what lies at `weight` (addresses of the numbers, their scales, a bias; 0: there is none)."""
    n_in, n_out = x.shape[1], out.shape[1]
    if is_rounded:
        whole, scales = carray(_bytes(weight[0]), (n_out, n_in)), carray(_floats(weight[1]), (n_out,))
        _product_in_8_bits(steps, sizes, are_exact, whole, scales, first, last, out)
    else:
        _product(x, carray(_floats(weight[0]), (n_out, n_in)), first, last, out)
    if weight[2]:
        bias = carray(_floats(weight[2]), (n_out,))
        for r in range(len(x)):
            for o in range(first, last):
                out[r, o] += bias[o]


@njit(fastmath=_SUMS)
def _take_site(x, weight, widths, under, place, slots, is_rounded, spare, counters, phase, pieces, sums, out):
    """Take part in a phase: linear layers that read x [R, in], side by side → out [R, out], which is also added to
    `sums` unless that is None."""
    rows, n_in = x.shape
    room, sizes, hidden_under, hidden_slots = spare
    steps, are_exact = room[: rows * n_in].reshape(rows, n_in), True
    for r in range(rows if is_rounded else 0):
        sizes[r], is_exact = _steps(x[r], steps[r])
        are_exact = are_exact and is_exact
    _hidden(x, widths, under, place, slots, hidden_under, hidden_slots)
    n_out = out.shape[1]
    piece = _claim(counters, phase)
    while piece < pieces:
        first, last = piece * n_out // pieces, (piece + 1) * n_out // pieces
        _make(x, steps, sizes, are_exact, is_rounded, weight, first, last, out)
        _add_adapters(n_in, widths, under, place, slots, hidden_under, hidden_slots, first, last, out)
        if sums is not None:
            for r in range(rows):
                for o in range(first, last):
                    sums[r, o] += out[r, o]
        piece = _finish(counters, phase)
    _wait(counters, phase, pieces)


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


@njit(fastmath=_SUMS)
def _attend_group(made, r, g, shape, norms, eps, cos, sin, scaling, place, keys, values, out):
    """Row r's heads of group g: turned, their key and value stored at `place`, and what they see → out."""
    _, heads, groups, depth, _, _ = shape
    shared = heads // groups
    by_head = made[r].reshape(heads + 2 * groups, depth)
    queries, key = by_head[g * shared : (g + 1) * shared], by_head[heads + g : heads + g + 1]
    if norms[2]:
        _norm(queries, carray(_floats(norms[2]), (depth,)), eps, queries)
        _norm(key, carray(_floats(norms[3]), (depth,)), eps, key)
    for h in range(shared):
        _turn(queries[h], cos[r], sin[r])
    _turn(key[0], cos[r], sin[r])
    for k in range(depth):
        keys[r, g, place, k] = key[0, k]
        values[r, g, place, k] = by_head[heads + groups + g, k]
    seen = out[r].reshape(heads, depth)[g * shared : (g + 1) * shared]
    _attend(queries, keys[r, g, : place + 1], values[r, g, : place + 1], scaling, seen)


@_compiled
def take_part(x, logits, model, stores, length, places, cos, sin, slots, rooms, counters, pieces):
    """Take part in a step: one token for each of R rows.

    Args:
        x: [R, hidden] embedded tokens, float32; what comes out of the last layer in the end.
        logits: [R, vocabulary], float32; filled.
        model: (shape, norms, weights, under, places in the bank, eps and scaling, whether weights are in 8 bits, the
            highest rank beneath, the final norm, the head); see `few_rows.Compiled`.
        stores: [layers, 2] addresses of each layer's keys and values, [R, groups, `length`, depth]; the tokens' own
            are stored.
        places: [R] how many tokens a row has there.
        cos: [R, depth]; `sin` likewise.
        slots: (the bank's rows [K, all], each row's slot [R], its scale [R], the bank's rank).
        rooms: what passes from one phase to the next: [R, queries, keys and values], [R, heads · depth],
            [R, 2 · inner], [R, hidden].
        counters: address of zeros, two for each phase.
        pieces: into how many a product is cut.
    """
    shape, norms, weights, under, in_bank, (eps, scaling), is_rounded, rank_under, last_norm, head = model
    hidden, heads, groups, depth, inner, vocabulary = shape
    made, seen, both, added = rooms
    rows = len(x)
    normed, gated = np.empty((rows, hidden), np.float32), np.empty((rows, inner), np.float32)
    steps, sizes = np.empty(rows * max(hidden, inner, heads * depth), np.int16), np.empty(rows, np.float32)
    low, own = np.empty((rows, 3, rank_under), np.float32), np.empty((rows, 3, slots[3]), np.float32)
    read, one, two = (heads * depth, groups * depth, groups * depth), (hidden,), (inner, inner)
    how, counted = (slots, is_rounded, (steps, sizes, low, own), counters), 0
    for layer in range(len(norms)):
        weight, beneath, place = weights[layer], under[layer], in_bank[layer]
        keys = carray(_floats(stores[layer, 0]), (rows, groups, length, depth))
        values = carray(_floats(stores[layer, 1]), (rows, groups, length, depth))

        _norm(x, carray(_floats(norms[layer, 0]), (hidden,)), eps, normed)
        _take_site(normed, weight[0], read, beneath[:3], place[0], *how, counted, pieces, None, made)
        piece = _claim(counters, counted + 1)
        while piece < rows * groups:
            r, g = piece // groups, piece % groups
            _attend_group(made, r, g, shape, norms[layer], eps, cos, sin, scaling, places[r], keys, values, seen)
            piece = _finish(counters, counted + 1)
        _wait(counters, counted + 1, rows * groups)
        _take_site(seen, weight[1], one, beneath[3:4], place[1], *how, counted + 2, pieces, x, added)

        _norm(x, carray(_floats(norms[layer, 1]), (hidden,)), eps, normed)
        _take_site(normed, weight[2], two, beneath[4:6], place[2], *how, counted + 3, pieces, None, both)
        for r in range(rows):
            for k in range(inner):
                gated[r, k] = both[r, k] / (np.float32(1) + _exp(-both[r, k])) * both[r, inner + k]
        _take_site(gated, weight[3], one, beneath[6:7], place[3], *how, counted + 4, pieces, x, added)
        counted += PHASES

    _norm(x, carray(_floats(last_norm), (hidden,)), eps, normed)
    nothing = np.zeros((1, 3), np.int64)
    _take_site(normed, head, (vocabulary,), nothing, nothing[0], *how, counted, pieces, None, logits)
