"""The TLS of a bridge: whom it believes, and its own certificate."""

import ssl

from fleetwire.errors import SettingsError
from fleetwire.net.bridge.plan import BridgePlan


def context_of(plan: BridgePlan) -> ssl.SSLContext:
    """Return a context made from the files as they are now. Raises SettingsError.

    Reads the system's certificates too, which takes some ms.
    """
    try:
        context = ssl.create_default_context(cafile=plan.ca)
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(
            f"{plan.title}: ca = {plan.ca} cannot be used: {_reason(error)}"
        ) from None
    if plan.certificate is not None:
        try:
            context.load_cert_chain(plan.certificate, plan.key, password=_no_password)
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"{plan.title}: certificate = {plan.certificate} with key = {plan.key} "
                f"cannot be used: {_reason(error)}"
            ) from None
    return context


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "no PEM file of certificates or a key"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)


def _no_password() -> str:
    # Without this OpenSSL would ask for one at the terminal, and wait.
    raise ValueError("the key is encrypted; store it without a password")
