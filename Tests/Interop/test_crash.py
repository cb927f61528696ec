"""The short form of `make chaos`: a node that dies under load, and a check that the check can fail."""

import time

import pytest

from chaos.actors import Finding
from chaos.campaign import Campaign


@pytest.mark.parametrize("qos", [1, 2])
def test_kills_and_power_cuts_take_nothing_that_was_promised(tmp_path, capsys, qos):
    seed = int(time.time())
    with capsys.disabled():
        print(f"\nseed {seed}")
        counts = Campaign(tmp_path, qos, seed).run(10)
    assert counts["kills"] >= 5 and counts["power cuts"] >= 5


def test_a_disk_that_lies_about_syncs_is_found_out(tmp_path):
    """Nobody can keep promises on such a disk; a campaign that does not notice would not notice anything."""
    with pytest.raises(Finding):
        Campaign(tmp_path, 1, seed=1, say=lambda line: None, is_lying=True).run(40)
