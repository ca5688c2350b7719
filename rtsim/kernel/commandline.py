"""The kernel command line: how its arguments are split, and the ones that matter to latency.

Parsed as the kernel does: double quotes protect blanks, ``-`` and ``_`` in names are the same, what comes later wins,
everything after ``--`` is for init.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from rtsim.inputs.cpulist import parse_cpulist
from rtsim.inputs.errors import InputError, shown

__all__ = ["ISOLCPUS_FLAGS", "CommandLine", "kernel_cpulist"]

ISOLCPUS_FLAGS = ("domain", "managed_irq", "nohz")


@dataclass(frozen=True)
class CommandLine:
    """A command line; arguments that rtsim does not know are kept and mean nothing, as in the kernel."""

    text: str = ""
    source: str = field(default="cmdline", compare=False)
    """Its name in errors."""

    @cached_property
    def in_order(self) -> tuple[tuple[str, str | None], ...]:
        """Name (with ``_`` for ``-``) and value of each argument as written: some mean what the one before says."""
        return tuple((name.replace("-", "_"), value) for name, value in _split(self.text, self.source))

    @cached_property
    def arguments(self) -> dict[str, str | None]:
        """Name (with ``_`` for ``-``) -> value, None for a name without ``=``; the last one counts."""
        return dict(self.in_order)

    def check(self) -> None:
        """Read every argument that does not depend on the machine.

        Raises
        ------
        InputError
            One of them has a value the kernel would not understand, or a quote is not closed.
        """
        _ = self.isolcpus, self.max_cstate, self.skew_tick

    def has(self, argument: str) -> bool:
        """Tell whether `argument` is given: ``nowatchdog``, or with its value ``nmi_watchdog=0``."""
        name, equals, value = argument.partition("=")
        name = name.replace("-", "_")
        if name not in self.arguments:
            return False
        return not equals or self.arguments[name] == value

    def value(self, name: str) -> str | None:
        """Return the value of argument `name`; None where it is absent or has none."""
        return self.arguments.get(name.replace("-", "_"))

    @property
    def isolcpus(self) -> tuple[tuple[str, ...], str] | None:
        """Flags (``domain`` where none is given) and CPU list of ``isolcpus=``."""
        text = self.value("isolcpus")
        if text is None:
            return None
        flags: list[str] = []
        words = text.split(",")
        while words and words[0][:1].isalpha() and words[0] != "all" and not _is_last_cpu(words[0]):
            flag = words.pop(0)
            if flag not in ISOLCPUS_FLAGS:
                expected = f"expected CPUs, or the flags {', '.join(ISOLCPUS_FLAGS)} before them"
                raise InputError(self.source, "isolcpus", f"{expected}, found {shown(flag)}")
            flags.append(flag)
        return tuple(flags) or ("domain",), ",".join(words)

    @property
    def max_cstate(self) -> int | None:
        """Deepest C-state allowed: 0 with ``idle=poll``; None: no limit."""
        if self.value("idle") == "poll":
            return 0
        if self.value("idle") in ("halt", "nomwait"):
            return 1
        limits = [self._integer(name) for name in ("processor.max_cstate", "intel_idle.max_cstate")]
        # 0 switches the driver off (the other one takes over): no limit by itself.
        return min((limit for limit in limits if limit), default=None)

    @property
    def preempt(self) -> str | None:
        """Value of ``preempt=``."""
        return self.value("preempt")

    @property
    def threadirqs(self) -> bool:
        """Whether interrupt handlers run as threads."""
        return self.has("threadirqs")

    @property
    def skew_tick(self) -> bool:
        """Whether the CPUs' ticks are spread over the period."""
        return self._integer("skew_tick") not in (None, 0)

    @property
    def nosmt(self) -> bool:
        """Whether only one thread of each core is used."""
        return self.value("nosmt") in (None, "force") and "nosmt" in self.arguments

    def _integer(self, name: str) -> int | None:
        text = self.value(name)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise InputError(self.source, name, f"expected a number, found {shown(text)}")
        return int(text)

    def cpus(self, name: str, n_cpus: int) -> frozenset[int] | None:
        """Return the CPUs of the list argument `name`; None where it is absent, nobody where it has no ``=``.

        Raises
        ------
        InputError
            It is no CPU list of the kernel's.
        """
        if not self.has(name):
            return None
        text = self.value(name)
        return frozenset() if text is None else kernel_cpulist(text, n_cpus, name, self.source)


def kernel_cpulist(text: str, n_cpus: int, argument: str, source: str = "cmdline") -> frozenset[int]:
    """Return the CPUs of a list on the command line: ``0-3,8``, ``4-N`` (N: the last), ``all``, ``0-31:2/4``.

    Raises
    ------
    InputError
        `text` is no such list, or empty.
    """
    cpus: set[int] = set()
    for word in text.split(","):
        if word == "all":
            cpus.update(range(n_cpus))
            continue
        cpu_range, colon, pattern = word.partition(":")
        cpu_range = cpu_range.replace("N", str(n_cpus - 1))
        try:
            members = parse_cpulist(cpu_range)
        except ValueError as error:
            raise InputError(source, argument, str(error)) from None
        if "^" in word or not members:
            raise InputError(source, argument, f"expected CPUs such as 2-7 or 4-N, found {shown(text)}")
        cpus.update(_every(members, pattern, argument, source) if colon else members)
    return frozenset(cpus)


def _every(members: tuple[int, ...], pattern: str, argument: str, source: str) -> Iterator[int]:
    """Yield the first `used` of each group of `size`: ``used/size``."""
    used, _, size = pattern.partition("/")
    if not (used.isdigit() and size.isdigit() and 0 < int(used[:9]) <= int(size[:9])):
        raise InputError(source, argument, f"expected USED/SIZE after the colon, found {shown(pattern)}")
    return (cpu for cpu in members if (cpu - members[0]) % int(size[:9]) < int(used[:9]))


def _is_last_cpu(word: str) -> bool:
    return word.startswith("N") and not word[1:2].isalpha()


def _split(text: str, source: str) -> Iterator[tuple[str, str | None]]:
    for word in _words(text, source):
        if word == "--":
            return
        name, equals, value = _unquoted(word).partition("=")
        yield name, _unquoted(value) if equals else None


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _words(text: str, source: str) -> Iterator[str]:
    word, quoted = "", False
    for character in text:
        if character == '"':
            quoted = not quoted
        if character.isspace() and not quoted:
            if word:
                yield word
            word = ""
        else:
            word += character
    if quoted:
        raise InputError(source, "", f"expected a closing quote, found none in {shown(text)}")
    if word:
        yield word
