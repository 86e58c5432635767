"""Figures of equal inputs have equal bytes."""

from pipeline.runtime.pyplot import pyplot, save_figure


def draw(path, heights=(1, 2)):
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(1, 1))
    axis.plot(heights)
    axis.set_title("\u72d7")
    save_figure(figure, path)
    return path.read_bytes()


def test_equal_figures_have_equal_bytes_whatever_was_set_before(tmp_path):
    first = draw(tmp_path / "a.png")
    pyplot().rcParams["lines.linewidth"] = 9
    assert draw(tmp_path / "b.png") == first
    assert draw(tmp_path / "c.png", (2, 1)) != first


def test_a_saved_figure_is_closed(tmp_path):
    before = pyplot().get_fignums()
    draw(tmp_path / "a.png")
    assert pyplot().get_fignums() == before
