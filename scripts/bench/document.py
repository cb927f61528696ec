"""Writes what was measured into docs/benchmarks.md, between two marks, and the picture beside it."""

import datetime
import os
import pathlib
import platform
import subprocess

import crowd
import idle
import picture

DOCUMENT = pathlib.Path("docs/benchmarks.md")
PICTURE = pathlib.Path("docs/benchmarks.svg")
BEGIN = "<!-- written by make bench: begin -->"
END = "<!-- written by make bench: end -->"
#: What eMQTT reported in 2015 for 250,000 connections and 50,000 topics.
EMQTT_BYTES = 3e9


def write(results: dict, programs, command: str):
    replace(BEGIN, END, section(results, programs, command))
    PICTURE.write_text(picture.draw([row for row in results["rows"] if row["row"].figure != "latency"]))


def replace(begin: str, end: str, text: str):
    """Puts text between two marks of the document."""
    before, rest = DOCUMENT.read_text().split(begin)
    DOCUMENT.write_text(before + begin + "\n" + text + end + rest.split(end)[1])


def section(results: dict, programs, command: str) -> str:
    parts = [machine(programs, command), "![Cost of each row as a share of mosquitto's](benchmarks.svg)\n"]
    parts += [costs(results["rows"]), latencies(results["rows"])]
    parts += [idle_table(results["idle"]), start_table(results["start"]), crowd_table(results["crowd"])]
    return "\n" + "\n".join(part for part in parts if part)


def machine(programs, command: str) -> str:
    cpu = next(line for line in open("/proc/cpuinfo") if line.startswith("model name")).split(":")[1].strip()
    with open("/etc/os-release") as file:
        system = dict(line.rstrip().split("=", 1) for line in file if "=" in line)["PRETTY_NAME"].strip('"')
    revision = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    return (
        f"{datetime.date.today()}: {os.cpu_count()} cores of {cpu}, {system}, Linux {platform.release()}; "
        f"{programs.version('drawbridge')} ({revision}), {programs.version('mosquitto')}. "
        f"Everything on this machine, over loopback.\n\n    {command}\n"
    )


def costs(rows: list[dict]) -> str:
    rows = [row for row in rows if row["row"].figure != "latency"]
    if not rows:
        return ""
    lines = [
        "The commands are `drawbridge bench` with what stands in the second column, the broker's address (`-h`, `-p`), "
        "its process (`--pid`) and the time (`--warm-up`, `--duration`); `ca.crt` is of `drawbridge cert init`, and those "
        "who connect and disconnect come from forty addresses (`--ifaddr`).",
        "",
        "| row | `drawbridge bench` | mosquitto µs | drawbridge µs | ratio | at most | mosquitto/s | drawbridge/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        figure, rate = row["figure"], row["rate"]
        lines.append(
            f"| {row['name']} | `{flags(row['row'])}` | {figure['mosquitto']:.2f} | {figure['drawbridge']:.2f} "
            f"| **{share(row['ratio'])}** | {bar(row['row'])}{'' if row['holds'] else ' (missed)'} "
            f"| {rate['mosquitto']:,.0f} | {rate['drawbridge']:,.0f} |"
        )
    return "\n".join(lines) + "\n"


def flags(row) -> str:
    """What repeats a row, but for the broker's address."""
    words = row.flags.split()
    if "--ifaddr" in words:
        place = words.index("--ifaddr")
        del words[place : place + 2]
    return " ".join(words + {"tcp": [], "ws": ["--ws"], "tls": ["-S", "--cafile", "ca.crt"]}[row.transport])


def latencies(rows: list[dict]) -> str:
    rows = [row for row in rows if row["row"].figure == "latency"]
    if not rows:
        return ""
    lines = [
        "Latency from the time at which a message was due, 99th percentile:",
        "",
        "| row | mosquitto ms | drawbridge ms | at most |",
        "|---|---|---|---|",
    ]
    for row in rows:
        milliseconds = {name: value / 1000 for name, value in row["figure"].items()}
        lines.append(
            f"| {row['name']} | {milliseconds['mosquitto']:.2f} | {milliseconds['drawbridge']:.2f} "
            f"| mosquitto's and {bar(row['row'])}{'' if row['holds'] else ' (missed)'} |"
        )
    return "\n".join(lines) + "\n"


def idle_table(found: list) -> str:
    if not found:
        return ""
    lines = [
        "Resident bytes of a connection that waits, subscribed to a topic of its own:",
        "",
        "| over | broker | each, at so many connections | the slope | at most |",
        "|---|---|---|---|---|",
    ]
    for one in found:
        each = ", ".join(f"{one.each(count):,.0f} at {count:,}" for count in sorted(one.resident))
        limit = f"{idle.BARS[one.transport]:,}" if one.broker == "drawbridge" else ""
        lines.append(f"| {one.transport.upper()} | {one.broker} | {each} | {one.slope:,.0f} | {limit} |")
    text = "\n".join(lines) + "\n"
    tcp = next((one for one in found if one.broker == "drawbridge" and one.transport == "tcp"), None)
    if tcp:
        whole = tcp.start + 250_000 * tcp.slope
        text += (
            f"\nFrom the slope, 250,000 connections over TCP with a topic each would take {whole / 1e9:.2f} GB of resident "
            f"memory beside the {EMQTT_BYTES / 1e9:.0f} GB that eMQTT reported in 2015 for 250,000 connections and 50,000 "
            f"topics. What the kernel keeps for sockets comes on top for every broker.\n"
        )
    return text


def start_table(start: dict) -> str:
    if not start:
        return ""
    lines = ["Memory two seconds behind the start, nobody connected:", ""]
    lines += ["| broker | resident MB | anonymous MB | at most |", "|---|---|---|---|"]
    for name, memory in start.items():
        limit = "45 and 12" if name == "drawbridge" else ""
        lines.append(f"| {name} | {memory['VmRSS'] / 1e6:.1f} | {memory['RssAnon'] / 1e6:.1f} | {limit} |")
    return "\n".join(lines) + "\n"


def crowd_table(found: list) -> str:
    if not found:
        return ""
    lines = [
        "A publish that matches one of 200,000 subscriptions, 10,000 of them with wildcards, beside one in a broker with "
        "only that subscription; QoS 0, CPU µs per message:",
        "",
        "| broker | published to | the only one | one of 200,000 | ratio | at most |",
        "|---|---|---|---|---|---|",
    ]
    for one in found:
        limit = f"{crowd.BAR}" if one.broker == "drawbridge" else ""
        lines.append(
            f"| {one.broker} | {one.topics} | {one.alone:.2f} | {one.crowded:.2f} | {one.ratio:.2f} | {limit} |"
        )
    return "\n".join(lines) + "\n"


def share(ratio: float) -> str:
    """A share below a half reads best as a part of one."""
    return f"1/{1 / ratio:.1f}" if ratio < 0.5 else f"{ratio:.2f}"


def bar(row) -> str:
    if row.figure == "latency":
        return f"{row.bar / 1000:g} ms"
    return f"1/{1 / row.bar:.0f}" if row.bar < 0.5 else f"{row.bar:g}"
