"""What the guide lists: codes, anomalies, algorithms, limits, and who may do what in which state."""

from datetime import timedelta

from mailflow.core.anomalies import Entry, Level, Retry, Severity, catalogue
from mailflow.core.codes import code_lists
from mailflow.core.expiry import ANNOUNCED_DAYS
from mailflow.core.life import REMOVAL_DELAY, RENEWAL_WINDOW, TABLE, Action, Role, Standing
from mailflow.core.model import Operation
from mailflow.core.rules.facts import DEPOSIT_AGE_MAX_YEARS
from mailflow.mail.cms.algorithms import RSA_SIZES, Use
from mailflow.mail.cms.algorithms import TABLE as ALGORITHMS
from mailflow.settings.amounts import Limits
from mailflow.settings.model import Jobs, Service
from mailflow.settings.trust import Trust
from mailflow.wire.samples import EXCHANGES
from tests.support.guide.markdown import table
from tests.support.guide.presence import BESIDE, of_operation

FAMILIES = {
    "MEL": "forme du message",
    "SIG": "signature, certificat, chiffrement, algorithmes",
    "HAB": "habilitations",
    "ENV": "fichier : nom, en-tête, version, type, taille",
    "XML": "syntaxe et structure",
    "DEM": "contenu d'une demande",
    "UNI": "unicité",
    "CYC": "vie de la demande",
    "GES": "questions",
    "SYS": "défaillance du service",
}
LEVELS = {Level.MAIL: "message", Level.FILE: "fichier", Level.REQUEST: "demande", Level.FIELD: "élément"}
AGAIN = {None: "", Retry.LATER: "renvoyer plus tard", Retry.CORRECT: "corriger d'abord"}
USES = {
    Use.DIGEST: "empreinte",
    Use.SIGNATURE: "signature",
    Use.KEY_TRANSPORT: "transport de clé",
    Use.OAEP_DIGEST: "empreinte d'OAEP",
    Use.KEY_AGREEMENT: "accord de clé",
    Use.KEY_WRAP: "enveloppe de clé",
    Use.CONTENT_ENCRYPTION: "chiffrement du contenu",
}
LIMITS = {
    "mail_bytes_max": "Taille d'un message, en octets ; au-delà il n'est pas lu. Taille d'un fichier, décompressé.",
    "header_bytes_max": "Taille d'un bloc d'en-têtes, en octets.",
    "depth_max": "Profondeur des parties MIME.",
    "parts_max": "Nombre de parties MIME d'un message, celles qui en contiennent d'autres comprises.",
    "requests_max": "Nombre de demandes d'un message, et de fichiers.",
    "request_bytes_max": "Taille d'une demande, en octets.",
    "zip_ratio_max": "Taux de compression d'une archive zip, dans son ensemble.",
    "zip_bytes_max": "Taille de tout ce que contiennent les archives zip d'un message, décompressé, en octets.",
    "answer_bytes_max": "Taille d'un message du service, en octets ; une réponse plus grande vient en plusieurs.",
}
STANDINGS = {
    Standing.ACTIVE: "active",
    Standing.LAPSED: "échue, pas encore radiée",
    Standing.DEREGISTERED: "radiée",
    Standing.NOT_RENEWED: "radiée pour non-renouvellement",
    Standing.REMOVED: "supprimée",
}
ACTIONS = {
    Action.SEPARATION: "`CRS`",
    Action.AMENDMENT: "`MOD`",
    Action.RENEWAL: "`REN`",
    Action.DEREGISTRATION: "`RAD`",
    Action.EXPIRY: "`RAD`, motif `RADREN`",
    Action.REACTIVATION: "`RAD` sans motif",
    Action.REMOVAL: "`SUP`",
}
ROLES = {Role.CREATOR: "guichet créateur", Role.DESK: "autre guichet", Role.MANAGER: "gestionnaire"}

NO_EXCHANGE = {
    "accuse-technique": "l'accusé technique qui précède la réponse à `creation`, quand celle-ci tarde",
    "dispatching": "ce que le guichet voisin apprend, la nuit suivante, de tout ce qui précède",
    "preavis": "le préavis d'une échéance proche, la nuit suivante",
    "cles": "la clé et le certificat qui signent les messages d'exemple",
}
"""The folders of samples that are no exchange."""

GIVES = {
    Operation.CREATION: "un numéro, une attestation",
    Operation.CREATION_AFTER_SEPARATION: "un nouveau numéro, une attestation",
    Operation.AMENDMENT: "le nouvel état",
    Operation.RENEWAL: "la nouvelle échéance, une attestation",
    Operation.DEREGISTRATION: "l'état `radiee` ; sans motif, l'état `active` et l'échéance",
    Operation.REMOVAL: "l'état `supprimee`",
}


def family(entry: Entry) -> str:
    """`SIG` of `CTRL_SIG_0001`."""
    return entry.code.split("_")[1]


def anomalies() -> str:
    """The catalogue: a table for each family."""
    parts = []
    for name, about in FAMILIES.items():
        rows = [
            [
                f"`{entry.code}`",
                LEVELS[entry.level],
                entry.severity if entry.severity is Severity.WARNING else f"**{entry.severity}**",
                AGAIN[entry.retry],
                entry.french,
                entry.remedy_french,
            ]
            for entry in catalogue().values()
            if family(entry) == name
        ]
        head = ["code", "porte sur", "gravité", "reprise", "ce qui ne va pas", "ce qu'il faut faire"]
        parts.append(f"### {name} : {about}\n\n{table(head, rows)}")
    return "\n".join(parts)


