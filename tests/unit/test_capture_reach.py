from captures.reach import LAB_NETWORKS
from netlab.topology import BENCHMARK_RANGE, ULA


def test_what_is_guarded_is_what_labs_have() -> None:
    assert LAB_NETWORKS == (BENCHMARK_RANGE, ULA)
