"""What Nova refuses, in Nova's words.

A refusal carries the name of Nova's exception, its message and the stage at which it appears: ``image`` and ``api``
(before any host is looked at), ``fit`` (no host cells take the guest), ``cpu_topology`` (no sockets x cores x threads
gives the vCPUs), ``usage`` (the resource tracker cannot account for the guest) and ``xml`` (the claim succeeds, the
spawn fails). The texts are those of ``nova/exception.py``; they have not changed between the releases known here.
"""

from __future__ import annotations

from types import TracebackType

from rtsim.inputs.errors import RtsimError

__all__ = ["NovaRefusal", "PythonErrors", "at_stage", "refuse"]

MESSAGES = {
    "BadRequirementEmulatorThreadsPolicy": (
        "An isolated CPU emulator threads option requires a dedicated CPU policy option."
    ),
    "CPUPinningInvalid": "CPU set to pin {requested} must be a subset of free CPU set {available}",
    "CPUPinningUnknown": "CPU set to pin {requested} must be a subset of known CPU set {available}",
    "CPUThreadPolicyConfigurationInvalid": (
        "Cannot set cpu thread pinning policy in a non dedicated cpu pinning policy"
    ),
    "CPUUnpinningInvalid": "CPU set to unpin {requested} must be a subset of pinned CPU set {available}",
    "CPUUnpinningUnknown": "CPU set to unpin {requested} must be a subset of known CPU set {available}",
    "ComputeResourcesUnavailable": "Insufficient compute resources: {reason}.",
    "FlavorImageLockedMemoryConflict": (
        "locked_memory value in image ({image}) and flavor ({flavor}) conflict. A consistent value is expected if "
        "both specified."
    ),
    "ImageCPUPinningForbidden": (
        "Image property 'hw_cpu_policy' is not permitted to override CPU pinning policy set against the flavor"
    ),
    "ImageCPUThreadPolicyForbidden": (
        "Image property 'hw_cpu_thread_policy' is not permitted to override CPU thread pinning policy set against "
        "the flavor"
    ),
    "ImageNUMATopologyAsymmetric": (
        "Instance CPUs and/or memory cannot be evenly distributed across instance NUMA nodes. Explicit assignment of "
        "CPUs and memory to nodes is required"
    ),
    "ImageNUMATopologyCPUDuplicates": "CPU number {cpunum} is assigned to two nodes",
    "ImageNUMATopologyCPUOutOfRange": "CPU number {cpunum} is larger than max {cpumax}",
    "ImageNUMATopologyCPUsUnassigned": "CPU number {cpuset} is not assigned to any node",
    "ImageNUMATopologyForbidden": (
        "Image property '{name}' is not permitted to override NUMA configuration set against the flavor"
    ),
    "ImageNUMATopologyIncomplete": "CPU and memory allocation must be provided for all NUMA nodes",
    "ImageNUMATopologyMemoryOutOfRange": "{memsize} MB of memory assigned, but expected {memtotal} MB",
    "ImageVCPULimitsRangeExceeded": (
        "Image vCPU topology limits (sockets={image[0]}, cores={image[1]}, threads={image[2]}) exceeds the limits of "
        "the flavor (sockets={flavor[0]}, cores={flavor[1]}, threads={flavor[2]})"
    ),
    "ImageVCPULimitsRangeImpossible": (
        "Requested vCPU limits {sockets}:{cores}:{threads} are impossible to satisfy for vcpus count {vcpus}"
    ),
    "ImageVCPUTopologyRangeExceeded": (
        "Image vCPU topology (sockets={image[0]}, cores={image[1]}, threads={image[2]}) exceeds the limits of the "
        "flavor or image (sockets={limit[0]}, cores={limit[1]}, threads={limit[2]})"
    ),
    "InvalidCPUAllocationPolicy": (
        "CPU policy requested from '{source}' is invalid, given: '{requested}', available: '{available}'."
    ),
    "InvalidCPUThreadAllocationPolicy": (
        "CPU thread policy requested from '{source}' is invalid, given: '{requested}', available: '{available}'."
    ),
    "InvalidEmulatorThreadsPolicy": (
        "CPU emulator threads option requested is invalid, given: '{requested}', available: '{available}'."
    ),
    "InvalidMachineType": "Machine type '{mtype}' is not compatible with image {image_name} ({image_id}): {reason}",
    "InvalidMixedInstanceDedicatedMask": (
        "Mixed instance must have at least 1 pinned vCPU and 1 unpinned vCPU. See 'hw:cpu_dedicated_mask'."
    ),
    "InvalidNUMANodesNumber": "The property 'numa_nodes' cannot be '{nodes}'. It must be a number greater than 0",
    "InvalidReservedMemoryPagesOption": (
        "The format of the option 'reserved_huge_pages' is invalid. (found '{conf}') Please refer to the nova "
        "config-reference."
    ),
    "LockMemoryForbidden": "locked_memory value in image or flavor is forbidden when mem_page_size is not set.",
    "MemoryPageSizeForbidden": "Page size {pagesize} forbidden against '{against}'",
    "MemoryPageSizeInvalid": "Invalid memory page size '{pagesize}'",
    "MemoryPagesUnsupported": "Host does not support guests with custom memory page sizes",
    "RealtimeConfigurationInvalid": "Cannot set realtime policy in a non dedicated cpu pinning policy",
    "RealtimeMaskNotFoundOrInvalid": (
        "Use of realtime CPUs requires either one or more non-realtime CPU(s) or offloaded emulator threads."
    ),
    "RequiredMixedInstancePolicy": "Cannot specify 'hw:cpu_dedicated_mask' without the 'mixed' policy.",
    "RequiredMixedOrRealtimeCPUMask": (
        "Dedicated CPU set can be specified from either 'hw:cpu_dedicated_mask' or 'hw:cpu_realtime_mask' when using "
        "'mixed' CPU policy. 'hw:cpu_dedicated_mask' and 'hw:cpu_realtime_mask' can not be specified at the same "
        "time, or be specified with none of them."
    ),
}

