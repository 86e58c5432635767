"""The compiled loops that find similar rows: sentence BLEU and its bound, the inverted index, the greedy filter.

Loaded inside functions alone, since numba takes half a second to load; compiled once a machine, on disk after that.
The four kernel modules call none of each other's functions: numba's cache on disk notices a change in a function's own
file alone.
"""

import math

import numpy as np
from numba import njit

from pipeline.curation.arrays import Bools, Floats, Int32s, Int64s, Ints
from pipeline.curation.bleu import FLOOR, GUARD, ORDER

IMPOSSIBLE = np.int32(2**31 - 1)
"""More matches than any pair has."""
ANY = np.bool_(True)
"""`first` of `search`: typed as Python's own bool it is compiled once; a bare True is a type of its own."""

# ---- sentence BLEU and how much a similar pair must share


@njit(cache=True, nogil=True)
def bleu(matches: Int64s, hypothesis: int, reference: int) -> float:
    """Return sentence BLEU from M_1..M_4 and two lengths in tokens; order min(4, |hypothesis|)."""
    if matches[0] == 0:
        return 0.0
    order = min(ORDER, hypothesis)
    logs = 0.0
    for n in range(order):
        logs += math.log((matches[n] if matches[n] else FLOOR) / (hypothesis - n))
    return math.exp(logs / order + min(0.0, 1 - reference / hypothesis))


@njit(cache=True, nogil=True)
def similarity(matches: Int64s, a: int, b: int) -> float:
    """Return sim = max(bleu(a, b), bleu(b, a)) from M_1..M_4 and two lengths."""
    return max(bleu(matches, a, b), bleu(matches, b, a))


@njit(cache=True, nogil=True)
def find_need(n: int, a: int, b: int, threshold: float) -> int:
    """Return the least M_n of a similar pair of `a` and `b` tokens; IMPOSSIBLE where even all of T_n are too few.

    sim grows with every M, and M_j <= M_n for j >= n; so sim with all smaller orders at their largest bounds it.
    """
    shorter = min(a, b)
    best = np.empty(ORDER, np.int64)
    low, high = 0, max(shorter - n + 1, 0) + 1
    while low < high:
        middle = (low + high) // 2
        for order in range(1, ORDER + 1):
            full = max(shorter - order + 1, 0)
            best[order - 1] = full if order < n else min(middle, full)
        # twice the guard: an exact tie must pass both here and where the score itself is compared
        if similarity(best, a, b) >= threshold - 2 * GUARD:
            high = middle
        else:
            low = middle + 1
    return low if low <= max(shorter - n + 1, 0) else int(IMPOSSIBLE)


@njit(cache=True, nogil=True)
def tabulate_needs(lengths: Int64s, threshold: float) -> tuple[Int32s, Int32s]:
    """Return needs[n - 1, i, j] for the lengths of a corpus, and least[n - 1, i], the smallest over all of them."""
    table = np.empty((ORDER, len(lengths), len(lengths)), np.int32)
    least = np.full((ORDER, len(lengths)), IMPOSSIBLE, np.int32)
    for n in range(ORDER):
        for i in range(len(lengths)):
            for j in range(i + 1):
                least_matches = find_need(n + 1, lengths[i], lengths[j], threshold) if lengths[j] else IMPOSSIBLE
                table[n, i, j] = table[n, j, i] = least_matches
                least[n, i] = min(least[n, i], least_matches)
                least[n, j] = min(least[n, j], least_matches)
    return table, least


# ---- the index: which rows are similar to one


@njit(cache=True, nogil=True)
def add(
    row: int, place: int, used: Bools, ids: Int32s, starts: Int64s, offsets: Int64s, filled: Int32s, lists: Int32s
) -> None:
    """Put a row, as number `place`, on the list of each of its n-grams."""
    for n in range(ORDER):
        if not used[n]:
            continue
        for i in range(starts[row], starts[row + 1]):
            gram = ids[n, i]
            if gram >= 0:
                end = offsets[gram] + filled[gram]
                if not filled[gram] or lists[end - 1] != place:
                    lists[end] = place
                    filled[gram] += 1


