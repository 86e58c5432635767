from train.curve import read_curve, summarize_curve, write_curve

HISTORY = [
    {"step": 1, "epoch": 0.5, "loss": 0.7, "learning_rate": 0.0, "grad_norm": 2.0, "rewards/margins": 0.0},
    {"step": 2, "epoch": 1.0, "loss": 0.5, "learning_rate": 0.1, "grad_norm": 1.0, "rewards/margins": 0.3},
    {"step": 2, "train_runtime": 12.3, "train_loss": 0.6},
]


def test_a_line_a_step_and_nothing_of_what_differs_from_run_to_run(tmp_path):
    write_curve(tmp_path / "c.csv", read_curve(HISTORY))
    assert (tmp_path / "c.csv").read_text().splitlines() == [
        "step,epoch,loss,learning_rate,grad_norm,margin", "1,0.5,0.7,0.0,2.0,0.0", "2,1.0,0.5,0.1,1.0,0.3",
    ]  # fmt: skip


def test_the_metrics_say_where_the_loss_began_and_ended():
    assert summarize_curve(read_curve(HISTORY)) == {"steps": 2, "first_loss": 0.7, "last_loss": 0.5, "mean_loss": 0.6}
    assert summarize_curve([])["steps"] == 0
