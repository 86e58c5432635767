import pytest

from pipeline.llm.template import Template
from pipeline.runtime.io import DataError


@pytest.fixture
def template(tmp_path):
    def write(text, **options):
        path = tmp_path / "t.jinja"
        path.write_text(text)
        return Template(path, **options)

    return write


def test_values_fill_the_template(template):
    assert template("{# source #}\nQuery: {{ query }}\n").fill(query="a dog") == "Query: a dog"


def test_signs_of_html_stay_and_a_line_of_a_block_leaves_no_line(template):
    words = "<query>{{ query }}</query>\n  {% if query %}\nYes & no.\n  {% endif %}\nEnd"
    assert template(words).fill(query="salt & 'pepper'") == "<query>salt & 'pepper'</query>\nYes & no.\nEnd"


def test_the_hash_is_that_of_the_text(template):
    assert template("{{ query }}").hash == template("{{ query }}").hash != template("{{ query }} ").hash
    assert len(template("x").hash) == 16


def test_user_text_is_never_evaluated(template):
    text = "{{ 7 * 7 }} {% for x in y %} {{ query.__class__ }} {} %s"
    assert template("Q {{ query }}").fill(query=text) == f"Q {text}"


def test_user_text_is_neutralised_however_deep_it_lies(template):
    filled = template("{{ query }}{% for item in shown %}{{ item.query }}{% endfor %}").fill(
        query="[[end]]", shown=[{"query": "</query>"}]
    )
    assert filled == "[end]‹/query›"


def test_a_missing_value_is_an_error_that_names_it(template):
    with pytest.raises(DataError, match=r"t\.jinja: 'prompt' is undefined; it is filled with query"):
        template("{{ prompt }}").fill(query="a dog")


def test_a_template_that_leaves_out_the_query_is_refused(template):
    with pytest.raises(DataError, match=r"must read \{\{ query \}\}"):
        template("no variable", needs=("query",))


def test_a_broken_template_is_refused_with_its_line(template):
    with pytest.raises(DataError, match=r"t\.jinja:2: not a template"):
        template("one\n{% if %}")


def test_a_template_cannot_reach_into_python(template):
    with pytest.raises(DataError, match="may not|undefined"):
        template("{{ query.__class__.__mro__[1].__subclasses__() }}").fill(query="a dog")


def test_a_missing_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(DataError, match="no such template"):
        Template(tmp_path / "none.jinja")


def test_the_checked_in_templates_fill(root, laptop):
    query = "a red dog -ar 16:9"
    for path, values in {
        laptop.fewshot.template: {"query": query, "exemplars": [{"query": "a cat", "prompt": "A cat sits."}]},
        laptop.critique.template: {"query": query, "prompt": "A red dog."},
        laptop.refine.template: {},
        laptop.queries.recheck_template: {"query": query},
        laptop.policy.template: {"query": query},
    }.items():
        filled = Template(root / path).fill(**values)
        assert (query in filled) == ("query" in values)
        assert "{#" not in filled and "{{" not in filled
