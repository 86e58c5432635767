import csv
import json

import pytest
from click.testing import CliRunner

from pipeline.evaluation.prompt_sources import copy_queries
from pipeline.llm.template import Template
from pipeline.rollout import TALLY, main, rollout, writer_of_arm, writer_of_samples
from pipeline.runtime.io import read_rows, write_rows
from pipeline.runtime.stage_output import stage_output
from schemas.base import Dropped, content_id
from schemas.fewshot import Fewshot
from schemas.params import PolicyArmParams
from schemas.queries import Query
from schemas.reasons import Reason
from schemas.rollout import Rollout
from schemas.seams import Outcome
from tests.support import tiny_policy
from tests.support.rows import BY, prompt_fields
from tests.support.small_project import write_params

QUERIES = tiny_policy.queries("test")[:3]


class Saying:
    """A policy that says what a test wants, a list of outcomes for each query."""

    def __init__(self, *said: list):
        self.said, self.asked = said, []

    def map(self, queries, k, sampling, seed):
        for query, said in zip(queries, self.said, strict=False):
            self.asked.append((query.query_id, k, sampling, seed))
            for item in said:
                yield Outcome(value=item, by=BY) if isinstance(item, str) else item


CUT = Outcome(by=BY, reason=Reason.TRUNCATED, detail="no end after 12 tokens: a fox")
NOTHING = Outcome(by=BY, reason=Reason.EMPTY)


def test_each_query_becomes_k_rows_in_order(laptop):
    policy = Saying(["a", "b"], ["c", "d"], ["e", "f"])
    rows = list(rollout(QUERIES, policy, "sft", 2, laptop.rollout, 7))
    assert [(row.query, row.sample, row.prompt) for row in rows] == [
        (query.query, sample, said)
        for query, pair in zip(QUERIES, ("ab", "cd", "ef"), strict=True)
        for sample, said in enumerate(pair)
    ]
    assert {(row.arm, row.written_by.model) for row in rows} == {("sft", "grammar")}
    assert rows[1].prompt_id == content_id(QUERIES[0].query_id, "b")
    assert policy.asked[0] == (QUERIES[0].query_id, 2, laptop.rollout, 7)


def test_a_cut_and_an_empty_sample_are_dropped_by_reason_and_the_others_stay(laptop):
    policy = Saying([CUT, "b"], ["c", NOTHING], [CUT, NOTHING])
    items = list(rollout(QUERIES, policy, "sft", 2, laptop.rollout, 0))
    assert [(row.query_id, row.sample) for row in items if isinstance(row, Rollout)] == [
        (QUERIES[0].query_id, 1),
        (QUERIES[1].query_id, 0),
    ]
    assert [(item.input_id, item.reason, item.detail) for item in items if isinstance(item, Dropped)] == [
        (f"{QUERIES[0].query_id}/0", "truncated", CUT.detail),
        (f"{QUERIES[1].query_id}/1", "empty", ""),
        (f"{QUERIES[2].query_id}/0", "truncated", CUT.detail),
        (f"{QUERIES[2].query_id}/1", "empty", ""),
    ]


def test_units_are_k_for_each_query(laptop, tmp_path, vpo_home):
    write_rows(tmp_path / "q.jsonl", QUERIES, Query)
    with stage_output(tmp_path / "rollout.jsonl", Rollout) as writer:
        policy = Saying(["a", "b"], ["same", "same"], [CUT, NOTHING])
        writer.write(rollout(writer.read(tmp_path / "q.jsonl", Query, times=2), policy, "sft", 2, laptop.rollout, 0))
    told = json.loads((tmp_path / "rollout.json").read_text())
    assert (told["units_in"], told["units_done"], told["units_dropped"]) == (6, 4, 2)


