from pipeline.backends.renderer import make_renderer
from pipeline.backends.renderer.command import Command
from pipeline.backends.renderer.http import Http
from pipeline.backends.renderer.offline import Offline
from tests.support.params import with_values


def test_the_offline_renderer_has_the_knobs_of_the_world(laptop):
    renderer = make_renderer(laptop.render, laptop.world)
    assert isinstance(renderer, Offline) and renderer.world is laptop.world


def test_others_get_their_own_params(laptop, vpo_home, monkeypatch):
    monkeypatch.setenv("PLAIN_KEY", "k")
    http = with_values(
        laptop.render,
        backend="http",
        model="m",
        adapter="plain",
        base_url="http://127.0.0.1:9",
        api_key_env="PLAIN_KEY",
    )
    made = make_renderer(http, laptop.world)
    assert isinstance(made, Http) and made.params is http
    command = with_values(
        laptop.render, backend="command", model="m", revision="1", command=["true", "{manifest}", "{clips}"]
    )
    made = make_renderer(command, laptop.world)
    assert isinstance(made, Command) and made.params is command