@njit(cache=True, nogil=True)
def add_each(
    rows: Int64s, n_placed: int, used: Bools, ids: Int32s, starts: Int64s, offsets: Int64s, filled: Int32s,
    lists: Int32s, placed: Int32s,
) -> int:  # fmt: skip
    """Add rows behind those that the index holds; returns how many it holds then."""
    for row in rows:
        placed[n_placed] = row
        add(row, n_placed, used, ids, starts, offsets, filled, lists)
        n_placed += 1
    return n_placed


@njit(cache=True, nogil=True)
def _cover(row: int, n: int, least: int, ids: Int32s, starts: Int64s, filled: Int32s, keys: Int64s) -> tuple[int, int]:
    """Choose the rarest n-grams of a row, so many that every similar row holds one of them.

    Returns (how many, the length of their lists); in `keys` the grams, each with its list's length above it. The grams
    left out number least - 1 at most.
    """
    uncovered = starts[row + 1] - starts[row] - n - least + 1
    n_chances = 0
    for i in range(starts[row], starts[row + 1] - n):
        gram = ids[n, i]
        if gram < 0 or not filled[gram]:
            uncovered -= 1  # nobody else has it: it covers its place at no cost
            continue
        key = (np.int64(filled[gram]) << 32) | gram
        place = n_chances
        while place and keys[place - 1] > key:
            keys[place] = keys[place - 1]
            place -= 1
        keys[place] = key
        n_chances += 1
    chosen, cost, i = 0, 0, 0
    while i < n_chances and uncovered > 0:
        key = keys[i]
        while i < n_chances and keys[i] == key:
            uncovered -= 1
            i += 1
        keys[chosen] = key
        chosen += 1
        cost += key >> 32
    return chosen, cost


@njit(cache=True, nogil=True)
def _count_shared(
    row: int, other: int, n: int, ids: Int32s, starts: Int64s, keys: Int32s, counts: Int32s, ready: Bools
) -> int:
    """Return M_n of two rows; keys[n] and counts[n] are a small table of the n-grams of `row`, made when not ready."""
    mask = keys.shape[1] - 1
    if not ready[n]:
        ready[n] = True
        keys[n] = -1
        for i in range(starts[row], starts[row + 1]):
            gram = ids[n, i]
            if gram >= 0:
                place = (gram * 0x9E3779B1 >> 7) & mask
                while keys[n, place] >= 0 and keys[n, place] != gram:
                    place = (place + 1) & mask
                if keys[n, place] < 0:
                    keys[n, place], counts[n, place] = gram, 0
                counts[n, place] += 1
    matches = 0
    for step in (1, 0):  # match, then give back what was used up
        for i in range(starts[other], starts[other + 1]):
            gram = ids[n, i]
            if gram < 0:
                continue
            place = (gram * 0x9E3779B1 >> 7) & mask
            while keys[n, place] >= 0 and keys[n, place] != gram:
                place = (place + 1) & mask
            if keys[n, place] < 0:
                continue
            if step:
                if counts[n, place] > 0:
                    matches += 1
                counts[n, place] -= 1
            else:
                counts[n, place] += 1
    return matches


