"""A store of made-up answers, and `vpo store` run on it."""

from click.testing import CliRunner

from pipeline.runtime.store import Purchase, Store, store_key
from vpo.store import main

HOST = "api.example.org"


def run(*arguments, code=0):
    done = CliRunner().invoke(main, [str(word) for word in arguments])
    assert done.exit_code == code, done.output
    return done.output


def completion(text, finish="stop", **message):
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text} | message}
    return {"model": "m-1", "choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 10}}


def purchase(number, text="ja", status=200, model="m", **more):
    body = {"model": model, "messages": [{"role": "user", "content": f"query {number}"}], "temperature": 0.7}
    request = {"host": HOST, "body": body, "sample": 0}
    answer = {"status": status, "body": completion(text, **more) if status == 200 else more, "latency_s": number / 10}
    return Purchase(store_key("teacher", **request), "teacher", request, answer, (100, 10), 0.01)


def bought(folder, *purchases):
    store = Store()
    store.buy_many(purchases, f"{folder} {HOST} m")
    return store


def old(store, *keys):
    for key in keys:
        store.connection.execute("update answers set at = '2020-01-01 00:00:00' where key = ?", (key,))


def stored_keys():
    with Store() as store:
        return {row[0] for row in store.connection.execute("select key from answers")}
