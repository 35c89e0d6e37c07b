"""What the page of an attention run says of itself: the question, the words. No jax."""

from pathlib import Path

from genjax.report.about import About, Term
from genjax.scaling.config import Config

ROWS = {
    "full": Term("Textbook attention: all scores are formed, n of them for each of n positions."),
    "flash": Term("Exact attention in tiles: the same result, and the scores are never kept."),
    "truncated": Term("Each position sees a fixed number of neighbours."),
    "sparse_strided": Term("Sparse Transformer: neighbours and every stride-th position."),
    "sparse_fixed": Term("Sparse Transformer: its own block and the summaries of others."),
    "longformer": Term("Neighbours and a few global positions."),
    "bigbird": Term("Neighbours, a few global and a few random positions."),
    "linformer": Term("Keys and values projected to a fixed number; learnt, here untrained."),
    "performer": Term("Random features that stand for the softmax."),
    "linear": Term("Another similarity in place of the softmax: sums that do not grow with n."),
    "reformer": Term("Positions that hash alike see each other."),
    "chance": Term(
        "An answer that does not read the question: the commonest, or one of the values shown."
    ),
    "root_own": Term(
        "A shortcut: the outermost operator on its own digits, nested lists left out."
    ),
    "root_all": Term(
        "A shortcut: the outermost operator on all digits, as if nothing were nested."
    ),
    "products": Term(
        "A control of known growth: the two products without a softmax. n^2, and more where their"
        " matrix leaves a cache."
    ),
    "tiles": Term("A control of known growth, n^2: the two products in tiles, without a softmax."),
    "rows": Term("A control of known growth, n: n rows times one matrix."),
    "roots": Term(
        "A control of known growth, n^1.5: the two products in tiles, with 8 sqrt(n) keys."
    ),
    ".scores": Term("The first part of textbook attention alone: the scores."),
    ".softmax": Term("The second part of textbook attention alone: the softmax."),
    ".values": Term("The third part of textbook attention alone: the sum of the values."),
    "layer": Term(
        "A layer of a transformer of this width: attention beside its feed-forward part."
    ),
}
WITHIN, BEYOND = "share of look-ups within reach", "share of look-ups out of reach"
MEASURES = {
    "/forward": Term("Of computing the result."),
    "/both": Term("Of computing the result and the gradients."),
    "time_exponent": Term(
        "The power of the length n with which time grows, over the three longest lengths that"
        " a variant reached.",
        "power of n",
    ),
    "time_exponent_trend": Term(
        "By how much that power is larger in the upper of the two octaves.", "powers of n an octave"
    ),
    "memory_exponent": Term("The power of n with which memory grows.", "power of n"),
    "largest": Term("The longest length that was reached.", "positions"),
    "of_matmul": Term(
        "Rate of arithmetic, of that of a product of two 1024 x 1024 matrices.", "share, 0 to 1"
    ),
    "milliseconds": Term("Time of one call at the length that all variants reached.", "ms"),
    "predicted": Term("Temporary memory and result, as the compiled program says.", "MB"),
    "peak": Term("By how much the first call of a fresh process raised its memory.", "MB"),
    "error": Term(
        "Distance of the result from exact attention's, of its size; q, k and v random.",
        "relative, 0 is exact",
    ),
    "needles": Term("Queries that find the one key that they match.", "share of look-ups"),
    "reached": Term("Queries whose matching key the fixed pattern includes.", "share of look-ups"),
    "missed": Term("Queries whose matching key is included, and which do not find it.", WITHIN),
    "beyond": Term("Queries whose matching key is not included, and which find it.", BEYOND),
    "below_full_from": Term(
        "From which length on it is faster than textbook attention.", "positions"
    ),
    "overtakes": Term(
        "At which length attention takes longer than the feed-forward part.", "widths of the layer"
    ),
    "captured_error": Term(
        "Distance of the result from exact attention's, on the q, k and v of a trained one.",
        "relative, 0 is exact",
    ),
}
OF_TASKS = {
    "recall": "associative recall",
    "mqar": "associative recall as in Zoology",
    "copy": "copying",
    "listops": "nested lists",
}
LEARNT = {
    f"{task}_{measure}": Term(f"{text}: {words}.", unit)
    for task, words in OF_TASKS.items()
    for measure, text, unit in (
        ("accuracy", "Right answers of trained transformers", "share, 0 to 1"),
        ("accuracy_hard", "The same where every shortcut fails", "share, 0 to 1"),
        ("seconds", "The fastest forward call of a trained transformer, a sequence", "s"),
        ("state", "What a layer carries to a later position", "numbers"),
        ("rate", "The learning rate that answered best with seed 100", "of Adam"),
    )
}
WORDS = {
    "n": Term("The length of the sequence, in positions."),
    "process": Term(
        "A fresh start of the program that times everything anew: what is independent here, "
        "as seeds are elsewhere."
    ),
    "softmax": Term("Turns scores into weights that are positive and sum to 1."),
}

ABOUT = About(
    config=Config,
    question="Does the cost of self-attention grow as the square of the length n, and what do the "
    "variants that cost less give up?",
    asserts={
        "A1": "textbook attention takes time as n² or faster",
        "A1m": "textbook attention takes memory as n²",
        "A2": "exact attention in tiles takes time as n² too",
        "A2m": "exact attention in tiles needs less than a tenth of the memory",
        "A3": "{} attention takes time as n",
        "A4": "Reformer attention takes time as n",
        "A5": "strided sparse attention takes time no faster than n^1.5",
        "A7": "fixed patterns find a needle exactly where they reach, and nowhere else",
        "A8": "small transformers with {} attention answer fewer questions than exact ones",
    },
    beside={
        "time": ("A1", "A2", "A3"),
        "memory": ("A1m", "A2m"),
        "exponents": ("A5", "A4"),
        "parts": ("A1",),
        "tradeoff": ("A7",),
        "lookups": ("A8",),
    },
    terms=ROWS | MEASURES | LEARNT | WORDS,
    ledger=Path(__file__).with_name("ledger.json"),
)
