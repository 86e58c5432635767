from vpo.planning.shares import differing, writers_of


def test_the_writers_of_a_run_are_found_among_dotted_keys_and_sections():
    params = {"teacher.model": "m", "base_model": {"backend": "hub", "name": "a/b", "steps": 1}, "rollout.k": 4}
    assert writers_of(params) == {"teacher.model": "m", "base_model.backend": "hub", "base_model.name": "a/b"}


def test_only_writers_that_were_recorded_differ(laptop):
    assert differing(laptop, {"teacher.model": "grammar", "render.backend": "diffusers"}) == ["render.backend"]
