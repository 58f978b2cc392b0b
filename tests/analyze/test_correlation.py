import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from humanturn.analyze import correlation
from humanturn.errors import FormatError, InputError

# The paper's Tables 5 and 3 (models trained on 10K samples).
STATISTICS = {
    "RealChat": {"session_tokens": 2182.94, "mtld": 31.65, "human_like": 0.6727, "relevancy": 9.5992},
    "w/ Dolly": {"session_tokens": 2003.11, "mtld": 28.79, "human_like": 0.5456, "relevancy": 9.6778},
    "w/ WizardLM": {"session_tokens": 2112.26, "mtld": 57.75, "human_like": 0.3653, "relevancy": 9.7410},
    "Baize": {"session_tokens": 264.12, "mtld": 28.33, "human_like": 0.1758, "relevancy": 9.3981},
    "UltraChat": {"session_tokens": 1441.99, "mtld": 76.46, "human_like": 0.1157, "relevancy": 9.5607},
    "ShareGPT": {"session_tokens": 1136.71, "mtld": 35.54, "human_like": 0.8358, "relevancy": 9.2101},
}
SCORES = {
    "RealChat": {"Vicuna-Bench": 8.3438, "MT-Bench": 5.3406},
    "w/ Dolly": {"Vicuna-Bench": 8.2625, "MT-Bench": 5.3937},
    "w/ WizardLM": {"Vicuna-Bench": 8.0813, "MT-Bench": 5.0656},
    "Baize": {"Vicuna-Bench": 4.6375, "MT-Bench": 3.95},
    "UltraChat": {"Vicuna-Bench": 7.7188, "MT-Bench": 4.6906},
    "ShareGPT": {"Vicuna-Bench": 8.2375, "MT-Bench": 5.9406},
}


def cells():
    found = correlation.correlate(STATISTICS, SCORES)
    return {(cell.statistic, cell.benchmark): cell for cell in found.cells}


def test_the_paper_s_own_tables_give_the_correlations_it_tells_of():
    # Section 5.3: single-turn scores go with session length; multi-turn ones with the human-like ratio.
    found = cells()
    assert found["session_tokens", "Vicuna-Bench"].pearson.value > 0.8
    assert found["human_like", "MT-Bench"].pearson.value > 0.8
    assert found["human_like", "MT-Bench"].pearson.value > found["session_tokens", "MT-Bench"].pearson.value


def test_six_models_are_too_few_and_the_table_says_so():
    found = correlation.correlate(STATISTICS, SCORES)
    assert "Only 6 models" in found.warning
    interval = cells()["mtld", "MT-Bench"].pearson
    assert interval.high - interval.low > 1


@given(st.integers(4, 30), st.integers(0, 2**20))
def test_the_coefficients_are_scipy_s(n, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 6, n).astype(float).tolist()
    y = (np.asarray(x) * rng.normal() + rng.integers(0, 6, n)).tolist()
    if len(set(x)) < 2 or len(set(y)) < 2:
        assert np.isnan(correlation.pearson(x, y).value)
        return
    assert correlation.pearson(x, y).value == pytest.approx(scipy_stats.pearsonr(x, y)[0], abs=1e-9)
    assert correlation.spearman(x, y).value == pytest.approx(scipy_stats.spearmanr(x, y)[0], abs=1e-9)


def test_the_interval_is_scipy_s_fisher_interval():
    x, y = [1.0, 2, 3, 4, 5, 6, 7, 8], [1.0, 3, 2, 5, 4, 7, 6, 9]
    theirs = scipy_stats.pearsonr(x, y).confidence_interval(0.95)
    ours = correlation.pearson(x, y)
    assert (ours.low, ours.high) == (pytest.approx(theirs.low, abs=1e-4), pytest.approx(theirs.high, abs=1e-4))


def test_only_corpora_with_scores_count():
    some = {name: SCORES[name] for name in ("RealChat", "Baize", "ShareGPT")}
    assert correlation.correlate(STATISTICS, some).models == ["RealChat", "Baize", "ShareGPT"]
    with pytest.raises(InputError, match="there are 2"):
        correlation.correlate(STATISTICS, {name: SCORES[name] for name in ("RealChat", "Baize")})


def test_a_score_file_of_another_shape_is_told(tmp_path):
    path = tmp_path / "scores.json"
    path.write_text(json.dumps({"a": 5}))
    with pytest.raises(FormatError, match="it must read"):
        correlation.read_scores(path)
    with pytest.raises(InputError, match="no such file"):
        correlation.read_scores(tmp_path / "none.json")
