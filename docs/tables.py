"""HTML tables of what is typed: every column of every row class, and every key of params.yaml with its source."""

import re
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

from pydantic import BaseModel


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return an HTML table; cells are HTML already."""
    lines = ["<table><tr>" + "".join(f"<th>{head}</th>" for head in heads) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows]
    return "\n".join([*lines, "</table>"])


def kind_of(schema: dict[str, Any]) -> str:
    """Return the type of a field of a JSON Schema in words: `text or null`, `list of Answer`, `sft, dpo or test`."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(kind_of(one) for one in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return ", ".join(f"<code>{escape(str(one))}</code>" for one in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        inner = schema.get("items") or {}
        return f"list of {kind_of(inner)}" if inner else "list"
    if schema.get("type") == "object":
        inner = schema.get("additionalProperties")
        return f"mapping to {kind_of(inner)}" if isinstance(inner, dict) else "mapping"
    names = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
    return names.get(schema.get("type", ""), schema.get("type", "any"))


def model_section(name: str, schema: dict[str, Any]) -> str:
    """Return heading, docstring and columns of one class, from its JSON Schema."""
    needed = schema.get("required", ())
    rows = [
        (
            f"<code>{escape(field)}</code>",
            kind_of(about),
            "" if field in needed else f"<code>{escape(str(about.get('default')))}</code>",
            escape(about.get("description", "")),
        )
        for field, about in schema.get("properties", {}).items()
    ]
    about = f"<p>{escape(schema.get('description', ''))}</p>"
    return f'<h2 id="{name}">{name}</h2>{about}' + table(("column", "type", "default", "meaning"), rows)


def rows_page() -> str:
    """Return the page of all row classes, and of those that they hold."""
    from schemas.base import Dropped
    from schemas.queries import QueryDropped
    from schemas.stage import row_classes

    rows: dict[str, type[BaseModel]] = {**row_classes(), "*_dropped": Dropped, "queries_dropped": QueryDropped}
    sections: dict[str, str] = {}
    inner: dict[str, str] = {}
    for row in rows.values():
        schema = row.model_json_schema()
        sections[row.__name__] = model_section(row.__name__, schema)
        inner |= {name: model_section(name, about) for name, about in schema.get("$defs", {}).items()}
    listed = table(
        ("stage", "row"), ((stage, f'<a href="#{row.__name__}">{row.__name__}</a>') for stage, row in rows.items())
    )
    return f"<h1>Rows</h1>{listed}" + "\n".join((sections | inner).values())


def params_lines(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield (key with its sections, value, comment) for each key of params.yaml, in the file's order.

    Values of block lists are joined; a section has no value.
    """
    above: list[tuple[int, str]] = []
    key, value, comment = "", "", ""
    for line in text.splitlines():
        code, _, note = line.partition(" #") if not line.lstrip().startswith("#") else ("", "", "")
        match = re.match(r"( *)([\w.-]+):(?: +(.*))?$", code.rstrip())
        if match is None:
            if code.strip() and key:
                value, comment = f"{value} {code.strip()}".strip(), " ".join((comment, note.strip())).strip()
            continue
        if key:
            yield key, value, comment
        indent = len(match[1])
        above = [one for one in above if one[0] < indent] + [(indent, match[2])]
        key, value, comment = ".".join(name for _, name in above), match[3] or "", note.strip()
    if key:
        yield key, value, comment


def params_page(text: str) -> str:
    """Return the page of params.yaml: its head, and a table to each section."""
    head = [line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#")]
    sections: dict[str, list[tuple[str, str, str]]] = {}
    for key, value, comment in params_lines(text):
        cells = (f"<code>{escape(key)}</code>", f"<code>{escape(value)}</code>" if value else "", escape(comment))
        sections.setdefault(key.split(".")[0], []).append(cells)
    parts = [f"<h1>params.yaml</h1><p>{escape(' '.join(head))}</p>"]
    for section, rows in sections.items():
        parts.append(f'<h2 id="{section}">{section}</h2>' + table(("key", "laptop's value", "source, or why"), rows))
    return "\n".join(parts)
