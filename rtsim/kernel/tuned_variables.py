"""Variables and built-in functions of tuned's profiles: ``${isolated_cores}``, ``${f:cpulist_invert:2-7}``.

The functions answer for the machine that a `Topology` describes, not for the one rtsim runs on. Those that would run a
program or look at devices there answer with nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from rtsim.inputs.cpulist import format_cpulist, parse_cpulist
from rtsim.inputs.errors import InputError, at, shown
from rtsim.topology import Topology

__all__ = ["Variables", "parse_cpumask"]

_VARIABLE = re.compile(r"(?<!\\)\$\{(\w+)\}")
_ESCAPED = re.compile(r"\\(\$\{\w+\})")
_ESCAPED_FUNCTION = re.compile(r"\\(\$\{f:.*\})")
_COLON = re.compile(r"(?<!\\):")
_NEEDS_THE_MACHINE = ("check_net_queue_count", "cpuinfo_check", "cpulist2devs", "exec", "virt_check")


class Variables:
    """The variables of one profile while it is read.

    Parameters
    ----------
    topology
        The machine the profile is for.
    source
        Name of the profile in errors.
    """

    def __init__(self, topology: Topology, source: str) -> None:
        self._topology = topology
        self._source = source
        self._values: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def define(self, name: str, value: str) -> None:
        """Set a variable; its value is expanded now, with what is defined so far."""
        self._values[name] = self.expand(value, name)

    def expand(self, text: str, place: str) -> str:
        """Return `text` with variables and functions replaced; unknown variables stay as they are written.

        Raises
        ------
        InputError
            An unknown function or a wrong argument, or an assertion of the profile fails.
        """
        replaced = _VARIABLE.sub(lambda match: self._values.get(match[1], match[0]), text)
        called = self._called(_ESCAPED.sub(r"\1", replaced), place)
        return _ESCAPED_FUNCTION.sub(r"\1", called)

    def _called(self, text: str, place: str) -> str:
        """Replace calls from the inside out."""
        starts: list[int] = []
        position = 0
        while position < len(text):
            if text.startswith("${", position):
                starts.append(position)
            elif text[position] == "}" and starts:
                start = starts.pop()
                escaped = start > 0 and text[start - 1] == "\\"
                if text.startswith("${f:", start) and not escaped:
                    result = self._call(text[start + 4 : position], place)
                    text = text[:start] + result + text[position + 1 :]
                    position = start + len(result)
                    continue
            position += 1
        return text

    def _call(self, call: str, place: str) -> str:
        name, *arguments = (part.replace("\\:", ":") for part in _COLON.split(call))
        if name in _NEEDS_THE_MACHINE:
            return ""
        if name not in _FUNCTIONS:
            known = ", ".join(sorted(_FUNCTIONS))
            raise InputError(self._source, place, f"expected a function of {known}, found {shown(name)}")
        needed = _ARGUMENTS.get(name, 0)
        if len(arguments) < needed:
            raise InputError(self._source, place, f"expected {needed} arguments of {name}, found {len(arguments)}")
        with at(self._source, place):
            return _FUNCTIONS[name](arguments, self._topology)


def parse_cpumask(text: str) -> frozenset[int]:
    """Return the CPUs of a hexadecimal mask as the kernel prints it: ``ff``, ``3,00000000``.

    Raises
    ------
    ValueError
        "expected ..., found ...": it is none.
    """
    digits = text.strip().removeprefix("0x").replace(",", "")
    if not re.fullmatch(r"[0-9a-fA-F]{1,2048}", digits):
        raise ValueError(f"expected a hexadecimal CPU mask, found {shown(text)}")
    bits = int(digits, 16)
    return frozenset(cpu for cpu in range(bits.bit_length()) if bits >> cpu & 1)


def _cpus(arguments: list[str]) -> frozenset[int]:
    """Return the CPUs named; a variable that is not defined names none, as in tuned."""
    named = [argument for argument in arguments if "${" not in argument]
    return frozenset(parse_cpulist(",".join(named).strip("'\"")))


def _unpacked(cpus: frozenset[int]) -> str:
    return ",".join(map(str, sorted(cpus)))


def _mask(cpus: frozenset[int]) -> str:
    digits = f"{sum(1 << cpu for cpu in cpus):x}"
    digits = digits.zfill(-(-len(digits) // 8) * 8)
    return ",".join(digits[start : start + 8] for start in range(0, len(digits), 8))


def _everyone(topology: Topology) -> frozenset[int]:
    return frozenset(topology.cpu_ids)


def _calc_isolated_cores(arguments: list[str], topology: Topology) -> str:
    """All CPUs but the first few of each socket (tuned speaks of cores and counts CPUs)."""
    reserved = arguments[0] if arguments else "1"
    if not reserved.isdecimal():
        raise ValueError(f"expected a number of CPUs to reserve, found {shown(reserved)}")
    sockets: dict[int, list[int]] = {}
    for cpu in topology.cpus:
        sockets.setdefault(cpu.socket, []).append(cpu.id)
    return _unpacked(frozenset(cpu for cpus in sockets.values() for cpu in cpus[int(reserved) :]))


def _assertion(arguments: list[str], _: Topology) -> str:
    text, left, right = arguments[:3]
    if left != right:
        raise ValueError(f"expected {text}; tuned says: Assertion '{text}' failed: '{left}' != '{right}'")
    return ""


def _assertion_non_equal(arguments: list[str], _: Topology) -> str:
    text, left, right = arguments[:3]
    if left == right:
        raise ValueError(f"expected {text}; tuned says: Assertion '{text}' failed: '{left}' == '{right}'")
    return ""


def _regex_search_ternary(arguments: list[str], _: Topology) -> str:
    text, pattern, found, otherwise = arguments[:4]
    try:
        return found if re.search(pattern, text) else otherwise
    except re.error:
        raise ValueError(f"expected a regular expression, found {shown(pattern)}") from None


_ARGUMENTS = {"assertion": 3, "assertion_non_equal": 3, "regex_search_ternary": 4}

_FUNCTIONS: dict[str, Callable[[list[str], Topology], str]] = {
    "assertion": _assertion,
    "assertion_non_equal": _assertion_non_equal,
    "calc_isolated_cores": _calc_isolated_cores,
    "cpulist2hex": lambda arguments, _: _mask(_cpus(arguments)),
    "cpulist2hex_invert": lambda arguments, topology: _mask(_everyone(topology) - _cpus(arguments)),
    "cpulist_invert": lambda arguments, topology: _unpacked(_everyone(topology) - _cpus(arguments)),
    "cpulist_online": lambda arguments, topology: _unpacked(_cpus(arguments) & _everyone(topology)),
    "cpulist_pack": lambda arguments, _: format_cpulist(_cpus(arguments)),
    "cpulist_present": lambda arguments, topology: _unpacked(_cpus(arguments) & _everyone(topology)),
    "cpulist_unpack": lambda arguments, _: _unpacked(_cpus(arguments)),
    "hex2cpulist": lambda arguments, _: _unpacked(parse_cpumask(",".join(arguments))),
    "regex_search_ternary": _regex_search_ternary,
    "strip": lambda arguments, _: "".join(arguments).strip(),
}