def test_a_repeated_sample_and_a_looping_one_are_marked_and_stay(laptop, tmp_path, vpo_home):
    again = "a fox runs on " * 3
    write_rows(tmp_path / "q.jsonl", QUERIES, Query)
    with stage_output(tmp_path / "rollout.jsonl", Rollout) as writer:
        policy = Saying(["a", "b", "a", "a"], ["a", CUT, "c", "c"], [CUT, again, again, "d"])
        rows = rollout(writer.read(tmp_path / "q.jsonl", Query, times=4), policy, "sft", 4, laptop.rollout, 0)
        writer.write(rows, TALLY)
    rows = list(read_rows(tmp_path / "rollout.jsonl", Rollout))
    assert [(row.sample, row.duplicate_of, row.loops) for row in rows] == [
        (0, None, False), (1, None, False), (2, 0, False), (3, 0, False),
        (0, None, False), (2, None, False), (3, 2, False),
        (1, None, True), (2, 1, True), (3, None, False),
    ]  # fmt: skip
    told = json.loads((tmp_path / "rollout.json").read_text())
    assert (told["duplicates"], told["looping"], told["units_done"]) == (4, 2, 10)


def test_several_greedy_samples_are_said_to_be_one_text(files, tiny_model):
    said = "at temperature 0 the 3 samples of a query are one text"
    for values, expected in (({"k": 3}, True), ({"k": 1}, False), ({"k": 3, "temperature": 0.9}, False)):
        done, _ = run(files, tiny_model, rollout={"temperature": 0.0, "max_new_tokens": 2} | values)
        assert done.exit_code == 0, done.output
        assert (said in done.stderr) is expected


def test_an_arm_can_take_over_the_prompts_of_another_rollout(files):
    source = files / "data/eval/other/rollout.jsonl"
    write_rows(source, list(copy_queries(QUERIES, "other")), Rollout)
    done, out = run(files, "--arm", "copy", arms={"copy": {"prompts": "stored", "source": str(source)}})
    assert done.exit_code == 0, done.output
    assert [row.prompt for row in read_rows(out, Rollout)] == [row.query for row in QUERIES]


def test_a_policy_that_says_too_little_is_an_error_and_no_short_file(laptop):
    with pytest.raises(RuntimeError):
        list(rollout(QUERIES, Saying(["a", "b"], ["c"]), "sft", 2, laptop.rollout, 0))


def fewshot_row(query, prompt, sample=0):
    return Fewshot(**prompt_fields(query=query.query, prompt=prompt, arm="fewshot", sample=sample, split="test"))


@pytest.fixture
def files(tmp_path, vpo_home):
    write_rows(tmp_path / "data/queries/test.jsonl", QUERIES, Query)
    return tmp_path


def run(files, *words, arms=None, **changes):
    evaluate = {"arms": arms or {}, "versus": []}
    words = ["--suite", "test", *words] if "--arm" in words else words
    given = write_params(files, evaluate=evaluate, **changes)
    out = files / "data/eval/x/rollout.jsonl"
    queries = str(files / "data/queries/test.jsonl")
    return CliRunner().invoke(main, [queries, *map(str, words), str(out), "--params", str(given)]), out


def told(out, files):
    return json.loads((files / "results/eval/x/rollout.json").read_text())


def test_the_stage_samples_k_prompts_from_a_model_folder(files, tiny_model):
    done, out = run(files, tiny_model, rollout={"k": 2, "max_new_tokens": 8})
    assert done.exit_code == 0, done.output
    rows, dropped = list(read_rows(out, Rollout)), list(read_rows(out.with_name("rollout_dropped.jsonl"), Dropped))
    assert len(rows) + len(dropped) == 6 == told(out, files)["units_in"]
    assert {row.arm for row in rows} <= {tiny_model.name}
    assert {item.reason for item in dropped} <= {"truncated", "empty"} and dropped


def test_an_arm_of_a_policy_has_one_prompt_a_query(files, tiny_model):
    arms = {"trained": {"prompts": "policy", "source": str(tiny_model)}}
    done, out = run(files, "--arm", "trained", arms=arms, rollout={"k": 4, "max_new_tokens": 8})
    assert done.exit_code == 0, done.output
    assert told(out, files)["units_in"] == 3
    assert {(row.suite, row.arm) for row in read_rows(out, Rollout)} <= {("test", "trained")}


