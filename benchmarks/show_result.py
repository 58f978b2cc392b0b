"""Our averages of real judgment files beside those of FastChat's own `show_result.py`, run unchanged.

python benchmarks/show_result.py FASTCHAT/llm_judge/show_result.py FILE_single.jsonl|FILE_pair.jsonl ...
"""

import importlib.util
import sys
import types
from pathlib import Path

from humanturn.evaluate.stage import import_files


def theirs(script: Path, path: Path):
    """The tables that FastChat's script prints for `path`, as it made them, before they are rounded for the screen."""
    spec = importlib.util.spec_from_file_location("show_result", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    printed = []
    module.print = lambda *values: printed.extend(v for v in values if not isinstance(v, str))
    asked = {"input_file": str(path), "bench_name": "mt_bench", "model_list": None, "baseline_model": None}
    show = module.display_result_pairwise if path.stem.endswith("_pair") else module.display_result_single
    show(types.SimpleNamespace(**asked))
    return printed


def single(script: Path, path: Path) -> list[float]:
    """Differences of every average: first turn, second turn, overall."""
    first, second, overall = theirs(script, path)
    models = import_files([path])["single"]["models"]
    found = [models[model]["turns"][str(turn)].value - row.score for (model, turn), row in first.iterrows()]
    found += [models[model]["turns"][str(turn)].value - row.score for (model, turn), row in second.iterrows()]
    return found + [models[model]["average"].value - row.score for model, row in overall.iterrows()]


def pairwise(script: Path, path: Path) -> list[float]:
    """Differences of every count and rate."""
    (table,) = theirs(script, path)
    models, found = import_files([path])["pairwise"]["models"], []
    for model, row in table.iterrows():
        ours = models[model]
        found += [ours["wins"] - row.win, ours["ties"] - row.tie, ours["losses"] - row.loss]
        found += [ours["win_rate"] - row.win_rate, ours["loss_rate"] - row.loss_rate]
        found.append(ours["win_rate_adjusted"].value - row.win_rate_adjusted)
    return found


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    for file in map(Path, sys.argv[2:]):
        differences = (pairwise if file.stem.endswith("_pair") else single)(Path(sys.argv[1]), file)
        worst = max(map(abs, differences))
        print(f"{file.name}: {len(differences)} figures of show_result, largest difference {worst:.1e}")
        assert worst < 1e-9
