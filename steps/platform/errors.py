"""Errors of the ``Database`` port, the same whichever driver is behind it.

::

    DatabaseError                     sqlstate, and which of two kinds it is
    ├── DatabaseUnavailableError      retryable: database_unavailable
    ├── DatabaseConflictError         retryable: database_conflict
    └── DatabaseRefusedError          final:     database_refused
        └── ConstraintError           final:     database_constraint, with the constraint's name

Messages are the server's primary message. Its ``DETAIL`` repeats row values, so it is never taken over.
"""

from __future__ import annotations

from orchestrator.errors import NonRetryableError, OrchestratorError, RetryableError

#: SQLSTATE classes after which the same statement may succeed on a new connection: connection exceptions,
#: insufficient resources, and operator intervention or shutdown (PostgreSQL manual, appendix A).
UNAVAILABLE_CLASSES = frozenset({"08", "53", "57", "58"})
#: Serialization failure, deadlock, lock not available in time: the transaction may succeed when run again.
CONFLICT_STATES = frozenset({"40001", "40P01", "55P03"})
#: The server ended the session because it idled in a transaction or the transaction took too long.
SESSION_ENDED_STATES = frozenset({"25P03", "25P04"})
#: SQLSTATE class of violated constraints.
CONSTRAINT_CLASS = "23"

UNIQUE_VIOLATION = "23505"
FOREIGN_KEY_VIOLATION = "23503"


class DatabaseError(OrchestratorError):
    """The database did not do what it was asked.

    Args:
        message: the server's primary message, or what went wrong on the way to it.
        sqlstate: five characters of PostgreSQL's appendix A, or None when the error is not the server's.
        constraint: name of the violated constraint, where there is one.
    """

    code = "database"

    def __init__(self, message: str, *, sqlstate: str | None = None, constraint: str | None = None) -> None:
        facts = {"sqlstate": sqlstate, "constraint": constraint}
        super().__init__(message, details={name: fact for name, fact in facts.items() if fact is not None})
        self.sqlstate = sqlstate
        self.constraint = constraint


class DatabaseUnavailableError(DatabaseError, RetryableError):
    """The database could not be reached, or the connection was lost; whether the statement took effect is unknown."""

    code = "database_unavailable"


class DatabaseConflictError(DatabaseError, RetryableError):
    """The transaction lost against another one: a serialization failure, a deadlock or a lock held too long."""

    code = "database_conflict"


class DatabaseRefusedError(DatabaseError, NonRetryableError):
    """The statement or its parameters are wrong, or not allowed."""

    code = "database_refused"


class ConstraintError(DatabaseRefusedError):
    """The statement would violate a constraint."""

    code = "database_constraint"


def database_error(message: str, sqlstate: str | None, constraint: str | None = None) -> DatabaseError:
    """Return the error for what the server reported.

    Args:
        message: the server's primary message.
        sqlstate: the server's SQLSTATE; None counts as a lost connection.
        constraint: name of the violated constraint, if any.
    """
    if sqlstate is None or sqlstate[:2] in UNAVAILABLE_CLASSES or sqlstate in SESSION_ENDED_STATES:
        return DatabaseUnavailableError(message, sqlstate=sqlstate)
    if sqlstate in CONFLICT_STATES:
        return DatabaseConflictError(message, sqlstate=sqlstate)
    if sqlstate[:2] == CONSTRAINT_CLASS:
        return ConstraintError(message, sqlstate=sqlstate, constraint=constraint)
    return DatabaseRefusedError(message, sqlstate=sqlstate)
