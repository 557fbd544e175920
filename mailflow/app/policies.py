"""What is demanded of the paths of all senders, and of those who have rules of their own."""

from collections.abc import Mapping
from dataclasses import replace

from mailflow.core.model import SenderCode
from mailflow.mail.trust import PathPolicy
from mailflow.settings.trust import Group, Trust


def policy_of(trust: Trust) -> PathPolicy:
    """Of all."""
    return PathPolicy(
        policies=frozenset(trust.certificate_policies),
        explicit=bool(trust.certificate_policies),
        mail_usage_required=trust.mail_usage_required,
    )


def policies_of(trust: Trust) -> Mapping[SenderCode, PathPolicy]:
    """Of the senders that are in a group; what it leaves open is as for all."""
    general = policy_of(trust)
    return {SenderCode(code): _own(general, group) for group in trust.groups for code in group.senders}


def _own(general: PathPolicy, group: Group) -> PathPolicy:
    policies = frozenset(group.certificate_policies)
    return replace(
        general,
        policies=policies or general.policies,
        explicit=bool(policies) or general.explicit,
        anchors=frozenset(group.anchors),
        issuers=frozenset(group.issuers),
    )
