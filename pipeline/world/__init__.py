"""The offline world: a miniature of users, teacher, video generator and reward, so that the graph runs on a laptop.

It is authored: it tests wiring and code and says nothing about real generators.
"""
