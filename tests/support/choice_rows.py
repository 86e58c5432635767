"""Rows of the page of choices, with figures of a demo."""

from bench.choices_page import Measured


def demo_row(key, value, reward, **more):
    figures = {"kept": 9, "d_text": 3, "d_video": 4, "d_dpo": 7, "reward": [reward, reward - 0.1, reward + 0.1]}
    return Measured(key, value, figures | {"unsafe": 0.1, "failed": 0.05, **more})
