"""Paid calls: the engine that the teacher, the judge and a served policy share. One file a thought.

`engine` buys an answer once; `endpoint` sends one request and says what came back; `answers` reads what is stored;
`limits` keeps the pace that the endpoint allows; `prices` tells what it cost; `stream` asks many at once, in order.
"""
