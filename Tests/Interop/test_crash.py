"""The short forms of `make chaos` and `make ledger`, and checks that the checks can fail."""

import time

import pytest

from chaos.actors import Finding
from chaos.campaign import Campaign
from chaos.ledger import POLICIES, Ledger, Publisher


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


@pytest.mark.parametrize("policy", POLICIES)
def test_the_ledger_closes_to_the_message_whatever_a_full_queue_does(tmp_path, capsys, policy):
    seed = int(time.time())
    with capsys.disabled():
        print(f"\nseed {seed}")
        Ledger(tmp_path, policy, 4_000 if policy == "reject" else 8_000, seed).run()


def test_a_message_that_is_in_no_book_is_found(tmp_path, monkeypatch):
    """One acknowledgement that a publisher took for a refusal: the campaign must notice that single message."""
    receive = Publisher.receive

    def confused(publisher):
        receive(publisher)
        if publisher.index == 1 and len(publisher.fate) > 1000:
            publisher.fate[1000] = 2

    monkeypatch.setattr(Publisher, "receive", confused)
    with pytest.raises(Finding, match="but the node says"):
        Ledger(tmp_path, "drop-newest", 8_000, seed=1, say=lambda line: None).run()
