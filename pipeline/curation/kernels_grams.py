"""The compiled loops that number n-grams and count them for corpus self-BLEU.

Token lists lie end to end in one array; row r is words[starts[r] : starts[r + 1]]. See `kernels_similar` for the cache.
"""

import numpy as np
from numba import njit

from pipeline.curation.bleu import ORDER

EMPTY = np.uint64(2**64 - 1)
SIEVE = 1 << 21  # 64 - 43 bits of a hash


@njit(cache=True, nogil=True)
def _slot(key, keys):
    """Return where `key` lies in an open-addressing table, or the empty place where it belongs."""
    mask = np.uint64(len(keys) - 1)
    mixed = key * np.uint64(0x9E3779B97F4A7C15)
    at = (mixed ^ (mixed >> np.uint64(29))) & mask
    while keys[at] != EMPTY and keys[at] != key:
        at = (at + np.uint64(1)) & mask
    return at


@njit(cache=True, nogil=True)
def _grown(keys, values):
    bigger = np.full(2 * len(keys), EMPTY, np.uint64)
    moved = np.empty(2 * len(keys), np.int32)
    for at in range(len(keys)):
        if keys[at] != EMPTY:
            place = _slot(keys[at], bigger)
            bigger[place], moved[place] = keys[at], values[at]
    return bigger, moved


@njit(cache=True, nogil=True)
def repeated_words(words, starts, role, n_words, ids):
    """Number in `ids` the words that occur twice in the rows of a role, at least once in one of role NUMBERED.

    role 0: the row is not here, 1: it is here, 2 (NUMBERED): its n-grams get numbers. Returns (how often each occurs).
    """
    counts, wanted = np.zeros(n_words, np.int32), np.zeros(n_words, np.bool_)
    for row in range(len(role)):
        if role[row]:
            for at in range(starts[row], starts[row + 1]):
                counts[words[at]] += 1
                if role[row] == 2:
                    wanted[words[at]] = True
    return _kept_counts(counts, wanted, words, starts, role, ids)


@njit(cache=True, nogil=True)
def _kept_counts(counts, wanted, given, starts, role, ids):
    number = np.full(len(counts), -1, np.int32)
    known = 0
    for old in range(len(counts)):
        if wanted[old] and counts[old] > 1:
            number[old] = known
            counts[known] = counts[old]
            known += 1
    for row in range(len(role)):
        for at in range(starts[row], starts[row + 1]):
            ids[at] = number[given[at]] if role[row] and given[at] >= 0 else -1
    return counts[:known].copy()


