"""Other libraries' forms of a model: what scm leaves to its neighbours.

`pyro` turns a model into a Pyro model, for SVI, NUTS and whatever else Pyro has. Each
neighbour is imported where it is used.
"""
