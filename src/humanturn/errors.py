"""What can go wrong, in the words of the person who has to mend it.

Every message is one sentence that says where (file, line, key), what, and what to do. The command line prints the
message without a traceback and exits with `exit_code`.
"""


class HumanturnError(Exception):
    """Something failed while working."""

    exit_code = 1


class InputError(HumanturnError):
    """A file, argument or setting that was given cannot be used."""

    exit_code = 2


class FormatError(InputError):
    """A record or conversation does not have the shape it must have."""


class RecipeError(InputError):
    """A recipe has an unknown key or an impossible value."""


class SettingsChangedError(InputError):
    """An output directory holds work done with other settings or other inputs."""


class ModelError(InputError):
    """A model SPEC names no usable model."""


class EndpointError(HumanturnError):
    """A model endpoint refused, failed, or answered with something that is no reply."""

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        passing: bool = False,
        status: int | None = None,
        perhaps_paid: bool = False,
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds to wait before asking again, where the server says so."""
        self.passing = passing
        """True when the same request may succeed later (429, 5xx, timeouts)."""
        self.status = status
        """HTTP status, where there was an answer."""
        self.perhaps_paid = perhaps_paid
        """True when the server may charge for it: it took the request, and no whole reply arrived."""

    @property
    def of_request(self) -> bool:
        """True when it speaks of this one request (too long, filtered, malformed) and not of the endpoint."""
        return not self.passing and self.status in (400, 413, 422)


class BudgetReachedError(HumanturnError):
    """A cap on tokens or money was reached; what is finished is kept."""

    exit_code = 3
