import pytest

from pipeline.llm.talk import CHATTER, REFUSAL, find_talk

DECLINES = """
I'm sorry, but I can't assist with that.
I’m sorry, but I can’t help with that request.
I'm sorry, I cannot fulfill this request.
Sorry, but I can't do that.
I apologize, but I cannot create that content.
I must respectfully decline.
I can't help with creating that.
I cannot generate a prompt for this.
I'm unable to assist with that request.
I am not able to produce such content.
I won't write that.
I will not create content that sexualizes minors.
I'm not going to create this.
I'd rather not write this.
I don't think I should write this one.
I do not feel comfortable creating this content.
It is not appropriate to create such a video.
It's not appropriate for me to write this.
This request goes against my guidelines.
This content violates our usage policies.
That's not something I can help with.
That is something I cannot do.
Unfortunately, I can't help with that.
Unfortunately I am unable to generate this.
As an AI, I cannot create this.
As a language model, I cannot do that.
As an AI language model, I don't have the ability to create videos.
As a responsible AI assistant, I must decline.
My apologies, but I can't.
Apologies, but I'm unable to help.
No, I can't do that.
I'm afraid I can't do that.
I'm really sorry, but I can't assist with that.
I regret that I cannot help.
We cannot process this request.
Request denied.
I have to refuse this request.
Your request was rejected by the safety system.
The query contains inappropriate content, so I cannot expand it.
The user's query is harmful, so I can't expand it.
Creating such content is against the rules.
Content not allowed.
I understand, but I can't write about that.
I understand your request, but I'm not able to help.
Thank you for your request, but I cannot assist.
Hello! I'm sorry, but I can't.
Hmm, I can't help with that.
Let's talk about something else.
I would prefer not to continue this conversation.
抱歉，我无法满足这个请求。
对不起，我不能生成这样的内容。
很抱歉，我不能帮助您。
我不能协助完成这个请求。
作为AI助手，我不能提供此类内容。
您的请求包含不当内容，无法处理。
这个问题我暂时无法回答，让我们换个话题再聊聊吧。
你好，这个问题我暂时无法回答，让我们换个话题再聊聊吧。
申し訳ありませんが、そのリクエストにはお応えできません。
ごめんなさい、それはできません。
죄송하지만 도와드릴 수 없습니다.
Lo siento, pero no puedo ayudar con eso.
No puedo ayudarte con eso.
Je suis désolé, mais je ne peux pas vous aider.
Désolé, je ne peux pas.
Es tut mir leid, aber dabei kann ich nicht helfen.
Ich kann dabei leider nicht helfen.
Desculpe, não posso ajudar com isso.
Mi dispiace, ma non posso aiutarti.
Извините, я не могу помочь с этим.
К сожалению, я не могу этого сделать.
Xin lỗi, tôi không thể giúp.
Maaf, saya tidak bisa membantu.
I'm sorry—I can't help with that.
I'm sorry… I can't
Sorry — can't do that.
🙂 I'm sorry, but I can't assist.
I‘m sorry, but I can‘t
Can't help with that.
Cannot assist with that.
Unable to comply.
I really can't help with that.
I simply cannot create this video.
I'm really not able to do that.
However, I cannot create this.
I appreciate your interest; however, I cannot help.
Oops! I can't do that.
Regrettably, I can't do this.
I am not programmed to do so.
I shouldn't help with that.
My guidelines prevent me from writing it.
Content policy violation.
I can't provide instructions for weapons.
I won't give you such advice.
I can only help with harmless films.
I don't provide such content.
Your request cannot be processed.
すみません、できません。
أنا آسف، لا أستطيع
Przykro mi, nie mogę.
Beklager, jeg kan ikke hjelpe.
Jag kan tyvärr inte hjälpa till.
Desværre kan jeg ikke hjælpe.
Je ne peux pas vous aider.
""".strip().splitlines()
CHATS = """
I am happy to help!
I'm happy to help! What would you like?
I'd be happy to help you create a video prompt. Could you provide details?
Sure! I can help with that.
Sure, I can help you with that! Please provide more details.
Of course! What would you like to see?
How can I help you today?
Hello! How can I assist you today?
Hi there! What can I do for you?
Hello!
Hi!
Thank you!
Thanks for the prompt!
You're welcome!
Great question!
That's a great idea!
What a wonderful idea!
Could you please provide more information?
Can you clarify what you mean?
Please provide the query.
Please give me more details about the video.
I need more information to write the prompt.
I will create a video prompt for you.
I'll write a detailed prompt.
Let me write a detailed prompt for you.
Let me help you with that.
Okay, the user wants a video of a dog.
Okay, so I need to expand the query.
The user wants a short video about a dog.
Alright, let's tackle this query.
First, I need to understand the user's request.
We need to write a video prompt.
To create a video prompt, I would need more details.
Sure thing!
Got it!
Understood.
Okay.
Yes.
No.
Of course!
As requested, I will write.
I hope this helps!
It looks like you want a video of a dog.
It seems that your query is incomplete.
It seems like you've provided a query without context.
I'm not sure what you mean.
I don't understand the question.
I'm just a language model.
I am an AI assistant.
I'm Qwen, created by Alibaba Cloud.
I am ChatGLM.
My name is Claude.
This prompt describes a dog running.
The refined prompt is more detailed.
Here is the refined prompt.
Here are some ideas:
Below is the video prompt.
当然可以！
好的，我会帮您写。
好的！以下是视频提示词：
您好！请问有什么可以帮助您的？
请提供更多信息。
我很乐意帮助您。
当然，我可以帮您写一个提示词。
error: rate limit exceeded
Traceback (most recent call last):
😊 I'm happy to help!
Hi! 👋 How can I help?
I'm excited to help you create a video!
I'd love to create a video for you.
I can definitely help with that.
I can create that for you.
I've rewritten your prompt.
What kind of video do you want?
Hello, how are you?
Hmm, the user asks for a dog.
Wait, the user said dog.
I think the user wants a dog.
Here's a thinking process:
let's see. The user wants a video.
Ich helfe gerne!
Я рад помочь!
도와드리겠습니다!
Estaré encantado de ayudarte.
Je serais ravi de vous aider.
¡Claro!
""".strip().splitlines()
FILMS = """
I can almost see a dog running.
Sorry dogs look at the camera in the rain.
A sorry sight: a dog in the rain.
Hello kitty dances on a stage.
Hi-fi speakers shake on a wooden table.
No one walks on the street at night.
Yes, we can: a crowd cheers on a square.
Please, a small dog begs at the table.
Welcome sign over a door.
Thank you cards fly through the air.
Let there be light: a sunrise over mountains.
Sure-footed goats climb a cliff.
I am a robot, says the robot in a workshop.
We see a dog on the grass.
We can see a long road under a red sky.
I see a man at the window.
First, a dog runs. Then it sleeps.
The user interface of a spaceship glows.
This video shows a dog.
As a dog runs, the camera follows.
As an airplane lands, people wave.
Great white shark under a boat.
Okay sign made by a hand.
Of course the dog is late.
What a day: children run in the park.
The request of a king is read aloud in a hall.
Content people sit by the sea.
To create a castle of sand, a child digs.
Creating pottery, an old man sits at his wheel.
My dog sleeps on a sofa.
It seems to snow in the old town.
Here a dog runs over the grass.
I won the lottery: a woman jumps for joy.
I will survive, sings a woman on a stage.
We will rock you played by a band of cats.
Human: a portrait in five shots.
Note: a yellow paper on a fridge.
Unfortunately for the cat, the dog wakes up.
你好小猫在草地上奔跑。
请帖在桌子上，镜头缓慢推近。
好的天气里，一只狗在奔跑。
申し訳なさそうな犬が座っている。
A user walks through a market and says "I can't assist".
Sorry, a lonely clown, sits on a bench.
Sorry: a letter on a table.
I'm afraid of the dark: a child under a blanket.
I am sorry for your loss: a funeral in the rain.
I can't believe it! A surprised man jumps.
I won't give up, sings a girl.
I refuse to sink, a sailor tattoo.
I can't stop dancing, sings a woman.
I can't help falling in love: a couple dances.
We cannot see the moon.
How can I sleep? A woman looks at the ceiling.
You're welcome sign hangs over a door.
Great idea light bulb glows.
404 not found sign flickers.
Thank you for the music, a stage in gold.
Я не могу спать: женщина у окна.
К сожалению, дождь идёт над городом.
我们不能停下脚步，一群登山者在雪中。
抱歉的男孩低着头。
遗憾的女人看着窗外。
以下是森林的景色：阳光。
عذراء تمشي في الحديقة
Claro, un perro corre.
Gerne, ein Hund läuft.
Ich kann nicht schlafen: eine Frau am Fenster.
Unable to sleep, a woman walks through the rain.
""".strip().splitlines()


@pytest.mark.parametrize("text", DECLINES)
def test_a_model_that_declines_is_understood_in_many_languages(text):
    assert find_talk(text) == REFUSAL


@pytest.mark.parametrize("text", CHATS)
def test_a_model_that_chats_in_place_of_an_answer_is_heard(text):
    assert find_talk(text) == CHATTER


@pytest.mark.parametrize("text", FILMS)
def test_a_film_of_such_words_is_no_talk(text):
    assert find_talk(text) is None
