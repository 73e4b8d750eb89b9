"""The database as the holder of a role sees it."""

from sqlalchemy import Connection
from sqlalchemy.engine import URL

from broker.store import elections
from broker.store.engine import Database, Operation, P, T


class Fenced:
    """Implements `Database`; its writes are refused once another process has been elected."""

    def __init__(self, database: Database, role: str, epoch: int) -> None:
        self._database = database
        self._role = role
        self._epoch = epoch
        self.url: URL = database.url

    async def write(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run it in one transaction with the check; raises `Deposed`."""

        def checked(connection: Connection) -> T:
            elections.check(connection, self._role, self._epoch)
            return operation(connection, *args, **kwargs)

        return await self._database.write(checked)

    async def read(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._database.read(operation, *args, **kwargs)

    async def close(self) -> None:
        """The database belongs to others."""
