from pipeline.backends.policy import make_policy
from pipeline.backends.policy.openai import OpenAI
from pipeline.backends.policy.transformers import Transformers
from tests.support.params import with_values


def test_a_served_policy_is_called_as_its_folder_and_stands_on_the_weights_there(laptop, vpo_home, tmp_path, root,
                                                                                monkeypatch):  # fmt: skip
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    params = with_values(
        laptop.policy,
        backend="openai",
        endpoint={"base_url": "http://127.0.0.1:9/v1", "model": "{folder}"},
        template=str(root / laptop.policy.template),
    )
    revisions = []
    for name, weights in (("sft", b"1"), ("dpo", b"2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(weights)
        policy = make_policy(tmp_path / name, params)
        assert isinstance(policy, OpenAI) and policy.engine.params.model == name
        revisions.append(policy.revision)
    assert len({*revisions}) == 2


def test_a_policy_that_runs_here_has_loaded_the_weights_of_its_folder(tiny_model, tiny_params):
    policy = make_policy(tiny_model, tiny_params.policy)
    assert isinstance(policy, Transformers) and policy.model.num_parameters() > 0
