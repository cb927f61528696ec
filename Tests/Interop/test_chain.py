"""The short form of the chain campaign of `make chaos`."""

import time

import pytest

from chaos.actors import Finding
from chaos.chain import SHAPES, ChainCampaign


@pytest.mark.parametrize("shape", SHAPES)
def test_kills_and_broken_lines_take_nothing_from_a_chain(tmp_path, capsys, shape):
    seed = int(time.time())
    with capsys.disabled():
        print(f"\nseed {seed}")
        counts = ChainCampaign(tmp_path, shape, seed).run(20)
    assert counts["kills"] and counts["messages"]


def test_links_without_a_session_upstream_are_found_out(tmp_path):
    """What waits at the upstream for such a link is gone with the line; a campaign that does not notice notices nothing."""
    campaign = ChainCampaign(tmp_path, "five", 1, say=lambda line: None, link_settings='session_expiry = "0s"')
    campaign.until = lambda what, condition, seconds=15: ChainCampaign.until(campaign, what, condition, min(seconds, 15))
    with pytest.raises(Finding, match="missing|lost"):
        campaign.run(60)
