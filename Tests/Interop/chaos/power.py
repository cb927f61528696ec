"""The power supply of a process under powercut.c: cuts it, and breaks the disk on request.

What a power cut leaves behind, decided by a seed:

- Of the names that appeared, went or changed since the last sync of their folder, the newest any number are taken back.
- Of each sector of 512 bytes any of the contents stays that it had since the last sync of its file. So writes survive
  in any subset and any order, and those that cross a sector are torn.
- Of the lengths that the file had since then any stays; what is there without having been written is zeros or garbage.
- What was cut off a file is there again with the length that it had, whole, or it is gone: a file system frees blocks
  when the new length is on the disk, and not before. SQLite counts on it when it empties its log.

Sometimes everything unsynced is lost, sometimes what survives is a beginning, for those are the usual ends.
"""

import collections
import math
import mmap
import os
import pathlib
import random
import struct
import subprocess

FOLDER = pathlib.Path(__file__).parent
HEADER = struct.Struct("<IIQQqqqqq")
MAGIC = 0x43777250
WRITE, TRUNCATE, SYNC, SYNC_FAILED, CREATE, UNLINK, RENAME, DIRECTORY_SYNC = range(1, 9)
SECTOR, PAGE = 512, 4096
CONTROL = (
    "space write_fails_in write_fails_for sync_fails_in sync_fails_for sync_delay_us read_only lies dies_in"
    " writes syncs failures"
).split()
HEALTHY = dict(
    space=-1,
    write_fails_in=-1,
    write_fails_for=0,
    sync_fails_in=-1,
    sync_fails_for=0,
    sync_delay_us=0,
    read_only=0,
    lies=0,
    dies_in=-1,
)

Record = collections.namedtuple("Record", "kind sequence inode offset written old_size new_size old")


def build_shim(target):
    """Compiles powercut.c when it is newer than what is there; returns the path of the library."""
    source, target = FOLDER / "powercut.c", pathlib.Path(target)
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(f"{target.name}.{os.getpid()}")
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-o", fresh, source, "-ldl"], check=True)
        fresh.replace(target)
    return target


