"""What all tests share: live ones run where they can, say why where they cannot, and never vanish silently on CI."""

import os

import pytest

from netlab import privilege

# Their asserts explain themselves as a test module's do.
for suite in ("command_line", "messenger", "network_manager", "node_allocator"):
    pytest.register_assert_rewrite(f"tests.{suite}_suite")


def why_not_live() -> str:
    """Why this process cannot make labs, or ''."""
    if os.geteuid() != 0:
        reasons = "; ".join(privilege.obstacles()) or "not inside a user namespace: use scripts/test.sh"
        return f"needs root: {reasons}. Run: sudo scripts/test.sh"
    if not os.access(privilege.TUN, os.R_OK | os.W_OK):
        return f"{privilege.TUN} is not there. Run: modprobe tun"
    return ""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip live tests where they cannot run."""
    live = [item for item in items if item.get_closest_marker("live")]
    reason = why_not_live() if live else ""
    if reason:
        for item in live:
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_collection_finish(session: pytest.Session) -> None:
    """On CI a live test that cannot run is a failure, of the whole run and at once."""
    if os.environ.get("CI") == "true" and any(item.get_closest_marker("live") for item in session.items):
        reason = why_not_live()
        if reason:
            pytest.exit(f"live tests cannot run on CI: {reason}", returncode=1)
