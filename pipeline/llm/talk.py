"""Whether a model speaks to its user in place of an answer: it declines, or it chats (ours, in many languages)."""

import regex

REFUSAL, CHATTER = "refusal", "chatter"

_THEN = r"(?:\s*[,.!;:…—–-]+\s*|\s+)"
_END = r"(?=\s*(?:[,.!?;:…—–。，！？、،؛।]|-\s|$))"
_HELLO = (
    r"(?:(?:hi|hello|hey)(?: there)?|unfortunately|sadly|regrettably|alas|however|apologies|well|no|nope|oh|oops|whoops"
    rf"|ugh|uh|um|hmm+|wait|okay|ok|thanks?|thank you|(?:i'?m |i am )?(?:so |very |really )?sorry){_THEN}"
)
_BUT = (
    r"(?:i understand|i appreciate|i see|i know|i realize|thank you|thanks)\b[^.\n]{0,80}?[,.;:—–]?\s*"
    r"\b(?:but|however|unfortunately|yet)\b[,:]? "
)
_AS_AN_AI = r"as an? (?:\w+ ){0,3}(?:ai|language model|llm|assistant|chatbot)\b[^.,\n]{0,60}[., ]+"
_OPENING = rf"(?:{_HELLO}|{_BUT}|{_AS_AN_AI})*"
_ADVERB = r"(?: (?:\w+ly|just|also|still|do|so|must|in good conscience,?))*"
_CANNOT = (
    r"(?:can't|cant|cannot|can not|won't|will not|shouldn't|should not|couldn't|could not|must not|mustn't"
    rf"|(?:(?:'m|am|'re|are|were){_ADVERB} )?(?:unable to|not able to|not going to|not allowed to)"
    r"|(?:do not|don't)(?: want to)?|(?:'d|would) (?:rather|prefer) not(?: to)?"
    rf"|(?:will |would )?(?:\w+ly )?(?:decline|refuse)(?: to)?)"
)
# what a model is asked to do; the second may be done in a film too, and needs what it is done to
_SERVICE = (
    r"(?:help(?! (?:but|myself|it|(?!creating|generating|writing|producing|making)\w+ing)\b)|assist|create|generate"
    r"|produce|provide|comply|fulfil+|respond|process|proceed|engage|participate|accommodate|facilitate|discuss|depict"
    r"|describe|compose|expand on|rewrite|refine|optimi[sz]e|promote|encourage|endorse|cooperate|oblige|be of)\b"
)
_OBJECT = (
    r"\b(?:that|this|such|request|content|prompt|query|video|image|advice|information|anything|material|topic|guidelines"
    r"|polic(?:y|ies)|explicit|inappropriate|what you (?:ask|want|request))\b"
)
_OTHER_SERVICE = (
    r"(?:write|make|do|show|give|offer|share|support|answer|continue|complete|satisfy|accept|draw|craft|recommend|suggest"
    rf"|expand|handle|entertain|translate|talk|allow|access|grant)\b[^.,;:\n]{{0,60}}{_OBJECT}"
    r"(?! (?:anymore|any more|alone|again|without)\b)"
)
_UNABLE = (
    rf"(?:{_CANNOT}{_ADVERB} (?:{_SERVICE}|{_OTHER_SERVICE}|be able to)"
    rf"|{_CANNOT}{_ADVERB} ?(?:[.!…]+\s*$|$)"
    rf"|{_CANNOT}{_ADVERB} do (?:it|so)\b(?! (?:anymore|any more|alone|again|without)\b)"
    r"|(?:must|have to|need to)(?: \w+ly)? (?:decline|refuse)\b"
    rf"|(?:am |are |'m |'re )?{_ADVERB} ?not (?:permitted|comfortable|programmed|designed|authori[sz]ed|trained)\b"
    r"|(?:have been|was|were|am|'m) (?:programmed|designed|trained|instructed) not to\b"
    r"|(?:do not|don't) (?:feel comfortable|have the (?:ability|capability|capacity))\b"
    r"|(?:do not|don't) (?:think|believe) (?:that )?(?:i (?:should|can)|(?:it|this|that)(?:'s| is"
    r"| would be) (?:appropriate|right))"
    r"|regret (?:to (?:say|inform|tell)|that i)\b|can only (?:help|assist|provide|discuss)\b)"
)
_SAID_OF_IT = r"(?:but|however|unfortunately|i|i'm|we|this|that|your|you|no|not|can't|cannot|unable|my|as|it|there)\b"
_DECLINES = regex.compile(
    # I'm sorry; a film goes on with its subject: "I'm sorry, a clown sits"
    rf"{_OPENING}(?:i'?m |i am |we are |we're )(?:really |very |so |truly |deeply |terribly )*sorry"
    r"(?:\s*[,.!;…—–-]+(?! ?(?:an?|two|three|in|on|at|says|said|sings|cries|whispers)\b)"
    r"|$| but\b| that\b| i\b| we\b| to (?:say|inform|hear|tell)\b| about that\b| for (?:the|any) (?:inconvenience"
    r"|confusion))"
    rf"|{_OPENING}(?:really |very |so )?sorry(?:\s*[,.!;:…—–-]+\s*(?:{_SAID_OF_IT}|$)"
    rf"|\s*$| (?:but|i|we|for the inconvenience|for any)\b)"
    rf"|{_OPENING}(?:i'?m|i am) afraid(?:[,.!…]| not\b| (?:i|we|that|this|your|it|there)\b|$)"
    rf"|{_OPENING}(?:my |please accept my )?(?:sincere )?apologies(?:\s*[,.!:;…—–-]| but\b| for\b| i\b|$)"
    rf"|{_OPENING}i (?:must |do |deeply |sincerely )*apologi[sz]e\b"
    rf"|{_OPENING}(?:i|we)(?:'ll| will| would)?{_ADVERB} ?{_UNABLE}"
    rf"|{_OPENING}(?:can't|cannot|can not|won't|unable to|not able to) (?:{_SERVICE}|do (?:that|this|it|so)\b)"
    rf"|{_OPENING}(?:that|this|it)(?:'s| is| would be) (?:not (?:appropriate|possible|allowed|ethical|okay|suitable"
    r"|something (?:i|we))|inappropriate|something (?:i|we) (?:can't|cannot|won't)|against (?:my|our|the)\b)"
    # the rules forbid it
    rf"|{_OPENING}(?:my|our|the (?:content|usage|safety|openai)) (?:\w+ ){{0,2}}(?:guidelines?|polic(?:y|ies)"
    rf"|programming|rules"
    r"|principles|training|instructions|values|restrictions)\b[^.\n]{0,30}\b(?:prevent|prohibit|forbid|do not|don't"
    r"|does not|doesn't|restrict|preclude|stop|bar)\w*"
    r"|(?:content|usage|safety|community)(?: \w+)? (?:policy|policies|guidelines?) (?:violat|breach)|policy violation\b"
    r"|(?:this |that |it )?(?:would )?violates?[^.\n]{0,30}\b(?:polic|guideline|rules|terms|standards)"
    r"|(?:blocked|flagged|rejected|filtered) (?:by|as|for)\b[^.\n]{0,30}\b(?:safety|unsafe|policy|filter|inappropriate)"
    r"|(?:this|the|your) (?:request|query|prompt) (?:cannot|can't|can not|could not) be\b"
    r"|(?:this|that|your|the(?: user's)?|creating|generating|producing|such)\b[^.\n]{0,40}"
    r"\b(?:request|content|prompt|query|topic)\b[^.\n]{0,60}\b(?:violat\w+|against|inappropriate|not allowed|harmful"
    r"|rejected|denied|blocked|flagged|unsafe|prohibited|not permitted)\b"
    r"|(?:request|content|prompt|query) (?:was |is |has been )?(?:denied|rejected|refused|blocked|not allowed|flagged"
    r"|filtered)\b|let'?s (?:talk|discuss|focus|change|choose|chat)\b[^.\n]{0,40}\b(?:else|instead|topic|subject)\b"
    r"|as an? (?:\w+ ){0,3}(?:ai|language model|llm)(?: (?:language )?(?:model|assistant))?\b(?=[,.]| i\b| model)"
    # Chinese
    r"|(?:(?:你好|您好)[，,！!。 ]*)?(?:(?:非常|很|十分|真的|实在)?(?:抱歉|对不起|遗憾)(?=[，,。.！!、…—：: ]|我"
    r"|您|你|这|但|无法|不能|地?通知|地?告诉|$)"
    r"|(?:我|我们|本模型)(?:暂时|目前|也|还|真的|实在)*(?:无法|不能|没有办法|没办法|不可以|拒绝|不便)"
    r"(?=[。.！!…]|$|[^，,。\n]{0,8}(?:满足|提供|生成|协助|帮|回答|创建|创作|完成|处理|写|制作|执行|响应|支持|讨论|描述|展示|扩展|改写"
    r"|优化|做到|这样做|这么做|这个请求|此类|该请求))"
    r"|作为(?:一个|一名|一款)?(?:AI|人工智能|语言模型|大语言模型|智能助手|助手)"
    r"|(?:您|你)的(?:请求|问题|输入|内容|要求)[^。\n]{0,30}(?:不当|违规|违反|无法|不符合|敏感|拒绝)"
    r"|(?:这个|该|此)(?:问题|请求|内容|话题)[^。\n]{0,20}(?:无法|不能|违反|不当|不符合|敏感)|(?:让|请)?我们换个话题"
    r"|换个话题)"
    # Japanese, Korean
    r"|(?:大変|誠に)?申し訳(?:あり|ござ|ないので|ないですが)|ごめんなさい|すみません(?=が|[、,，。.！!…]|$)|[^。\n]{0,20}(?:お応え|お手伝い|ご対応|対応|協力|提供|作成|生成)(?:は|を|も)?(?:することは)?(?:でき(?:ません|かねます))|恐れ入りますが|죄송(?:하지만"
    r"|합니다|해요|한데)"
    r"|미안(?:하지만|합니다|해요)|저는 [^.\n]{0,40}수 없습니다"
    # Spanish, Portuguese, Italian, French, German, Dutch
    rf"|lo (?:siento|lamento)(?:{_END}| pero\b)|me temo que no\b"
    r"|(?:lamentablemente,? )?no puedo (?:\w+ )?(?:ayud|crear|gener|cumpl|hacer|proporcion|escrib)"
    rf"|(?:desculpe|desculpa|sinto muito|mi dispiace|spiacente)(?:{_END}| mas\b| ma\b| non\b| não\b)"
    r"|(?:infelizmente,? )?(?:eu )?não posso (?:\w+ )?(?:ajud|cri|ger|faz|fornec|escrev|atend|cumpr)"
    r"|non posso (?:aiut|crea|gener|fare|scriv|fornir)|(?:je suis (?:vraiment )?)?désolée?[,.! ]+(?:mais|je)\b"
    rf"|je suis (?:vraiment )?désolée?(?:{_END}| mais\b| je\b| de ne\b)"
    r"|(?:malheureusement,? )?je ne peux (?:malheureusement )?pas (?:vous |t'|y |en |malheureusement )*(?:aider"
    r"|aid|cré|génér"
    r"|fourni|répond|faire|écri|produi|satisf|trait|accéd|\W*$)|je ne peux pas\W*$"
    rf"|(?:es )?tut mir (?:sehr |wirklich |echt )?leid(?:{_END}| aber\b| dass\b)"
    r"|leider (?:kann|darf) ich\b|ich (?:kann|darf|werde) (?:[\w]+ ){0,5}(?:nicht|keine[nr]?)(?: \w+){0,4} (?:helfen"
    r"|unterstützen|erstellen|generieren|beantworten|bereitstellen|erfüllen|schreiben|anbieten|weiterhelfen)\b"
    r"|ich kann (?:das|dies|dabei|ihnen|dir)(?: \w+)? nicht(?: (?:tun|machen))?\W*$"
    rf"|(?:entschuldigung|het spijt me|beklager|undskyld|förlåt|jag är ledsen|pahoittelen|omlouvám se|promiňte|sajnálom"
    rf"|îmi pare rău|λυπάμαι|συγγνώμη|вибачте|на жаль|съжалявам|žao mi je|przykro mi|ho sento|paumanhin){_END}"
    r"|ik kan (?:\w+ ){0,4}niet(?: \w+){0,3} (?:helpen|maken|schrijven|genereren)"
    r"|(?:dessverre|desværre|tyvärr|valitettavasti|bohužel|sajnos|nažalost)[, ]+(?:kan|en|nemohu|nem|ne)\b"
    r"|(?:jeg|jag|vi) kan (?:tyvärr|dessverre|desværre) (?:ikke|inte)\b"
    r"|(?:jeg|jag|vi) kan (?:ikke|inte) (?:\w+ ){0,2}(?:hj[eæä]lp|lage|lave|skap|opprett|generer|gør|gjør|göra|assist)"
    # Russian, Polish, Turkish, Vietnamese, Indonesian, Arabic, Persian, Hindi, Thai
    rf"|(?:извините|простите|прошу прощения|мне жаль)(?:{_END}| но\b| я\b)"
    r"|к сожалению,? (?:я|мы|это|ваш|не|данн|такой|этот|запрос)"
    r"|я не могу (?:\w+ ){0,2}(?:помо|созда|выполн|сдела|это|напис|предостав|генерир|сгенер|продолж|ответ|обсужд"
    r"|с этим|\W*$)"
    rf"|я не могу\W*$|przepraszam(?:{_END}| ale\b)|niestety,? nie\b"
    r"|nie mogę (?:\w+ ){0,2}(?:pom|stworz|wygener|spełn|tego|napis|zrobi|utworz|wykon|odpow|dostarcz)|nie mogę\W*$"
    rf"|(?:üzgünüm|maalesef)(?:{_END}| ama\b| bu\b)|(?:tôi )?(?:rất )?(?:xin lỗi|rất tiếc)(?:{_END}| tôi\b| nhưng\b)"
    r"|tôi không thể (?:giúp|tạo|hỗ trợ|đáp|thực|viết|cung|làm)|(?:mohon |minta )?maaf(?:[,.]| (?:saya|kami|tapi"
    r"|atas)\b)"
    r"|saya tidak (?:bisa|dapat) (?:mem|men|meng|melakukan)"
    r"|(?:أنا )?(?:آسف|آسفة|متأسف|متاسفم|عذرا|عذرًا|معذرة|المعذرة|أعتذر)(?!\p{L})(?=\s*[،,.!؛:…]|\s*$|\s+(?:لا|لكن"
    r"|ولكن|لأن|على|عن))"
    r"|لا (?:أستطيع|يمكنني) (?:\p{L}+ )?(?:\p{L}*مساعد|\p{L}*إنشاء|\p{L}*تقديم|القيام|\p{L}*توليد|كتابة|تلبية"
    r"|\p{L}*إجابة|تنفيذ|ذلك|فعل)"
    r"|لا (?:أستطيع|يمكنني)\W*$|नहीं कर सकता|(?:क्षमा|माफ़?) ?(?:करें|कीजिए)|मुझे खेद"
    r"|ขออภัย|ขอโทษ|ฉันไม่สามารถ",
    regex.I,
)
_ASSENT = (
    r"(?:(?:hmm+|wait|well|oh|ah|so|now|perfect|awesome|cool|wow|let'?s see|let me see|hi|hello|hey|sure|certainly"
    r"|of course|absolutely|okay|ok|alright|great|yes|thanks?|got it|understood)\b"
    r"(?: (?:there|thing|you))?[,.!;:…—– -]+)*"
)
_CHATS = regex.compile(
    rf"{_ASSENT}(?:"
    r"(?:i'?m|i am|i'd be|i would be|i'll be|we are) (?:always )?(?:so |very |more than )?"
    r"(?:happy|glad|here|ready|delighted|pleased|excited|thrilled|eager) to (?:help|assist|write|create|generate"
    r"|provide|be of)\b"
    r"|(?:i|we)(?:'d| would| will|'ll| can) (?:be (?:happy|glad) to |love to |gladly )?(?:help|assist)\b"
    r"|i(?:'d| would) (?:love|like) to (?:help|assist|(?:create|write|make|generate|provide|know|hear)\b[^.\n]{0,60}"
    r"\b(?:you|your|video|prompt|that|this)\b)"
    r"|(?:i|we)(?:'d| would| will|'ll| can) (?:definitely|certainly|absolutely|surely|gladly|easily|also) (?:help"
    r"|assist|do"
    r"|create|write|generate)\b"
    r"|(?:i|we)(?: can|'ll| will| could)(?: \w+ly)? (?:create|write|generate|make|craft|provide|produce"
    r"|do)\b[^.\n]{0,50}\bfor you\b"
    r"|i(?:'ve| have) (?:\w+ly )?(?:rewritten|created|written|expanded|refined|enhanced|generated|crafted|prepared"
    r"|revised"
    r"|improved|optimi[sz]ed|updated|turned|added|kept|made)\b[^.\n]{0,60}\b(?:your|for you|(?:the"
    r"|this) (?:\w+ )?(?:prompt|query"
    r"|description|video))\b"
    r"|i (?:think|believe|guess|assume|understand)(?: that)? (?:the user|you(?:'re| are| want| would| mean| need)|your"
    r" (?:query|request|prompt))\b"
    r"|(?:how|what) (?:can|may|could|would|should) (?:i|you)\b[^.?\n]{0,60}\b(?:help|assist|do for you|like|want|need"
    r"|create for|have in mind|be of)\b[^.?\n]{0,60}\?"
    r"|what (?:kind|type|sort|style) of\b[^.?\n]{0,40}\b(?:do|would|are|should) (?:you|i)\b"
    r"|(?:do you (?:have (?:any|a (?:specific|preference))|mean|want me|need me|prefer)|would you (?:like"
    r"|prefer))\b[^.?\n]{0,60}\?"
    r"|how are you(?: doing| today)*\s*\?*\s*$|please (?:try|rephrase|choose) (?:a |an |your )"
    r"|(?:could|can|would) you (?:please )?(?:provide|clarify|share|tell|give|specify)\b"
    r"|please (?:provide|share|clarify|tell me|let me know|specify|give me|describe your|enter your)\b"
    r"|let me know (?:if|how|what)\b|(?:thank you|thanks) for (?:your|the (?:request|prompt|query|question"
    r"|information|details|input|message)"
    r"|sharing|providing|reaching|asking|using|letting)\b|(?:thank you|thanks) so much(?=\s*[.!,]|\s*$)"
    r"|is there anything\b|feel free to\b"
    r"|you'?re welcome(?=\s*[,.!;:]|\s*$)|i hope (?:this|that|it)\b|as (?:requested|you (?:requested|asked|wish))\b"
    r"|(?:that'?s|that is|what) an? (?:great|good|wonderful|interesting|fantastic|lovely|creative)\b[^.\n]{0,30}"
    r"\b(?:idea|question|prompt|query|concept|request)\b|(?:great|good|interesting|excellent) (?:question|idea"
    r"|choice)(?=\s*[,.!;:—–]|\s*$)"
    r"|(?:so,? )?(?:the|this) user(?:'s)? (?:wants?|said|says|mentioned|seems|is (?:asking|looking|requesting)"
    r"|asks?|asked|has|needs?|query|request|prompt|input"
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
    r"\b(?:prompts?|descriptions?|versions?|ideas|options|examples|suggestions|captions?|thinking process"
    r"|thought process|breakdown|outline|plan for)\b"
    r"|(?:error\s*[:：]|traceback \(most|rate limit exceeded|\d{3} (?:bad gateway|internal server error"
    r"|service unavailable"
    r"|too many requests|forbidden|not found)(?=\s*[.!:,;<{(]|\s*$)))"
    # Chinese, and assent in others
    r"|(?:当然|好的|没问题|可以|收到|明白)(?:了|可以)?[，,！!。 ]+(?:请|我|以下|这是|下面)"
    r"|(?:您好|你好)[！!，,。 ]*(?:请|我|有什么|很高兴)|很高兴(?:为|能)|请(?:提供|告诉我|问)|有什么可以帮"
    r"|我(?:很乐意|很高兴|可以帮|会帮|来帮|将为|是一个(?:AI|人工|语言|大)|是一款)|以下是[^。\n]{0,30}(?:提示词|提示|描述|版本|文案|脚本|视频)|用户(?:想要|希望|要求|需要"
    r"|的查询|的请求)"
    r"|ich helfe (?:dir |ihnen |euch )?gerne?\b|gerne helfe ich\b|wie kann ich (?:dir|ihnen|euch) \w*\s*helfen"
    r"|ich (?:würde|kann) (?:\w+ ){0,4}helfen\b|я (?:буду )?рада? помочь|(?:с радостью|с удовольствием) (?:я )?помогу"
    r"|чем (?:я )?могу (?:вам )?помочь|я могу (?:вам )?помочь|도와\s?드리|무엇을 도와|어떻게 도와|기꺼이 도"
    r"|(?:estar[ée]|estaría|estoy) (?:encantad[oa]|feliz|list[oa]) (?:de|para) (?:\w+ )?ayud|¿?(?:en qué"
    r"|cómo) puedo ayud"
    r"|(?:yo )?puedo ayudar|con (?:mucho )?gusto (?:te|le|lo)\b|je (?:serais|serai) (?:ravie?|heureu[xs]e?"
    r"|enchantée?)\b"
    r"|je suis (?:ravie?|heureu[xs]e?|là) (?:de|d'|pour) (?:vous |t')aid|(?:je peux|puis-je) (?:vous|t)\W?aider"
    r"|comment puis-je|(?:sarò|sarei) (?:felice|liet[oa]) di aiut|come posso aiut|(?:como )?posso ajud"
    r"|estou à disposição"
    r"|(?:会|能)?为您(?:效劳|服务)|お手伝い(?:し|させ|いた)|喜んでお|ik help (?:je|u) graag|hoe kan ik (?:je|u)"
    r"|chętnie pomog|w czym mogę pom|size nasıl yardımcı|tôi (?:có thể|rất vui|sẵn sàng)(?: được)? giúp"
    r"|(?:saya )?(?:senang|siap)"
    r" (?:bisa |untuk )?(?:membantu|bantu)|كيف يمكنني (?:مساعد|أن أساعد)|يسعدني (?:مساعد|أن أساعد)",
    regex.I,
)
_WORD_ALONE = regex.compile(
    r"(?:hi|hello|hey|hello there|hi there|thanks|thank you|you'?re welcome|sure(?: thing)?|of course|certainly"
    r"|absolutely"
    r"|okay|ok|yes|no|got it|understood|great|alright|done|当然(?:可以)?|好的|没问题|你好|您好|收到|谢谢"
    r"|nope|no problem|my pleasure|yep|yeah|perfect|let'?s see|hola|bonjour|hallo|olá|привет|здравствуйте|안녕하세요"
    r"|こんにちは|مرحبا"
    r"|claro|por supuesto|bien sûr|natürlich|gerne|конечно|もちろん(?:です)?|물론(?:입니다|이죠)?)[!！。.，, ]*",
    regex.I,
)


_APOSTROPHE = regex.compile("[’‘ʼ＇`´]")
_PICTURES = regex.compile(r"\s*\p{So}[\p{So}\ufe0f\u200d\U0001f3fb-\U0001f3ff\s]*")
# quotes stay: what is said in a film begins with one
_AHEAD = regex.compile(r"^[\s.,;:!?¡¿…—–*_#>~•·-]+")


def find_talk(text: str) -> str | None:
    """Return REFUSAL or CHATTER of a text that speaks to the user in place of an answer, None of any other."""
    plain = _AHEAD.sub("", _PICTURES.sub(" ", _APOSTROPHE.sub("'", text)).strip())
    if _DECLINES.match(plain):
        return REFUSAL
    return CHATTER if _CHATS.match(plain) or _WORD_ALONE.fullmatch(plain) else None
