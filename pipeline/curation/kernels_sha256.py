"""SHA-256 of a million short texts, compiled: query ids are its first 64 bits. See `kernels_similar` for the cache."""

import math

import numpy as np
from numba import njit


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
def sha256_heads(text, offsets):
    """Return the first 64 bits of the SHA-256 of each row of bytes, text[offsets[r] : offsets[r + 1]]."""
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
                    at = 64 * block + 4 * i + j
                    byte = text[begin + at] if at < size else np.uint8(128 if at == size else 0)
                    word = (word << np.uint32(8)) | np.uint32(byte)
                w[i] = word
            if block == n_blocks - 1:
                w[14], w[15] = np.uint32((8 * size) >> 32), np.uint32((8 * size) & 0xFFFFFFFF)
            for i in range(16, 64):
                x, y = w[i - 15], w[i - 2]
                low = _turned(x, 7) ^ _turned(x, 18) ^ (x >> np.uint32(3))
                high = _turned(y, 17) ^ _turned(y, 19) ^ (y >> np.uint32(10))
                w[i] = w[i - 16] + low + w[i - 7] + high
            a, b, c, d, e, f, g, h = state
            for i in range(64):
                mixed = _turned(e, 6) ^ _turned(e, 11) ^ _turned(e, 25)
                one = np.uint32(h + mixed + ((e & f) ^ (~e & g)) + SHA_ROUNDS[i] + w[i])
                mixed = _turned(a, 2) ^ _turned(a, 13) ^ _turned(a, 22)
                two = np.uint32(mixed + ((a & b) ^ (a & c) ^ (b & c)))
                h, g, f, e, d, c, b, a = g, f, e, np.uint32(d + one), c, b, a, np.uint32(one + two)
            for i, value in enumerate((a, b, c, d, e, f, g, h)):
                state[i] += value
        heads[row] = (np.uint64(state[0]) << np.uint64(32)) | np.uint64(state[1])
    return heads


@njit(cache=True, nogil=True, inline="always")
def _turned(word, by):
    return np.uint32((word >> np.uint32(by)) | (word << np.uint32(32 - by)))
