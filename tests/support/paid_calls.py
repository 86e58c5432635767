"""Short ways to ask the paid-call engine in tests."""


def bodies(n, **more):
    return [{"model": "m", "messages": [{"role": "user", "content": f"query {number}"}]} | more for number in range(n)]


def ask(engine, asked, sample=0):
    return list(engine.map(asked, lambda body: engine.answer(body, sample)))


def text(answer):
    return answer.stored["body"]["choices"][0]["message"]["content"]
