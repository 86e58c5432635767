"""Faults of the room schemas."""

from bench.named_faults.fault import Fault

FAULTS = [
    Fault("ids: parts of an id run together", "schemas/base.py",
          'encoded = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))',
          'encoded = "".join(map(str, parts))'),
    Fault("ids: the order of a dict's keys is in its id", "schemas/base.py", "json.dumps(parts, sort_keys=True, ",
          "json.dumps(parts, "),
    Fault("ids: a pair's id forgets its source", "schemas/base.py",
          "(self.query_id, self.chosen, self.rejected, self.source)", "(self.query_id, self.chosen, self.rejected)"),
]  # fmt: skip
