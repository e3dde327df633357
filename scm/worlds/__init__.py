"""The engine: noise streams, acts, and the program that they make of a model.

A value has shape `[*worlds, units, *event]`. A unit is its noise, which depends on the
seed, the node and the unit alone; a world is a broadcast dimension; a node's tensor has
size 1 along a world dimension that does not reach it. Read `streams`, `acts`, `program`,
then `samples`.
"""
