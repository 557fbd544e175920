"""What an attestation says, sentence by sentence. Sources: code de la construction et de l'habitation (CCH).

Plain spaces before high marks become non-breaking ones, `~` is a non-breaking space (`typography.french`).
"""

SCHOOL_MARK = "ÉCOLE – SANS VALEUR"
CANARY_MARK = "SURVEILLANCE – SANS VALEUR"
MARKED_TITLE = "{mark} : {title}"
MARKED_NOTICE = "{mark} : document d'essai. Il n'enregistre rien, et son numéro n'existe pas."
SERVICE = "Enregistrement des demandes de logement social"

REGISTRATION = "Attestation d'enregistrement d'une demande de logement social"
RENEWAL = "Attestation de renouvellement d'une demande de logement social"
INTRODUCTION = (
    "Délivrée en application des articles L.~441-2-1 et R.~441-2-4 du code de la construction et de l'habitation."
    " La date de dépôt fait foi pour l'ancienneté de la demande."
)
NUMBER = "Numéro unique, à rappeler dans toute démarche"
APPLICANT = "Demandeur"
DESK = "Service enregistreur (guichet)"
DEPOSITED = "Date de dépôt de la demande"
RENEWED = "Dernier renouvellement"
NEVER_RENEWED = "aucun à ce jour"
VALID_THROUGH = "Valable jusqu'au"
INCLUSIVE = "{day} inclus"
USED_NAME = "{name}, nom d'usage {used}"
NO_ADDRESS = "adresse non communiquée"
PAGE = "Page"

LANDLORDS = "Bailleurs sociaux des communes demandées"
LANDLORDS_INTRODUCTION = "Ont des logements sociaux dans les communes que vous demandez :"
LANDLORDS_OF = "{municipality} : {landlords}"
LANDLORDS_UNKNOWN_OF = "liste disponible en mairie"
LANDLORDS_UNKNOWN = (
    "La liste des bailleurs qui ont des logements sociaux dans les communes que vous demandez est tenue à votre"
    " disposition par leurs mairies et par le guichet."
)
LANDLORDS_ANNEXED = (
    "La liste des bailleurs qui ont des logements sociaux dans les communes demandées est en annexe~{n}."
)

MEDIATION = "Saisir la commission de médiation"
MEDIATION_DELAY = (
    "Sans proposition adaptée à votre demande {months} après le dépôt, vous pouvez saisir la commission de médiation"
    " (article L.~441-2-3 du CCH)."
)
MEDIATION_FROM = "À partir du {day} : {name}, {address}."
MEDIATION_ANNEXED = (
    "Sans proposition adaptée à votre demande au terme du délai que fixe le préfet, vous pouvez saisir la commission de"
    " médiation du département (article L.~441-2-3 du CCH). La date et les adresses sont en annexe~{n}."
)
MEDIATION_UNKNOWN = (
    "Sans proposition adaptée à votre demande au terme du délai que fixe le préfet du département, compté depuis le"
    " dépôt, vous pouvez saisir la commission de médiation (article L.~441-2-3 du CCH). La préfecture indique ce délai"
    " et l'adresse de la commission."
)
MEDIATION_UNKNOWN_FROM = "{department} : délai et adresse auprès de la préfecture du département."
MEDIATION_AT_ONCE = "Vous pouvez la saisir sans délai si vous êtes de bonne foi et :"
MEDIATION_CASES = (
    "dépourvu de logement ;",
    "menacé d'expulsion sans relogement ;",
    (
        "hébergé, ou logé temporairement, dans une structure d'hébergement, un logement de transition, un"
        " logement-foyer ou une résidence hôtelière à vocation sociale ;"
    ),
    "logé dans des locaux impropres à l'habitation, insalubres ou dangereux ;",
    "logé dans un logement suroccupé ou non décent, avec un enfant mineur ou une personne handicapée ;",
    "handicapé, ou en charge d'une personne handicapée, dans un logement qui n'y est pas adapté.",
)
MONTHS = "{n}~mois"
MONTHS_BETWEEN = "{least} à {most}~mois, selon le département,"

VALIDITY = "Durée, renouvellement, mise à jour"
VALIDITY_TEXT = (
    (
        "La demande vaut un an : jusqu'au {day} inclus. Un avis vous est envoyé au moins un mois avant. Pour la"
        " prolonger d'un an, renouvelez-la avant cette date auprès de tout guichet enregistreur ou sur le site"
        " demande-logement-social.gouv.fr, avec votre numéro unique. L'ancienneté est conservée."
    ),
    "Signalez de la même manière tout changement : adresse, famille, ressources, logement recherché.",
)
ENDING = "Fin de la demande"
ENDING_INTRODUCTION = "La demande est radiée (article R.~441-2-8 du CCH) :"
ENDING_CASES = (
    "quand un logement social vous est attribué et que le bail est signé ;",
    "quand vous y renoncez par écrit ;",
    "quand elle est irrecevable : séjour irrégulier, ressources au-dessus du plafond ;",
    "quand vous ne répondez pas à un courrier envoyé à la dernière adresse connue ;",
    "quand elle n'est pas renouvelée à temps.",
)
PROGRESS = "Suivre votre demande"
PROGRESS_TEXT = (
    "Tout guichet enregistreur et tout service d'accueil des demandeurs vous disent, sur présentation du numéro"
    " unique, où en est votre demande ; le site indiqué ci-dessus aussi. Vous pouvez connaître, faire rectifier et"
    " compléter à tout moment ce qui est enregistré."
)

