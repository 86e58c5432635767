"""The compiled loops that make token lists of texts, number their words and compare them.

Token lists lie end to end in one array; row r is words[starts[r] : starts[r + 1]]. See `kernels_similar` for the cache.
"""

import numpy as np
from numba import njit

from pipeline.curation.arrays import Bytes, Int32s, Int64s, Ints


@njit(cache=True, nogil=True)
def number_words(text: Bytes, offsets: Int64s) -> tuple[Int32s, Int64s, Int64s, Int64s]:
    """Return (words, starts, begins, sizes): ids by first occurrence of the words in rows of UTF-8, a space between.

    `text` holds the bytes of all rows, row r at offsets[r] : offsets[r + 1]; word w is sizes[w] bytes at begins[w].
    Words are compared byte by byte.
    """
    rows = len(offsets) - 1
    starts = np.zeros(rows + 1, np.int64)
    for row in range(rows):
        n_words = 1 if offsets[row + 1] > offsets[row] else 0
        for place in range(offsets[row], offsets[row + 1]):
            n_words += text[place] == 32
        starts[row + 1] = starts[row] + n_words
    words = np.empty(starts[rows], np.int32)
    table = np.full(1 << 16, -1, np.int32)
    hashes, begins, sizes = np.empty(1 << 15, np.uint64), np.empty(1 << 15, np.int64), np.empty(1 << 15, np.int64)
    n_distinct = 0
    for row in range(rows):
        begin, out = offsets[row], starts[row]
        while out < starts[row + 1]:
            end = begin
            while end < offsets[row + 1] and text[end] != 32:
                end += 1
            code = _hash_bytes(text, begin, end)
            mask = len(table) - 1
            slot = np.int64(code & np.uint64(mask))
            while table[slot] >= 0:
                word = table[slot]
                if hashes[word] == code and sizes[word] == end - begin:
                    if _are_same_bytes(text, begins[word], text, begin, end - begin):
                        break
                slot = (slot + 1) & mask
            if table[slot] < 0:
                table[slot] = n_distinct
                hashes[n_distinct], begins[n_distinct], sizes[n_distinct] = code, begin, end - begin
                n_distinct += 1
            words[out] = table[slot]
            out += 1
            begin = end + 1
            if n_distinct == len(hashes):
                hashes = np.concatenate((hashes, np.empty_like(hashes)))
                begins = np.concatenate((begins, np.empty_like(begins)))
                sizes = np.concatenate((sizes, np.empty_like(sizes)))
                table = np.full(2 * len(table), -1, np.int32)
                for word in range(n_distinct):
                    slot = np.int64(hashes[word] & np.uint64(len(table) - 1))
                    while table[slot] >= 0:
                        slot = (slot + 1) & (len(table) - 1)
                    table[slot] = word
    return words, starts, begins[:n_distinct], sizes[:n_distinct]


@njit(cache=True, nogil=True)
def find_words(text: Bytes, begins: Int64s, sizes: Int64s, others: Bytes, offsets: Int64s) -> Int32s:
    """Return for each of a few distinct words, sizes[w] bytes at begins[w] of `text`, the row that equals it, or -1.

    The rows, many and distinct, lie in `others`, row r at offsets[r] : offsets[r + 1]. They are read once; the table
    holds the few.
    """
    few = len(begins)
    size = 1024
    while size < 8 * few:
        size *= 2
    table, hashes = np.full(size, -1, np.int32), np.empty(few, np.uint64)
    for word in range(few):
        hashes[word] = _hash_bytes(text, begins[word], begins[word] + sizes[word])
        slot = np.int64(hashes[word] & np.uint64(size - 1))
        while table[slot] >= 0:
            slot = (slot + 1) & (size - 1)
        table[slot] = word
    rows = np.full(few, -1, np.int32)
    for row in range(len(offsets) - 1):
        begin, n_bytes = offsets[row], offsets[row + 1] - offsets[row]
        code = _hash_bytes(others, begin, begin + n_bytes)
        slot = np.int64(code & np.uint64(size - 1))
        while table[slot] >= 0:
            word = table[slot]
            if hashes[word] == code and sizes[word] == n_bytes:
                if _are_same_bytes(text, begins[word], others, begin, n_bytes):
                    rows[word] = row
                    break
            slot = (slot + 1) & (size - 1)
    return rows


@njit(cache=True, nogil=True)
def _hash_bytes(text: Bytes, begin: int, end: int) -> np.uint64:
    """Return FNV-1a, its upper half folded into the lower one."""
    code = np.uint64(14695981039346656037)
    for place in range(begin, end):
        code = (code ^ np.uint64(text[place])) * np.uint64(1099511628211)
    return code ^ (code >> np.uint64(32))


@njit(cache=True, nogil=True)
def _are_same_bytes(text: Bytes, begin: int, other: Bytes, other_begin: int, size: int) -> bool:
    for i in range(size):
        if text[begin + i] != other[other_begin + i]:
            return False
    return True


@njit(cache=True, nogil=True)
def take_rows(words: Int32s, starts: Int64s, rows: Ints) -> tuple[Int32s, Int64s]:
    """Return (words, starts) of the rows with these indices, in that order."""
    begins = np.zeros(len(rows) + 1, np.int64)
    for i, row in enumerate(rows):
        begins[i + 1] = begins[i] + starts[row + 1] - starts[row]
    copied = np.empty(begins[-1], np.int32)
    for i, row in enumerate(rows):
        for j in range(starts[row + 1] - starts[row]):
            copied[begins[i] + j] = words[starts[row] + j]
    return copied, begins


@njit(cache=True, nogil=True)
def find_first_equal(words: Int32s, starts: Int64s, earlier: Int32s) -> Int32s:
    """Return for each row the first row with the same words, compared word by word.

    `earlier` is the answer for the first rows, maybe none of them: the table holds the others alone.
    """
    rows, done = len(starts) - 1, len(earlier)
    size = 16
    while size < 2 * (rows - done):
        size *= 2
    table = np.full(size, -1, np.int32)
    first, copy_before = np.empty(rows, np.int32), np.full(rows - done, -1, np.int32)
    first[:done] = earlier
    for adding in (True, False):
        for row in range(done if adding else 0, rows if adding else done):
            if not adding and earlier[row] != row:
                continue
            code = np.uint64(starts[row + 1] - starts[row])
            for i in range(starts[row], starts[row + 1]):
                code = (code ^ np.uint64(words[i])) * np.uint64(0x9E3779B97F4A7C15)
                code ^= code >> np.uint64(29)
            slot = np.int64(code & np.uint64(size - 1))
            while table[slot] >= 0 and not _equal(words, starts, table[slot], row):
                slot = (slot + 1) & (size - 1)
            if adding:
                if table[slot] < 0:
                    table[slot] = row
                first[row] = table[slot]
            elif table[slot] >= 0:
                copy_before[table[slot] - done] = row
    for row in range(done, rows):
        if copy_before[first[row] - done] >= 0:
            first[row] = copy_before[first[row] - done]
    return first


@njit(cache=True, nogil=True)
def _equal(words: Int32s, starts: Int64s, a: int, b: int) -> bool:
    if starts[a + 1] - starts[a] != starts[b + 1] - starts[b]:
        return False
    for i in range(starts[a + 1] - starts[a]):
        if words[starts[a] + i] != words[starts[b] + i]:
            return False
    return True
