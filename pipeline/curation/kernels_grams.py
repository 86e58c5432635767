"""The compiled loops that number n-grams and count them for corpus self-BLEU.

Token lists lie end to end in one array; row r is words[starts[r] : starts[r + 1]]. See `kernels_similar` for the cache.
"""

import numpy as np
from numba import njit

from pipeline.curation.arrays import Bools, Int8s, Int32s, Int64s, UInt64s
from pipeline.curation.bleu import ORDER

EMPTY = np.uint64(2**64 - 1)
SIEVE_WORDS = 1 << 16
"""Words of 64 bits in a sieve, one bit a key, by 22 bits of its hash. Ours: 512 kB, which a processor's cache holds."""


@njit(cache=True, nogil=True)
def _add_to_sieve(key: np.uint64, sieve: UInt64s) -> None:
    place = (key * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(42)
    sieve[place >> np.uint64(6)] |= np.uint64(1) << (place & np.uint64(63))


@njit(cache=True, nogil=True)
def _may_be_in_sieve(key: np.uint64, sieve: UInt64s) -> bool:
    """Return whether a key may have been added: never False for one that was."""
    place = (key * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(42)
    return (sieve[place >> np.uint64(6)] >> (place & np.uint64(63))) & np.uint64(1) > 0


@njit(cache=True, nogil=True)
def _find_slot(key: np.uint64, keys: UInt64s) -> np.uint64:
    """Return where `key` lies in an open-addressing table, or the empty place where it belongs."""
    mask = np.uint64(len(keys) - 1)
    mixed = key * np.uint64(0x9E3779B97F4A7C15)
    slot = (mixed ^ (mixed >> np.uint64(29))) & mask
    while keys[slot] != EMPTY and keys[slot] != key:
        slot = (slot + np.uint64(1)) & mask
    return slot


@njit(cache=True, nogil=True)
def _grow(keys: UInt64s, values: Int32s) -> tuple[UInt64s, Int32s]:
    bigger = np.full(2 * len(keys), EMPTY, np.uint64)
    moved = np.empty(2 * len(keys), np.int32)
    for slot in range(len(keys)):
        if keys[slot] != EMPTY:
            new_slot = _find_slot(keys[slot], bigger)
            bigger[new_slot], moved[new_slot] = keys[slot], values[slot]
    return bigger, moved


@njit(cache=True, nogil=True)
def number_repeated_words(words: Int32s, starts: Int64s, role: Int8s, n_words: int, ids: Int32s) -> Int32s:
    """Number in `ids` the words that occur twice in the rows of a role, at least once in one of role NUMBERED.

    role 0: the row is absent, 1: present, 2 (NUMBERED): its n-grams get numbers. Returns how often each numbered word
    occurs.
    """
    counts, wanted = np.zeros(n_words, np.int32), np.zeros(n_words, np.bool_)
    for row in range(len(role)):
        if role[row]:
            for i in range(starts[row], starts[row + 1]):
                counts[words[i]] += 1
                if role[row] == 2:
                    wanted[words[i]] = True
    return _renumber(counts, wanted, words, starts, role, ids)


@njit(cache=True, nogil=True)
def _renumber(counts: Int32s, wanted: Bools, old_ids: Int32s, starts: Int64s, role: Int8s, ids: Int32s) -> Int32s:
    """Give new numbers, without gaps, to what is wanted and repeats; write them to `ids` and return the counts."""
    number = np.full(len(counts), -1, np.int32)
    n_kept = 0
    for old in range(len(counts)):
        if wanted[old] and counts[old] > 1:
            number[old] = n_kept
            counts[n_kept] = counts[old]
            n_kept += 1
    for row in range(len(role)):
        for i in range(starts[row], starts[row + 1]):
            ids[i] = number[old_ids[i]] if role[row] and old_ids[i] >= 0 else -1
    return counts[:n_kept].copy()


@njit(cache=True, nogil=True)
def number_repeated_grams(starts: Int64s, role: Int8s, shorter: Int32s, ids: Int32s) -> Int32s:
    """Number in `ids` the n-grams as `number_repeated_words` does words; `shorter` holds the ids of the (n - 1)-grams.

    An n-gram is its first n - 1 words' id and its last word in one 64-bit key, and no hash is trusted. A gram whose two
    (n - 1)-grams do not both repeat cannot repeat either, and gets no key. Returns how often each occurs.
    """
    # most n-grams of a large prefix are not numbered: a table that the cache holds shows it at once
    sieve = np.zeros(SIEVE_WORDS, np.uint64)
    keys, values = np.full(1 << 16, EMPTY, np.uint64), np.empty(1 << 16, np.int32)
    counts = np.zeros(len(keys) * 3 // 4, np.int32)
    n_grams = 0
    for numbering in (True, False):
        for row in range(len(role)):
            if (role[row] == 2) != numbering:
                continue
            end = starts[row + 1]
            for i in range(starts[row], end):
                ids[i] = -1
                if not role[row] or i + 1 >= end or shorter[i] < 0 or shorter[i + 1] < 0:
                    continue
                # the (n - 1)-gram behind it has an id of its own, which stands for its last word
                key = (np.uint64(shorter[i]) << np.uint64(32)) | np.uint64(shorter[i + 1])
                if numbering:
                    _add_to_sieve(key, sieve)
                elif not _may_be_in_sieve(key, sieve):
                    continue
                slot = _find_slot(key, keys)
                if keys[slot] == EMPTY:
                    if not numbering:
                        continue
                    if n_grams == len(counts):  # three quarters full
                        counts = np.concatenate((counts, np.zeros_like(counts)))
                        keys, values = _grow(keys, values)
                        slot = _find_slot(key, keys)
                    keys[slot], values[slot] = key, n_grams
                    n_grams += 1
                ids[i] = values[slot]
                counts[values[slot]] += 1
    return _renumber(counts, np.ones(len(counts), np.bool_), ids, starts, role, ids)


# ---- corpus self-BLEU


@njit(cache=True, nogil=True)
def count_best_matches(ids: Int32s, starts: Int64s, present: Bools, n_grams: int) -> Int32s:
    """Return per row M_n against all other rows that are `present`: each n-gram clipped by the largest count there."""
    largest, second = np.zeros(n_grams, np.int32), np.zeros(n_grams, np.int32)
    times, matches = np.zeros(n_grams, np.int32), np.zeros(len(present), np.int32)
    for counting in (True, False):
        for row in range(len(present)):
            if not present[row]:
                continue
            for i in range(starts[row], starts[row + 1]):
                if ids[i] >= 0:
                    times[ids[i]] += 1
            for i in range(starts[row], starts[row + 1]):
                gram = ids[i]
                if gram < 0 or not times[gram]:
                    continue
                count, times[gram] = times[gram], 0
                if not counting:
                    others = second[gram] if count == largest[gram] else largest[gram]
                    matches[row] += min(count, others)
                elif count > largest[gram]:
                    largest[gram], second[gram] = count, largest[gram]
                elif count > second[gram]:
                    second[gram] = count
    return matches


# ---- rows behind many that are done

DISTINCT, KEPT = 0, 3
"""First columns of `tops`: (largest count, second largest, row of the largest) among two sets of rows."""


@njit(cache=True, nogil=True)
def number_grams(words: Int32s, starts: Int64s, n_words: int) -> tuple[Int32s, Int64s, Int32s, UInt64s, Int32s]:
    """Number all n-grams of a few rows: (ids, bases, number of each word, table of keys, their values).

    ids and bases are as in pipeline.curation.ngrams, but for an n-gram that occurs once, too.
    """
    ids = np.full((ORDER, len(words)), -1, np.int32)
    number = np.full(n_words, -1, np.int32)
    keys, values = np.full(1 << 16, EMPTY, np.uint64), np.empty(1 << 16, np.int32)
    bases = np.zeros(ORDER + 1, np.int64)
    n_grams, n_keys = 0, 0
    for n in range(ORDER):
        for row in range(len(starts) - 1):
            for i in range(starts[row], starts[row + 1] - n):
                if n == 0:
                    if number[words[i]] < 0:
                        number[words[i]] = n_grams
                        n_grams += 1
                    ids[0, i] = number[words[i]]
                    continue
                key = (np.uint64(ids[n - 1, i]) << np.uint64(32)) | np.uint64(ids[n - 1, i + 1])
                slot = _find_slot(key, keys)
                if keys[slot] == EMPTY:
                    if 2 * n_keys >= len(keys):
                        keys, values = _grow(keys, values)
                        slot = _find_slot(key, keys)
                    keys[slot], values[slot] = key, n_grams
                    n_keys += 1
                    n_grams += 1
                ids[n, i] = values[slot]
        bases[n + 1] = n_grams
    return ids, bases, number, keys, values


@njit(cache=True, nogil=True)
def _count_in(tops: Int32s, gram: int, column: int, count: int, row: int) -> None:
    if count > tops[gram, column]:
        tops[gram, column + 1] = tops[gram, column]
        tops[gram, column], tops[gram, column + 2] = count, row
    elif count > tops[gram, column + 1]:
        tops[gram, column + 1] = count


@njit(cache=True, nogil=True)
def _count_row(tops: Int32s, settled: Bools, gram: int, count: int, row: int, kept: bool) -> None:
    _count_in(tops, gram, DISTINCT, count, row)
    if kept:
        _count_in(tops, gram, KEPT, count, row)
        settled[gram] = tops[gram, KEPT + 1] > 0


@njit(cache=True, nogil=True)
def survey(
    words: Int32s, starts: Int64s, sets: Int8s, least: Int32s, number: Int32s, keys: UInt64s, values: Int32s,
    n_grams: int, counting: bool,
) -> tuple[Bools, Int32s]:  # fmt: skip
    """Look at many rows through the n-grams of a few: (which of the rows may be similar to one of these, `tops`).

    sets[row] is 0 for an absent row, 1 for a present one, 2 for one that is kept, too; least[n - 1, length] how
    many of a row's n-grams the few must have. `tops` is made with `counting` alone.
    """
    sieve = np.zeros(SIEVE_WORDS, np.uint64)
    for key in keys:
        if key != EMPTY:
            _add_to_sieve(key, sieve)
    tops, times = np.zeros((n_grams if counting else 0, 6), np.int32), np.zeros(n_grams, np.int32)
    settled = np.zeros(n_grams, np.bool_)  # two kept rows have the n-gram: another that has it once changes nothing
    near = np.zeros(len(sets), np.bool_)
    longest = 0
    for row in range(len(sets)):
        longest = max(longest, starts[row + 1] - starts[row])
    # where in the row the n-grams begin that the few have, too, and their ids
    places, grams = np.empty(longest + 1, np.int64), np.empty(longest + 1, np.int32)
    for row in range(len(sets)):
        if not sets[row]:
            continue
        length = starts[row + 1] - starts[row]
        near[row], repeats, hits = sets[row] == 2, counting, 0
        for n in range(ORDER):
            shorter, hits = hits, 0
            if n == 0:
                for i in range(length):
                    gram = number[words[starts[row] + i]]
                    places[hits], grams[hits] = i, gram
                    hits += gram >= 0
            else:
                for i in range(shorter - 1):
                    if places[i + 1] != places[i] + 1:
                        continue
                    key = (np.uint64(grams[i]) << np.uint64(32)) | np.uint64(grams[i + 1])
                    if _may_be_in_sieve(key, sieve):
                        slot = _find_slot(key, keys)
                        if keys[slot] != EMPTY:
                            places[hits], grams[hits] = places[i], values[slot]
                            hits += 1
            near[row] &= hits >= least[n, length]
            if not (counting or near[row]):
                break
            if repeats:  # if no n-gram does, no longer one can
                repeats = False
                for gram in grams[:hits]:
                    repeats |= times[gram] > 0
                    times[gram] += 1
                for gram in grams[:hits]:
                    count, times[gram] = times[gram], 0
                    if count > 1 or (count == 1 and not settled[gram]):
                        _count_row(tops, settled, gram, count, row, sets[row] == 2)
            elif counting:
                for gram in grams[:hits]:
                    if not settled[gram]:
                        _count_row(tops, settled, gram, 1, row, sets[row] == 2)
    return near, tops


@njit(cache=True, nogil=True)
def extend_matches(
    ids: Int32s, bases: Int64s, starts: Int64s, present: Bools, was: Int32s, done: int, matches: Int32s
) -> None:
    """Turn `matches`, (4, rows), into `count_best_matches` of `done` rows and the few behind them.

    Before, it holds the matches of the many among themselves and 0 for the few, of which those `present` are added;
    `was` has their three columns of `tops`. Only the row that alone had an n-gram's largest count can gain by others.
    """
    now, times = was.copy(), np.zeros(len(was), np.int32)
    for counting in (True, False):
        for n in range(ORDER):
            for row in range(len(present)):
                if not present[row]:
                    continue
                for i in range(starts[row], starts[row + 1] - n):
                    times[ids[n, i]] += 1
                for i in range(starts[row], starts[row + 1] - n):
                    gram = ids[n, i]
                    count, times[gram] = times[gram], 0
                    if not count:
                        continue
                    if counting:
                        _count_in(now, gram, 0, count, done + row)
                    else:
                        matches[n, done + row] += min(count, _find_largest_elsewhere(now, gram, count))
    for n in range(ORDER):
        for gram in range(bases[n], bases[n + 1]):
            count = was[gram, 0]
            if count:
                matches[n, was[gram, 2]] += min(count, _find_largest_elsewhere(now, gram, count)) - min(
                    count, was[gram, 1]
                )


@njit(cache=True, nogil=True)
def _find_largest_elsewhere(tops: Int32s, gram: int, count: int) -> int:
    """Return the largest count of an n-gram in another row than one that has it `count` times."""
    return tops[gram, 1] if count == tops[gram, 0] else tops[gram, 0]
