import pytest

from pipeline.text.encodings import find_seven_bit, is_windows_1252

WESTERN = [
    "a dog on the “grass” field", "a café in the rain", "ação e emoção em São Paulo", "«Übung» – größer",
    "“É” and “à”…",
    "Größe über Straße ÄÖÜ", "alfabetet slutar på åäö", "það er hundur á ísnum", "l’été, ÉTÉ, œuvre", "¿qué? ¡olé!",
]  # fmt: skip


@pytest.mark.parametrize("text", WESTERN)
def test_western_text_is_told_as_windows_1252(text):
    assert is_windows_1252(text.encode("cp1252"))


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("a dog on the “grass”", "gb18030"), ("一 dog 你", "gb18030"), ("黄昏时分", "gb18030"), ("犬が走る",
        "shift_jis"),
        ("собака бежит", "cp1251"), ("собака", "koi8-r"), ("개가 달린다", "euc-kr"), ("a “café”", "mac-roman"),

        ("şehir ığdır", "cp1254"), ("İstanbul'da yağmur, güneş ve çocuk", "cp1254"),
        ("café à la carte", "cp437"), ("สุนัข", "tis-620"), ("一只狗", "big5"), ("a dog", "ascii"),
    ],
)  # fmt: skip
def test_other_encodings_are_not(text, encoding):
    assert not is_windows_1252(text.encode(encoding, errors="ignore"))


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("犬が走る", "iso-2022-jp"), ("一只狗在海滩上", "hz"), ("собака бежит по траве", "utf-7"),
        ("ハリネズミが走る", "utf-7"),
        ("a café at night", "utf-7"), ("开始 start", "hz"), ("개가 달린다", "iso-2022-kr"),
    ],
)  # fmt: skip
def test_scripts_hidden_in_ascii_are_seen(text, encoding):
    assert find_seven_bit(b"prompt,id\n" + text.encode(encoding) + b",1\n") == encoding.upper()


@pytest.mark.parametrize(
    "text",
    [
        "a man + a dog",
        "1+1=2",
        "C++ code on a screen",
        "man+dog running",
        "a+portrait+of",
        "+landscape",
        "~{x",
        "\x1b[31mred",
    ],
)
def test_signs_of_a_text_hide_nothing(text):
    assert find_seven_bit(text.encode()) is None