PythonErrors = (ValueError, TypeError, OverflowError, IndexError, AttributeError, ZeroDivisionError)
"""What escapes from Nova unconverted where a value has no meaning, as ``int('x')`` in ``hw:numa_mem.0``."""


class NovaRefusal(RtsimError):  # noqa: N818 (a refusal is an outcome, not a fault)
    """Nova does not place this guest.

    Parameters
    ----------
    exception
        The class name of Nova's exception.
    message
        Its text.
    stage
        ``image``, ``api``, ``fit``, ``cpu_topology``, ``usage``, ``xml``, ``host`` or ``remove``.
    explain
        What was tried on the way, one line each; empty unless asked for.
    """

    exit_status = 3

    def __init__(self, exception: str, message: str, stage: str = "", explain: tuple[str, ...] = ()) -> None:
        self.exception = exception
        self.message = message
        self.stage = stage
        self.explain = explain
        super().__init__(f"{exception}: {message}".replace("\n", " "))

    def as_result(self) -> dict[str, str]:
        """Return the three keys by which batch results report a refusal."""
        return {"error": self.exception, "message": self.message, "stage": self.stage}


def refuse(exception: str, text: str | None = None, **values: object) -> NovaRefusal:
    """Return the refusal of that class, with its standard message filled in, or with `text` instead."""
    return NovaRefusal(exception, MESSAGES[exception].format(**values) if text is None else text)


class at_stage:  # noqa: N801 (used as a statement)
    """Name the stage of every refusal raised inside, and turn Python's own value errors into refusals."""

    __slots__ = ("stage",)

    def __init__(self, stage: str) -> None:
        self.stage = stage

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, NovaRefusal):
            error.stage = error.stage or self.stage
        elif isinstance(error, PythonErrors):
            raise NovaRefusal(type(error).__name__, str(error), self.stage) from None
