"""Words that a model puts around its answer: a label before it, the question once more, a closing remark (ours)."""

import regex

_KIND = (
    r"(?:final|refined|revised|optimi[sz]ed|enhanced|improved|rewritten|expanded|detailed|upsampled|new|updated|better"
    r"|suggested|complete|english)"
)
_NAME = (
    rf"(?:(?:the|my|your|an?)[ \t]+)?(?:{_KIND}[ \t]+){{0,3}}(?:(?:text[\s-]to[\s-]video|t2v|text)[ \t]+)?(?:ai[ \t]+)?"
    r"(?:video[\s_-]*)?(?:generation[ \t]+)?"
    r"(?:prompts?|descriptions?|captions?|outputs?|answers?|responses?|versions?|rewrites?|completions?)"
    r"(?:[ \t]*(?:\#?\d{1,2}|\(english\)|\(\d{1,2}\)))?"
)
_OTHER_NAMES = (
    r"(?:优化|改写|最终|视频|生成|完整|英文|润色|后的?|的)*(?:提示词|提示语|提示|描述|输出|回答|答案)|视频(?:文案|脚本)"
    r"|(?:動画|ビデオ|映像|生成|最終|改善|用|の)*プロンプト|(?:최종|비디오|영상|동영상|개선된|[ \t])*프롬프트"
    r"|(?:le |el |il |o )?prompt[ \t]+(?:vidéo|(?:de |do |del |para |per |pour )?(?:la |le |el |o )?v[ií]deo|final"
    r"|finale|amélioré|mejorado)"
    r"|(?:видео[- ]?)?промпт|(?:verbesserter |finaler )?(?:video[- ]?)?prompt"
)
_REWRITTEN = r"(?:rewritten|refined|revised|enhanced|improved|optimi[sz]ed|expanded|upsampled)"
_ANSWER = rf"(?:{_NAME}|{_REWRITTEN}|{_OTHER_NAMES}|assistant|chatbot)"
# these may begin a film too, and are labels in bold alone
_IN_BOLD = rf"(?:{_KIND}|video|model|ai|bot)"
_MARKS = r"[\s*_#>\"'“`~=\-]{0,8}"
_SURE = (
    r"(?:(?:sure|certainly|of course|absolutely|okay|ok|great|yes|understood|got it)\b(?:\s+thing)?[!,.:]*\s+)?"
    r"(?:(?:and\s+)?here you (?:go|are)[!,.:]*\s+)?"
)
_PICTURES = r"(?:\p{So}[\p{So}\ufe0f\u200d\s]*)?"
_LABEL = regex.compile(
    rf"^{_PICTURES}{_SURE}{_ANSWER}\s*[:：]\s*|^{_PICTURES}{_NAME}\s+(?:is|reads|would be)(?: as follows)?\s*[:：]\s*"
    rf"|^{_NAME}\s*=\s*(?=[\"'“])|^(?:video|refined|final)[ \t]+prompt\s*;\s*|^prompt\s+[-–—]\s+"
    rf"|^{_SURE}[\[(【《]\s*(?:{_NAME}|{_OTHER_NAMES})\s*[\])】》]\s*[:：]?\s*"
    r"|^(?:video|refined|final)[ \t]+prompt\s+[-–—]\s+"
    rf"|^{_SURE}(?:here(?:'s|’s|\s+is|\s+are)|below\s+is|this\s+is|the\s+following\s+is)\b[^:：\n.]{{0,100}}"
    r"\b(?:prompt|description|version|caption)s?\b[^:：\n.]{0,60}[:：]\s*"
    r"|^(?:(?:好的|当然|没问题|可以)[，,！!。]\s*)?(?:以下|下面|这)(?:是|为)"
    r"(?:[^:：\n。]{0,40}(?:提示词|提示|描述|版本|文案|脚本|结果|回答|答案|输出|内容|prompt)[^:：\n。]{0,10})?[:：]\s*",
    regex.I,
)
_ALONE = regex.compile(
    rf"^{_PICTURES}{_MARKS}(?:{_NAME}|{_OTHER_NAMES}){_MARKS}[.:：;]?{_MARKS}\n+"
    rf"|^{_PICTURES}[\s#>]*\*\*\s*{_IN_BOLD}\s*(?:[:：]\s*\*\*|\*\*\s*[:：])\s*|^{_MARKS}{_IN_BOLD}{_MARKS}[:：]{_MARKS}\n+",
    regex.I,
)
_SURE_ALONE = regex.compile(
    r"^(?:sure|certainly|of course|absolutely|okay|ok|got it|understood)(?: thing)?"
    r"(?:\s*[!.]+\s+|(?<!ok|okay)\s*:\s+|\s*,\s+(?=here\b|this is\b|(?-i:\p{Lu})|(?:an?|the|in|on|at|with|as|two"
    r"|three)\b))"
    r"(?:(?:and )?here you (?:go|are)\s*[!:.,]+\s*)?(?=\S)",
    regex.I,
)
_ASKED = (
    r"(?:(?:user(?:'s)?|original|input|given|the|short)[ \t]+)*(?:query|input|request|user|human|question|instruction)"
)
_THOUGHT = r"(?:thinking(?: process)?|thoughts?|reasoning|analysis|reflection|step[- ]by[- ]step)[^\n:：]{0,60}"
# the question, or thinking without its tags, up to the last label behind it
_ECHO = regex.compile(
    rf"^{_MARKS}(?:{_ASKED}|{_THOUGHT}){_MARKS}[:：].*\n(?={_MARKS}{_ANSWER}{_MARKS}[:：])", regex.I | regex.S
)
# the question in a line of its own, or word that the model thinks
_ASKED_ALONE = regex.compile(
    rf"^{_MARKS}(?:(?:user(?:'s)?|original|input|given|short)[ \t]+)*(?:query|input|request"
    rf"|user){_MARKS}[:：][^\n]*\n+(?=\s*\S)"
    r"|^\s*thinking\.\.\..*?\.\.\.\s*done thinking\.?\s*"
    r"|^\s*(?:thinking|generating|processing|working|let me think|hmm+)[ \t]*(?:\.{2,}|…)\s*\n+(?=\s*\S)",
    regex.I | regex.S,
)
# a conversation without its tokens, as a server sends it that leaves them out
_BARE_TURNS = regex.compile(r"^\s*(?:system|user)[ \t]*\n.*\n(?:assistant|model)[ \t]*\n", regex.S)
_BARE_NEXT_TURN = regex.compile(r"(?<=\S)\s*\n(?:assistant|user|system|model)[ \t]*(?:\n.*)?$", regex.S)
_NEXT_TURN = regex.compile(
    rf"(?<=\S)(?:\n{_MARKS}(?:{_ASKED}|assistant|system){_MARKS}[:：]"
    r"|\s*#{2,}\s*(?:user|human|assistant|system|instruction|input|response|query|end)\b).*$",
    regex.I | regex.S,
)
_CLOSING = regex.compile(
    r"(?<=\S)\n\s*[*_(]{0,3}(?:(?:please )?note\b\s*[:：]|notes\s*[:：]|i hope (?:this|it|that)\b"
    r"|(?:please )?let me know\b"
    r"|(?:please )?feel free\b|would you like\b|do you (?:want|need)\b|explanation\s*[:：]|is there anything\b"
    r"|this (?:\w+ ){0,2}(?:prompt|description|version)\b|the (?:refined|enhanced|revised|expanded|above)\b[^\n]{0,40}"
    r"\bprompt\b|(?:if you|should you) (?:need|want|have|would)\b|word count\b|注[:：]|希望(?:这|能|对)|如(?:果您"
    r"|有)).*$",
    regex.I | regex.S,
)


_CLOSING_IN_LINE = regex.compile(
    r"(?<=[.!?。！？\"”)])\s+(?:i hope (?:this|it|that) (?:helps|works|meets|suits)\b"
    r"|(?:please )?let me know (?:if|how|what)\b"
    r"|(?:please )?feel free to (?:let|ask|adjust|modify|change)\b|would you like me\b|is there anything else\b"
    r"|enjoy!+\s*$).*$|(?<=[.!?。！？\"”])\s*\(\s*(?:note|nb|word count)\s*[:：][^()]*\)\s*$",
    regex.I | regex.S,
)


def strip_echoes(text: str) -> str:
    """Return a text of lines without the question or thinking before a label, further turns and a closing remark."""
    text = _BARE_NEXT_TURN.sub("", _BARE_TURNS.sub("", text))
    text = _NEXT_TURN.sub("", _ASKED_ALONE.sub("", _ECHO.sub("", text))).strip()
    return _ALONE.sub("", _CLOSING_IN_LINE.sub("", _CLOSING.sub("", text)).strip())


def strip_label(text: str) -> str:
    """Return a text in one line without a label or an assent before it."""
    return _SURE_ALONE.sub("", _LABEL.sub("", text))
