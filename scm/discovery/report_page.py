"""The page of an audit's report: plain HTML that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import combinations
from pathlib import Path
from typing import Any

from scm import html
from scm.discovery.charts import histogram, intervals, lines
from scm.discovery.claims import CAN, CANNOT
from scm.html import Markup

__all__ = ["page"]

Found = Mapping[str, Any]
_Z = 1.96  # of 95% limits
_FEW = 6  # numbers that are drawn a curve each

_MATRIX = {
    "->": "causes",
    "<-": "is caused by",
    "both": "both respond",
    "none": "none",
    "abstain": "abstain",
}


def page(
    title: str, audit: Found, attributes: Sequence[Found], moves: Sequence[Found],
    papers: Sequence[Found],
) -> str:  # fmt: skip
    """The whole page.

    Args:
        title: What was audited.
        audit: What `Audit.to_json` holds.
        attributes: Of each, its `name`, `kind`, what it `reads`, its `score` and its `notes`.
        moves: Counterfactuals of each, as `scm.discovery.evidence.counterfactuals` has them.
        papers: The paper's estimator for each pair, as `scm.discovery.evidence.paper` has it.
    """
    names = audit["attributes"]
    places = list(combinations(range(len(names)), 2))
    articles = [
        _pair(_anchor(*place), pair, [moves[k] for k in place], paper)
        for place, pair, paper in zip(places, audit["pairs"], papers, strict=True)
    ]
    links = [
        f'<li><a href="#{_anchor(*place)}">{_e(pair["c"])} and {_e(pair["e"])}</a></li>'
        for place, pair in zip(places, audit["pairs"], strict=True)
    ]
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Audit of {_e(title)}</title>
<style>
{style}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the findings</a>
<header>
<h1>Audit of {_e(title)}</h1>
<p>What has this generator learnt to be a cause? {len(names)} attributes, {len(places)} pairs,
seed {_e(audit["seed"])}, p-values of association adjusted by {_e(audit["adjustment"].title())}.</p>
</header>
<nav aria-label="Contents">
<ul>
<li><a href="#found">What was found</a></li>
<li><a href="#claims">What an audit can and cannot claim</a></li>
<li><a href="#attributes">Attributes</a></li>
{"".join(links)}
</ul>
</nav>
<main id="main" tabindex="-1">
<section id="found" aria-labelledby="found-title">
<h2 id="found-title">What was found</h2>
{_matrix(audit)}
{_warnings(audit["warnings"])}
</section>
<section id="claims" aria-labelledby="claims-title">
<h2 id="claims-title">What an audit can and cannot claim</h2>
<h3>It can say</h3>
{_list(CAN)}
<h3>It cannot say</h3>
{_list(CANNOT)}
</section>
<section id="attributes" aria-labelledby="attributes-title">
<h2 id="attributes-title">Attributes</h2>
{_attributes(attributes)}
</section>
<section id="pairs" aria-labelledby="pairs-title">
<h2 id="pairs-title">Pair by pair</h2>
{"".join(articles)}
</section>
</main>
<footer>
<p>Beside this page: <a href="audit.json">audit.json</a>, everything as JSON;
<a href="pairs.csv">pairs.csv</a>, one row for each pair.</p>
</footer>
</body>
</html>
"""


def _matrix(audit: Found) -> str:
    names, arrows = audit["attributes"], []
    for pair in audit["pairs"]:
        if pair["verdict"] in ("c->e", "e->c"):
            ends = (pair["c"], pair["e"])
            arrows.append(
                " causes ".join(map(_e, ends if pair["verdict"] == "c->e" else ends[::-1]))
            )
    rows = []
    for i, (name, words) in enumerate(zip(names, audit["matrix"], strict=True)):
        cells = [f'<th scope="row">{_e(name)}</th>']
        for j, word in enumerate(words):
            if i == j:
                cells.append("<td>–</td>")
                continue
            kind = "arrow" if word in ("->", "<-") else word
            link = f'<a href="#{_anchor(min(i, j), max(i, j))}">{_MATRIX[word]}</a>'
            cells.append(f'<td class="{kind}">{link}</td>')
        rows.append(f"<tr>{''.join(cells)}</tr>")
    head = "".join(f'<th scope="col">{_e(name)}</th>' for name in names)
    earned = f"Arrows that were earned: {'; '.join(arrows)}." if arrows else "No arrow was earned."
    return f"<p>{earned}</p>" + _scroll(
        "verdict matrix",
        "<table><caption>Verdicts: the attribute of the row, the verdict, the attribute of the "
        "column. Each leads to its pair.</caption>"
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>",
    )


def _attributes(attributes: Sequence[Found]) -> str:
    rows = [
        (a["name"], a["kind"], a["reads"], a["score"], "; ".join(a["notes"]) or "–")
        for a in attributes
    ]
    caption = "How each attribute is read, and how well its head reads held-out rows."
    return _table(caption, ("attribute", "kind", "reads", "held-out score", "notes"), rows)


