from pathlib import Path

from train.curve import curve_path, read_curve, summarize_curve, write_curve

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


NAMES = {
    "step": "step", "epoch": "epoch", "loss": "loss", "learning_rate": "learning_rate", "grad_norm": "grad_norm",
    "mean_token_accuracy": "token_accuracy", "entropy": "entropy", "rewards/margins": "margin",
    "rewards/accuracies": "accuracy", "rewards/chosen": "reward_chosen", "rewards/rejected": "reward_rejected",
    "logps/chosen": "log_prob_chosen", "logps/rejected": "log_prob_rejected",
}  # fmt: skip
"""the trainer's name -> our column"""


def test_every_column_is_the_trainers_own_and_a_step_without_a_value_leaves_it_empty(tmp_path):
    whole = {name: number for number, name in enumerate(NAMES)} | {"num_tokens": 9}
    steps = read_curve([whole, {"step": 2, "loss": 0.1}])
    assert steps[0] == {ours: number for number, ours in enumerate(NAMES.values())}
    assert steps[1] == dict.fromkeys(NAMES.values()) | {"step": 2, "loss": 0.1}
    write_curve(tmp_path / "c.csv", steps)
    assert (tmp_path / "c.csv").read_text().splitlines()[2] == "2,,0.1" + "," * 10


def test_a_training_without_a_step_has_a_head_alone_and_no_loss(tmp_path):
    write_curve(tmp_path / "c.csv", [])
    assert (tmp_path / "c.csv").read_text() == ",".join(NAMES.values()) + "\n"
    assert summarize_curve([]) == {"steps": 0, "first_loss": None, "last_loss": None, "mean_loss": None}


def test_a_curve_lies_beside_the_metrics_of_its_model():
    assert curve_path(Path("data/models/dpo/arm")) == Path("results/models/dpo/arm_curve.csv")
