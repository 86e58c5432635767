from vpo.planning import shares
from vpo.planning.shares import differing, writers_of


def test_the_writers_of_a_run_are_found_among_dotted_keys_and_sections():
    params = {"teacher.model": "m", "base_model": {"backend": "hub", "name": "a/b", "steps": 1}, "rollout.k": 4}
    assert writers_of(params) == {"teacher.model": "m", "base_model.backend": "hub", "base_model.name": "a/b"}


def test_only_writers_that_were_recorded_differ(laptop):
    assert differing(laptop, {"teacher.model": "grammar", "render.backend": "diffusers"}) == ["render.backend"]


def test_what_no_run_has_shown_is_assumed_from_the_fewest_calls_to_the_most():
    assert [
        (one.least, one.likely, one.most)
        for one in (
            shares.UNSAFE, shares.NO_AGAIN, shares.STILL_FLAWED, shares.CUT, shares.FLAWED_OFFLINE,
            shares.FLAWED_BY_POLICY, shares.FLAWED_BY_TEACHER,
        )
    ] == [
        (0.9, 0.7, 0.5), (0.95, 0.8, 0.6), (0.05, 0.2, 0.35), (0.005, 0.02, 0.1), (0.2, 0.35, 0.5),
        (0.054, 0.062, 0.156), (0.062, 0.113, 0.156),
    ]  # fmt: skip
    assert [shares.UNSAFE[bound] for bound in (shares.LEAST, shares.LIKELY, shares.MOST)] == [0.9, 0.7, 0.5]


def test_sections_below_sections_are_read_by_their_whole_key():
    params = {"queries": {"source": "file", "sft": 3}, "render": {"model": {"name": 1}}, "a": {"teacher.model": "m"}}
    assert writers_of(params) == {"queries.source": "file"}


def test_a_key_that_is_gone_or_was_empty_differs_by_its_value(laptop):
    assert differing(laptop, {"queries.path": None, "render.backend": "offline", "no.such": 1}) == ["no.such"]
