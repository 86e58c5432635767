import pytest

from pipeline.llm.markup import has_markup, open_data, resolve_signs, strip_markup, unwrap


@pytest.mark.parametrize(
    ("text", "signs"),
    [
        ("A dog &amp;amp; a cat", "A dog & a cat"),
        ("it&#39;s &quot;sunny&quot;", 'it\'s "sunny"'),
        ("?a=1&copy=2", "?a=1&copy=2"),
        (r"A dog\nruns\u2019s \"fast\"", 'A dog\nruns’s "fast"'),
        (r"\ud83d\ude00 smiles", "😀 smiles"),
        (r"\*A dog\*", "*A dog*"),
        (r"a screen shows C:\new\table", r"a screen shows C:\new\table"),
        ("A dog &amp runs, it&#39s sunny", "A dog & runs, it's sunny"),
    ],
)
def test_entities_and_escapes_are_the_signs_they_stand_for(text, signs):
    assert resolve_signs(text) == signs


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("<b>A dog</b> runs over the <i>grass</i>.", "A dog runs over the grass."),
        ("<final>A dog.</final>", "A dog."),
        ("<shot>A dog.</shot>", "A dog."),
        ("[a dog](https://a.b/c) runs", "a dog runs"),
        ("![dog](a.png) A dog", "A dog"),
        ("● A dog\n○ A cat", "A dog\nA cat"),
        ("1️⃣ A dog\n2️⃣ A cat", "A dog\nA cat"),
        ("a) A dog\nb) A cat", "A dog\nA cat"),
        ("1. A dog", "A dog"),
        ("1) A dog. 2) A cat.", "1) A dog. 2) A cat."),
        ("3. Street at night", "3. Street at night"),
        ("A dog runs. ---", "A dog runs."),
        (r"\boxed{A dog}", "A dog"),
        ("$$ A dog $$", "A dog"),
        ('```json\n{"prompt": "A dog"}\n```', "A dog"),
    ],
)
def test_markdown_tags_and_formulas_leave_their_words(text, bare):
    assert strip_markup(text).strip() == bare


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ('{"prompt": "A dog"}', "A dog"),
        ('{"think": "hm", "video_prompt": "A dog"}', "A dog"),
        ('["A dog"]', "A dog"),
        ('[{"text": "A dog"}]', "A dog"),
        ('["A dog", "A cat"]', '["A dog", "A cat"]'),
        ('{"a": "A dog", "b": "A cat"}', '{"a": "A dog", "b": "A cat"}'),
        ("{'prompt': 'A dog'}", "A dog"),
        ('{prompt: "A dog\'s tail",}', "A dog's tail"),
        ("{'a': 'A dog', 'b': 'A cat'}", "{'a': 'A dog', 'b': 'A cat'}"),
        ('{"prompt": "A d', '{"prompt": "A d'),
        ('{"prompt": 5}', '{"prompt": 5}'),
    ],
)
def test_json_with_one_text_is_that_text(text, inside):
    assert open_data(text) == inside


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ('"A dog"', "A dog"), ('"""A dog"""', "A dog"), ("“A dog”", "A dog"), ("【A dog】", "A dog"), ("[A dog]",
        "A dog"),
        ('A dog"', 'A dog"'), ('"A" and "B"', '"A" and "B"'), ("[A] and [B]", "[A] and [B]"), ("{% a %}", "{% a %}"),
    ],
)  # fmt: skip
def test_quotes_go_as_a_pair_or_not_at_all(text, inside):
    assert unwrap(text) == inside


@pytest.mark.parametrize(
    "text",
    ["A dog <lora:x:0.8>", "<AI>A dog", "| a | b | |---|---|", '{"a": 1}', '"prompt": 5', "{{ prompt }}", "<!-- x -->"],
)
def test_what_nobody_can_read_is_markup(text):
    assert has_markup(text)


@pytest.mark.parametrize("text", ["20 < 30 > 10", "<3 hearts", "a dog: {x", "[a] dog", '"Stop": a sign', "A | B"])
def test_signs_of_a_text_are_no_markup(text):
    assert not has_markup(text)
