"""Independent pieces of work, spread over processes of this machine or a Ray cluster.

An executor is a function of a function and its jobs that yields the results as they come, in any
order. `here` runs them one after the other, `processes(workers)` in new processes, and
`on_ray(address)` on a cluster. A job whose worker died runs again, a few times: what jobs make
must not depend on how often they were begun.
"""

from scm.parallel.cluster import on_ray
from scm.parallel.executors import RETRIES, Executor, available_cores, here, processes

__all__ = ["RETRIES", "Executor", "available_cores", "here", "on_ray", "processes"]
