"""Faults drawn from a module's own syntax: a comparison flipped, a keyword left out, a slice off by one, ...

What no test should pin is left out: prose, types, command-line descriptions, wording of errors, progress, and how much
is done at once. A site is drawn by kind first, so that a module full of constants has other faults too.
"""

import ast
import random
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
OPPOSITES = COMPARISONS | {ast.Lt: ast.Gt, ast.LtE: ast.Gt, ast.Gt: ast.Lt, ast.GtE: ast.Lt}
INEXACT = re.compile(r"time|monotonic|_s\b|_S\b|clock|\bnow\b|until|deviation|spread")
ARITHMETIC = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.FloorDiv: ast.Mult, ast.Pow: ast.Mult}
EXCHANGED = {"min": "max", "max": "min", "any": "all", "all": "any"}
TALK = re.compile(r"echo|secho|print|warn|say|note|explain|progress|status|describe|Field|option|argument|format|fold")
"""Calls whose arguments are words for people."""
LONG = 40
"""A text that is cut behind so many characters is cut for people."""
TENDING = re.compile(
    r"need_|one_thread|keep_freed|hide_|quiet|close|cancel|super|setflags|gc\.|flush|discard|clear|bar"
)
"""Steps that spare memory, warn early or tidy up."""
QUIET = re.compile(
    r"(?i)encoding|errors|newline|flush|strict|help|description|detail|label|title|color|style|width|indent|dpi|fig"
    r"|timeout|batch_size|buffer|chunk|workers|thread|daemon|name$|exist_ok|parents|capture_output|text|ignore_errors"
    r"|missing_ok|stacklevel|cache|maxsize|inline|nogil|fastmath|frozen|slots|disable|metavar|unit|check$|cwd|repr|level"
    r"|counting|typ$|default$|default_factory|compression|row_group|page_index|_at_once|block|rows_a|room_s|poll|pause|wait"
)
"""Names of what is for people, for speed, or that Python and a linter hold."""
CUSTOMARY = re.compile(
    r"^(?!LEASE_S|PATIENCE_S|ABANDONED_S|ROOM_S)(ROOT|HERE|STAGE|TALLY|MEND|.*(BATCH|BLOCK|CHUNK|BYTES|_S|WAIT|PAUSE|WIDTH|SIZE|EVERY|GROUP|MARGIN))$"
)
"""Constants of speed and layout; on those that are left out no money may hang."""
SPARING = re.compile(r"^(keep_freed_memory|hide_noise|use_one_thread)$")
"""Functions that spare memory or quiet a library: no output is another without them."""


class Mutation(NamedTuple):
    """One stretch of a source file, in bytes, and what takes its place."""

    line: int
    kind: str
    start: int
    end: int
    new: str

    def apply(self, source: bytes) -> bytes:
        return source[: self.start] + self.new.encode() + source[self.end :]


