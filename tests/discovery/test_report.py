import base64
import csv
import itertools
import json
import re
import shutil
import subprocess
import sys
import time
import zlib
from html.parser import HTMLParser

import pytest
import torch
from typer.testing import CliRunner

from scm.cli import app
from scm.discovery import evidence, report
from scm.discovery.attributes import Attribute
from scm.discovery.audit import audit
from scm.discovery.evidence import counterfactuals
from scm.discovery.kept import Kept
from scm.discovery.report import audit_report, write_report
from scm.errors import ScmError
from scm.mechanisms import Image, Real
from scm.mechanisms.latent import LatentGenerator

SMALL = {"fit": 600, "block": 200, "moved": 50, "gauges": 1, "progress": False}
FEW = {"n": 300, "permutations": 19, "moved": 20, "progress": False}
VOID = {"meta", "img", "br", "link", "input", "hr"}

MODEL = """
import torch
from scm.discovery import Attribute
from scm.mechanisms import Real
from scm.mechanisms.latent import LatentGenerator

def made():
    return LatentGenerator(lambda z: torch.stack([z[:, 0], z[:, 1]], 1), 2, Real((2,)))

def attributes(generator):
    return [Attribute.from_measure(n, lambda x, k=k: x[:, k]) for k, n in enumerate("ab")]

number = 3
broken = [1, 2]

def twins(generator):
    return attributes(generator)[:1] * 2
"""


def squares(z):
    """Two grey halves: the left as bright as a, the right as a ** 3 / 2 + a + noise."""
    a = z[:, 0]
    sides = torch.stack([a, a**3 / 2 + a + z[:, 1]], 1)
    return (sides / 8 + 0.5)[:, None, None].expand(-1, 1, 2, 2)


IMAGES = LatentGenerator(squares, 3, Image((1, 2, 2)))
NAMES = ["<left> & co", "right"]
ATTRIBUTES = [
    Attribute.from_measure(name, lambda x, k=k: x[:, 0, 0, k]) for k, name in enumerate(NAMES)
]


@pytest.fixture(scope="module")
def audited():
    return audit(IMAGES, ATTRIBUTES, **SMALL | {"fit": 8_000, "block": 1_000})


@pytest.fixture(scope="module")
def folder(audited, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_report(audited, folder, generator=IMAGES, attributes=ATTRIBUTES, title="<halves>", **FEW)
    return folder


class Page(HTMLParser):
    """Elements with their attributes and text, by a parser that shares nothing with the page's."""

    def __init__(self, text):
        super().__init__()
        self.open, self.all = [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        found = {"tag": tag, "text": "", "inside": [e["tag"] for e in self.open], **dict(attrs)}
        self.all.append(found)
        if tag not in VOID:
            self.open.append(found)

    def handle_startendtag(self, tag, attrs):
        self.all.append({"tag": tag, "text": "", "inside": [], **dict(attrs)})

    def handle_endtag(self, tag):
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for each in self.open:
            each["text"] += data

    def __getitem__(self, tag):
        return [e for e in self.all if e["tag"] == tag]


@pytest.fixture(scope="module")
def shown(folder):
    return Page((folder / "index.html").read_text(encoding="utf-8"))


def test_the_page_has_landmarks_and_headings_in_order(shown):
    assert shown.all[0]["lang"] == "en"
    for tag in ("title", "h1", "header", "nav", "main", "footer"):
        assert len(shown[tag]) == 1
    assert shown["nav"][0]["aria-label"]
    levels = [int(e["tag"][1]) for e in shown.all if re.fullmatch("h[1-6]", e["tag"])]
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
    assert next(e for e in shown["a"])["href"] == "#main"  # the skip link comes first
    assert shown["title"][0]["text"] == "Audit of <halves>"


def test_ids_are_unique_and_every_anchor_leads_somewhere(shown, folder):
    ids = [e["id"] for e in shown.all if "id" in e]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z][a-z0-9-]*", each) for each in ids)
    for link in shown["a"]:
        if link["href"].startswith("#"):
            assert link["href"][1:] in ids
        else:
            assert (folder / link["href"]).is_file()
        assert link["text"].strip()
    for each in shown.all:
        if "aria-labelledby" in each:
            assert each["aria-labelledby"] in ids


def test_tables_pictures_and_regions_are_labelled(shown):
    for table in shown["table"]:
        assert table["text"]
    assert len(shown["caption"]) == len(shown["table"])
    assert all(caption["text"].strip() for caption in shown["caption"])
    assert all(th["scope"] in ("row", "col") and th["text"].strip() for th in shown["th"])
    assert shown["img"]
    assert all(len(img["alt"]) > 20 for img in shown["img"])
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in shown["svg"])
    assert all(e["aria-label"] for e in shown.all if e.get("role") == "region")
    assert len(shown["summary"]) == len(shown["details"])


