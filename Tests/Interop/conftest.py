"""Fixtures: brokers that end with the test, whatever happened in it."""

import pytest

from brokers import Drawbridge, Mosquitto


def pytest_addoption(parser):
    parser.addoption(
        "--against",
        choices=["drawbridge", "mosquitto"],
        default="drawbridge",
        help="mosquitto: run the tests of clients against Debian's broker, to find out whether a test is wrong itself",
    )


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Puts the logs of the brokers under a failure, for what they say is usually the answer."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed:
        for broker in getattr(item, "brokers", []):
            report.sections.append((f"log of {broker.name}", broker.log()[-6000:]))


@pytest.fixture
def brokers(request, tmp_path):
    """Makes brokers: `brokers.drawbridge("a")`, `brokers.mosquitto("hub")`; all in the folder of the test."""

    class Maker:
        def __init__(self):
            self.all = []

        def keep(self, broker):
            self.all.append(broker)
            return broker

        def drawbridge(self, name="a", **options):
            return self.keep(Drawbridge(tmp_path, name, **options))

        def mosquitto(self, name="hub", **options):
            return self.keep(Mosquitto(tmp_path, name, **options))

    maker = Maker()
    request.node.brokers = maker.all
    yield maker
    for broker in maker.all:
        broker.clean_up()


@pytest.fixture
def drawbridge(brokers):
    """One running Drawbridge."""
    return brokers.drawbridge().start()


@pytest.fixture
def broker(request, brokers):
    """The broker that clients of others speak to: Drawbridge, unless `--against mosquitto`."""
    if request.config.getoption("--against") == "mosquitto":
        return brokers.mosquitto().start()
    return brokers.drawbridge().start()
