from pipeline.runtime.pyplot import open_pyplot, save_figure


def test_equal_figures_have_equal_bytes_whatever_a_person_has_set(tmp_path):
    plt = open_pyplot()
    plt.close("all")  # what other tests left open
    contents = []
    for name in ("one.png", "two.png"):
        plt = open_pyplot()
        figure, axes = plt.subplots()
        axes.plot([1, 2])
        save_figure(figure, tmp_path / name)
        contents.append((tmp_path / name).read_bytes())
        plt.rcParams["lines.linewidth"] = 9
    plt.rcdefaults()
    assert contents[0] == contents[1]
    assert plt.get_fignums() == []