def test_the_page_needs_nothing_but_itself(folder, shown):
    text = (folder / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|//cdn|@import|url\(", text)
    assert not shown["script"]
    assert not shown["link"]
    assert all(img["src"].startswith("data:image/png;base64,") for img in shown["img"])
    assert "prefers-color-scheme: dark" in text
    assert ":focus-visible" in text


def test_the_page_says_what_was_found(audited, shown, folder):
    words = shown["main"][0]["text"]
    matrix = shown["table"][0]["text"]
    assert audited.arrows == [tuple(NAMES)]
    assert "<left> & co causes right" in words
    assert "is caused by" in matrix
    for found in audited.pairs.values():
        for warning in found.warnings:
            assert warning in words
        for name, response in (("right", found.forward), ("<left> & co", found.backward)):
            low, high = (response.value + k * 1.96 * response.stderr for k in (-1, 1))
            assert f"{response.value:.3g}{low:.3g} to {high:.3g}" in words
            assert f"{name} when" in words
    for claim in ("says nothing of the world", "is no do()", "no proof of absence"):
        assert claim in words
    kept = json.loads((folder / "audit.json").read_text())
    assert all(null["says"] in words for null in kept["paper"][0]["nulls"])
    assert sum("histogram" in f["text"] or "draws where" in f["text"] for f in shown["figure"]) == 3
    assert "predicted from steepness alone" in words
    for row in found.diagnosis.penalised:
        assert "".join(f"{value:.3g}" for value in row) in words


def test_pictures_are_those_of_the_moved_units(shown):
    found = counterfactuals(
        IMAGES, ATTRIBUTES, ATTRIBUTES[1], IMAGES.draw(20, 1), dict.fromkeys(NAMES, 0.1)
    )
    assert found["doses"] == [-2, -1, 0, 1, 2]
    changes = torch.tensor(found["changes"]["right"])
    # A step may miss what it aims at where the reading curves, and goes no further than 0.5.
    assert (changes.diff() > 0).all()
    assert changes[2] == 0
    left, right = (decoded(uri) for uri in (found["pictures"][0], found["pictures"][4]))
    assert left.shape == right.shape == (1, 4 * 3 - 1, 2)
    assert (right[..., 1].double() - left[..., 1].double()).mean() > 20
    assert len(shown["img"]) == 10


def decoded(uri):
    """A grey PNG without filters, by its specification."""
    raw = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    width, height = (int.from_bytes(raw[k : k + 4], "big") for k in (16, 20))
    start = raw.index(b"IDAT") + 4
    data = zlib.decompressobj().decompress(raw[start:])
    rows = torch.tensor(list(data), dtype=torch.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()
    return rows[None, :, 1:]


def test_json_and_table_stand_beside_the_page(audited, folder):
    content = json.loads((folder / "audit.json").read_text())
    assert content["pairs"] == json.loads(audited.to_json())["pairs"]
    assert len(content["paper"][0]["nulls"][0]["draws"]) == FEW["permutations"]
    (row,) = csv.DictReader((folder / "pairs.csv").read_text().splitlines())
    found = audited[tuple(NAMES)]
    assert row["c"] == NAMES[0]
    assert row["verdict"] == found.verdict
    assert float(row["R(c->e).value"]) == found.forward.value


def test_what_is_no_image_is_plotted(tmp_path):
    generator = LatentGenerator(lambda z: squares(z)[:, 0, 0], 3, Real((2,)))
    two = [Attribute.from_measure(n, lambda x, k=k: x[:, k]) for k, n in enumerate("ab")]
    found = audit(generator, two, **SMALL, diagnosis=False)
    path = write_report(found, tmp_path, generator=generator, attributes=two, **FEW)
    drawn = Page(path.read_text())
    assert not drawn["img"]
    assert any("What the generator makes with a moved" in s["aria-label"] for s in drawn["svg"])


def test_a_report_goes_on_after_a_kill(tmp_path, monkeypatch):
    options = {"quick": True, "progress": False, "title": "halves"}

    def killed(*given, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "_QUICK_TESTS", {"fit": 600, "block": 200, "moved": 50})
    monkeypatch.setattr(report, "_QUICK_SHOWN", {"n": 300, "permutations": 19, "moved": 20})
    with monkeypatch.context() as patch:
        patch.setattr(report, "paper", killed)
        with pytest.raises(KeyboardInterrupt):
            audit_report(IMAGES, ATTRIBUTES, tmp_path / "cut", **options)
    assert not (tmp_path / "cut" / "index.html").exists()
    with monkeypatch.context() as patch:  # what is done is not done again
        patch.setattr(evidence, "gradient_step", killed)
        patch.setitem(audit.__globals__, "pair_tests", killed)
        patch.setitem(audit.__globals__, "_moved", killed)
        patch.setitem(audit.__globals__, "diagnose", killed)
        found = audit_report(IMAGES, ATTRIBUTES, tmp_path / "cut", resume=True, **options)
    whole = audit_report(IMAGES, ATTRIBUTES, tmp_path / "whole", **options)
    assert found.to_json() == whole.to_json()
    for name in ("index.html", "audit.json", "pairs.csv"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


STALLS = """
import time
from pathlib import Path

def stalling(generator):
    kept = Path(__file__).with_name("cut") / "kept" / "tests.json"
    def read(x):
        while kept.exists() and not Path(__file__).with_name("go").exists():
            time.sleep(0.1)
        return x[:, 0]
    return [Attribute.from_measure("a", read), attributes(generator)[1]]
"""


@pytest.mark.slow  # a process of its own
def test_the_command_goes_on_after_a_kill(tmp_path):
    file = tmp_path / "model.py"
    file.write_text(MODEL + STALLS)
    command = ["audit", f"{file}:made", "--attributes", f"{file}:stalling", "--quick", "--out"]
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    code = "import sys; from scm.cli import app; app()"
    process = subprocess.Popen([sys.executable, "-c", code, *command, str(cut)])
    deadline = time.monotonic() + 240
    while not (cut / "kept" / "tests.json").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.kill()
    process.wait()
    assert not (cut / "index.html").exists()
    (tmp_path / "go").touch()
    for words in ([*command, str(cut), "--resume"], [*command, str(whole)]):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
    for name in ("index.html", "audit.json", "pairs.csv"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes()


def test_folders_that_are_refused(audited, folder, tmp_path):
    given = {"generator": IMAGES, "attributes": ATTRIBUTES, "title": "<halves>", **FEW}
    with pytest.raises(ScmError, match="already; go on"):
        write_report(audited, folder, **given)
    with pytest.raises(ScmError, match=r"another audit \(its title differ"):
        write_report(audited, folder, **{**given, "title": "other"}, resume=True)
    other = LatentGenerator(lambda z: squares(z) / 2, 3, Image((1, 2, 2)))
    with pytest.raises(ScmError, match=r"its generator, readings differ"):
        write_report(audited, folder, **{**given, "generator": other}, resume=True)
    (tmp_path / "mine.txt").write_text("mine")
    for resume in (False, True):
        with pytest.raises(ScmError, match="not empty and holds no run"):
            write_report(audited, tmp_path, **given, resume=resume)
    with pytest.raises(ScmError, match="is a file"):
        write_report(audited, tmp_path / "mine.txt", **given)
    with pytest.raises(ScmError, match="the audit is of"):
        write_report(audited, tmp_path, **{**given, "attributes": ATTRIBUTES[::-1]})
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_damaged_pieces_are_done_again(tmp_path):
    kept = Kept(tmp_path, {"of": 1.0})
    assert kept("piece", lambda: {("a", 1): [1.5, None]}) == {("a", 1): [1.5, None]}
    (tmp_path / "kept" / "piece.json").write_text('{"result": ')
    assert Kept(tmp_path, {"of": 1.0}, resume=True)("piece", lambda: 2) == 2


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "_QUICK_TESTS", {"fit": 600, "block": 200, "moved": 50})
    monkeypatch.setattr(report, "_QUICK_SHOWN", {"n": 300, "permutations": 19, "moved": 20})
    file = tmp_path / "model.py"
    file.write_text(MODEL)
    out = tmp_path / "out"
    command = ["audit", f"{file}:made", "--attributes", f"{file}:attributes", "--out", str(out)]
    done = CliRunner().invoke(app, [*command, "--quick"])
    assert done.exit_code == 0, done.output
    assert "a, b: none" in done.stdout
    assert "Audit of model.py:made" in (out / "index.html").read_text()
    again = CliRunner().invoke(app, [*command, "--quick"])
    assert again.exit_code == 1
    assert "--resume" in again.stderr
    assert again.stderr.count("\n") == 1
    assert CliRunner().invoke(app, [*command, "--quick", "--resume"]).exit_code == 0
    other = CliRunner().invoke(app, [*command, "--quick", "--resume", "--seed", "1"])
    assert "another audit" in other.stderr


@pytest.mark.parametrize(
    ("generator", "attributes", "message"),
    [
        ("number", "attributes", "is a int; expected an scm.mechanisms.LatentGenerator"),
        ("made", "broken", "is a list; expected a list of scm.discovery.Attribute"),
        ("mad", "attributes", "did you mean 'made'"),
        ("made", "twins", "more than once"),
    ],
)
def test_a_command_that_is_refused_says_so_in_one_line(tmp_path, generator, attributes, message):
    file = tmp_path / "model.py"
    file.write_text(MODEL)
    options = ["--attributes", f"{file}:{attributes}", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, ["audit", f"{file}:{generator}", *options])
    assert done.exit_code == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_file_that_fails_is_told_of_in_one_line(tmp_path):
    file = tmp_path / "model.py"
    file.write_text("import torch\n1 / 0\n")
    done = CliRunner().invoke(app, ["audit", f"{file}:a", "--attributes", f"{file}:b"])
    assert done.exit_code == 1
    assert "failed when it was run (ZeroDivisionError: division by zero)" in done.stderr
    assert done.stderr.count("\n") == 1


CLICKS = """<script>
const said = {}, note = (what, right) => { said[what] = (said[what] ?? true) && right; };
for (const link of document.querySelectorAll('a[href^="#"]')) {
  link.click();
  note('links', document.querySelector(':target')?.id === link.hash.slice(1));
}
for (const summary of document.querySelectorAll('summary')) {
  const details = summary.parentElement, height = () => details.getBoundingClientRect().height;
  const open = details.open, tall = height();
  summary.click();
  note('details', details.open !== open && height() < tall);
  summary.click();
  note('details', details.open === open && height() === tall);
}
for (const img of document.images) note('pictures', img.complete && img.naturalWidth > 0);
for (const part of document.querySelectorAll('.skip, [role=region]')) {
  part.focus();
  note('keyboard', document.activeElement === part);
}
const root = document.documentElement;
note('width', root.scrollWidth <= root.clientWidth);
said.ground = getComputedStyle(document.body).backgroundColor;
root.textContent = JSON.stringify(said);
</script>"""


@pytest.mark.slow
def test_a_browser_opens_the_page_and_clicks_through_it(folder, tmp_path):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no Chromium here")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000"]

    def dumped(page, *more):
        command = [browser, *flags, *more, "--dump-dom", page.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
        return done.stdout

    text = (folder / "index.html").read_text(encoding="utf-8")
    seen, written = Page(dumped(folder / "index.html")), Page(text)
    for tag in ("table", "tr", "img", "svg", "path", "details", "article", "a"):
        assert len(seen[tag]) == len(written[tag])  # nothing was moved out of its place
    clicked = tmp_path / "clicked.html"
    clicked.write_text(text.replace("</body>", CLICKS + "</body>"), encoding="utf-8")
    grounds = set()
    for dark in (0, 1):
        scheme = f"--blink-settings=preferredColorScheme={dark}"
        found = re.search(r"\{.*\}", dumped(clicked, scheme, "--window-size=600,900"))
        said = json.loads(found[0])
        grounds.add(said.pop("ground"))
        expected = ["links", "details", "pictures", "keyboard", "width"]
        assert said == dict.fromkeys(expected, True)
    assert len(grounds) == 2
