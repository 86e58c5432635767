import json

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.render import main, plan_clips, render
from pipeline.runtime.io import DataError, read_rows
from pipeline.runtime.store import Store
from pipeline.video.clips import ClipStore, Packed, make_clip, read_clip, write_shards
from pipeline.video.rendering import Rendering, clip_seed
from schemas.base import Dropped, content_id
from schemas.needs import Needs
from schemas.reasons import Reason
from schemas.render import Render
from schemas.rollout import Rollout
from schemas.seams import Outcome
from tests.support.rows import BY, critique_row, prompt_fields


class Counting:
    """A renderer that paints each clip in one colour, counts, and can refuse a prompt or die after some clips."""

    by = BY
    settings = {"n_frames": 2}
    needs = Needs(device="cpu")

    def __init__(self, refuses=(), dies_after=None):
        self.asked, self.refuses, self.dies_after = [], refuses, dies_after

    def map(self, asked):
        for request in asked:
            if len(self.asked) == self.dies_after:
                raise KeyboardInterrupt
            self.asked.append(request)
            if request.prompt in self.refuses:
                yield Outcome(reason=Reason.RENDER_FAILED, detail="out of memory")
            else:
                colour = int(content_id(request.prompt, request.seed), 16) % 256
                yield Outcome(value=make_clip(np.full((2, 16, 16, 3), colour, np.uint8), 8, n_tokens=3))


@pytest.fixture
def clips(tmp_path):
    return ClipStore(Store(tmp_path / "store"))


def row(**fields):
    return Rollout(**prompt_fields(**fields))


def rendered(rows, renderer, clips, folder, passed=None, seed=0, **more):
    """Return the rows and the dropped."""

    def pack(facts):
        return write_shards(folder, [Packed(item["video_id"], clips.path(item["video_id"])) for item in facts], 2)

    items = list(render(plan_clips(rows, seed, passed, **more), Rendering(renderer, lambda: renderer), clips, pack))
    return [i for i in items if isinstance(i, Render)], [i for i in items if isinstance(i, Dropped)]


SIBLINGS = [row(prompt=f"A dog runs, take {at}.", sample=at) for at in range(4)]


def test_each_prompt_becomes_a_row_that_finds_its_clip(clips, tmp_path):
    made, dropped = rendered(SIBLINGS, Counting(), clips, tmp_path / "render")
    assert [item.sample for item in made] == [0, 1, 2, 3] and dropped == []
    for item in made:
        assert read_clip(tmp_path / "render", item) == clips.path(item.video_id).read_bytes()
        assert (item.n_frames, item.height, item.width, item.n_tokens) == (2, 16, 16, 3)
        assert item.rendered_by.store_key == item.video_id


def test_siblings_and_arms_share_their_noise_and_queries_do_not(clips, tmp_path):
    rows = [*SIBLINGS, row(prompt="Another arm.", arm="dpo"), row(query="a cat", prompt="A cat.")]
    made, _ = rendered(rows, Counting(), clips, tmp_path / "render")
    assert len({item.seed for item in made[:5]}) == 1 and made[5].seed != made[0].seed


def test_a_share_of_the_queries_is_rendered_twice_with_other_noise(clips, tmp_path):
    rows = [
        row(query=f"dog {at}", prompt=f"Dog {at}, take {take}.", sample=take) for at in range(40) for take in (0, 1)
    ]
    made, dropped = rendered(rows, Counting(), clips, tmp_path / "render", replicate=0.3)
    again = [item for item in made if item.replicate]
    assert len(made) == 80 + len(again) and dropped == []
    assert 0 < len({item.query_id for item in again}) < 40 and len(again) == 2 * len({item.query_id for item in again})
    first = {item.prompt_id: item for item in made if not item.replicate}
    assert all(item.seed != first[item.prompt_id].seed for item in again)
    same, _ = rendered(rows, Counting(), clips, tmp_path / "more", replicate=0.6)
    assert {item.video_id for item in again} <= {item.video_id for item in same}


def test_a_second_clip_that_fails_is_told_apart(clips, tmp_path):
    class Once(Counting):
        def map(self, asked):
            for at, outcome in enumerate(super().map(asked)):
                yield outcome if at == 0 else Outcome(reason=Reason.RENDER_FAILED, detail="out of memory")

    made, dropped = rendered([row()], Once(), clips, tmp_path / "render", replicate=1.0)
    assert [item.replicate for item in made] == [0]
    assert [item.detail for item in dropped] == ["replicate 1: out of memory"]


def test_the_text_that_was_rendered_is_kept_where_it_is_not_the_prompt(clips, tmp_path):
    renderer = Counting()
    made, _ = rendered(
        SIBLINGS[:2], renderer, clips, tmp_path / "render",
        fit=lambda rows: ((row, "Short." if row.sample else row.prompt) for row in rows),
    )  # fmt: skip
    assert [item.rendered_text for item in made] == [None, "Short."]
    assert [item.prompt for item in renderer.asked] == ["A dog runs, take 0.", "Short."]


