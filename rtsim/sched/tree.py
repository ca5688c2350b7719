"""The timeline of a queue: its waiting entities in order of their key, and the extremes of vruntime and slice below.

A treap: a search tree over (key, arrival) that is a heap over fixed pseudo-random numbers of the entities, so its depth
is logarithmic whatever the order of arrivals. The kernel's red-black tree gives the same order; equal keys go to the
right there and here.
"""

from __future__ import annotations

from rtsim.engine.constants import NONE
from rtsim.engine.jit import handler
from rtsim.engine.state import State

__all__ = ["erase", "following", "insert", "propagate"]


@handler
def _refresh(s: State, entity: int) -> bool:
    """Recompute what `entity` knows of its subtree; return whether it changed."""
    e = s.entities[entity]
    vruntime, shortest, longest = e.vruntime, e.slice, e.slice
    for child in (e.left, e.right):
        if child >= 0:
            below = s.entities[child]
            vruntime = min(vruntime, below.min_vruntime)
            shortest = min(shortest, below.min_slice)
            longest = max(longest, below.max_slice)
    changed = vruntime != e.min_vruntime or shortest != e.min_slice or longest != e.max_slice
    e.min_vruntime = vruntime
    e.min_slice = shortest
    e.max_slice = longest
    return changed


@handler
def propagate(s: State, entity: int) -> None:
    """Recompute subtrees from `entity` up, as far as anything changes."""
    while entity >= 0 and _refresh(s, entity):
        entity = s.entities[entity].up


@handler
def _replace_child(s: State, queue: int, parent: int, old: int, new: int) -> None:
    if parent < 0:
        s.cfs_rqs[queue].root = new
    elif s.entities[parent].left == old:
        s.entities[parent].left = new
    else:
        s.entities[parent].right = new
    if new >= 0:
        s.entities[new].up = parent


@handler
def _rotate_up(s: State, queue: int, child: int) -> None:
    """Exchange `child` with its parent, keeping the order."""
    c = s.entities[child]
    parent = c.up
    p = s.entities[parent]
    _replace_child(s, queue, p.up, parent, child)
    if p.left == child:
        p.left = c.right
        if c.right >= 0:
            s.entities[c.right].up = parent
        c.right = parent
    else:
        p.right = c.left
        if c.left >= 0:
            s.entities[c.left].up = parent
        c.left = parent
    p.up = child
    _refresh(s, parent)
    _refresh(s, child)


@handler
def insert(s: State, queue: int, entity: int) -> None:
    """Put `entity` into the timeline of `queue`, behind those of its key."""
    q = s.cfs_rqs[queue]
    e = s.entities[entity]
    e.left = NONE
    e.right = NONE
    e.min_vruntime = e.vruntime
    e.min_slice = e.slice
    e.max_slice = e.slice
    parent, at = NONE, q.root
    leftmost, left = True, False
    while at >= 0:
        parent = at
        left = e.key < s.entities[at].key
        if left:
            at = s.entities[at].left
        else:
            at = s.entities[at].right
            leftmost = False
    e.up = parent
    if parent < 0:
        q.root = entity
    elif left:
        s.entities[parent].left = entity
    else:
        s.entities[parent].right = entity
    if leftmost:
        q.leftmost = entity
    while e.up >= 0 and s.entities[e.up].heap < e.heap:
        _rotate_up(s, queue, entity)
    propagate(s, e.up)


@handler
def erase(s: State, queue: int, entity: int) -> None:
    """Take `entity` out of the timeline of `queue`."""
    q = s.cfs_rqs[queue]
    e = s.entities[entity]
    if q.leftmost == entity:
        q.leftmost = following(s, entity)
    while e.left >= 0 and e.right >= 0:
        above = e.left if s.entities[e.left].heap > s.entities[e.right].heap else e.right
        _rotate_up(s, queue, above)
    parent = e.up
    _replace_child(s, queue, parent, entity, e.left if e.left >= 0 else e.right)
    propagate(s, parent)


@handler
def following(s: State, entity: int) -> int:
    """Return the entity behind `entity` in the timeline, -1 if it is the last."""
    at = s.entities[entity].right
    if at >= 0:
        while s.entities[at].left >= 0:
            at = s.entities[at].left
        return at
    while True:
        above = s.entities[entity].up
        if above < 0 or s.entities[above].left == entity:
            return above
        entity = above
