"""The backend of yes-or-no models over a tiny scorer's folder."""

from pipeline.backends.reward.yes_no import YesNo


def loaded(folder, batch_size: int = 4) -> YesNo:
    return YesNo(str(folder), None, None, batch_size)