def test_an_arm_is_sampled_as_a_user_is_served_and_not_as_training_samples(files, tiny_model):
    arms = {"trained": {"prompts": "policy", "source": str(tiny_model)}}
    optimize = {"temperature": 0.0, "max_new_tokens": 3, "on_failure": "error"}
    done, out = run(files, "--arm", "trained", arms=arms, rollout={"max_new_tokens": 90}, optimize=optimize)
    assert done.exit_code == 0, done.output
    (cut, *_) = read_rows(out.with_name("rollout_dropped.jsonl"), Dropped)
    assert cut.detail.startswith("no end after 3 tokens") and (cut.suite, cut.arm) == ("test", "trained")


def test_an_arm_and_the_rollouts_take_their_own_sampling_and_the_seed(tiny_model, tiny_params, vpo_home):
    arm = PolicyArmParams(prompts="policy", source=str(tiny_model))
    evaluate = tiny_params.evaluate.model_copy(update={"arms": {"trained": arm}})
    base = tiny_params.base.model_copy(update={"seed": 7})
    params = tiny_params.model_copy(update={"evaluate": evaluate, "base": base})
    of_arm, of_rollouts = writer_of_arm("test", "trained", params)[0], writer_of_samples(tiny_model, params)[0]
    wanted = [(of_arm, 1, params.optimize), (of_rollouts, params.rollout.k, params.rollout)]
    for write, k, sampling in wanted:
        assert (write.keywords["k"], write.keywords["sampling"], write.keywords["seed"]) == (k, sampling, 7)
    assert params.optimize != params.rollout and params.rollout.k > 1


def test_an_arm_serves_the_query_where_it_has_no_prompt_and_withholds_a_flagged_one(files, tiny_model):
    rows = [row.model_copy(update={"safety": number == 1}) for number, row in enumerate(QUERIES)]
    write_rows(files / "data/queries/test.jsonl", rows, Query)
    arms = {"trained": {"prompts": "policy", "source": str(tiny_model)}}
    done, out = run(files, "--arm", "trained", arms=arms, optimize={"temperature": 0.0, "max_new_tokens": 3})
    assert done.exit_code == 0, done.output
    served = [(row.query_id, row.prompt, row.served, row.failure) for row in read_rows(out, Rollout)]
    assert served == [(row.query_id, row.query, "query", "truncated") for row in (rows[0], rows[2])]
    (withheld,) = read_rows(out.with_name("rollout_dropped.jsonl"), Dropped)
    assert (withheld.input_id, withheld.reason) == (f"{rows[1].query_id}/0", "withheld")
    assert told(out, files)["query_served"] == 2


def test_the_samples_for_preference_training_are_never_replaced_by_the_query(files, tiny_model):
    done, out = run(files, tiny_model, rollout={"k": 2, "temperature": 0.0, "max_new_tokens": 3})
    assert done.exit_code == 0, done.output
    assert list(read_rows(out, Rollout)) == [] and told(out, files)["dropped"] == {"truncated": 6}


def test_an_arm_of_an_llm_has_its_own_template_and_teacher(files):
    template = files / "vendor.jinja"
    template.write_text("<query>\n{{ query }}\n</query>\nBegin with [[start]] and end with [[end]].")
    arm = {"prompts": "llm", "source": str(template), "teacher": {"backend": "offline", "model": "grammar"}}
    done, out = run(files, "--arm", "vendor", arms={"vendor": arm})
    assert done.exit_code == 0, done.output
    rows = list(read_rows(out, Rollout))
    assert [row.query for row in rows] == [row.query for row in QUERIES]
    assert {row.written_by.template for row in rows} == {Template(template).hash}
    assert all(row.arm == "vendor" and row.prompt != row.query for row in rows)