@njit(cache=True, nogil=True)
def search(
    row: int, after: int, first: bool, threshold: float, needs: Int32s, least: Int32s, used: Bools, ids: Int32s,
    starts: Int64s, classes: Int32s, offsets: Int64s, filled: Int32s, lists: Int32s, placed: Int32s, hits: Ints,
    touched: Int32s, keys: Int64s, gram_keys: Int32s, gram_counts: Int32s, places: Int32s, scores: Floats,
) -> int:  # fmt: skip
    """Find the rows from place `after` on that are similar to `row`: write to `places`, and their sims to `scores`.

    Returns how many. With `first`, only the one with the lowest place. The arrays behind `placed` are work space.
    """
    mine, length = classes[row], starts[row + 1] - starts[row]
    order, chosen, cheapest = np.int64(-1), 0, np.int64(2**62)  # as for ANY
    for n in range(min(ORDER, length) - 1, -1, -1):
        if used[n] and 0 < least[n, mine] < IMPOSSIBLE:
            chosen, cost = _cover(row, n, least[n, mine], ids, starts, filled, keys)
            if not cost:
                return 0
            if cost < cheapest:
                order, cheapest = np.int64(n), cost
    if order < 0:
        return 0
    chosen, _ = _cover(row, order, least[order, mine], ids, starts, filled, keys)
    n_touched = 0
    for choice in range(chosen):
        gram = keys[choice] & 0xFFFFFFFF
        times = 0
        for i in range(starts[row], starts[row + 1]):
            times += ids[order, i] == gram
        for i in range(offsets[gram] + filled[gram] - 1, offsets[gram] - 1, -1):
            place = lists[i]
            if place < after:
                break
            if not hits[place]:
                touched[n_touched] = place
                n_touched += 1
            hits[place] += times
    ready = np.zeros(ORDER, np.bool_)
    matches = np.empty(ORDER, np.int64)
    n_similar = 0
    for i in range(n_touched):
        place = touched[i]
        shared = hits[place]
        hits[place] = 0
        other = placed[place]
        theirs = classes[other]
        if (first and n_similar and place > places[0]) or other == row:
            continue
        if shared + least[order, mine] - 1 < needs[order, mine, theirs]:
            continue
        enough = True
        for n in range(ORDER - 1, -1, -1):
            matches[n] = _count_shared(row, other, n, ids, starts, gram_keys, gram_counts, ready)
            if matches[n] < needs[n, mine, theirs]:
                enough = False
                break
        if not enough:
            continue
        score = similarity(matches, length, starts[other + 1] - starts[other])
        if score >= threshold - GUARD:
            slot = 0 if first else n_similar
            places[slot], scores[slot] = place, score
            n_similar = slot + 1
    return n_similar


@njit(cache=True, nogil=True)
def search_each(
    rows: Int32s, after: int, threshold: float, needs: Int32s, least: Int32s, used: Bools, ids: Int32s,
    starts: Int64s, classes: Int32s, offsets: Int64s, filled: Int32s, lists: Int32s, placed: Int32s, hits: Ints,
    touched: Int32s, keys: Int64s, gram_keys: Int32s, gram_counts: Int32s, witness: Int32s, score: Floats,
) -> None:  # fmt: skip
    """Write for each of `rows` the first similar row, or -1, to `witness`, and its sim to `score`."""
    places, scores = np.empty(1, np.int32), np.empty(1, np.float64)
    for row in rows:
        n_similar = search(
            np.int64(row), after, ANY, threshold, needs, least, used, ids, starts, classes, offsets, filled, lists,
            placed, hits, touched, keys, gram_keys, gram_counts, places, scores,
        )  # fmt: skip
        witness[row] = placed[places[0]] if n_similar else -1
        score[row] = scores[0] if n_similar else 0.0


@njit(cache=True, nogil=True)
def keep_each(
    rows: Int32s, n_placed: int, threshold: float, needs: Int32s, least: Int32s, used: Bools, ids: Int32s,
    starts: Int64s, classes: Int32s, offsets: Int64s, filled: Int32s, lists: Int32s, placed: Int32s, hits: Ints,
    touched: Int32s, keys: Int64s, gram_keys: Int32s, gram_counts: Int32s, witness: Int32s, score: Floats,
) -> int:  # fmt: skip
    """Finish a block whose rows have their witness from before it: add the others unless they resemble each other.

    Returns how many rows the index holds now.
    """
    places, scores = np.empty(1, np.int32), np.empty(1, np.float64)
    after = n_placed
    for row in rows:
        if witness[row] >= 0:
            continue
        n_similar = search(
            np.int64(row), after, ANY, threshold, needs, least, used, ids, starts, classes, offsets, filled, lists,
            placed, hits, touched, keys, gram_keys, gram_counts, places, scores,
        )  # fmt: skip
        if n_similar:
            witness[row], score[row] = placed[places[0]], scores[0]
        else:
            placed[n_placed] = row
            add(np.int64(row), n_placed, used, ids, starts, offsets, filled, lists)
            n_placed += 1
    return n_placed
