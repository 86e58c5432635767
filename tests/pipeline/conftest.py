"""Tiny models that several test files read."""

import pytest

from tests.support.params import with_values


@pytest.fixture(scope="session")
def clip_scorers(tmp_path_factory):
    """The folder of a tiny CLIP, an aesthetic head and a tiny MPS; for reading alone."""
    from tests.support import tiny_clip_scorers as tiny

    path = tmp_path_factory.mktemp("clip_scorers")
    tiny.save_clip(path / "clip")
    tiny.save_head(path / "head.safetensors")
    tiny.save_mps(path / "mps")
    return path


@pytest.fixture(scope="session")
def tiny_pipeline(tmp_path_factory):
    """The folder of a tiny pipeline by the name of its family; for reading alone."""
    from tests.support import tiny_pipelines

    folder, made = tmp_path_factory.mktemp("pipelines"), {}

    def of(family):
        if family not in made:
            made[family] = getattr(tiny_pipelines, family)(folder / family)
        return made[family]

    return of


@pytest.fixture
def diffusers_params(laptop, vpo_home):
    """Return params.render of backend diffusers, null but for what is given."""

    def params(model, **values):
        nulls = {"n_frames": None, "height": None, "width": None, "frames_per_second": None}
        return with_values(laptop.render, **nulls | {"backend": "diffusers", "model": str(model)} | values)

    return params


@pytest.fixture
def tiny_renderer(tiny_pipeline, diffusers_params):
    """Return a renderer of a tiny family."""
    from pipeline.backends.renderer.diffusers import Diffusers
    from tests.support.tiny_pipelines import FAMILIES, SIZES

    def make(family, **values):
        return Diffusers(diffusers_params(tiny_pipeline(family), **(SIZES | FAMILIES[family] | values)))

    return make