def test_siblings_that_were_shortened_to_one_text_are_one_clip(clips, tmp_path):
    renderer = Counting()
    made, dropped = rendered(
        SIBLINGS[:3], renderer, clips, tmp_path / "render",
        fit=lambda rows: ((row, "Short." if row.sample else row.prompt) for row in rows),
    )  # fmt: skip
    assert [item.sample for item in made] == [0, 1] and len(renderer.asked) == 2
    assert [(item.input_id, item.reason) for item in dropped] == [(SIBLINGS[2].prompt_id, "duplicate")]


def test_a_clip_that_changed_on_disk_is_not_packed(clips, tmp_path):
    def pack(facts):
        clips.path(facts[0]["video_id"]).write_bytes(b"another")
        packed = [Packed(item["video_id"], clips.path(item["video_id"]), item["content_hash"]) for item in facts]
        return write_shards(tmp_path / "render", packed, 2)

    with pytest.raises(DataError, match="changed since it was rendered"):
        list(render(plan_clips(SIBLINGS, 0), Rendering(Counting(), Counting), clips, pack))
    assert not (tmp_path / "render").exists()


def test_the_seed_of_the_run_and_the_replicate_change_the_noise():
    seeds = {clip_seed(0, "q"), clip_seed(1, "q"), clip_seed(0, "q", replicate=1), clip_seed(0, "p")}
    assert len(seeds) == 4 and all(0 <= seed < 2**31 for seed in seeds)


def test_only_what_passed_the_text_check_is_rendered(clips, tmp_path):
    passed = {SIBLINGS[0].prompt_id: True, SIBLINGS[1].prompt_id: False}
    renderer = Counting()
    made, dropped = rendered(SIBLINGS[:3], renderer, clips, tmp_path / "render", passed)
    assert [item.sample for item in made] == [0] and len(renderer.asked) == 1
    assert [(item.input_id, item.reason, item.detail) for item in dropped] == [
        (SIBLINGS[1].prompt_id, "failed_text_check", "found flawed"),
        (SIBLINGS[2].prompt_id, "failed_text_check", "the text check has no verdict on it"),
    ]


def test_the_lane_of_the_refused_renders_exactly_what_the_text_check_leaves_out(clips, tmp_path):
    passed = {SIBLINGS[0].prompt_id: True, SIBLINGS[1].prompt_id: False, SIBLINGS[3].prompt_id: True}
    renderer = Counting()
    checked, _ = rendered(SIBLINGS, renderer, clips, tmp_path / "dpo", passed)
    refused, dropped = rendered(SIBLINGS, renderer, clips, tmp_path / "unchecked", passed, refused=True)
    # a prompt without a verdict is no passed one: with the check off it would be rendered too
    assert [item.sample for item in checked] == [0, 3] and [item.sample for item in refused] == [1, 2]
    assert [(item.reason, item.input_id) for item in dropped] == [
        ("passed_text_check", SIBLINGS[place].prompt_id) for place in (0, 3)
    ]
    assert len(renderer.asked) == 4 and {item.seed for item in checked} == {item.seed for item in refused}


def test_refused_without_a_text_check_is_no_command(root, tmp_path):
    done = CliRunner().invoke(main, ["--refused", "a.jsonl", str(tmp_path / "b.parquet")])
    assert done.exit_code == 2 and "--refused goes with --critique FILE" in done.output


def test_the_same_prompt_for_the_same_query_is_rendered_once(clips, tmp_path):
    made, dropped = rendered([row(sample=0), row(sample=1)], Counting(), clips, tmp_path / "render")
    assert len(made) == 1
    assert [(item.reason, item.detail) for item in dropped] == [("duplicate", "sample 1 of sft repeats sample 0")]


def test_the_same_prompt_for_another_query_has_its_own_clip(clips, tmp_path):
    made, dropped = rendered([row(query="a dog"), row(query="one dog")], Counting(), clips, tmp_path / "render")
    assert len({item.video_id for item in made}) == 2 and dropped == []


def test_a_clip_that_failed_leaves_with_the_renderers_reason(clips, tmp_path):
    renderer = Counting(refuses=(SIBLINGS[1].prompt,))
    made, dropped = rendered(SIBLINGS, renderer, clips, tmp_path / "render")
    assert [item.sample for item in made] == [0, 2, 3]
    assert [(item.reason, item.detail) for item in dropped] == [("render_failed", "out of memory")]


def test_a_second_run_renders_nothing_and_gives_the_same_rows_and_shards(clips, tmp_path):
    first, _ = rendered(SIBLINGS, Counting(), clips, tmp_path / "one")
    renderer = Counting()
    second, _ = rendered(SIBLINGS, renderer, clips, tmp_path / "two")
    assert renderer.asked == [] and second == first
    for shard in ("00000.tar", "00001.tar"):
        assert (tmp_path / "one" / shard).read_bytes() == (tmp_path / "two" / shard).read_bytes()


