import json
import threading
import time

import pytest

from pipeline.backends.renderer import make_renderer
from pipeline.backends.renderer.command import Command
from pipeline.runtime.io import DataError
from pipeline.runtime.store import home
from pipeline.video.rendering import video_id
from schemas.reasons import Reason
from schemas.seams import RenderRequest
from tests.support.clip_program import made, params
from tests.support.clip_server import clip_of

pytestmark = pytest.mark.slow


def test_a_manifest_goes_out_and_the_clips_come_in_in_order(laptop, program):
    outcomes = made(laptop, program, ["a dog", "a cat", "an owl"], guidance_scale=7.0)
    assert [outcome.value.content for outcome in outcomes] == [clip_of(p) for p in ("a dog", "a cat", "an owl")]
    first = json.loads(program.log.read_text())[0]
    assert len(first.pop("video_id")) == 16
    assert first == {
        "prompt": "a dog", "seed": 7, "n_frames": 4, "height": 32, "width": 48, "frames_per_second": 8.0,
        "guidance_scale": 7.0,
    }  # fmt: skip


def test_so_many_clips_are_asked_for_at_once_and_none_is_left_behind(laptop, program):
    outcomes = made(laptop, program, [f"dog {n}" for n in range(5)], batch_size=2)
    assert all(outcome.value for outcome in outcomes)
    assert program() == [["dog 0", "dog 1"], ["dog 2", "dog 3"], ["dog 4"]]
    assert not list(home().glob("command/*/clips/*"))


def test_clips_of_one_call_are_finished_together(laptop, program):
    assert Command(params(laptop, program.words, batch_size=2)).at_once == 2


def test_a_program_that_fails_keeps_what_it_made_and_says_why_for_the_rest(laptop, program):
    dog, cat, owl = made(laptop, program, ["a dog", "dies", "an owl"])
    assert dog.value
    assert (cat.reason, cat.detail) == (owl.reason, owl.detail)
    assert (cat.reason, cat.detail) == (Reason.RENDER_FAILED, "exit code 1: CUDA out of memory")


def test_a_program_that_never_makes_a_clip_stops_the_stage(laptop, program):
    with pytest.raises(DataError, match="failed 3 times in a row without one clip: exit code 1: CUDA out of memory"):
        made(laptop, program, [f"dies {n}" for n in range(9)], batch_size=1)
    assert len(program()) == 3


@pytest.mark.parametrize(
    ("prompt", "reason", "says"),
    [
        ("lost", Reason.RENDER_FAILED, "ended well, without this clip"),
        ("short", Reason.BAD_CLIP, "3 frames, asked for 4"),
        ("picture", Reason.BAD_CLIP, "text, not a video: <html>"),
        ("link", Reason.BAD_CLIP, "a link, a folder or a pipe, not a file"),
        ("folder", Reason.BAD_CLIP, "a link, a folder or a pipe, not a file"),
        ("pipe", Reason.BAD_CLIP, "a link, a folder or a pipe, not a file"),
    ],
)
def test_a_clip_that_is_missing_or_wrong_has_a_typed_reason(laptop, program, prompt, reason, says):
    bad, good = made(laptop, program, [prompt, "a dog"])
    assert bad.reason == reason and says in bad.detail and good.value


@pytest.mark.parametrize("prompt", ["link", "folder", "pipe"])
def test_what_is_no_file_is_out_of_the_way_of_the_next_call(laptop, program, prompt):
    first, second = (made(laptop, program, [prompt])[0] for _ in range(2))
    assert first == second and not list(home().glob("command/*/clips/*"))


@pytest.mark.parametrize("prompt", ["away", "elsewhere", "all"])
def test_a_program_that_takes_its_folder_away_stops_the_stage_in_one_line(laptop, program, tmp_path, prompt):
    with pytest.raises(DataError, match="took away the folder that clips go into"):
        made(laptop, program, [prompt])
    assert made(laptop, program, ["a dog"])[0].value


def test_what_a_program_says_commands_no_terminal_and_is_known_without_its_log(laptop, program):
    (outcome,) = made(laptop, program, ["silent"])
    assert outcome.detail == "exit code 3: ?[31mred"


def test_strange_files_are_ignored_and_said(laptop, program, capsys):
    (outcome,) = made(laptop, program, ["strange"])
    assert outcome.value and "notes.txt (1 in all)" in capsys.readouterr().err


def test_a_program_that_is_not_there_stops_the_stage(laptop, vpo_home):
    with pytest.raises(DataError, match="there is no program no-such-program"):
        list(Command(params(laptop, ["no-such-program", "{manifest}", "{clips}"])).map([RenderRequest("p", 0)]))


def test_a_command_that_does_not_say_where_clips_go_is_refused(laptop):
    with pytest.raises(ValueError, match="command must hold {clips}"):
        params(laptop, ["true", "{manifest}"])


def test_a_run_beside_another_loses_no_clip_that_the_other_takes_away(laptop, program):
    prompts = ["a dog", "a cat"]
    requests = [RenderRequest(prompt, 7) for prompt in prompts]
    one, other, ended = Command(params(laptop, program.words)).map(requests), [], threading.Event()
    next(one)

    def beside():
        for outcome in Command(params(laptop, program.words)).map(requests):
            other.append(outcome)
            ended.wait()

    thread = threading.Thread(target=beside)
    thread.start()
    time.sleep(0.5)  # time enough to begin; what it finds now leaves when the first run ends
    list(one)
    ended.set()
    thread.join()
    assert [outcome.value.content for outcome in other if outcome.value] == [clip_of(prompt) for prompt in prompts]


def test_no_shell_reads_the_words(laptop, program, tmp_path):
    program.words.append(f"; touch {tmp_path}/bad $(touch {tmp_path}/bad)")
    assert made(laptop, program, ["a dog"])[0].value and not (tmp_path / "bad").exists()


def test_the_command_is_part_of_a_clips_identity_without_its_folders(laptop, program):
    one = make_renderer(params(laptop, program.words), laptop.world)
    two = make_renderer(params(laptop, [*program.words, "--fast"]), laptop.world)
    assert video_id(one, RenderRequest("p", 0)) != video_id(two, RenderRequest("p", 0))
    assert program.words[1] not in json.dumps(one.settings)
