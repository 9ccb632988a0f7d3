"""The runtime whole: a front-end and two back-ends of two cores, each core of which uses every base Ebb."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.live.iaas_lab import running_iaas

pytestmark = pytest.mark.live
PLACES = [(1, 0), (1, 1), (2, 0), (2, 1)]  # every core: node, core


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files")
    (path / "words").write_text("from a file")
    return path


@pytest.fixture(scope="module")
def result(directory: Path) -> Any:
    """What the front-end prints; after it nothing is left, and nothing was complained of."""
    with running_iaas(pool=2) as iaas:
        iaas.settle(2)
        argv = ["-m", "tests.live.together_front_end", str(directory), "--input", "words"]
        done = iaas.run_front_end(argv, timeout=30)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        assert "nobody looked" not in done.stderr
        iaas.settle(2)
    return json.loads(done.stdout)


@pytest.mark.parametrize("place", PLACES)
def test_every_core_uses_every_base_ebb(result: Any, directory: Path, place: tuple[int, int]) -> None:
    assert result["nodes"] == [1, 2]
    node, core = place
    offloaded = result["offloaded"][PLACES.index(place)]
    here = f"core {core} of node {node}"
    assert offloaded.pop("events") > 0
    assert offloaded == {
        "notice": "from the front-end",
        "own entry": here,
        "input": "from a file",
        "own file": here,
        "arguments": [str(directory), "--input", "words"],
        "echoes": [[0, here], [3 - node, here]],
    }
    assert (directory / f"{here}.txt").read_text() == here


@pytest.mark.parametrize("creator", PLACES)
def test_what_one_core_creates_all_cores_of_all_nodes_call(result: Any, creator: tuple[int, int]) -> None:
    node, core = creator
    said = f"made by core {core} of node {node}"
    number = PLACES.index(creator)
    assert result["used"][number] == [[said, *place] for place in PLACES]
    assert result["used here"][number] == [said, 0, 0]


@pytest.mark.parametrize("creator", PLACES)
def test_what_was_destroyed_cannot_be_called_on_any_core(result: Any, creator: tuple[int, int]) -> None:
    number = PLACES.index(creator)
    at_once, everywhere = result["ended there"][number], result["ended everywhere"][number]
    assert len(at_once) == 2
    assert len(everywhere) == 5
    assert all("was torn down" in answer for answer in at_once + everywhere)
