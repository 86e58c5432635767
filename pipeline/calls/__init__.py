"""Paid calls: the engine that the teacher, the judge and a served policy share. One file a thought.

`engine` buys an answer once; `endpoint` sends one request and says what came back; `answers` reads what is stored;
`limits` keeps the pace that the endpoint allows; `prices` tells what it cost; `stream` asks many at once, in order.
`batch` takes the place of single requests: `batch_records` is what the store knows of each batch, `batch_server` makes
it and waits for it, `batch_results` takes over its answers, `batch_lines` are the lines of its files.
"""
