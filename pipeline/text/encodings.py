"""Which encoding the bytes of a text may have that is not UTF-8, so that the advice on how to convert it is right."""

import base64
import unicodedata

import regex

ESCAPED = regex.compile(rb"\x1b\$[@AB]|\x1b\$\(D")
"""ISO-2022-JP: Japanese in bytes of ASCII"""
ESCAPED_KR = regex.compile(rb"\x1b\$\)C")
TILDED = regex.compile(rb"~\{(?:[\x21-\x7e]{2})+~\}")
"""HZ: Chinese in bytes of ASCII"""
PLUSSED = regex.compile(rb"\+([A-Za-z0-9+/]{2,})(?:-|(?=[^A-Za-z0-9+/])|$)")
"""UTF-7: what is no ASCII as the base64 of its UTF-16"""
LEAST_UNITS = 4
"""signs beyond Latin that have to come out before a text counts as UTF-7. Ours"""

JAPANESE = {"HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "CJK"}

# what windows-1252 holds, as text of Western Europe uses it: an accent in a word's case, quotes and dashes around words
ODD_IN_WESTERN = regex.compile(r"[a-zß-ÿ][À-ÖØ-ÞŠŒŽŸ‚„ƒˆ]|[\x81\x8d\x8f\x90\x9d]")
BEYOND_ASCII = regex.compile(r"[\x80-\uffff]+")
TURKISH_OR_ICELANDIC = regex.compile("[þðýÞÐÝ]")
"""windows-1254 has ş, ğ, ı and their capitals at their places"""
ICELANDIC_ALONE = regex.compile("[áíóúæÁÍÓÚÆ]")
"""letters of those that write þ, ð or ý which Turkish does without"""
_LETTERS = r"(?:[ß-öø-ÿœ]{1,2}|[À-ÖØ-ÞŒ]{1,2}|[äöüß]{3}|[ÄÖÜ]{3}|åäö|ÅÄÖ|æøå|ÆØÅ)"
COMMON_RUN = regex.compile(rf"[^\x80-\x9f]|[“‘„«¿¡’–—\u00a0…]{{0,2}}{_LETTERS}?[’”»…–—\u00a0]{{0,2}}")
"""a sign alone, or between opening and closing signs a letter or two of one case, or an alphabet's own three"""


def is_windows_1252(line: bytes) -> bool:
    """Return whether a line is likely Western European text in windows-1252 (as Latin-1 is but for its quotes)."""
    text = line.decode("cp1252", errors="replace")
    runs = BEYOND_ASCII.findall(text)
    if not runs or "\ufffd" in text or ODD_IN_WESTERN.search(text):
        return False
    if TURKISH_OR_ICELANDIC.search(text) and not ICELANDIC_ALONE.search(text):
        return False
    return all(COMMON_RUN.fullmatch(run) for run in runs)


def find_seven_bit(sample: bytes) -> str | None:
    """Return the encoding that hides other scripts in bytes of ASCII, None for bytes that are what they look like."""
    if ESCAPED_KR.search(sample):
        return "ISO-2022-KR"
    if ESCAPED.search(sample):
        return "ISO-2022-JP"
    if TILDED.search(sample):
        return "HZ"
    return "UTF-7" if sample.isascii() and _is_utf7(PLUSSED.findall(sample)) else None


def _is_utf7(groups: list[bytes]) -> bool:
    decoded = [_decode_group(group) for group in groups]
    whole = [signs for signs in decoded if signs]
    if not whole or len(whole) < len(decoded):
        return False
    if any(all(sign < "\u0370" or "\u2010" <= sign < "\u2040" for sign in signs) for signs in whole):
        return True
    return all(_is_of_one_script(signs) for signs in whole) and sum(map(len, whole)) >= LEAST_UNITS


def _is_of_one_script(signs: str) -> bool:
    names = {unicodedata.name(sign, "").partition(" ")[0] for sign in signs if sign.isalpha()} - {"LATIN"}
    return len(names) <= 1 or names <= JAPANESE


def _decode_group(group: bytes) -> str | None:
    """Return the signs of a group of UTF-7, None where it is no such group."""
    rest = len(group) * 6 % 16
    padded = group + b"A" * (-len(group) % 4)
    content = base64.b64decode(padded)[: len(group) * 6 // 16 * 2]
    last = int.from_bytes(base64.b64decode(padded), "big") >> (len(padded) - len(group)) * 6 & (1 << rest) - 1
    if rest >= 6 or last:
        return None
    try:
        text = content.decode("utf-16-be")
    except UnicodeDecodeError:
        return None
    return text if text and all(unicodedata.category(sign) not in ("Cn", "Co", "Cc") for sign in text) else None