ANNEX = "Annexe~{n} – {title}"
ANNEX_SUMMARY = "Récapitulatif de la demande"
ANNEX_STEPS = "Les étapes à venir"
ANNEX_DOCUMENTS = "Pièces justificatives"
ANNEX_LANDLORDS = "Bailleurs sociaux des communes demandées"
ANNEX_COMMISSIONS = "Commissions de médiation"

SUMMARY_INTRODUCTION = (
    "Tel qu'enregistré. Si une indication est fausse ou incomplète, demandez-en la correction à un guichet."
)
STEPS = (
    (
        "Votre demande est visible",
        (
            "Les bailleurs sociaux, la mairie, la préfecture et les autres réservataires du territoire la consultent"
            " avec votre numéro unique. Une seule demande suffit pour tout le territoire."
        ),
    ),
    (
        "Elle est étudiée",
        (
            "Quand un logement peut vous convenir, un bailleur vous demande les pièces justificatives"
            " (annexe~{documents}). Répondez dans le délai indiqué : sans réponse à votre dernière adresse, la demande"
            " peut être radiée."
        ),
    ),
    (
        "La commission d'attribution décide",
        (
            "La commission d'attribution des logements et d'examen de l'occupation des logements du bailleur examine en"
            " règle générale plusieurs candidatures pour un logement. Sa décision vous est notifiée avec ses motifs."
        ),
    ),
    (
        "Vous répondez à la proposition",
        (
            "Si le logement vous est attribué, vous disposez d'au moins dix jours pour accepter ou refuser. Le silence"
            " vaut refus. Une fois le bail signé, la demande est radiée."
        ),
    ),
    (
        "En attendant, chaque année",
        (
            "Renouvelez la demande avant son échéance et tenez-la à jour. Si l'attente dépasse le délai fixé pour votre"
            " département, la commission de médiation peut être saisie."
        ),
    ),
)
DOCUMENTS_INTRODUCTION = (
    "Pour enregistrer la demande, seule une pièce d'identité, ou la preuve de la régularité du séjour, est exigée. Les"
    " autres pièces sont demandées pour l'instruction du dossier, pour chaque personne qui vivra dans le logement."
)
DOCUMENTS = (
    (
        "Identité et séjour",
        (
            "carte nationale d'identité ou passeport en cours de validité, ou titre de séjour en cours de validité ;",
            "pour les enfants mineurs : livret de famille ou acte de naissance.",
        ),
    ),
    (
        "Situation familiale",
        (
            "mariage : livret de famille ; pacte civil de solidarité : attestation d'enregistrement ;",
            "divorce ou séparation : extrait du jugement, ordonnance de non-conciliation ou convention ;",
            "décès du conjoint : livret de famille ou certificat de décès ;",
            "enfant attendu : certificat de grossesse.",
        ),
    ),
    (
        "Revenus et ressources",
        (
            "avis d'imposition de l'avant-dernière année, et de la dernière si les revenus ont baissé d'un dixième ;",
            "salariés : les trois derniers bulletins de salaire ou une attestation de l'employeur ;",
            "non-salariés : dernier bilan ou attestation du comptable ;",
            "retraite, pension, chômage, prestations sociales et familiales : dernière notification de paiement.",
        ),
    ),
    (
        "Situation professionnelle",
        ("contrat de travail, carte d'étudiant, contrat d'apprentissage ou avis de situation à France Travail.",),
    ),
    (
        "Logement actuel",
        (
            "locataire : bail et dernière quittance, ou attestation du bailleur que le loyer est payé ;",
            "hébergé : attestation de l'hébergeant, de la structure ou du foyer ;",
            "propriétaire : acte de propriété ou plan de financement ;",
            "sans domicile : attestation d'un travailleur social ou certificat de domiciliation.",
        ),
    ),
    (
        "Motif de la demande, selon le cas",
        (
            "jugement d'expulsion ou commandement de quitter les lieux ; congé du bailleur ;",
            "logement indigne : document d'un service public ou d'un travailleur social ;",
            "handicap : décision de la commission des droits et de l'autonomie ou carte mobilité inclusion ;",
            "violences : ordonnance de protection ou récépissé de dépôt de plainte ;",
            "raisons de santé ou changement de lieu de travail : certificat médical, attestation de l'employeur.",
        ),
    ),
)

YES = "oui"
NO = "non"
EURO = "{amount}~€"
SQUARE_METRE = "{amount}~m²"
ITEM = "{label} {n}"
