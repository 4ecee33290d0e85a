"""Land of which every corner is known."""

import json
from pathlib import Path

Ring = list[tuple[float, float]]


def coast(path: Path, *rings: Ring) -> Path:
    """Write polygons of longitude and latitude as GeoJSON."""
    features = [{"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}} for ring in rings]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def rectangle(west: float, south: float, east: float, north: float) -> Ring:
    """Return a rectangle's corners."""
    return [(west, south), (east, south), (east, north), (west, north)]