def _pair(anchor: str, pair: Found, moves: Sequence[Found], paper: Found) -> str:
    c, e = pair["c"], pair["e"]
    own = [w for w in pair["warnings"] if "delta-tau" not in w]
    others = [*(w for w in pair["warnings"] if w not in own), *paper.get("warnings", ())]
    warnings, of_tau = ([_named(w, c, e) for w in each] for each in (own, others))
    return f"""<article id="{anchor}" aria-labelledby="{anchor}-title">
<h3 id="{anchor}-title">{_e(c)} and {_e(e)}: {_e(_verdict(pair))}</h3>
<p>{_e(_meaning(pair))}</p>
{_warnings(warnings)}
<details open><summary>Counterfactuals at several doses</summary>
{_strip(c, e, moves[0])}{_strip(e, c, moves[1])}</details>
<details open><summary>Responses with limits</summary>
{_responses(pair)}</details>
<details open><summary>p-values and what each of them tests</summary>
{_tests(pair, paper)}</details>
<details open><summary>Delta-tau over alpha, its nulls and the steepness of the heads</summary>
{_warnings(of_tau)}{_paper(pair, paper)}</details>
</article>
"""


def _verdict(pair: Found) -> str:
    c, e = pair["c"], pair["e"]
    arrows = {"c->e": f"{c} causes {e}", "e->c": f"{e} causes {c}"}
    verdict: str = pair["verdict"]
    return arrows.get(verdict, verdict)


def _meaning(pair: Found) -> str:
    if pair["verdict"] in ("c->e", "e->c"):
        return (
            "An additive-noise model fits this way and clearly fails the other way, in what the "
            "generator makes. The arrow holds if noise is additive and no common cause is hidden."
        )
    if pair["verdict"] == "none":
        return "No association was found, and neither responds noticeably to the other's move."
    if pair["verdict"] == "abstain":
        return "The evidence decides nothing: this is neither an arrow nor an absence."
    return "Each changes when the other is moved, and nothing tells which of them is the cause."


def _strip(moved: str, other: str, found: Found) -> str:
    caption = (
        f"The same units with {moved} moved along its own gradient: the dose that was aimed at, "
        f"and the mean change that {found['units']} units achieved, in standard deviations."
    )
    doses = [f"{dose:+g} sd" if dose else "as it is" for dose in found["doses"]]
    changes = {name: [f"{v:+.2f}" for v in found["changes"][name]] for name in (moved, other)}
    rows: list[tuple[str, ...]] = []
    if found["pictures"]:
        rows.append(("images of a few", *(
            Markup(
                f'<img src="{uri}" alt="Units with {_e(moved)} moved by {_e(dose)}: {_e(moved)} '
                f'changes by {own}, {_e(other)} by {its}">'
            )
            for uri, dose, own, its in zip(found["pictures"], doses, *changes.values(), strict=True)
        )))  # fmt: skip
    rows += [(f"change of {name}", *values) for name, values in changes.items()]
    made = _table(caption, ("move", *doses), rows, "strip")
    if found["numbers"]:
        label = f"What the generator makes with {moved} moved, mean over the units"
        if len(found["numbers"][0]) <= _FEW:
            columns = zip(*found["numbers"], strict=True)
            series = {f"number {k + 1}": list(values) for k, values in enumerate(columns)}
            chart = lines(found["doses"], series, f"dose of {moved} (sd)", label)
        else:
            series = dict(zip(doses, found["numbers"], strict=True))
            chart = lines(range(1, len(found["numbers"][0]) + 1), series, "number", label)
        made += _figure(chart, label + ".")
    return made


def _responses(pair: Found) -> str:
    c, e = pair["c"], pair["e"]
    limits, rows = {}, []
    for name, key, dose in (
        (f"{e} when {c} moves", "R(c->e)", "dose(c)"),
        (f"{c} when {e} moves", "R(e->c)", "dose(e)"),
    ):
        found, reached = pair[key], pair[dose]
        if found is None or found["stderr"] is None:
            rows.append((name, "nothing moved", "–", _number(reached["value"])))
            continue
        value, half = found["value"], _Z * found["stderr"]
        limits[name] = (value, value - half, value + half)
        about = f"{_number(value - half)} to {_number(value + half)}"
        rows.append((name, _number(value), about, _number(reached["value"])))
    caption = (
        "Change of one attribute for each standard deviation that the other's move achieved, and "
        "the change that was achieved of the 0.5 that were aimed at."
    )
    made = _table(caption, ("response of", "estimate", "95% limits", "achieved dose (sd)"), rows)
    if limits:
        words = "Responses with 95% limits"
        made += _figure(
            intervals(limits, "sd of the one for 1 sd of the other", words), words + "."
        )
    return made


