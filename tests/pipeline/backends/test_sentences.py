import shutil

import numpy as np
import pytest

from pipeline.backends.sentences import SentenceModel, find_fault
from pipeline.backends.weights import folder_revision
from pipeline.runtime.io import DataError
from schemas.params import SemanticParams
from tests.support import tiny_sentences

COMMIT = "0123456789abcdef" * 2 + "01234567"


def params_of(model, revision=None):
    return SemanticParams(model=str(model), revision=revision, threshold=0.9)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_sentences.write(tmp_path_factory.mktemp("sentences") / "tiny")


@pytest.mark.slow
def test_texts_of_one_meaning_have_one_vector(folder):
    model = SentenceModel(params_of(folder))
    vectors = model.embed(["a dog runs", "The hound sprints", "a cat sleeps on the sofa"])
    assert vectors.dtype == np.float16 and vectors.shape == (3, 6)
    cosines = (vectors.astype(float) @ vectors.T.astype(float)).round(2)
    assert cosines.tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]


@pytest.mark.slow
def test_the_revision_is_the_folders_hash(folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "other")
    (other / "a.txt").write_text("one file more")
    revisions = [SentenceModel(params_of(path)).revision for path in (folder, other)]
    assert revisions == [folder_revision(folder), folder_revision(other)] and revisions[0] != revisions[1]


@pytest.mark.slow
def test_another_kind_of_model_is_refused(folder, tiny_model):
    assert find_fault(params_of(folder)) is None
    assert "modules.json, so it is no model of sentence-transformers" in find_fault(params_of(tiny_model))
    with pytest.raises(DataError, match="no model of sentence-transformers"):
        SentenceModel(params_of(tiny_model))


@pytest.mark.slow
def test_a_model_of_the_hub_is_pinned_and_a_folder_is_not(folder):
    assert find_fault(params_of("owner/name", COMMIT)) is None
    assert "40-hex commit" in find_fault(params_of("owner/name"))
    assert "whose revision is the hash of its files" in find_fault(params_of(folder, COMMIT))
    assert "no such folder" in find_fault(params_of("no/such/folder"))


@pytest.mark.slow
def test_a_folder_is_found_from_the_projects_root(folder):
    assert "no such folder" in find_fault(params_of("in/folder/tiny"))
    assert find_fault(params_of(folder.name), root=folder.parent) is None