@pytest.mark.parametrize("name", ["mine.jsonl", "mine.csv"])
def test_an_arm_of_a_users_file_takes_each_querys_prompt(files, name):
    records = [{"x": row.query, "p": f"A calm {row.query}"} for row in QUERIES[:2]]
    path = files / name
    with path.open("w", newline="") as file:
        if name.endswith("csv"):
            writer = csv.DictWriter(file, ["x", "p"])
            writer.writeheader()
            writer.writerows(records)
        else:
            file.writelines(json.dumps(record) + "\n" for record in records)
    arm = {"prompts": "file", "source": str(path), "query_column": "x", "prompt_column": "p"}
    done, out = run(files, "--arm", "mine", arms={"mine": arm})
    assert done.exit_code == 0, done.output
    rows = list(read_rows(out, Rollout))
    assert [(row.query, row.prompt) for row in rows[:2]] == [(record["x"], record["p"]) for record in records]
    assert {(row.written_by.backend, row.written_by.model) for row in rows[:2]} == {("file", name)}
    assert (rows[2].prompt, rows[2].served, rows[2].failure) == (QUERIES[2].query, "query", "failed")


@pytest.mark.parametrize(("arm", "field"), [
    ({"prompts": "query", "source": "x", "teacher": {}}, "teacher"),
    ({"prompts": "policy", "source": "x", "query_column": "q"}, "query_column"),
    ({"prompts": "file", "source": "x.pdf"}, "source"),
    ({"prompts": "llm", "source": "x"}, "teacher"),
    ({"prompts": "songs", "source": "x"}, "'query', 'stored', 'policy', 'llm' or 'file'"),
])  # fmt: skip
def test_an_arm_has_the_fields_of_its_kind_alone(files, arm, field):
    done, _ = run(files, "--arm", "odd", arms={"odd": arm})
    assert done.exit_code == 2 and "evaluate.arms.odd" in done.output and field in done.output


def test_an_arm_of_the_queries_needs_no_model(files):
    done, out = run(
        files, "--arm", "original", arms={"original": {"prompts": "query", "source": "data/queries/test.jsonl"}}
    )
    assert done.exit_code == 0, done.output
    assert [row.prompt for row in read_rows(out, Rollout)] == [row.query for row in QUERIES]


@pytest.mark.parametrize("with_dropped_file", [True, False])
def test_an_arm_of_stored_prompts_takes_the_first_of_each_query(files, with_dropped_file):
    source = files / "data/eval/fewshot.jsonl"
    rows = [
        fewshot_row(QUERIES[0], "A calm fox."),
        fewshot_row(QUERIES[0], "Another.", 1),
        fewshot_row(QUERIES[1], "Cats."),
    ]
    write_rows(source, rows, Fewshot)
    if with_dropped_file:
        lost = Dropped(input_id=QUERIES[2].query_id, reason=Reason.REFUSED, detail="sorry")
        write_rows(source.with_name("fewshot_dropped.jsonl"), [lost], Dropped)
    done, out = run(files, "--arm", "few", arms={"few": {"prompts": "stored", "source": str(source)}})
    assert done.exit_code == 0, done.output
    rows = [(row.prompt, row.arm, row.sample) for row in read_rows(out, Rollout)]
    assert rows[:2] == [("A calm fox.", "few", 0), ("Cats.", "few", 0)]
    assert rows[2:] == ([] if with_dropped_file else [(QUERIES[2].query, "few", 0)])
    assert told(out, files)["dropped"] == ({"refused": 1} if with_dropped_file else {})


def test_a_missing_model_and_an_unknown_arm_are_said_plainly(files):
    done, _ = run(files)
    assert done.exit_code == 2 and "name the folder of the model" in done.output
    done, _ = run(files, "--arm", "nobody", arms={"few": {"prompts": "query", "source": "x"}})
    assert done.exit_code == 2 and "evaluate.arms has no nobody; it has few" in done.output


@pytest.mark.slow
def test_a_folder_without_weights_is_one_clear_error(files, tmp_path):
    (tmp_path / "empty").mkdir()
    done, out = run(files, tmp_path / "empty")
    assert done.exit_code == 1 and "no safetensors weights" in done.output
    assert not out.exists()


def test_a_ready_d_dpo_takes_the_place_of_the_rollouts(files):
    done, out = run(files, "no/such/model", d_dpo={"path": "data/raw/mine.jsonl"}, rollout={"k": 2})
    assert done.exit_code == 0, done.output
    assert list(read_rows(out, Rollout)) == [] and told(out, files)["dropped"] == {"replaced": 6}
