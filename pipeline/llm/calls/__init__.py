"""Paid calls: the engine that the teacher, the judge and a served policy share. One file a thought.

`engine` buys an answer once and puts the others together. `endpoint` sends one request and says what came back;
`answers` reads what is stored; `prices` tells what it cost, `expected_tokens` what a request will take; `ledger` keeps
store, budget and counts, and stops the run; `stream` asks many at once, in order. There are two ways to buy, and both
are handed the ledger. `direct` asks request by request: `limits` keeps the pace that the endpoint allows, `deadlines`
knows a request that hangs. `batch` asks all that wait at once: `batch_records` is what the store knows of each batch,
`batch_server` makes it and waits for it, `batch_results` takes over its answers, `batch_lines` are the lines of its
files.
"""
