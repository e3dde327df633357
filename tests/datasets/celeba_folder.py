"""A tiny folder in CelebA's layout."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image


def write_celeba(
    folder: Path, names: Sequence[str], rows: Mapping[str, tuple[Sequence[int], int, int]]
) -> Path:
    """Write grey images; a row has attributes, 0 or 1, the part of the split, and the shade."""
    (folder / "img_align_celeba").mkdir(parents=True)
    table = [str(len(rows)), " ".join(names) + " "]
    for file, (values, _, shade) in rows.items():
        table.append(f"{file} {' '.join(f'{2 * value - 1:2d}' for value in values)}")
        picture = Image.new("L", (178, 218), shade)
        picture.save(folder / "img_align_celeba" / file, quality=100)
    (folder / "list_attr_celeba.txt").write_text("\n".join(table) + "\n")
    parts = "".join(f"{file} {part}\n" for file, (_, part, _) in rows.items())
    (folder / "list_eval_partition.txt").write_text(parts)
    return folder