def _tests(pair: Found, paper: Found) -> str:
    c, e = pair["c"], pair["e"]
    p, adjusted = _p(pair["association_p"]), _p(pair["association_p_adjusted"])
    rows = [
        ("association, by permutation", f"{c} and {e} are independent in what the "
         f"generator makes; adjusted for the number of pairs: p = {adjusted}", p)
    ]  # fmt: skip
    if (noise := pair["additive_noise"]) is not None:
        first = (noise["p_forward"], noise["p_backward"])
        for p_values, where in ((first, ""), (noise["normal"], ", with normal margins")):
            for (cause, effect), p in zip(((c, e), (e, c)), p_values or (), strict=False):
                says = (f"what a fitted function of {cause} leaves of {effect} is independent "
                        f"of {cause}; a small p speaks against this arrow")  # fmt: skip
                rows.append((f"additive noise, {cause} to {effect}{where}", says, _p(p)))
    for null in paper.get("nulls", ()):
        says = null["says"] + "; the paper's own null, as it is"
        rows.append((_named(null["what"], c, e), says, _p(null["p"])))
    caption = "Each p-value with its null hypothesis."
    made = _table(caption, ("test", "null hypothesis", "p"), rows)
    if pair["gauges"]:
        turned = ", ".join(_verdict({**pair, "verdict": gauge}) for gauge in pair["gauges"])
        made += f"<p>Verdict with the latent turned (the same p(x)): {_e(turned)}.</p>"
    return made


def _paper(pair: Found, paper: Found) -> str:
    c, e = pair["c"], pair["e"]
    if "missing" in paper:
        return f"<p>There is no delta-tau of this pair: {_e(paper['missing'])}</p>"
    value, half = paper["delta_tau"]["value"], _Z * paper["delta_tau"]["stderr"]
    said = (
        f"Delta-tau at alpha = {paper['alpha']:g} is {_number(value)} (95% limits "
        f"{_number(value - half)} to {_number(value + half)}). "
    )
    if paper["explained"] is not None:
        known = "is what" if paper["explained"] else "is not what"
        said += f"It {known} the steepness, bias and angle of the two heads alone predict."
    series = {"measured": paper["curve"]}
    if paper["predicted"] is not None:
        series["predicted from steepness alone"] = paper["predicted"]
    rows = [
        (f"{alpha:g}", *(_number(values[k]) for values in series.values()))
        for k, alpha in enumerate(paper["alphas"])
    ]
    curve = lines(paper["alphas"], series, "alpha", f"Delta-tau over alpha, {c} to {e}")
    charts = _figure(curve, f"Delta-tau over alpha; above 0 the paper says that {c} causes {e}.")
    for null in paper["nulls"]:
        what = _named(null["what"], c, e)
        words = (
            f"{what}: {len(null['draws'])} draws where {null['says']}; observed "
            f"{_number(null['observed'])}, p = {_p(null['p'])}."
        )
        axis = "GATE" if null["what"].startswith("GATE") else "delta-tau"
        charts += _figure(histogram(null["draws"], null["observed"], axis, words), words)
    s = paper["steepness"]
    heads = [
        (c, _number(s["cause_slope"]), _number(s["cause_bias"])),
        (e, _number(s["effect_slope"]), _number(s["effect_bias"])),
    ]
    told = f"The two linear latent heads; cosine of their angle: {_number(s['cosine'])}."
    other = pair["delta_tau"]
    penalised = ""
    if other and other["penalised"]:
        columns = (f"C of {c}", *(f"C of {e} = {C:g}" for C in other["Cs"]))
        values = [
            (f"{C:g}", *map(_number, row))
            for C, row in zip(other["Cs"], other["penalised"], strict=True)
        ]
        words = (
            "Delta-tau at alpha = 1 with other penalties of the heads (a smaller C penalises more)."
        )
        penalised = _table(words, columns, values)
    return (
        f'<p>{said}</p><div class="charts">{charts}</div>'
        + _table("Delta-tau at each alpha.", ("alpha", *series), rows)
        + _table(told, ("head of", "steepness |w|", "bias b"), heads)
        + penalised
    )


def _warnings(warnings: Sequence[str]) -> str:
    if not warnings:
        return ""
    return f'<ul class="warnings" aria-label="Warnings">{_items(map(_e, warnings))}</ul>'


def _table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> str:
    return _scroll(caption, html.table(caption, head, rows, kind or "plain"))


def _scroll(label: str, table: str) -> str:
    """A wide table, which the keyboard can scroll."""
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{_e(label)}">{table}</div>'


def _figure(chart: str, words: str) -> str:
    return f"<figure>{chart}<figcaption>{_e(words)}</figcaption></figure>"


def _list(items: Sequence[str]) -> str:
    return f"<ul>{_items(items)}</ul>"


def _items(items: Any) -> str:
    return "".join(f"<li>{item}</li>" for item in items)


def _named(words: str, c: str, e: str) -> str:
    """The words with the attributes in place of c and e."""
    return words.replace("c->e", f"{c} to {e}").replace("e->c", f"{e} to {c}")


def _anchor(i: int, j: int) -> str:
    return f"pair-{i}-{j}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _p(value: float) -> str:
    return f"{value:.3g}"


def _e(words: object) -> str:
    return escape(str(words))
