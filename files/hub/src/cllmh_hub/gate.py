"""Who gets through: addresses, logins, and requests that really come from the dashboard."""

import ipaddress
import logging
from typing import cast

from flask import Flask, Response, g, request, session

from cllmh_hub import log
from cllmh_hub.errors import ApiError
from cllmh_hub.people import Person
from cllmh_hub.services import services

# Nodes report from anywhere and prove themselves by their token; monitors ask for the health from anywhere.
_OPEN_TO_ALL_ADDRESSES = ("/health", "/api/report")
_MUTATING_METHODS = ("POST", "PUT", "PATCH", "DELETE")
_PEOPLE = "/api/v1/"
_SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_logger = logging.getLogger(__name__)


def register_gate(app: Flask) -> None:
    """Check every request of `app` before its endpoint runs, and add the security headers to every answer."""
    app.before_request(_check_address)
    app.before_request(_check_origin)
    app.after_request(_add_security_headers)


def require_login() -> None:
    """Raise 401 unless the request comes from somebody who is logged in."""
    current_person()


def current_person() -> Person:
    """Return who is logged in; raise ApiError 401 when nobody is, or when the person or password has changed."""
    if "person" not in g:
        person = services().people.find(str(session.get("user", "")))
        if person is None or session.get("key") != person.key:
            raise ApiError(401, "login_required", "Log in first.")
        g.person = person
    return cast(Person, g.person)


def client_address() -> str:
    """Return the address of the person or node, as the trusted proxy saw it; empty when that said nothing."""
    return request.remote_addr or ""


def _check_address() -> None:
    if request.path in _OPEN_TO_ALL_ADDRESSES:
        return
    text = client_address()
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        address = None
    if address is not None and isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if address is None or not any(address in network for network in services().config.allowed_networks):
        log.event(_logger, "address_refused", level=logging.WARNING, address=text or "unknown", path=request.path)
        raise ApiError(403, "address_not_allowed", f"The address {text or 'unknown'} may not use this hub.")


def _check_origin() -> None:
    """Refuse what another web site could make a browser send: it cannot add this header."""
    is_mutating = request.path.startswith(_PEOPLE) and request.method in _MUTATING_METHODS
    if is_mutating and request.headers.get("X-Requested-With") != "cllmh":
        raise ApiError(403, "header_required", "Send the header `X-Requested-With: cllmh`.")


def _add_security_headers(response: Response) -> Response:
    for name, value in _SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    return response
