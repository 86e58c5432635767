from types import SimpleNamespace

import pytest

from pipeline.runtime.io import DataError
from schemas.base import Provenance
from schemas.needs import Needs
from schemas.seams import RenderRequest
from tests.support.params import with_values
from vpo.planning.gpu_look import ELSEWHERE, NOT_RENDERED, Looker, Unmade

RENDERER = SimpleNamespace(
    by=Provenance(backend="b", model="m", revision="r"), settings={}, needs=Needs(device="gpu"), token_limit=7
)


def test_a_clip_is_noted_once_and_known_to_be_made_by_a_stage_before():
    looker = Looker(RENDERER, set())
    first, again = looker.map([RenderRequest("a dog", 1), RenderRequest("a dog", 1)])
    assert (first.detail, again.detail) == (NOT_RENDERED, ELSEWHERE)
    assert len(set(looker.coming)) == 1 and looker.planned == set(looker.coming)


def test_a_looker_passes_for_the_renderer():
    looker = Looker(RENDERER, set())
    assert (looker.by, looker.settings, looker.needs, looker.token_limit) == (
        RENDERER.by, RENDERER.settings, RENDERER.needs, 7,
    )  # fmt: skip


def test_a_renderer_that_cannot_be_made_has_its_name_and_renders_nothing(laptop):
    unmade = Unmade(with_values(laptop.render, backend="diffusers", model="a/b"))
    assert (unmade.by.backend, unmade.by.model, unmade.token_limit) == ("diffusers", "a/b", None)
    assert Unmade(laptop.render).by.model == ""
    for call in (unmade.count_tokens, unmade.map):
        with pytest.raises(DataError, match="renderer diffusers cannot be made on this machine"):
            call([])