def codes() -> str:
    """Every code list: a table for each."""
    known = code_lists()
    parts = []
    for name, values in known.lists.items():
        everywhere = all(value.versions == frozenset(known.versions) for value in values.values())
        rows = [
            [f"`{value.code}`", value.label, *([] if everywhere else [", ".join(sorted(value.versions))])]
            for value in values.values()
        ]
        head = ["code", "libellé", *([] if everywhere else ["versions du formulaire"])]
        parts.append(f"### {name}\n\n{table(head, rows)}")
    return "\n".join(parts)


def versions() -> str:
    """The versions of the form, and when each may be used."""
    rows = [
        [f"`{name}`", f"{version.starts_on:%d/%m/%Y}", f"{version.ends_on:%d/%m/%Y}" if version.ends_on else ""]
        for name, version in code_lists().versions.items()
    ]
    return table(["version", "premier jour", "dernier jour"], rows)


def algorithms() -> str:
    """The dated table of algorithms and sizes of keys."""
    rows = [(USES[row.use], row.name, row.oid, row.until) for row in ALGORITHMS]
    rows += [("clé", f"RSA, {bits} bits au moins", "", until) for bits, until in RSA_SIZES]
    written = [[*row, f"{until:%d/%m/%Y}" if until else ""] for *row, until in rows]
    return table(["emploi", "nom", "OID", "dernier jour (UTC)"], written)


def limits() -> str:
    """The published limits, from the defaults of the settings."""
    rows = [[LIMITS[name], f"{field.default:,}".replace(",", " ")] for name, field in Limits.model_fields.items()]
    return table(["limite", "valeur"], rows)


def states() -> str:
    """Who may do what in which state, from the table that the register goes by."""
    rows = [[ACTIONS[action], *(_cell(standing, action) for standing in Standing)] for action in Action]
    return table(["opération", *STANDINGS.values()], rows)


def _cell(standing: Standing, action: Action) -> str:
    """Who may, and what everybody else is told."""
    cells = {role: TABLE[standing, action, role] for role in ROLES}
    allowed = [ROLES[role] for role, cell in cells.items() if cell is None]
    if len(allowed) == len(ROLES):
        return "oui"
    refusals: dict[str, list[str]] = {}
    for role, cell in cells.items():
        if cell is not None:
            refusals.setdefault(f"`{cell[len('CTRL_') :]}`", []).append(ROLES[role])
    if len(refusals) == 1:
        told = next(iter(refusals))
    else:
        told = ", ".join(f"{code} ({', '.join(roles)})" for code, roles in refusals.items())
    return f"{', '.join(allowed)} ; sinon {told}" if allowed else told


def samples() -> str:
    """The folders of samples, in the order in which their mails are sent."""
    rows = [[f"[`{one.folder}`](../schemas/exemples/{one.folder})", one.title] for one in EXCHANGES]
    rows += [[f"[`{folder}`](../schemas/exemples/{folder})", what] for folder, what in NO_EXCHANGE.items()]
    return table(["dossier", "contenu"], rows)


def operations() -> str:
    """What each operation carries, and what comes back."""
    labels = code_lists().lists["typeFichier"]
    rows = [
        [f"`{operation}` {labels[operation].label.lower()}", *of_operation(operation).values(), gives]
        for operation, gives in GIVES.items()
    ]
    return table(["opération", *(f"`{element}`" for element in BESIDE), "rend"], rows)


def delays() -> str:
    """How long everything may take, from the defaults of the settings and the rules."""
    service, trust, jobs = (section.model_fields for section in (Service, Trust, Jobs))
    before, after = trust["signing_time_before_days"].default, trust["signing_time_after_minutes"].default
    years = {1: "un an"}[DEPOSIT_AGE_MAX_YEARS]
    third, second, first = ANNOUNCED_DAYS
    rows = [
        [
            "réponse, à compter de la réception du message par son serveur",
            f"{service['deadline_hours'].default} heures",
        ],
        ["accusé technique, si la réponse tarde", f"{service['receipt_minutes'].default} minutes"],
        ["réponse conservée, pour le même fichier renvoyé", f"{jobs['retention_days'].default} jours après son envoi"],
        ["date de signature", f"de {before} jours avant la réception à {after} minutes après"],
        ["dépôt d'une demande que l'on crée", f"{years} au plus avant la réception"],
        ["validité d'une demande", "un an après le dépôt ou le dernier renouvellement, jour anniversaire compris"],
        ["renouvellement", f"dans les {RENEWAL_WINDOW.days} jours qui précèdent l'échéance"],
        ["préavis d'échéance au guichet", f"{jobs['notice_days'].default} jours avant l'échéance"],
        ["avis de fin d'un certificat", f"{first}, {second} et {third} jours avant sa fin"],
        ["radiation pour non-renouvellement", "le lendemain de l'échéance"],
        [
            "suppression d'une création erronée",
            f"{REMOVAL_DELAY // timedelta(hours=1)} heures après l'enregistrement",
        ],
        ["réactivation d'une demande radiée", "un an après la radiation : ensuite, ses données sont effacées"],
    ]
    return table(["délai", "durée"], rows)
