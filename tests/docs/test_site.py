"""The docs site is whole: no link leads nowhere, no column, parameter or function is missing."""

import re
from pathlib import Path

import pytest

from docs.code import module_section
from docs.house import modules
from docs.site import build, relative, render, slug
from docs.tables import params_lines
from schemas.stage import row_classes


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    build(folder)
    return folder


def links(page: Path):
    for link in re.findall(r'(?:href|src)="([^"]+)"', page.read_text()):
        if not re.match(r"https?:|mailto:", link):
            yield link.partition("#")


def test_every_link_leads_to_a_page_and_a_place_on_it(site):
    pages = {path.resolve(): path.read_text() for path in site.rglob("*.html")}
    assert len(pages) > 30
    for page in pages:
        for path, _, place in links(page):
            target = (page.parent / path).resolve() if path else page
            assert target.is_file(), f"{page.relative_to(site.resolve())}: {path}"
            assert not place or f'id="{place}"' in pages[target], f"{page.relative_to(site.resolve())}: {path}#{place}"


def test_every_page_but_the_first_is_linked_from_the_menu(site):
    menu = {path for path, _, _ in links(site / "index.html")}
    assert {path.relative_to(site).as_posix() for path in site.rglob("*.html")} <= menu


def test_nothing_is_loaded_from_a_network(site):
    for page in site.rglob("*.html"):
        assert not re.search(r'<script|<link|src="https?:|url\(', page.read_text())


def test_every_column_stands_there_with_its_meaning(site):
    text = (site / "rows.html").read_text()
    for row in row_classes().values():
        assert f'id="{row.__name__}"' in text
        assert all(f"<code>{name}</code>" in text for name in row.model_fields)
    assert "x: what the user typed, cleaned." in text


def test_every_parameter_stands_there_with_its_source(site, root):
    text = (site / "params.html").read_text()
    keys = [key for key, _, _ in params_lines((root / "params.yaml").read_text())]
    assert "dpo.train.learning_rate" in keys
    assert all(f"<code>{key}</code>" in text for key in keys)
    assert "ours: the papers publish none" in text


def test_every_module_stands_there(site):
    text = "".join(path.read_text() for path in (site / "code").glob("*.html"))
    assert [module for module in modules() if f'id="{module}"' not in text] == []


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"docs/a\.md: the link to b\.md leads nowhere"):
        render("[b](b.md)", "docs/a.md", tmp_path)


def test_links_follow_the_pages(tmp_path):
    (tmp_path / "README.md").touch()
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/c.png").touch()
    html, files = render("[home](../README.md#tests) ![c](c.png)", "docs/a.md", tmp_path)
    assert 'href="../index.html#tests"' in html and 'src="c.png"' in html and files == ["docs/c.png"]


def test_a_heading_has_githubs_anchor():
    assert slug("Tests and Pythons: what, `how`") == "tests-and-pythons-what-how"


def test_a_link_between_folders_goes_up():
    assert relative("code/llm.html#a", "docs/rooms/llm.html") == "../../code/llm.html#a"


def test_a_module_shows_its_public_functions_with_signatures_alone(tmp_path):
    path = tmp_path / "m.py"
    path.write_text('"""It is."""\ndef f(x: int) -> str:\n    """Does `x`."""\ndef _g(): ...\nclass A:\n    n: int\n')
    shown = module_section("m.py", path)
    assert "f(x: int) -&gt; str" in shown and "Does <code>x</code>." in shown and "n: int" in shown
    assert "_g" not in shown
