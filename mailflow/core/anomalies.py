"""The catalogue of anomalies: everything that can be wrong with a mail, a file or a request.

Codes are stable for ever. The sentences, in French and English, lie in `data/anomalies.toml`, the one place for
all wording; answers, the published catalogue and the interface guide are made from it.
"""

import tomllib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files


class Level(StrEnum):
    """How much of what was sent an anomaly concerns."""

    MAIL = "mail"
    FILE = "fichier"
    REQUEST = "demande"
    FIELD = "champ"


class Severity(StrEnum):
    """Only a warning (`avertissement`) does not block."""

    WARNING = "avertissement"
    ERROR = "erreur"
    FATAL = "fatale"


class Retry(StrEnum):
    """What the sender is to send again."""

    LATER = "plus_tard"
    """The same file, once what stood in its way is gone."""
    ANEW = "nouveau_fichier"
    """The same request in another file. Never in the catalogue: it is what `LATER` comes to in a decided file."""
    CORRECT = "corriger"
    """Another request or file."""


class Code(StrEnum):
    """`CTRL_<family>_<number>`; the families are those of the interface guide."""

    MAIL_TOO_LARGE = "CTRL_MEL_0001"
    MAIL_UNREADABLE = "CTRL_MEL_0002"
    MAIL_FROM_AMBIGUOUS = "CTRL_MEL_0003"
    MAIL_LIMITS_EXCEEDED = "CTRL_MEL_0004"
    MAIL_IS_BOUNCE = "CTRL_MEL_0005"
    MAIL_IS_AUTOMATIC = "CTRL_MEL_0006"
    MAIL_IS_BULK = "CTRL_MEL_0007"
    MAIL_IS_OUR_OWN = "CTRL_MEL_0008"
    MAIL_LOOPS = "CTRL_MEL_0009"
    MAIL_WITHOUT_REQUEST = "CTRL_MEL_0020"
    MAIL_TOO_MANY_REQUESTS = "CTRL_MEL_0021"
    MAIL_SEVERAL_CERTIFICATES = "CTRL_MEL_0022"
    PART_UNREADABLE = "CTRL_MEL_0023"
    ZIP_REFUSED = "CTRL_MEL_0024"
    ZIP_TOO_LARGE = "CTRL_MEL_0025"
    OTHER_RECIPIENTS = "CTRL_MEL_0026"
    PART_NAME_AMBIGUOUS = "CTRL_MEL_0027"
    MAIL_REJECTED = "CTRL_MEL_0028"
    NOT_SIGNED = "CTRL_SIG_0001"
    SIGNATURE_UNREADABLE = "CTRL_SIG_0002"
    CONTENT_ALTERED = "CTRL_SIG_0003"
    SIGNATURE_WRONG = "CTRL_SIG_0004"
    ALGORITHM_REFUSED = "CTRL_SIG_0005"
    KEY_TOO_WEAK = "CTRL_SIG_0006"
    NO_SIGNED_ATTRIBUTES = "CTRL_SIG_0007"
    CONTENT_TYPE_WRONG = "CTRL_SIG_0008"
    SIGNING_TIME_MISSING = "CTRL_SIG_0009"
    SIGNING_TIME_OUT_OF_WINDOW = "CTRL_SIG_0010"
    SIGNER_CERTIFICATE_MISSING = "CTRL_SIG_0011"
    SIGNER_NOT_ENROLLED = "CTRL_SIG_0012"
    CERTIFICATE_NOT_VALID_THEN = "CTRL_SIG_0013"
    PATH_REFUSED = "CTRL_SIG_0014"
    CERTIFICATE_REVOKED = "CTRL_SIG_0015"
    REVOCATION_UNKNOWN = "CTRL_SIG_0016"
    KEY_USAGE_REFUSED = "CTRL_SIG_0017"
    FROM_NOT_ENROLLED = "CTRL_SIG_0018"
    SENDER_SUSPENDED = "CTRL_SIG_0019"
    SEVERAL_SENDERS = "CTRL_SIG_0020"
    LAYERING_REFUSED = "CTRL_SIG_0021"
    DECRYPTION_FAILED = "CTRL_SIG_0022"
    CONTENT_DUPLICATED = "CTRL_SIG_0023"
    CERTIFICATE_UNREADABLE = "CTRL_SIG_0024"
    ANSWER_CERTIFICATE_REFUSED = "CTRL_SIG_0025"
    SIGNATURE_LIMITS_EXCEEDED = "CTRL_SIG_0026"
    SUCCESSOR_UNPROVEN = "CTRL_SIG_0027"
    SUCCESSOR_REFUSED = "CTRL_SIG_0028"
    DESK_NOT_MANDATED = "CTRL_HAB_0001"
    DESK_MISMATCH = "CTRL_HAB_0002"
    TERRITORY_NOT_MANDATED = "CTRL_HAB_0003"
    OPERATION_NOT_MANDATED = "CTRL_HAB_0004"
    SCHOOL_DESK = "CTRL_HAB_0005"
    NOT_A_SCHOOL_DESK = "CTRL_HAB_0006"
    DESK_SUSPENDED = "CTRL_HAB_0007"
    FILE_NAME_WRONG = "CTRL_ENV_0001"
    FILE_NAME_TAKEN = "CTRL_ENV_0002"
    FILE_CONTENT_KNOWN = "CTRL_ENV_0003"
    FILE_TOO_LARGE = "CTRL_ENV_0004"
    FILE_TYPE_UNKNOWN = "CTRL_ENV_0005"
    VERSION_REFUSED = "CTRL_ENV_0006"
    COPY_NOT_BY_MAIL = "CTRL_ENV_0007"
    FILE_TYPE_NOT_INBOUND = "CTRL_ENV_0008"
    FILE_DATE_WRONG = "CTRL_ENV_0009"
    FILE_WITHOUT_REQUEST = "CTRL_ENV_0010"
    FILE_NAME_REPEATED = "CTRL_ENV_0012"
    REFERENCE_TAKEN = "CTRL_ENV_0013"
    XML_NOT_WELL_FORMED = "CTRL_XML_0001"
    XML_DOCTYPE = "CTRL_XML_0002"
    XML_NOT_VALID = "CTRL_XML_0003"
    XML_ENCODING = "CTRL_XML_0004"
    XML_INCLUSION = "CTRL_XML_0005"
    XML_LIMITS_EXCEEDED = "CTRL_XML_0006"
    VALUE_MISSING = "CTRL_DEM_0001"
    CODE_UNKNOWN = "CTRL_DEM_0002"
    TEXT_TOO_LONG = "CTRL_DEM_0003"
    FORM_VERSION_UNKNOWN = "CTRL_DEM_0004"
    NUMBER_GIVEN = "CTRL_DEM_0005"
    MORE_ANOMALIES = "CTRL_DEM_0006"
    FORM_VERSION_OVER = "CTRL_DEM_0007"
    VALUE_EXPECTED = "CTRL_DEM_0008"
    PERSON_AND_ASSOCIATION = "CTRL_DEM_0009"
    DEPOSIT_IN_FUTURE = "CTRL_DEM_0010"
    DEPOSIT_TOO_OLD = "CTRL_DEM_0011"
    DATE_IN_FUTURE = "CTRL_DEM_0012"
    MORE_WARNINGS = "CTRL_DEM_0013"
    BIRTH_IN_FUTURE = "CTRL_DEM_0020"
    BIRTH_TOO_OLD = "CTRL_DEM_0021"
    NAME_UNUSABLE = "CTRL_DEM_0022"
    CO_APPLICANT_IS_APPLICANT = "CTRL_DEM_0023"
    PERSON_MINOR = "CTRL_DEM_0024"
    LINK_DOUBTFUL = "CTRL_DEM_0025"
    PERSON_REPEATED = "CTRL_DEM_0026"
    NIR_WRONG = "CTRL_DEM_0027"
    NIR_DOUBTFUL = "CTRL_DEM_0028"
    NIR_REPEATED = "CTRL_DEM_0029"
    POSTCODE_WRONG = "CTRL_DEM_0030"
    TELEPHONE_DOUBTFUL = "CTRL_DEM_0031"
    EMAIL_DOUBTFUL = "CTRL_DEM_0032"
    TOWN_DOUBTFUL = "CTRL_DEM_0033"
    TYPE_REPEATED = "CTRL_DEM_0040"
    PLACE_REPEATED = "CTRL_DEM_0041"
    PLACES_TOO_MANY = "CTRL_DEM_0042"
    MUNICIPALITY_CODE_WRONG = "CTRL_DEM_0043"
    TERRITORY_UNKNOWN = "CTRL_DEM_0044"
    TERRITORIES_MIXED = "CTRL_DEM_0045"
    MUNICIPALITY_UNKNOWN = "CTRL_DEM_0046"
    MUNICIPALITY_FORMER = "CTRL_DEM_0047"
    DEPENDANTS_TOO_MANY = "CTRL_DEM_0050"
    CUSTODY_DOUBTFUL = "CTRL_DEM_0051"
    KINSHIP_DOUBTFUL = "CTRL_DEM_0052"
    BIRTHS_COUNT_WRONG = "CTRL_DEM_0053"
    BIRTHS_DATE_DOUBTFUL = "CTRL_DEM_0054"
    HOUSEHOLD_SIZE_DIFFERS = "CTRL_DEM_0055"
    TAX_YEAR_WRONG = "CTRL_DEM_0060"
    TAX_YEAR_OLD = "CTRL_DEM_0061"
    RESOURCE_REPEATED = "CTRL_DEM_0062"
    MONTHLY_AMOUNT_DOUBTFUL = "CTRL_DEM_0063"
    PAID_OVER_RECEIVED = "CTRL_DEM_0064"
    RESOURCES_DOUBTFUL = "CTRL_DEM_0065"
    RENT_OVER_RESOURCES = "CTRL_DEM_0066"
    AREA_DOUBTFUL = "CTRL_DEM_0070"
    OCCUPANTS_DOUBTFUL = "CTRL_DEM_0071"
    RENT_DOUBTFUL = "CTRL_DEM_0072"
    ALLOWANCE_OVER_RENT = "CTRL_DEM_0073"
    DWELLING_UNEXPECTED = "CTRL_DEM_0074"
    MOTIVES_TOO_MANY = "CTRL_DEM_0080"
    MOTIVE_REPEATED = "CTRL_DEM_0081"
    MOTIVE_UNEXPLAINED = "CTRL_DEM_0082"
    MOTIVE_DOUBTFUL = "CTRL_DEM_0083"
    HANDICAP_EMPTY = "CTRL_DEM_0090"
    HANDICAP_VALUE_REPEATED = "CTRL_DEM_0091"
    HANDICAP_DOUBTFUL = "CTRL_DEM_0092"
    DALO_DOUBTFUL = "CTRL_DEM_0100"
    IDENTITY_DOCUMENT_EXPIRED = "CTRL_DEM_0110"
    IDENTITY_DOCUMENT_DOUBTFUL = "CTRL_DEM_0111"
    ASSOCIATION_SIREN_WRONG = "CTRL_DEM_0120"
    REQUEST_EXISTS = "CTRL_UNI_0001"
    HOMONYM_POSSIBLE = "CTRL_UNI_0002"
    NIR_EXISTS = "CTRL_UNI_0003"
    REQUEST_MAY_EXIST = "CTRL_UNI_0004"
    NUMBER_UNKNOWN = "CTRL_CYC_0001"
    NOT_ACTIVE = "CTRL_CYC_0002"
    NUMBER_REMOVED = "CTRL_CYC_0003"
    ALREADY_ACTIVE = "CTRL_CYC_0004"
    NOT_THE_CREATOR = "CTRL_CYC_0005"
    REMOVAL_TOO_LATE = "CTRL_CYC_0006"
    ACTED_ON_BY_OTHERS = "CTRL_CYC_0007"
    MANAGER_ONLY = "CTRL_CYC_0008"
    STILL_VALID = "CTRL_CYC_0009"
    FILE_OVERTAKEN = "CTRL_CYC_0010"
    RENEWAL_TOO_EARLY = "CTRL_CYC_0011"
    RENEWED_ALREADY = "CTRL_CYC_0012"
    TERRITORY_CHANGED = "CTRL_CYC_0013"
    NOT_OF_THE_COUPLE = "CTRL_CYC_0014"
    MOTIVE_MISSING = "CTRL_CYC_0015"
    SUBMOTIVE_UNEXPECTED = "CTRL_CYC_0016"
    LEASE_UNEXPECTED = "CTRL_CYC_0017"
    SIREN_WRONG = "CTRL_CYC_0018"
    SIGNATURE_IN_FUTURE = "CTRL_CYC_0019"
    NOT_OF_THE_OPERATION = "CTRL_CYC_0020"
    DEPOSIT_KEPT = "CTRL_CYC_0021"
    QUESTION_UNKNOWN = "CTRL_GES_0001"
    QUESTION_UNCLEAR = "CTRL_GES_0002"
    OUTCOMES_LEFT_OUT = "CTRL_GES_0003"
    ROLL_OVER_NOT_OFFERED = "CTRL_GES_0004"
    INTERNAL_FAULT = "CTRL_SYS_0001"
    SEQUENCE_EXHAUSTED = "CTRL_SYS_0002"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the catalogue says of one code."""

    code: Code
    level: Level
    severity: Severity
    retry: Retry | None
    """None: nothing is to be sent again, as with every warning."""
    french: str
    english: str
    remedy_french: str
    remedy_english: str

    def retry_in(self, *, decided: bool) -> Retry | None:
        """What helps in a file, by whether its name is bound: then the same file only brings the same answer."""
        return Retry.ANEW if decided and self.retry is Retry.LATER else self.retry


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """One thing wrong, as a value. Never carries what was sent, only where it stands."""

    code: Code
    path: str = ""
    """Path of the element from the root of the file (`/interfaceNuu/demande[2]/…`); empty for the whole."""
    number: str | None = None
    """The existing unique number, only where the sender may learn it (codes of uniqueness)."""

    @property
    def blocks(self) -> bool:
        """Whether this refuses what it concerns."""
        return catalogue()[self.code].severity is not Severity.WARNING


@cache
def catalogue() -> dict[Code, Entry]:
    """Every code with its entry, in the order of the codes."""
    text = files("mailflow.core").joinpath("data/anomalies.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)
    return {
        code: Entry(
            code=code,
            level=Level(row["level"]),
            severity=Severity(row["severity"]),
            retry=Retry(row["retry"]) if "retry" in row else None,
            french=row["french"],
            english=row["english"],
            remedy_french=row["remedy_french"],
            remedy_english=row["remedy_english"],
        )
        for code in Code
        for row in [table[code]]
    }
