"""SHA-256 of a million short texts, compiled: query ids are its first 64 bits. See `kernels_similar` for the cache."""

import math

import numpy as np
from numba import njit

from pipeline.curation.arrays import Bytes, Int64s, UInt64s


def _cube_root(number: int) -> int:
    low, high = 0, 1 << 40
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**3 <= number else (low, middle - 1)
    return low


PRIMES = [number for number in range(2, 312) if all(number % other for other in range(2, number))]
SHA_START = np.array([math.isqrt(prime << 64) & 0xFFFFFFFF for prime in PRIMES[:8]], np.uint32)
SHA_ROUNDS = np.array([_cube_root(prime << 96) & 0xFFFFFFFF for prime in PRIMES], np.uint32)
"""FIPS 180-4: the first 32 bits of the fractions of square and cube roots."""


@njit(cache=True, nogil=True)
def hash_heads(text: Bytes, offsets: Int64s) -> UInt64s:
    """Return the first 64 bits of the SHA-256 of each row of bytes, text[offsets[r] : offsets[r + 1]]; FIPS 180-4."""
    heads = np.empty(len(offsets) - 1, np.uint64)
    w = np.empty(64, np.uint32)
    state = np.empty(8, np.uint32)
    for row in range(len(heads)):
        begin, size = offsets[row], offsets[row + 1] - offsets[row]
        state[:] = SHA_START
        n_blocks = (size + 9 + 63) // 64
        for block in range(n_blocks):
            for i in range(16):
                word = np.uint32(0)
                for j in range(4):
                    place = 64 * block + 4 * i + j
                    byte = text[begin + place] if place < size else np.uint8(128 if place == size else 0)
                    word = (word << np.uint32(8)) | np.uint32(byte)
                w[i] = word
            if block == n_blocks - 1:
                w[14], w[15] = np.uint32((8 * size) >> 32), np.uint32((8 * size) & 0xFFFFFFFF)
            for i in range(16, 64):
                x, y = w[i - 15], w[i - 2]
                low = _rotate(x, 7) ^ _rotate(x, 18) ^ (x >> np.uint32(3))
                high = _rotate(y, 17) ^ _rotate(y, 19) ^ (y >> np.uint32(10))
                w[i] = w[i - 16] + low + w[i - 7] + high
            a, b, c, d, e, f, g, h = state
            for i in range(64):
                mixed = _rotate(e, 6) ^ _rotate(e, 11) ^ _rotate(e, 25)
                one = np.uint32(h + mixed + ((e & f) ^ (~e & g)) + SHA_ROUNDS[i] + w[i])
                mixed = _rotate(a, 2) ^ _rotate(a, 13) ^ _rotate(a, 22)
                two = np.uint32(mixed + ((a & b) ^ (a & c) ^ (b & c)))
                h, g, f, e, d, c, b, a = g, f, e, np.uint32(d + one), c, b, a, np.uint32(one + two)
            for i, value in enumerate((a, b, c, d, e, f, g, h)):
                state[i] += value
        heads[row] = (np.uint64(state[0]) << np.uint64(32)) | np.uint64(state[1])
    return heads


@njit(cache=True, nogil=True, inline="always")
def _rotate(word: np.uint32, by: int) -> np.uint32:
    return np.uint32((word >> np.uint32(by)) | (word << np.uint32(32 - by)))
