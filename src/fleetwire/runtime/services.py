"""The services that routes alone ask for: nothing else in the house knows of them."""

from fleetwire.broker.broker import Broker
from fleetwire.features.accounts.api_keys import ApiKeys
from fleetwire.features.accounts.invitations import Invitations
from fleetwire.features.accounts.password_resets import PasswordResets
from fleetwire.features.accounts.people import PeopleService
from fleetwire.features.accounts.personal_keys import PersonalKeys
from fleetwire.features.accounts.service import Accounts
from fleetwire.features.acl.rights import Rights
from fleetwire.features.acl.service import AclTester
from fleetwire.features.alarms.service import AlarmService
from fleetwire.features.areas.service import AreaService
from fleetwire.features.audit.service import SqlAudit
from fleetwire.features.broker.bridges import BridgesService
from fleetwire.features.broker.clients import ClientsService
from fleetwire.features.broker.retained import RetainedService
from fleetwire.features.devices.bulk import BulkImport
from fleetwire.features.devices.export import DeviceExport
from fleetwire.features.devices.presence_service import PresenceService
from fleetwire.features.devices.registry import Registry
from fleetwire.features.devices.service import DeviceService
from fleetwire.features.devices.topic_owners import TopicOwners
from fleetwire.features.organizations.service import Organizations
from fleetwire.kit import People
from fleetwire.net.bridge.bridges import Bridges
from fleetwire.store.database import Database


def services_of_routes(
    database: Database,
    audit: SqlAudit,
    *,
    accounts: Accounts,
    keys: ApiKeys,
    devices: DeviceService,
    registry: Registry,
    areas: AreaService,
    owners: TopicOwners,
    rights: Rights,
    broker: Broker,
    bridges: Bridges,
) -> dict[type, object]:
    """Return them by type."""
    resets = PasswordResets(database, audit, accounts)
    return {
        AclTester: AclTester(rights),
        AlarmService: AlarmService(database),
        BridgesService: BridgesService(bridges),
        BulkImport: BulkImport(devices, areas),
        ClientsService: ClientsService(broker, registry.by_id, audit),
        DeviceExport: DeviceExport(devices, audit),
        Invitations: Invitations(database, audit, accounts),
        Organizations: Organizations(database, audit),
        PasswordResets: resets,
        People: PeopleService(accounts, keys, resets),
        PersonalKeys: PersonalKeys(keys),
        PresenceService: PresenceService(database, devices),
        RetainedService: RetainedService(broker, owners, audit),
    }
