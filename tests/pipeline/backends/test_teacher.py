import pytest

from pipeline.backends.teacher import make_teacher
from pipeline.backends.teacher.offline import Offline
from pipeline.backends.teacher.openai import OpenAI
from tests.support.params import with_values


@pytest.mark.parametrize("section", ["teacher", "judge"])
def test_the_offline_teacher_writes_from_the_world_and_the_offline_judge_knows_none(laptop, section):
    teacher = make_teacher(getattr(laptop, section), laptop.world)
    assert isinstance(teacher, Offline)
    assert teacher.world == (laptop.world if section == "teacher" else None)


def test_another_backend_gets_its_own_params(laptop, vpo_home, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    params = with_values(laptop.teacher, backend="openai", model="m", base_url="http://127.0.0.1:9/v1")
    teacher = make_teacher(params, laptop.world)
    assert isinstance(teacher, OpenAI) and teacher.params is params
