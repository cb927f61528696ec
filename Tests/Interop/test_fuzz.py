"""Does the server live, and do those who behave notice nothing, while others send nonsense? Short for `make fuzz`."""

import random

import pytest

from fuzz.campaign import Campaign, Finding, script


def test_nonsense_from_some_is_nothing_to_others(tmp_path):
    # Another seed each time; a finding names it.
    Campaign(tmp_path, random.randrange(1_000_000)).run(seconds=20)


def test_a_round_is_told_by_its_seed_and_number():
    assert script(7, 3) == script(7, 3) != script(7, 4)


def test_a_node_that_dies_is_a_finding_with_its_seed_and_its_packets(tmp_path):
    campaign = Campaign(tmp_path, seed=7, say=lambda line: None)
    play = campaign.play

    def play_and_kill(steps):
        strangers = play(steps)
        if steps == script(7, 3):
            campaign.node.kill()
        return strangers

    campaign.play = play_and_kill
    with pytest.raises(Finding, match=r"seed 7, round 3.*ended with -9(.|\n)*\d come"):
        campaign.run(seconds=30)
