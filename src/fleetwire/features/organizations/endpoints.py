"""HTTP: the caller's organisation."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from fleetwire.features.organizations.repository import Organization
from fleetwire.features.organizations.service import MAX_NAME_CHARS, Organizations, tag_of
from fleetwire.kit.etags import PRECONDITIONS, IfMatch
from fleetwire.kit.http import Asks, service
from fleetwire.kit.instants import iso

router = APIRouter(prefix="/api/v1/organization", tags=["organization"])

TheOrganizations = Annotated[Organizations, service(Organizations)]


class OrganizationView(BaseModel):
    """A group of people with the devices they share."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"id": 1, "name": "Ward 3", "created_at": "2026-01-30T08:00:00.000Z"},
            ]
        }
    )

    id: int
    name: str
    created_at: str

    @classmethod
    def of(cls, organization: Organization) -> "OrganizationView":
        """Return the view of an organisation."""
        return cls(
            id=organization.id, name=organization.name, created_at=iso(organization.created_at)
        )


class OrganizationChange(BaseModel):
    """What is to be changed."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Ward 3"}]})

    name: str = Field(min_length=1, max_length=MAX_NAME_CHARS)


@router.get("")
async def read_organization(
    caller: Asks, organizations: TheOrganizations, response: Response
) -> OrganizationView:
    """Return your organisation."""
    organization = await organizations.get(caller)
    response.headers["ETag"] = tag_of(organization)
    return OrganizationView.of(organization)


@router.patch(
    "", responses=PRECONDITIONS | {409: {"description": "Another organisation has this name"}}
)
async def change_organization(
    body: OrganizationChange,
    caller: Asks,
    organizations: TheOrganizations,
    if_match: IfMatch,
    response: Response,
) -> OrganizationView:
    """Rename your organisation."""
    organization = await organizations.rename(
        caller, body.name, expects=lambda found: if_match.check(tag_of(found))
    )
    response.headers["ETag"] = tag_of(organization)
    return OrganizationView.of(organization)
