"""An alias is not a model: which snapshot answers under a name, and what a change of it does to a run (ours).

A host moves an alias to another snapshot whenever it likes, and names the snapshot in each reply. The newest that has
replied is kept in the store beside the money of its account; `teacher.on_snapshot_change` decides what a change means.
"""

from collections.abc import Mapping
from typing import Any, Literal

import click

from pipeline.llm.calls.answers import is_whole
from pipeline.runtime.store import Store
from pipeline.runtime.terminal import make_visible

Rule = Literal["stop", "new", "mix"]


class Snapshots:
    """What answers under `model` on one account; with `rule` None nobody looks."""

    def __init__(self, store: Store, account: str, model: str, rule: Rule | None):
        self.store, self.account, self.model, self.rule = store, account, model, rule
        self.newest = store.read_snapshot(account) if rule else None
        self.revisions: dict[str, str] = {}
        """key -> snapshot of what is asked anew; part of the key and of the request that is kept"""
        self.is_kept, self.is_mix_told = self.newest is not None, False

    def is_of_another(self, stored: Mapping[str, Any]) -> bool:
        """Return whether a stored answer is of another snapshot than the newest that has replied."""
        snapshot = read_snapshot(stored) if self.rule else ""
        if snapshot and self.newest is None:
            self.newest = snapshot
        return bool(snapshot) and snapshot != self.newest

    def take_stored(self, stored: Mapping[str, Any]) -> str | None:
        """Return why a stored answer of another snapshot ends the run; None where both are used."""
        return self._decide(read_snapshot(stored), self.newest or "")

    def take_reply(self, stored: Mapping[str, Any]) -> str | None:
        """Note what has just replied; return why that ends the run, None where it goes on."""
        snapshot, before = read_snapshot(stored) if self.rule else "", self.newest
        if not snapshot or (snapshot == before and self.is_kept):
            return None
        self.newest, self.is_kept = snapshot, True
        self.store.keep_snapshot(self.account, snapshot)
        if snapshot == before:
            return None
        return self._decide(before, snapshot) if before else None

    def _decide(self, stored: str, replying: str) -> str | None:
        change = f"{self.model} answers as {replying} now, and stored answers are of {stored}"
        if self.rule == "new":
            return f"{change}; run again: those are bought anew of {replying}, since on_snapshot_change is new"
        if self.rule == "mix":
            if not self.is_mix_told:
                self.is_mix_told = True
                click.echo(make_visible(f"  {change}: both are used, since on_snapshot_change is mix"), err=True)
            return None
        return (
            f"{change}: rows of two models would stand side by side; name a dated snapshot as model, or set "
            "on_snapshot_change to new (buy the others anew) or mix (use both); answers so far are kept"
        )


def read_snapshot(stored: Mapping[str, Any]) -> str:
    """Return the model that an answer names, "" where it names none."""
    body = stored.get("body") if stored.get("status") == 200 else None
    model = body.get("model") if isinstance(body, Mapping) else None
    return model if isinstance(model, str) and is_whole(model) else ""
