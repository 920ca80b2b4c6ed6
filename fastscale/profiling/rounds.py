"""The order in which networks are timed, so that a slow minute of the machine slows no network alone."""

import math
import random
from collections.abc import Mapping, Sequence

from fastscale.networks import Network
from fastscale.networks.complexity import count

Visit = Network | None  # None: a try at the device's peaks
CONFIRMED = 1.2  # the limit from which analysis/results/noise.py calls timings too noisy
MORE_ROUNDS = 4  # at most, on a CPU, of networks whose fastest round is not confirmed
PEAK_TRIES = 4  # on a CPU in each third of a session: other programs slow a shared core for up to ten seconds at a time


def plan(
    networks: Sequence[Network],
    done: Mapping[str, int],
    rounds: int,
    *,
    is_interleaved: bool,
    portions: Sequence[int] = (),
) -> list[Visit]:
    """Plan the visits that time `networks`, each in `rounds` rounds; `done` are the rounds that records have, by hash.

    Interleaved, each round visits all networks in a random order that depends on the round alone. Else each network is
    visited once, for all of its rounds, in the given order. Sentinels tell drift: networks of the least, the median and
    the most activations. Interleaved, these are chosen from the networks that an earlier session has timed, and are
    timed in each round; else from all networks, and are timed at the start, in the middle and at the end. Peaks are
    tried at the start, in the middle and at the end; interleaved, `PEAK_TRIES` times in each third. Nothing is planned
    where nothing is missing.

    `portions` are numbers of networks, counted from the first, by what these tell. Interleaved, each portion is a
    session of its own, after those of the smaller portions; else sentinels are chosen from the first portion.
    """
    if is_interleaved:
        visits, done = list[Visit](), dict(done)
        for end in (*portions, len(networks)):
            visits += _interleaved(networks[:end], done, rounds)
            done |= {network.hash: max(rounds, done.get(network.hash, 0)) for network in networks[:end]}
        return visits
    sentinels = _sentinels(networks[: portions[0] if portions else None])
    missing = [network for network in networks if done.get(network.hash, 0) < rounds]
    rest = [network for network in missing if network not in sentinels]
    if len(rest) <= len(sentinels):  # nothing in between that could drift
        return _with_peaks(missing) if missing else []
    half = len(rest) // 2
    return _with_peaks([*sentinels, *rest[:half], *sentinels, *rest[half:], *sentinels])


def _interleaved(networks: Sequence[Network], done: Mapping[str, int], rounds: int) -> list[Visit]:
    """Plan a session of rounds in random order."""
    missing = [network for network in networks if done.get(network.hash, 0) < rounds]
    complete = [network for network in networks if done.get(network.hash, 0) >= rounds]
    if not missing:
        return []
    visits: list[Network] = []
    sentinels = _sentinels(complete)
    for number in range(rounds):
        order = random.Random(number).sample(networks, len(networks))
        left = {network.hash for network in missing if done.get(network.hash, 0) <= number}
        visits += [network for network in order if left and (network.hash in left or network in sentinels)]
    return _with_peaks(visits, 3 * PEAK_TRIES)


def unconfirmed(networks: Sequence[Network], rounds: Mapping[str, Sequence[float]], number: int) -> list[Network]:
    """List the networks that are timed in round `number` too, in random order; `rounds` are their times by hash.

    They have all rounds before it, and no other round confirms the fastest one: the second takes over `CONFIRMED` times
    as long.
    """
    found = []
    for network in networks:
        fastest, second, *_ = [*sorted(rounds.get(network.hash, ())), math.inf, math.inf]
        if len(rounds.get(network.hash, ())) == number and second > CONFIRMED * fastest:
            found.append(network)
    return random.Random(number).sample(found, len(found))


def _sentinels(networks: Sequence[Network]) -> list[Network]:
    """Choose the networks of the least, the median and the most activations."""
    ordered = sorted(networks, key=lambda network: (count(network).acts, network.hash))
    return list(dict.fromkeys(ordered[i] for i in (0, len(ordered) // 2, -1))) if ordered else []


def _with_peaks(visits: Sequence[Network], tries: int = 3) -> list[Visit]:
    """Put tries at the peaks among `visits`, at even distances, the first before and the last after all of them."""
    ends = [len(visits) * i // (tries - 1) for i in range(tries)]
    return [None, *(visit for i, end in enumerate(ends[1:]) for visit in (*visits[ends[i] : end], None))]
