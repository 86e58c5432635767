"""Faults of the room runtime."""

from bench.named_faults.fault import Fault

FAULTS = [
    Fault("store: what was spent replaces what was spent before", "pipeline/runtime/store.py",
          "usd = usd + excluded.usd", "usd = excluded.usd"),
    Fault("files: not synced before they take a place", "pipeline/runtime/io.py",
          'with temporary.open("rb") as file:\n            sync(file.fileno())\n        os.replace',
          "os.replace", "tests/pipeline/runtime/test_io.py"),
    Fault("files: copied into their place, not renamed", "pipeline/runtime/io.py",
          "        os.replace(temporary, path)\n", "        shutil.copyfile(temporary, path)\n",
          "tests/pipeline/runtime/test_io.py"),
    Fault("files: written in place", "pipeline/runtime/io.py",
          '    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")\n', "    temporary = path\n"),
    Fault("folders: not synced before they take a place", "pipeline/runtime/io.py",
          'with (temporary / name).open("rb") as file:\n                sync(file.fileno())', "pass"),
    Fault("store: a key that is taken is overwritten", "pipeline/runtime/store.py",
          'insert = "insert or ignore into answers', 'insert = "insert or replace into answers'),
    Fault("store: a failed transaction stays half", "pipeline/runtime/store.py",
          'self.connection.execute("rollback")', 'self.connection.execute("commit")'),
    Fault("locks: two runs write one output", "pipeline/runtime/locks.py", "fcntl.LOCK_EX", "fcntl.LOCK_SH"),
    Fault("stage: rows that vanish are not noticed", "pipeline/runtime/stage_output.py",
          "            writer.refuse_losses(out)\n", ""),
    Fault("stage: two runs write one output", "pipeline/runtime/stage_output.py",
          "    with hold_lock(out):\n        for stale", "    with contextlib.nullcontext():\n        for stale"),
]  # fmt: skip
