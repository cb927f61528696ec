"""Does the power cut of chaos/ bite? SQLite without syncs must lose under it, and SQLite with them must not."""

import os
import random
import sqlite3
import subprocess
import sys

import pytest

from chaos.power import Power

COMMITTER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode = " + sys.argv[2])
connection.execute("PRAGMA synchronous = " + sys.argv[3])
connection.execute("PRAGMA wal_autocheckpoint = 20")
connection.execute("CREATE TABLE IF NOT EXISTS fact (number INTEGER PRIMARY KEY, body BLOB)")
number = connection.execute("SELECT COALESCE(MAX(number), 0) FROM fact").fetchone()[0]
while True:
    number += 1
    connection.execute("INSERT INTO fact VALUES (?, randomblob(700))", (number,))
    print(number, flush=True)
"""


def losses(tmp_path, journal, synchronous, rounds):
    """How many of the rounds ended in a lost commit or a broken file."""
    power = Power(tmp_path / "data", tmp_path / "log")
    database, lost = power.data / "facts.sqlite", 0
    for seed in range(rounds):
        power.break_disk(dies_in=random.Random(seed).randint(100, 400))
        ended = subprocess.run(
            [sys.executable, "-c", COMMITTER, database, journal, synchronous],
            env={**os.environ, **power.environment},
            capture_output=True,
            timeout=60,
        )
        assert ended.returncode == -9, ended.stderr.decode()
        told = ended.stdout.split()
        power.cut(seed)
        try:
            connection = sqlite3.connect(database)
            assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
            count, top = connection.execute("SELECT COUNT(*), MAX(number) FROM fact").fetchone()
            is_whole = count == top and (not told or top >= int(told[-1]))
            connection.close()
        except (sqlite3.DatabaseError, AssertionError):
            is_whole = False
        if not is_whole:
            lost += 1
            for path in power.data.iterdir():
                path.unlink()
    return lost


@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
def test_a_power_cut_takes_what_was_not_synced(tmp_path, journal):
    assert losses(tmp_path, journal, "OFF", 6) >= 5


@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
def test_a_power_cut_leaves_what_was_synced(tmp_path, journal):
    assert losses(tmp_path, journal, "FULL" if journal == "WAL" else "EXTRA", 20) == 0


EMPTIER = """
import os, signal, sys
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.write(file, b"x" * 20_000)
os.fsync(file)
os.ftruncate(file, 0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_cut_off_a_file_is_there_as_a_whole_or_gone(tmp_path):
    """Half of a log, behind a database that has all of it already, would be a broken database."""
    power, ends = Power(tmp_path / "data", tmp_path / "log"), set()
    file = power.data / "file"
    for seed in range(40):
        subprocess.run([sys.executable, "-c", EMPTIER, file], env={**os.environ, **power.environment}, timeout=60)
        power.cut(seed)
        ends.add(file.read_bytes() if file.exists() else b"")
        file.unlink(missing_ok=True)
    assert ends == {b"", b"x" * 20_000}
