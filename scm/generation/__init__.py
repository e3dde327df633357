"""Data sets from models, in shards that any number of processes make, and nothing lost.

`generate` writes a folder:

| file | content |
|---|---|
| `manifest.json` | the model's hash, interventions, seed, units, columns; each shard's checksum |
| `shard-000000.tar`, ... | images: a WebDataset tar; of each row a `.json`, and a file an image |
| `shard-000000.parquet`, ... | no images: a table; categorical nodes hold codes of levels |
| `model.safetensors` | the model, where `generate` was given one rather than a file |

and `scm.datasets.Generated` reads it. A unit's noise depends on the seed and its number only,
so a shard can be made anywhere, and be made again.
"""

from scm.generation.generating import generate, verify
from scm.generation.interventions import Interventions
from scm.generation.manifest import Column, Manifest, Plan, Shard, read_manifest

__all__ = [
    "Column",
    "Interventions",
    "Manifest",
    "Plan",
    "Shard",
    "generate",
    "read_manifest",
    "verify",
]
