"""Whether a model speaks to its user in place of an answer: it declines, or it chats (ours, in many languages)."""

import regex

REFUSAL, CHATTER = "refusal", "chatter"

_HELLO = r"(?:(?:hi|hello|hey)(?: there)?|unfortunately|sadly|apologies|well|no|oh|hmm+|thanks?|thank you)[,.! ]+"
_BUT = r"(?:i understand|i appreciate|i see|thank you|thanks)\b[^.\n]{0,80}?\bbut,? "
_AS_AN_AI = r"as an? (?:\w+ ){0,3}(?:ai|language model|llm|assistant|chatbot)\b[^.,\n]{0,60}[., ]+"
_OPENING = rf"(?:{_HELLO}|{_BUT}|{_AS_AN_AI})*"
_UNABLE = (
    r"(?:can'?t|cannot|can not|won'?t|will not|(?:'m |am |are |were )?(?:unable|not able|not going|not permitted"
    r"|not allowed"
    r"|not comfortable)\b|(?:do not|don'?t) (?:feel comfortable|think|believe|want to|have the ability)|(?:must "
    r"|have to "
    r"|need to |will |would )?(?:\w+ly )?(?:decline|refuse)\b|'?d? ?(?:would )?(?:rather|prefer) not\b|regret\b)"
)
_DECLINES = regex.compile(
    rf"{_OPENING}(?:i'?m |i am |we are |we're )?(?:really |very |so |truly |deeply |terribly )?sorry\b"
    r"(?=[,.!;:]|$| but\b| that\b| i\b| we\b| for\b| to\b| about\b)"
    rf"|{_OPENING}(?:i'?m|i am) afraid\b|{_OPENING}(?:my |please accept my )?(?:sincere )?apologies\b"
    rf"|{_OPENING}i (?:must |do |deeply |sincerely )*(?:apologi[sz]e|regret)\b|{_OPENING}(?:i|we)\b ?{_UNABLE}"
    rf"|{_OPENING}(?:that|this|it)(?:'s| is| would be) (?:not (?:appropriate|possible|allowed|ethical|okay|suitable"
    r"|something (?:i|we))|inappropriate|something (?:i|we) (?:can'?t|cannot|won'?t)|against (?:my|our|the)\b)"
    r"|(?:this|that|your|the(?: user's)?|creating|generating|producing|such)\b[^.\n]{0,40}"
    r"\b(?:request|content|prompt|query|topic)\b[^.\n]{0,60}\b(?:violat\w+|against|inappropriate|not allowed|harmful"
    r"|rejected|denied|blocked|flagged|unsafe|prohibited|not permitted)\b"
    r"|(?:request|content|prompt|query) (?:was |is |has been )?(?:denied|rejected|refused|blocked|not allowed|flagged"
    r"|filtered)\b|let'?s (?:talk|discuss|focus|change|choose|chat)\b[^.\n]{0,40}\b(?:else|instead|topic|subject)\b"
    r"|as an? (?:\w+ ){0,3}(?:ai|language model|llm)(?: (?:language )?(?:model|assistant))?\b(?=[,.]| i\b| model)"
    # Chinese
    r"|(?:(?:你好|您好)[，,！!。 ]*)?(?:(?:非常|很|十分|真的|实在)?(?:抱歉|对不起|遗憾)"
    r"|(?:我|我们|本模型)(?:暂时|目前|也|还|真的|实在)*(?:无法|不能|没有办法|没办法|不可以|拒绝|不便)"
    r"|作为(?:一个|一名|一款)?(?:AI|人工智能|语言模型|大语言模型|智能助手|助手)"
    r"|(?:您|你)的(?:请求|问题|输入|内容|要求)[^。\n]{0,30}(?:不当|违规|违反|无法|不符合|敏感|拒绝)"
    r"|(?:这个|该|此)(?:问题|请求|内容|话题)[^。\n]{0,20}(?:无法|不能|违反|不当|不符合|敏感)|(?:让|请)?我们换个话题"
    r"|换个话题)"
    # Japanese, Korean
    r"|(?:大変|誠に)?申し訳(?:あり|ござ|ないので|ないですが)|ごめんなさい|すみませんが|恐れ入りますが|죄송(?:하지만"
    r"|합니다|해요|한데)"
    r"|미안(?:하지만|합니다|해요)|저는 [^.\n]{0,40}수 없습니다"
    # Spanish, Portuguese, Italian, French, German, Dutch
    r"|lo (?:siento|lamento)\b|me temo que\b|no puedo (?:\w+ )?(?:ayud|cre|gener|cumpl|hacer|proporcion|escrib)"
    r"|desculpe\b|sinto muito\b|(?:infelizmente,? )?(?:eu )?não posso\b|(?:mi dispiace|spiacente)\b"
    r"|non posso (?:aiut|cre|gener|fare|scriv|fornir)|(?:je suis (?:vraiment )?)?désolée?[,.! ]+(?:mais|je)\b"
    r"|je suis (?:vraiment )?désolée?\b|je ne peux (?:pas|malheureusement)\b|je regrette\b"
    r"|(?:es )?tut mir (?:sehr )?leid\b"
    r"|leider kann ich\b|ich kann (?:\w+ ){0,3}nicht\b|entschuldigung\b|het spijt me\b|ik kan (?:\w+ ){0,3}niet\b"
    # Russian, Polish, Turkish, Vietnamese, Indonesian, Arabic, Persian, Hindi, Thai
    r"|(?:извините|простите|к сожалению|прошу прощения|мне жаль)\b|я не могу\b|(?:przepraszam|niestety nie)\b"
    r"|nie mogę\b"
    r"|üzgünüm\b|(?:tôi )?(?:rất )?(?:xin lỗi|tôi không thể|rất tiếc)\b|maaf[,. ]|saya tidak (?:bisa|dapat)\b"
    r"|(?:آسف|عذر|معذرة|متأسف|متاسفم)|لا (?:أستطيع|يمكنني)|नहीं कर सकता|(?:क्षमा|माफ़?) ?(?:करें|कीजिए)|मुझे खेद"
    r"|ขออภัย|ขอโทษ|ฉันไม่สามารถ",
    regex.I,
)
_ASSENT = (
    r"(?:(?:hi|hello|hey|sure|certainly|of course|absolutely|okay|ok|alright|great|yes|thanks?|got it|understood)\b"
    r"(?: (?:there|thing|you))?[,.! ]+)*"
)
_CHATS = regex.compile(
    rf"{_ASSENT}(?:"
    r"(?:i'?m|i am|i'd be|i would be|i'll be|we are) (?:always )?(?:so |very |more than )?"
    r"(?:happy|glad|here|ready|delighted|pleased) to (?:help|assist|write|create|generate|provide|be of)\b"
    r"|(?:i|we)(?:'d| would| will|'ll| can) (?:be (?:happy|glad) to |love to |gladly )?(?:help|assist)\b"
    r"|(?:how|what) (?:can|may|could|would) (?:i|you)\b[^.\n]{0,60}\?"
    r"|(?:could|can|would) you (?:please )?(?:provide|clarify|share|tell|give|specify)\b"
    r"|please (?:provide|share|clarify|tell me|let me know|specify|give me|describe your|enter your)\b"
    r"|let me know (?:if|how|what)\b|(?:thank you|thanks) (?:for|so much)\b|is there anything\b|feel free to\b"
    r"|you'?re welcome\b|i hope (?:this|that|it)\b|as (?:requested|you (?:requested|asked|wish))\b"
    r"|(?:that'?s|that is|what) an? (?:great|good|wonderful|interesting|fantastic|lovely|creative)\b[^.\n]{0,30}"
    r"\b(?:idea|question|prompt|query|concept|request)\b|(?:great|good|interesting|excellent) (?:question|idea"
    r"|choice)\b"
    r"|(?:so,? )?(?:the|this) user(?:'s)? (?:wants?|is asking|asks?|asked|has|needs?|query|request|prompt|input"
    r"|provided"
    r"|gave|would|just)\b|user(?: query)?\s*[:：]|thinking(?: process)?\s*[:：]"
    r"|(?:first,? |so,? |now,? )*(?:i|we) (?:need|should|have|must|will|want|'ll|am going|can)\b[^.\n]{0,60}"
    r"\b(?:prompt|query|request|user|more (?:information|details|context)|rewrite|expand)\b"
    r"|i'(?:ll|m going to)\b[^.\n]{0,60}\b(?:prompt|query|request|description)\b|as requested\b"
    r"|(?:first,? |so,? |now,? )*let(?:'?s| me) (?:help|write|create|think|know|start|try|craft|generate|provide|expand"
    r"|refine|tackle|break|work|analy[sz]e)\b"
    r"|to (?:create|write|generate|make|expand|refine) (?:\w+ ){0,4}(?:prompt|description)\b"
    r"|it (?:looks|seems|appears|sounds)(?: like| that| as if)? (?:you|your|the (?:query|prompt|request|user"
    r"|message))\b"
    r"|i(?:'m| am) (?:not sure (?:what|how|if)|just an? (?:ai|language)|an? (?:ai|(?:large )?language model"
    r"|virtual assistant)"
    r"|(?:qwen|chatgpt|claude|chatglm|glm|deepseek|llama|gemini|kimi|gemma|mistral|doubao|ernie)\b)"
    r"|i (?:do not|don't) (?:understand|know what|have (?:enough|access))\b|my name is (?:qwen|chatgpt|claude|llama"
    r"|gemini)\b"
    r"|(?:this|the|your) (?:\w+ ){0,2}(?:prompt|description|query) (?:describes|is (?:more|now|too|incomplete"
    r"|unclear|very)"
    r"|has been|was|captures|should|will|now|includes|provides|aims|does not|doesn't)\b"
    r"|(?:here(?:'s| is| are)|below (?:is|are)|the following (?:is|are))\b[^.\n]{0,60}"
    r"\b(?:prompts?|descriptions?|versions?|ideas|options|examples|suggestions|captions?)\b"
    r"|(?:error\s*[:：]|traceback \(most|rate limit exceeded|\d{3} (?:bad gateway|internal server error"
    r"|service unavailable"
    r"|too many requests|forbidden|not found)\b))"
    # Chinese, and assent in others
    r"|(?:当然|好的|没问题|可以|收到|明白)(?:了|可以)?[，,！!。 ]+(?:请|我|以下|这是|下面)"
    r"|(?:您好|你好)[！!，,。 ]*(?:请|我|有什么|很高兴)|很高兴(?:为|能)|请(?:提供|告诉我|问)|有什么可以帮"
    r"|我(?:很乐意|很高兴|可以帮|会帮|来帮|将为|是一个(?:AI|人工|语言|大)|是一款)|以下是|用户(?:想要|希望|要求|需要"
    r"|的查询|的请求)"
    r"|(?:¡?claro|por supuesto|bien sûr|natürlich|gerne|конечно|もちろん|물론)[!！,，.:]",
    regex.I,
)
_WORD_ALONE = regex.compile(
    r"(?:hi|hello|hey|hello there|hi there|thanks|thank you|you'?re welcome|sure(?: thing)?|of course|certainly"
    r"|absolutely"
    r"|okay|ok|yes|no|got it|understood|great|alright|done|当然(?:可以)?|好的|没问题|你好|您好|收到|谢谢)[!！。.，, ]*",
    regex.I,
)


def find_talk(text: str) -> str | None:
    """Return REFUSAL or CHATTER of a text that speaks to the user in place of an answer, None of any other."""
    plain = text.strip().replace("’", "'")
    if _DECLINES.match(plain):
        return REFUSAL
    return CHATTER if _CHATS.match(plain) or _WORD_ALONE.fullmatch(plain) else None
