"""The KV cache of a batch in which each row stands by itself: its keys lie at its own positions, 0, 1, 2, ...

So a row's sums have the same terms in the same places whoever is beside it; what is masked adds exact zeros. Padding on
the left, as `generate` does it, moves the terms and thereby a sum's last bits, and a row that ends frees no place.
"""

from typing import Any

BLOCK = 64  # places shown to attention come in blocks of so many, so that vector lanes stay where they are


class Slots:
    """Is given to a transformers model as `past_key_values`; knows full attention alone."""

    def __init__(self, rows: int):
        self.rows, self.room = rows, 0
        self.keys: list[Any] = []  # a layer: (rows, heads, room, dim)
        self.values: list[Any] = []

    def get_seq_length(self, layer: int = 0) -> int:
        return 0

    def read(self, rows: Any, of: Any) -> None:
        """Announce a forward over whole inputs: input `of[i]` is kept in row `rows[i]`."""
        self.into, self.of = rows, of
        self.places: Any = None

    def go_on(self, rows: Any, places: Any, shown: int) -> None:
        """Announce a forward over one token a row, which stands at `places`; attention sees `shown` places."""
        self.into, self.places, self.shown = rows, places, shown

    def update(self, keys: Any, values: Any, layer: int, *_: Any, **__: Any) -> tuple[Any, Any]:
        """Keep a layer's new keys and values, (rows, heads, tokens, dim), and return those that attention reads."""
        if layer == len(self.keys):
            self.keys.append(keys.new_zeros(self.rows, keys.shape[1], self.room, keys.shape[3]))
            self.values.append(values.new_zeros(self.rows, values.shape[1], self.room, values.shape[3]))
        if self.places is None:
            self.keys[layer][self.into, :, : keys.shape[2]] = keys[self.of]
            self.values[layer][self.into, :, : keys.shape[2]] = values[self.of]
            return keys, values
        self.keys[layer][self.into, :, self.places] = keys[:, :, 0]
        self.values[layer][self.into, :, self.places] = values[:, :, 0]
        return self.keys[layer][:, :, : self.shown], self.values[layer][:, :, : self.shown]

    def widen(self, places: int) -> None:
        """Make room for so many places a row."""
        if places > self.room:
            more = max(places, 2 * self.room) - self.room
            self.keys = [widen(kept, more) for kept in self.keys]
            self.values = [widen(kept, more) for kept in self.values]
            self.room += more

    def keep(self, rows: Any) -> None:
        """Keep these rows alone, in this order."""
        self.keys = [kept[rows] for kept in self.keys]
        self.values = [kept[rows] for kept in self.values]
        self.rows = len(rows)


def widen(kept: Any, more: int) -> Any:
    """Return a layer's keys or values, (rows, heads, places, dim), with `more` empty places."""
    import torch

    return torch.cat([kept, kept.new_zeros(*kept.shape[:2], more, kept.shape[3])], 2)


def whole(places: int, block: int) -> int:
    """Return `places` rounded up to whole blocks."""
    return -(-places // block) * block
