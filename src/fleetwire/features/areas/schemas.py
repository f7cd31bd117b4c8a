"""Areas as HTTP takes and shows them."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from fleetwire.features.areas.rules import MAX_NAME_CHARS
from fleetwire.kit.areas import Area
from fleetwire.kit.instants import iso

MAX_KEY = 2**63 - 1  # of a row: what the databases take

_AREA = {
    "id": 3,
    "parent_id": 1,
    "name": "Ward 3",
    "path": "Clinic/Ward 3",
    "attributes": {"floor": 2},
    "device_count": 12,
    "created_at": "2026-01-30T08:00:00.000Z",
    "updated_at": "2026-01-30T08:00:00.000Z",
}


def _examples(*examples: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": list(examples)})


class NewArea(BaseModel):
    """An area to be made; without `parent_id` it stands at the top."""

    model_config = _examples({"name": "Ward 3", "parent_id": 1, "attributes": {"floor": 2}})

    name: str = Field(min_length=1, max_length=MAX_NAME_CHARS)
    parent_id: int | None = Field(None, ge=1, le=MAX_KEY)
    attributes: dict[str, Any] = {}


class AreaChange(BaseModel):
    """What is to be changed; what is not sent stays. A null attribute is removed."""

    model_config = _examples({"name": "Ward 3 East"}, {"parent_id": None})

    name: str | None = Field(None, min_length=1, max_length=MAX_NAME_CHARS)
    parent_id: int | None = Field(
        None, ge=1, le=MAX_KEY, description="what it stands in from now on; null = at the top"
    )
    attributes: dict[str, Any] | None = None

    @property
    def parent_to_be(self) -> int | None:
        """The parent's key, 0 for the top, None if nothing was said of it."""
        return (self.parent_id or 0) if "parent_id" in self.model_fields_set else None


class AreaView(BaseModel):
    """A place of the organisation's tree."""

    model_config = _examples(_AREA)

    id: int
    parent_id: int | None
    name: str
    path: str = Field(description='the names from the top down; `area:"…"` in queries')
    attributes: dict[str, Any]
    device_count: int = Field(description="devices in the area itself, not below")
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, area: Area) -> "AreaView":
        """Return the view of an area."""
        return cls(
            id=area.id,
            parent_id=area.parent_id,
            name=area.name,
            path=area.path,
            attributes=area.attributes,
            device_count=area.device_count,
            created_at=iso(area.created_at),
            updated_at=iso(area.updated_at),
        )


class AreaPage(BaseModel):
    """One page of areas, in the order they were made."""

    items: list[AreaView]
    next_cursor: str | None = None
