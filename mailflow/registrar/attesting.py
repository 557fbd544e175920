"""An attestation of a request as it stands: for who has lost theirs, once what was issued is not kept any more."""

from mailflow.attestation import Attestation
from mailflow.attestation.document import places_of
from mailflow.core.attested import Attested
from mailflow.core.form import HousingRequest
from mailflow.core.model import Environment, RequestState
from mailflow.register import Transaction, directory, reference, requests


async def attest(tx: Transaction, number: str, environment: Environment) -> Attestation | None:
    """To be typeset; None when there is no such active request, or it was erased."""
    stored = await requests.find(tx, number)
    if stored is None or stored.payload is None or stored.life.state is not RequestState.ACTIVE:
        return None
    form = HousingRequest.model_validate_json(stored.payload)
    desk = (await directory.read(tx)).desks[stored.desk]
    return Attestation(
        number=stored.number,
        attested=Attested(
            form=form,
            deposited_on=stored.life.deposited_on,
            renewed_on=stored.life.renewed_on,
            expires_on=stored.life.expires_on,
            desk_name=desk.name,
            desk_address=desk.address,
        ),
        reference=await reference.of_places(tx, places_of(form)),
        environment=environment,
    )
