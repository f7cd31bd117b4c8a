"""Distances on the ground, and paths with fewer points."""

from collections.abc import Iterable
from math import asin, cos, radians, sin, sqrt

EARTH_M = 6_371_000.0  # mean radius; the ellipsoid differs by 0.5 % at most

Point = tuple[float, float]  # latitude, longitude in degrees


def distance_m(a: Point, b: Point) -> float:
    """Return the great-circle distance in metres (haversine)."""
    (lat_a, lng_a), (lat_b, lng_b) = (map(radians, point) for point in (a, b))
    half = sin((lat_b - lat_a) / 2) ** 2 + cos(lat_a) * cos(lat_b) * sin((lng_b - lng_a) / 2) ** 2
    return 2 * EARTH_M * asin(min(1.0, sqrt(half)))


def thinned(points: Iterable[Point], min_distance_m: float) -> list[Point]:
    """Return the points of a path that are so far from the one kept before; the first and last are.

    A tablet that lies still scatters by the error of its receiver, which is no way gone.
    """
    kept: list[Point] = []
    last: Point | None = None
    for point in points:
        last = point
        if not kept or distance_m(kept[-1], point) >= min_distance_m:
            kept.append(point)
    if last is not None and kept[-1] != last:
        kept.append(last)
    return kept
