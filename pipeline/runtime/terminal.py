"""Text that others wrote, on its way to a terminal: what would steer the terminal is shown instead of done."""

import errno
import json
import sqlite3
import unicodedata

import click
import regex

# joiners spell words and emoji; line feeds and tabs are layout
STEERS = regex.compile(r"[[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]--[\n\t\u200c\u200d]]", regex.V1)


def make_visible(text: str) -> str:
    """Return a text with control characters as ^[, and bidi marks, C1 controls and half characters as <U+202E>."""
    return text if text.isascii() and text.isprintable() else STEERS.sub(lambda match: _name(match.group()), text)


def escape_json(text: str) -> str:
    """Return JSON that says the same, with every sign that would steer a terminal as an escape."""
    return STEERS.sub(lambda match: json.dumps(match.group())[1:-1], text)


def _name(sign: str) -> str:
    code = ord(sign)
    if unicodedata.category(sign) == "Cc" and code < 0x80:
        return f"^{chr(code ^ 0x40)}"
    return f"<U+{code:04X}>"


WAYS_OUT = {
    errno.ENOSPC: "make room, then run again",
    errno.EDQUOT: "make room, then run again",
    errno.EFBIG: "raise the limit on a file's size (ulimit -f), then run again",
    errno.EROFS: "make the folder writable, then run again",
    errno.EACCES: "make it yours to read and write, then run again",
    errno.EPERM: "make it yours to read and write, then run again",
    errno.ENOTDIR: "a file stands where a folder should: move it, or set VPO_HOME to another place",
    errno.EIO: "the disk is failing: copy what is left, then run again",
}
"""what a person does about a fault of the file system"""


def explain_os_error(fault: OSError) -> str:
    """Return one line with the file and the way out; "" where nobody knows one."""
    way_out = WAYS_OUT.get(fault.errno or 0)
    if way_out is None:
        return ""
    return f"{fault.filename or 'a file being written'}: {(fault.strerror or '').lower()}: {way_out}; see `vpo doctor`"


class Door(click.Group):
    """A door to commands, whose errors may hold words of models, servers and files."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; show an error's text, whoever wrote it, without letting it steer the terminal."""
        try:
            return super().invoke(ctx)
        except click.ClickException as fault:
            # in place, for a class of its own keeps its exit code and its way to show itself
            vars(fault)["message"] = make_visible(fault.message)
            raise
        except OSError as fault:
            if line := explain_os_error(fault):
                raise click.ClickException(make_visible(line)) from None
            raise
        except sqlite3.Error as fault:
            raise click.ClickException(
                f"$VPO_HOME/store/answers.sqlite: {fault}; `vpo doctor` says what to do, what was stored is kept"
            ) from None
