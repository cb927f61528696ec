"""What a subscriber was told of a publisher, compared with what the publisher was promised."""

import collections

from chaos.actors import Finding


def firsts(numbers):
    """Each once, where it came first."""
    return list(dict.fromkeys(numbers))


def compare(publisher, subscriber, counts, judges_order=True):
    """Nothing acknowledged is lost, first arrivals are in order, and what has QoS 2 comes once."""
    arrived = subscriber.arrived[publisher.name]
    numbers = [number for number, _ in arrived]
    lost = publisher.acknowledged - set(numbers)
    if lost:
        raise Finding(f"{len(lost)} acknowledged of {publisher.name} lost at {subscriber.name}: {sorted(lost)[:10]}")
    order = firsts(numbers)
    if judges_order and order != sorted(order):
        at = next(i for i in range(1, len(order)) if order[i] < order[i - 1])
        raise Finding(f"{publisher.name} at {subscriber.name} out of order: {order[max(0, at - 3):at + 3]}")
    twice = [number for number, count in collections.Counter(n for n, qos in arrived if qos == 2).items() if count > 1]
    if twice:
        raise Finding(f"{len(twice)} of {publisher.name} came twice to {subscriber.name} at QoS 2: {sorted(twice)[:10]}")
    counts["deliveries"] += len(numbers)
    counts["duplicates at QoS 1"] += len(numbers) - len(order)


def is_told(subscriber, publishers):
    """Whether the last of each publisher has arrived, and nothing is owed."""
    return not (subscriber.unreleased or subscriber.owed) and all(
        any(number == publisher.number for number, _ in reversed(subscriber.arrived[publisher.name]))
        for publisher in publishers
    )
