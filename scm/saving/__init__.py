"""Saved models: one safetensors file that holds a JSON description, and never a pickle.

The metadata of the file are

| key | value |
|---|---|
| `format` | `"scm-model 1"` |
| `model` | a JSON document: graph, mechanism of each node, streams, encoders |
| `sha256` | over the document and every tensor's name, dtype, shape and bytes |

A node is described by the name of its mechanism, by what `Mechanism.config` returns (see
`values`), and by the keys of its parameters and buffers, which are tensors of the file and
come back bit by bit.

What a file may make happen:

- Classes come from fixed tables (this library's mechanisms, `torch.nn`,
  `torch.distributions`), or are named by import path like functions.
- An import path, `package.module:name`, is followed only to a plain function, or a
  subclass of `Mechanism`, that its module itself defines, and never into the standard
  library, an installed package or `__main__`; see `paths`. To follow it imports the
  module, as the `import` statement does: load files whose modules you would import.
- Nothing is unpickled.
- Nothing large is allocated on a file's word alone: networks are described, made without
  memory, and compared with the tensors that are there; see `bounds` for the rest.
"""

from scm.saving.bounds import Bounded
from scm.saving.models import Saved, read_model, running, save

__all__ = ["Bounded", "Saved", "read_model", "running", "save"]