def test_a_run_that_died_is_taken_up_where_it_stopped(clips, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        rendered(SIBLINGS, Counting(dies_after=2), clips, tmp_path / "render")
    assert not (tmp_path / "render").exists()
    renderer = Counting()
    made, _ = rendered(SIBLINGS, renderer, clips, tmp_path / "render")
    assert [request.prompt for request in renderer.asked] == [item.prompt for item in SIBLINGS[2:]]
    whole, _ = rendered(SIBLINGS, Counting(), ClipStore(Store(tmp_path / "fresh")), tmp_path / "fresh_render")
    assert made == whole


def test_a_damaged_clip_in_the_store_is_rendered_again(clips, tmp_path):
    made, _ = rendered(SIBLINGS, Counting(), clips, tmp_path / "render")
    clips.path(made[2].video_id).write_bytes(b"half a clip")
    renderer = Counting()
    again, _ = rendered(SIBLINGS, renderer, clips, tmp_path / "render")
    assert [request.prompt for request in renderer.asked] == [SIBLINGS[2].prompt] and again == made


def test_the_id_is_known_beforehand_and_depends_on_all_that_shapes_the_clip(clips, tmp_path):
    def name(item, renderer, seed=0):
        (made,), _ = rendered([item], renderer, clips, tmp_path / "render", seed=seed)
        return made.video_id

    other_settings, other_revision = Counting(), Counting()
    other_settings.settings = {"n_frames": 2, "negative_prompt": "blur"}
    other_revision.by = BY.model_copy(update={"revision": "1" * 16})
    named = [
        name(row(), Counting()),
        name(row(prompt="A dog."), Counting()),
        name(row(), Counting(), seed=1),
        name(row(), other_settings),
        name(row(), other_revision),
    ]
    assert len(set(named)) == 5
    assert name(row(arm="dpo", sample=3), Counting()) == named[0]


def command(root, folder, home, *options, seed=0):
    arguments = [*options, str(folder / "rollout.jsonl"), str(folder / "render.parquet")]
    written = (root / "params.yaml").read_text().replace("  seed: 0 ", f"  seed: {seed} ")
    (folder / "params.yaml").write_text(written)
    params = ["--params", str(folder / "params.yaml")]
    result = CliRunner(env={"VPO_HOME": str(home)}).invoke(main, [*arguments, *params])
    assert result.exit_code == 0, result.output
    return list(read_rows(folder / "render.parquet", Render))


def test_the_command_writes_manifest_shards_and_dropped_and_repeats_byte_for_byte(root, tmp_path):
    folder = tmp_path / "data" / "dpo"
    folder.mkdir(parents=True)
    rows = [*SIBLINGS, SIBLINGS[0].model_copy(update={"sample": 9})]
    verdicts = [critique_row(prompt=item.prompt, sample=item.sample) for item in rows[:3]]
    (folder / "rollout.jsonl").write_text("".join(item.model_dump_json() + "\n" for item in rows))
    (folder / "critique.jsonl").write_text("".join(item.model_dump_json() + "\n" for item in verdicts))
    check = ("--critique", str(folder / "critique.jsonl"))
    made = command(root, folder, tmp_path / "home", *check)
    assert [item.sample for item in made] == [0, 1, 2]
    reasons = [item.reason for item in read_rows(folder / "render_dropped.jsonl", Dropped)]
    assert reasons == ["failed_text_check", "duplicate"]
    outs = ("render.parquet", "render/00000.tar", "render_dropped.jsonl")
    before = [(folder / name).read_bytes() for name in outs]
    for home in ("home", "another home"):
        command(root, folder, tmp_path / home, *check)
        assert [(folder / name).read_bytes() for name in outs] == before
    assert len(command(root, folder, tmp_path / "home")) == 4


def test_the_command_counts_the_second_clip_of_a_query_as_one_more_that_comes_in(root, tmp_path):
    folder = tmp_path / "data" / "dpo"
    folder.mkdir(parents=True)
    rows = [row(query=f"dog {at}", prompt=f"Dog {at}.") for at in range(12)]
    (folder / "rollout.jsonl").write_text("".join(item.model_dump_json() + "\n" for item in rows))
    again = sum(item.replicate for item in command(root, folder, tmp_path / "home", "--replicate"))
    metrics = json.loads((tmp_path / "results" / "dpo" / "render.json").read_text())
    assert again and metrics["units_in"] == metrics["units_done"] == 12 + again


def test_the_commands_clips_begin_from_the_seed_of_the_params(root, tmp_path):
    folder = tmp_path / "data" / "dpo"
    folder.mkdir(parents=True)
    (folder / "rollout.jsonl").write_text(SIBLINGS[0].model_dump_json() + "\n")
    for seed in (0, 7):
        (made,) = command(root, folder, tmp_path / "home", seed=seed)
        assert made.seed == clip_seed(seed, made.query_id)