class Sites(ast.NodeVisitor):
    """Collects what may be changed in a source file."""

    def __init__(self, source: bytes):
        self.found: list[Mutation] = []
        self.begins = [0]
        for line in source.splitlines(keepends=True):
            self.begins.append(self.begins[-1] + len(line))
        self.visit(ast.parse(source))

    def place(self, node: ast.AST) -> tuple[int, int]:
        return (
            self.begins[node.lineno - 1] + node.col_offset,
            self.begins[node.end_lineno - 1] + node.end_col_offset,
        )

    def add(self, kind: str, node: ast.AST, new: ast.AST | str) -> None:
        start, end = self.place(node)
        text = (
            new if isinstance(new, str) else f"({ast.unparse(new)})" if isinstance(new, ast.expr) else ast.unparse(new)
        )
        self.found.append(Mutation(node.lineno, kind, start, end, text))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if SPARING.search(node.name):
            return
        for default in (*node.args.defaults, *(one for one in node.args.kw_defaults if one)):
            self.visit(default)
        for statement in node.body:
            self.visit(statement)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for statement in node.body:
            self.visit(statement)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value and not (isinstance(node.target, ast.Name) and CUSTOMARY.search(node.target.id)):
            self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        names = [one.id for one in ast.walk(node.targets[0]) if isinstance(one, ast.Name)]
        if not any(CUSTOMARY.search(name) for name in names):
            self.visit(node.value)

    def visit_Import(self, node: ast.AST) -> None:
        """What is imported, raised, asserted or put into words is no site."""

    visit_ImportFrom = visit_Raise = visit_Assert = visit_JoinedStr = visit_Import

    def visit_Expr(self, node: ast.Expr) -> None:
        call = node.value.value if isinstance(node.value, ast.Await) else node.value
        if isinstance(call, ast.Constant):
            return
        if isinstance(call, ast.Call):
            if TALK.search(name := ast.unparse(call.func)):
                return
            if not TENDING.search(name):
                self.add("step left out", node, "pass")
        self.visit(node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if not isinstance(node.value, ast.Constant | ast.JoinedStr) or isinstance(
            getattr(node.value, "value", ""), int
        ):
            self.add("step left out", node, "pass")
        self.visit(node.value)

    def visit_If(self, node: ast.If) -> None:
        test = ast.unparse(node.test)
        if "TYPE_CHECKING" in test or "__name__" in test or "isatty" in test:
            return
        self.add("condition negated", node.test, ast.UnaryOp(ast.Not(), node.test))
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.add("branches exchanged", node, ast.IfExp(node.test, node.orelse, node.body))
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self.add("filter left out", test, "True")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        # of measured numbers and clocks no test can tell < from <=
        inexact = any(isinstance(getattr(one, "value", None), float) for one in ast.walk(node))
        table = OPPOSITES if inexact or INEXACT.search(ast.unparse(node)) else COMPARISONS
        if other := table.get(type(node.ops[0])):
            self.add("comparison", node, ast.Compare(node.left, [other(), *node.ops[1:]], node.comparators))
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        words = any(
            isinstance(one, ast.JoinedStr | ast.List | ast.Tuple) or isinstance(getattr(one, "value", 0), str)
            for one in ast.walk(node)
        )
        if (other := ARITHMETIC.get(type(node.op))) and not words:
            self.add("arithmetic", node, ast.BinOp(node.left, other(), node.right))
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        self.add("and, or", node, ast.BoolOp(other, node.values))
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self.add("not left out", node, node.operand)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self.add("constant", node, str(not node.value))
        elif isinstance(node.value, int | float) and abs(node.value) < 1e6:
            self.add("constant", node, repr(node.value + 1 if isinstance(node.value, int) else node.value * 2 or 1.0))

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if isinstance(node.slice, ast.Slice):
            for name in ("lower", "upper"):
                bound = getattr(node.slice, name)
                long = isinstance(getattr(bound, "value", None), int) and bound.value >= LONG
                if bound is not None and not long and not QUIET.search(ast.unparse(bound)):
                    self.add("slice", bound, ast.BinOp(bound, ast.Add(), ast.Constant(1)))
            self.visit(node.value)
        else:
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = ast.unparse(node.func).rpartition(".")[2]
        if re.search(r"click|TypeVar", ast.unparse(node.func)):
            return
        kept = [one for one in node.keywords if one.arg is None or not QUIET.search(one.arg)]
        if not TALK.search(name) or name == "Field":
            for keyword in kept:
                if keyword.arg is not None and not isinstance(keyword.value, ast.JoinedStr):
                    others = [one for one in node.keywords if one is not keyword]
                    self.add(f"keyword {keyword.arg} left out", node, ast.Call(node.func, node.args, others))
        if name == "sorted" and not any(one.arg == "reverse" for one in node.keywords):
            turned = [*node.keywords, ast.keyword("reverse", ast.Constant(True))]
            self.add("order turned", node, ast.Call(node.func, node.args, turned))
        if isinstance(node.func, ast.Name) and name in EXCHANGED:
            self.add("min, max, any, all", node.func, EXCHANGED[name])
        self.visit(node.func)
        if not TALK.search(name):
            for argument in node.args:
                self.visit(argument)
            for keyword in kept:
                self.visit(keyword.value)

    def visit_Continue(self, node: ast.Continue) -> None:
        self.add("loop left", node, "break")


def mutations(source: bytes) -> list[Mutation]:
    """Return every fault that may be planted in a source file, in its order."""
    return Sites(source).found


def draw(source: bytes, seed: str) -> Iterator[Mutation]:
    """Yield the faults of a source file in a drawn order: each time a kind first, then a site of it."""
    by_kind = defaultdict(list)
    for one in mutations(source):
        by_kind[one.kind.partition(" ")[0]].append(one)
    drawn = random.Random(seed)
    for sites in by_kind.values():
        drawn.shuffle(sites)
    while by_kind:
        kind = drawn.choice(sorted(by_kind))
        yield by_kind[kind].pop()
        if not by_kind[kind]:
            del by_kind[kind]
