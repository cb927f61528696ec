"""The short form of the campaigns `ring`, `mesh` and `mixed` of `make chaos`."""

import time

import pytest

from chaos.actors import Finding
from chaos.rings import SHAPES, RingCampaign


@pytest.mark.parametrize("shape", SHAPES)
def test_every_node_hears_everything_once_whatever_breaks_on_the_way(tmp_path, capsys, shape):
    seed = int(time.time())
    with capsys.disabled():
        print(f"\nseed {seed}")
        counts = RingCampaign(tmp_path, shape, seed).run(12)
    assert counts["messages"] and counts["drains"]


def test_a_ring_whose_nodes_do_not_believe_each_other_is_found_out(tmp_path):
    """Without marks messages go round for ever; a campaign that does not notice notices nothing."""
    campaign = RingCampaign(tmp_path, "ring", 1, say=lambda line: None, believes=False)
    campaign.until = lambda what, condition, seconds=15: RingCampaign.until(campaign, what, condition, min(seconds, 15))
    with pytest.raises(Finding, match="twice|left|drained|arrived|answered"):
        campaign.run(60)
