"""The compiled loops that make token lists of texts, number their words and compare them.

Token lists lie end to end in one array; row r is words[starts[r] : starts[r + 1]]. See `kernels_similar` for the cache.
"""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def word_ids(text, offsets):
    """Return (words, starts, begins, sizes): ids by first occurrence of the words in rows of UTF-8, a space between.

    `text` holds the bytes of all rows, row r at offsets[r] : offsets[r + 1]; word w is sizes[w] bytes at begins[w].
    Words are compared byte by byte.
    """
    rows = len(offsets) - 1
    starts = np.zeros(rows + 1, np.int64)
    for row in range(rows):
        n_words = 1 if offsets[row + 1] > offsets[row] else 0
        for at in range(offsets[row], offsets[row + 1]):
            n_words += text[at] == 32
        starts[row + 1] = starts[row] + n_words
    words = np.empty(starts[rows], np.int32)
    table = np.full(1 << 16, -1, np.int32)
    hashes, begins, sizes = np.empty(1 << 15, np.uint64), np.empty(1 << 15, np.int64), np.empty(1 << 15, np.int64)
    known = 0
    for row in range(rows):
        begin, out = offsets[row], starts[row]
        while out < starts[row + 1]:
            end, code = begin, np.uint64(14695981039346656037)
            while end < offsets[row + 1] and text[end] != 32:
                code = (code ^ np.uint64(text[end])) * np.uint64(1099511628211)
                end += 1
            code ^= code >> np.uint64(32)
            mask = len(table) - 1
            at = np.int64(code & np.uint64(mask))
            while table[at] >= 0:
                word = table[at]
                if hashes[word] == code and sizes[word] == end - begin:
                    same = True
                    for i in range(end - begin):
                        if text[begins[word] + i] != text[begin + i]:
                            same = False
                            break
                    if same:
                        break
                at = (at + 1) & mask
            if table[at] < 0:
                table[at] = known
                hashes[known], begins[known], sizes[known] = code, begin, end - begin
                known += 1
            words[out] = table[at]
            out += 1
            begin = end + 1
            if known == len(hashes):
                hashes = np.concatenate((hashes, np.empty_like(hashes)))
                begins = np.concatenate((begins, np.empty_like(begins)))
                sizes = np.concatenate((sizes, np.empty_like(sizes)))
                table = np.full(2 * len(table), -1, np.int32)
                for word in range(known):
                    at = np.int64(hashes[word] & np.uint64(len(table) - 1))
                    while table[at] >= 0:
                        at = (at + 1) & (len(table) - 1)
                    table[at] = word
    return words, starts, begins[:known], sizes[:known]


@njit(cache=True, nogil=True)
def taken(words, starts, rows):
    """Return (words, starts) of the rows with these indices, in that order."""
    begins = np.zeros(len(rows) + 1, np.int64)
    for at, row in enumerate(rows):
        begins[at + 1] = begins[at] + starts[row + 1] - starts[row]
    found = np.empty(begins[-1], np.int32)
    for at, row in enumerate(rows):
        for i in range(starts[row + 1] - starts[row]):
            found[begins[at] + i] = words[starts[row] + i]
    return found, begins


@njit(cache=True, nogil=True)
def first_equal(words, starts, known):
    """Return for each row the first row with the same words, compared word by word.

    `known` is the answer for the first rows, maybe none of them: the table holds the others alone.
    """
    rows, done = len(starts) - 1, len(known)
    size = 16
    while size < 2 * (rows - done):
        size *= 2
    table = np.full(size, -1, np.int32)
    first, earlier = np.empty(rows, np.int32), np.full(rows - done, -1, np.int32)
    first[:done] = known
    for adding in (True, False):
        for row in range(done if adding else 0, rows if adding else done):
            if not adding and known[row] != row:
                continue
            code = np.uint64(starts[row + 1] - starts[row])
            for at in range(starts[row], starts[row + 1]):
                code = (code ^ np.uint64(words[at])) * np.uint64(0x9E3779B97F4A7C15)
                code ^= code >> np.uint64(29)
            at = np.int64(code & np.uint64(size - 1))
            while table[at] >= 0 and not _equal(words, starts, table[at], row):
                at = (at + 1) & (size - 1)
            if adding:
                if table[at] < 0:
                    table[at] = row
                first[row] = table[at]
            elif table[at] >= 0:
                earlier[table[at] - done] = row
    for row in range(done, rows):
        if earlier[first[row] - done] >= 0:
            first[row] = earlier[first[row] - done]
    return first


@njit(cache=True, nogil=True)
def _equal(words, starts, a, b):
    if starts[a + 1] - starts[a] != starts[b + 1] - starts[b]:
        return False
    for i in range(starts[a + 1] - starts[a]):
        if words[starts[a] + i] != words[starts[b] + i]:
            return False
    return True