@njit(cache=True, nogil=True)
def repeated_grams(starts, role, shorter, ids):
    """Number in `ids` the n-grams as `repeated_words` does words; `shorter` holds the ids of the (n - 1)-grams.

    An n-gram is its first n - 1 words' id and its last word in one 64-bit key, and no hash is trusted. A gram whose two
    (n - 1)-grams do not both repeat cannot repeat either, and gets no key.
    """
    # most of what a large prefix says is not numbered: a table that the cache holds tells so at once
    sieve = np.zeros(SIEVE, np.bool_)
    keys, values = np.full(1 << 16, EMPTY, np.uint64), np.empty(1 << 16, np.int32)
    counts = np.zeros(len(keys) * 3 // 4, np.int32)
    known = 0
    for numbering in (True, False):
        for row in range(len(role)):
            if (role[row] == 2) != numbering:
                continue
            end = starts[row + 1]
            for at in range(starts[row], end):
                ids[at] = -1
                if not role[row] or at + 1 >= end or shorter[at] < 0 or shorter[at + 1] < 0:
                    continue
                # the (n - 1)-gram behind it has an id of its own, which tells its last word
                key = (np.uint64(shorter[at]) << np.uint64(32)) | np.uint64(shorter[at + 1])
                at_sieve = (key * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(43)
                if numbering:
                    sieve[at_sieve] = True
                elif not sieve[at_sieve]:
                    continue
                place = _slot(key, keys)
                if keys[place] == EMPTY:
                    if not numbering:
                        continue
                    if known == len(counts):  # three quarters full
                        counts = np.concatenate((counts, np.zeros_like(counts)))
                        keys, values = _grown(keys, values)
                        place = _slot(key, keys)
                    keys[place], values[place] = key, known
                    known += 1
                ids[at] = values[place]
                counts[values[place]] += 1
    return _kept_counts(counts, np.ones(len(counts), np.bool_), ids, starts, role, ids)


# ---- corpus self-BLEU


@njit(cache=True, nogil=True)
def best_matches(ids, starts, here, n_grams):
    """Return per row M_n against all other rows that are `here`: each n-gram clipped by the largest count there."""
    largest, second = np.zeros(n_grams, np.int32), np.zeros(n_grams, np.int32)
    times, matches = np.zeros(n_grams, np.int32), np.zeros(len(here), np.int32)
    for counting in (True, False):
        for row in range(len(here)):
            if not here[row]:
                continue
            for at in range(starts[row], starts[row + 1]):
                if ids[at] >= 0:
                    times[ids[at]] += 1
            for at in range(starts[row], starts[row + 1]):
                gram = ids[at]
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
"""Columns of `tops`: (largest count, second largest, row of the largest) among two sets of rows."""


@njit(cache=True, nogil=True)
def number_grams(words, starts, n_words):
    """Number all n-grams of a few rows: (ids, bases, number of each word, table of keys, their values).

    ids and bases are as in pipeline.curation.ngrams, but for an n-gram that occurs once, too.
    """
    ids = np.full((ORDER, len(words)), -1, np.int32)
    number = np.full(n_words, -1, np.int32)
    keys, values = np.full(1 << 16, EMPTY, np.uint64), np.empty(1 << 16, np.int32)
    bases = np.zeros(ORDER + 1, np.int64)
    known, n_keys = 0, 0
    for n in range(ORDER):
        for row in range(len(starts) - 1):
            for at in range(starts[row], starts[row + 1] - n):
                if n == 0:
                    if number[words[at]] < 0:
                        number[words[at]] = known
                        known += 1
                    ids[0, at] = number[words[at]]
                    continue
                key = (np.uint64(ids[n - 1, at]) << np.uint64(32)) | np.uint64(ids[n - 1, at + 1])
                place = _slot(key, keys)
                if keys[place] == EMPTY:
                    if 2 * n_keys >= len(keys):
                        keys, values = _grown(keys, values)
                        place = _slot(key, keys)
                    keys[place], values[place] = key, known
                    n_keys += 1
                    known += 1
                ids[n, at] = values[place]
        bases[n + 1] = known
    return ids, bases, number, keys, values


@njit(cache=True, nogil=True)
def _count_in(tops, gram, column, count, row):
    if count > tops[gram, column]:
        tops[gram, column + 1] = tops[gram, column]
        tops[gram, column], tops[gram, column + 2] = count, row
    elif count > tops[gram, column + 1]:
        tops[gram, column + 1] = count


@njit(cache=True, nogil=True)
def _count_row(tops, settled, gram, count, row, kept):
    _count_in(tops, gram, DISTINCT, count, row)
    if kept:
        _count_in(tops, gram, KEPT, count, row)
        settled[gram] = tops[gram, KEPT + 1] > 0


@njit(cache=True, nogil=True)
def survey(words, starts, sets, least, number, keys, values, n_grams, counting):
    """Look at many rows through the n-grams of a few: (which of the rows can be similar to one of these, `tops`).

    sets[row] is 0 for a row that is not here, 1 for one that is, 2 for one that is kept, too; least[n - 1, length] how
    many of a row's n-grams the few must have. `tops` is made with `counting` alone.
    """
    sieve = np.zeros(SIEVE, np.bool_)
    for key in keys:
        if key != EMPTY:
            sieve[(key * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(43)] = True
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
                    if sieve[(key * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(43)]:
                        place = _slot(key, keys)
                        if keys[place] != EMPTY:
                            places[hits], grams[hits] = places[i], values[place]
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
def matches_behind(ids, bases, starts, here, was, done, matches):
    """Make of `matches`, (4, rows), what `best_matches` gives for `done` rows and the few behind them.

    There it holds what it was for the many and 0 for the few, of which those `here` are added; `was` are their columns
    of `tops`. Only the row that alone had an n-gram's largest count can gain by others.
    """
    now, times = was.copy(), np.zeros(len(was), np.int32)
    for counting in (True, False):
        for n in range(ORDER):
            for row in range(len(here)):
                if not here[row]:
                    continue
                for at in range(starts[row], starts[row + 1] - n):
                    times[ids[n, at]] += 1
                for at in range(starts[row], starts[row + 1] - n):
                    gram = ids[n, at]
                    count, times[gram] = times[gram], 0
                    if not count:
                        continue
                    if counting:
                        _count_in(now, gram, 0, count, done + row)
                    else:
                        matches[n, done + row] += min(count, _others(now, gram, count))
    for n in range(ORDER):
        for gram in range(bases[n], bases[n + 1]):
            count = was[gram, 0]
            if count:
                matches[n, was[gram, 2]] += min(count, _others(now, gram, count)) - min(count, was[gram, 1])


@njit(cache=True, nogil=True)
def _others(tops, gram, count):
    """Return the largest count of an n-gram in another row than one that has it `count` times."""
    return tops[gram, 1] if count == tops[gram, 0] else tops[gram, 0]
