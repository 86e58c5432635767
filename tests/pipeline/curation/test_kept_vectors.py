import numpy as np
import pytest

from pipeline.curation.kept_vectors import SLICE, embed_rows, read_vectors, write_vectors


class Embedder:
    """Gives each text a vector of its length, and remembers what it was asked."""

    def __init__(self):
        self.texts = []

    def embed(self, texts):
        self.texts += texts
        return np.array([[len(text), 1] for text in texts], np.float16)


def embed_words(folder, words, embedder, size=SLICE):
    ids = np.array([sum(word.encode()) for word in words], np.uint64)
    return embed_rows(ids, lambda places: [words[place] for place in places], embedder.embed, folder, size)[
        :, 0
    ].tolist()


def test_appended_rows_alone_are_embedded_wherever_they_stand(tmp_path):
    embedder = Embedder()
    assert embed_words(tmp_path, ["one", "three"], embedder) == [3, 5]
    assert embed_words(tmp_path, ["eleven", "three", "one"], embedder) == [6, 5, 3]
    assert embedder.texts == ["one", "three", "eleven"]
    assert embed_words(tmp_path, [], embedder) == []


def test_a_kill_costs_one_slice(tmp_path):
    words = ["a", "bb", "ccc", "dddd", "eeeee"]

    class Killed(Embedder):
        def embed(self, texts):
            if "ccc" in texts:
                raise KeyboardInterrupt
            return super().embed(texts)

    with pytest.raises(KeyboardInterrupt):
        embed_words(tmp_path, words, Killed(), size=2)
    embedder = Embedder()
    assert embed_words(tmp_path, words, embedder) == [1, 2, 3, 4, 5]
    assert embedder.texts == words[2:]


def test_a_damaged_file_is_not_used(tmp_path):
    write_vectors(tmp_path, np.array([1], np.uint64), np.ones((1, 2), np.float16))
    (path,) = tmp_path.glob("*.npz")
    whole = path.read_bytes()
    for content in (b"", whole[:40], whole.replace(b"\x00\x3c\x00\x3c", b"\x00\x3d\x00\x3c")):
        path.write_bytes(content)
        ids, vectors = read_vectors(tmp_path)
        assert len(ids) == len(vectors) == 0 and not path.exists()