class Power:
    """One folder on a disk that forgets. Its side of the story is in `log`, on the same file system but elsewhere."""

    def __init__(self, data, log, shim=None):
        self.data, self.log = pathlib.Path(data), pathlib.Path(log)
        self.data.mkdir(parents=True, exist_ok=True)
        self.log.mkdir(parents=True, exist_ok=True)
        self.shim = shim or build_shim(os.environ.get("POWERCUT_SHIM", self.log / "powercut.so"))
        with open(self.log / "control", "w+b") as file:
            file.truncate(8 * len(CONTROL))
            # Written a number at a time: `struct` makes it zero first, and a node that runs could see that and die.
            self.control = memoryview(mmap.mmap(file.fileno(), 8 * len(CONTROL))).cast("q")
        self.heal()

    @property
    def environment(self):
        return {"LD_PRELOAD": str(self.shim), "POWERCUT_DIR": str(self.data), "POWERCUT_LOG": str(self.log)}

    def break_disk(self, **faults):
        """For example `space=0`, `sync_fails_in=3, sync_fails_for=1`, `read_only=1`, `dies_in=20`; at once."""
        # What arms a fault comes last.
        for name, value in sorted(faults.items(), key=lambda fault: fault[0].endswith("_in")):
            self.control[CONTROL.index(name)] = value

    def heal(self):
        self.break_disk(**HEALTHY)

    def count(self, name):
        return self.control[CONTROL.index(name)]

    def records(self):
        """The journal; what a kill cut off at its end had not happened yet."""
        path = self.log / "journal"
        data = path.read_bytes() if path.exists() else b""
        at, records = 0, []
        while at + HEADER.size <= len(data):
            magic, kind, sequence, inode, offset, written, old_size, new_size, length = HEADER.unpack_from(data, at)
            assert magic == MAGIC, f"the journal is broken at {at}"
            at += HEADER.size
            if at + length > len(data):
                break
            records.append(Record(kind, sequence, inode, offset, written, old_size, new_size, data[at : at + length]))
            at += length
        return records

    def cut(self, seed):
        """What a power cut at this moment leaves; the process must be dead. Returns how much was lost and how."""
        dice = random.Random(seed)
        way = dice.choice(["all", "end", "mixed", "mixed"])
        records = self.records()
        lost = self._cut_names(records, dice, way)
        content = _unsynced(records)
        # "end": everything from one moment on is lost, in all files.
        writes = [record.sequence for changes in content.values() for record in changes]
        moment = dice.choice(writes) if writes and way == "end" else 0
        files = self._files()
        for inode, changes in sorted(content.items()):
            if inode in files:
                lost["sectors lost"] += self._cut_content(files[inode], changes, dice, way, moment)
                lost["sectors at risk"] += sum(-(-max(len(change.old), change.written) // SECTOR) for change in changes)
        for path in self.data.rglob("*-shm"):
            path.unlink()
        self._forget()
        return way, lost

    def _forget(self):
        (self.log / "journal").unlink(missing_ok=True)
        for grave in self.log.glob("grave-*"):
            grave.unlink()

    def _files(self):
        paths = [*self.data.rglob("*")]
        return {path.stat().st_ino: path for path in paths if path.is_file()}

    def _cut_names(self, records, dice, way):
        synced = max((record.offset for record in records if record.kind == DIRECTORY_SYNC), default=0)
        changes = [r for r in records if r.kind in (CREATE, UNLINK, RENAME) and r.sequence > synced]
        count = len(changes) if way == "all" else dice.randint(0, len(changes))
        for record in reversed(changes[len(changes) - count :]):
            names = [os.fsdecode(name) for name in record.old.split(b"\0")[:-1]]
            grave = self.log / f"grave-{record.offset}"
            if record.kind == CREATE:
                pathlib.Path(names[0]).unlink(missing_ok=True)
            elif record.kind == UNLINK:
                if grave.exists() and not os.path.exists(names[0]):
                    os.link(grave, names[0])
            elif os.path.exists(names[1]):  # the kill may have come before the rename itself
                if not os.path.exists(names[0]):
                    os.rename(names[1], names[0])
                if grave.exists() and not os.path.exists(names[1]):
                    os.link(grave, names[1])
        return collections.Counter({"names lost": count, "names at risk": len(changes)})

    @staticmethod
    def _cut_content(path, changes, dice, way, moment):
        """Takes the length back, and each sector by some of its changes, newest first."""
        lengths = [changes[0].old_size, *(change.new_size for change in changes)]
        if way == "all":
            kept = 0
        elif way == "end":
            kept = sum(change.sequence < moment for change in changes)
        else:
            kept = dice.randint(0, len(changes))
        # What the length tells decides over what was cut off, too.
        cuts = [(change.sequence, index < kept) for index, change in enumerate(changes) if change.kind == TRUNCATE]
        stays = max((sequence for sequence, is_kept in cuts if is_kept), default=0)
        goes = min((sequence for sequence, is_kept in cuts if not is_kept), default=math.inf)
        by_sector = collections.defaultdict(list)
        for change in changes:
            span = max(len(change.old), change.written)
            for sector in range(change.offset // SECTOR, -(-(change.offset + span) // SECTOR)):
                by_sector[sector].append(change)
        lost = 0
        with open(path, "r+b") as file:
            for sector, versions in sorted(by_sector.items()):
                if way == "all":
                    count = len(versions)
                elif way == "end":
                    count = sum(change.sequence >= moment for change in versions)
                else:
                    least = sum(change.sequence >= goes for change in versions)
                    count = dice.randint(least, sum(change.sequence > stays for change in versions))
                lost += count > 0
                for change in reversed(versions[len(versions) - count :]):
                    first = max(change.offset, sector * SECTOR)
                    end = min(change.offset + max(len(change.old), change.written), (sector + 1) * SECTOR)
                    old = change.old[first - change.offset : end - change.offset]
                    # Where nothing was before, the file system may show anything.
                    nothing = end - first - len(old)
                    old += bytes(nothing) if dice.random() < 0.5 else dice.randbytes(nothing)
                    file.seek(first)
                    file.write(old)
            file.truncate(lengths[kept])
        return lost


def _unsynced(records):
    """The changes of each file that no sync had covered at the end, oldest first.

    After a failed sync its pages count as clean without being on the disk: a later sync covers them only if something
    was written to the same page since.
    """
    pending = collections.defaultdict(list)  # inode -> [(record, is doomed)]
    for record in records:
        changes = pending[record.inode]
        if record.kind in (WRITE, TRUNCATE):
            changes.append((record, False))
        elif record.kind == SYNC_FAILED:
            changes[:] = [(change, doomed or change.sequence <= record.offset) for change, doomed in changes]
        elif record.kind == SYNC:
            covered = set()
            for change, doomed in changes:
                if not doomed and change.sequence <= record.offset:
                    covered |= _pages(change)
            changes[:] = [
                (change, doomed)
                for change, doomed in changes
                if change.sequence > record.offset or (doomed and not _pages(change) <= covered)
            ]
    return {inode: [change for change, _ in changes] for inode, changes in pending.items() if changes}


def _pages(change):
    span = max(len(change.old), change.written, 1)
    return set(range(change.offset // PAGE, (change.offset + span - 1) // PAGE + 1))
