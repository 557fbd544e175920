CREATE TABLE intake (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL,
    mailbox TEXT NOT NULL,
    uidvalidity BIGINT NOT NULL,
    uid BIGINT NOT NULL,
    digest TEXT,
    message_token BIGINT,
    size_bytes BIGINT NOT NULL,
    received_at DATETIME NOT NULL,
    taken_at DATETIME NOT NULL,
    key_id TEXT,
    state TEXT NOT NULL,
    reason TEXT,
    detail TEXT,
    sender TEXT,
    settled_at DATETIME,
    late_at DATETIME,
    attempts INTEGER DEFAULT '0' NOT NULL,
    solo BOOLEAN DEFAULT 0 NOT NULL,
    next_at DATETIME,
    line TEXT DEFAULT '' NOT NULL,
    round INTEGER DEFAULT '0' NOT NULL,
    turn_at DATETIME,
    lease_owner TEXT,
    lease_until DATETIME,
    raw BLOB,
    CONSTRAINT ck_intake_lease_whole CHECK ((lease_owner IS NULL) = (lease_until IS NULL)),
    CONSTRAINT uq_intake_account_mailbox_uidvalidity_uid UNIQUE (account, mailbox, uidvalidity, uid),
    CONSTRAINT ck_intake_state CHECK (state IN ('received', 'undetermined', 'answered', 'set_aside', 'held', 'same_delivery')),
    CONSTRAINT ck_intake_due CHECK ((next_at IS NOT NULL) = (state IN ('received', 'undetermined'))),
    CONSTRAINT ck_intake_lease_only_while_due CHECK (lease_until IS NULL OR next_at IS NOT NULL),
    CONSTRAINT ck_intake_attempts CHECK (attempts >= 0)
)

CREATE INDEX ix_intake_kept ON intake (settled_at, id) WHERE raw IS NOT NULL

CREATE INDEX ix_intake_late ON intake (taken_at, id) WHERE late_at IS NULL AND state != 'answered'

CREATE INDEX ix_intake_unanswered ON intake (state, reason, settled_at, received_at) WHERE state != 'answered'

CREATE INDEX ix_intake_lease ON intake (lease_until) WHERE lease_until IS NOT NULL

CREATE INDEX ix_intake_digest ON intake (digest)

CREATE INDEX ix_intake_message_token ON intake (message_token) WHERE message_token IS NOT NULL

CREATE INDEX ix_intake_due ON intake (received_at, id, next_at, lease_owner, solo, attempts, size_bytes, turn_at, sender, reason) WHERE next_at IS NOT NULL

CREATE INDEX ix_intake_line ON intake (line, round, next_at) WHERE next_at IS NOT NULL

CREATE INDEX ix_intake_round ON intake (round, received_at, id, next_at, lease_owner, solo, size_bytes) WHERE next_at IS NOT NULL

CREATE INDEX ix_intake_turn ON intake (turn_at, next_at, sender, reason, size_bytes) WHERE next_at IS NOT NULL

CREATE TABLE counter (
    territory TEXT NOT NULL,
    month TEXT NOT NULL,
    last INTEGER NOT NULL,
    CONSTRAINT pk_counter PRIMARY KEY (territory, month),
    CONSTRAINT ck_counter_last CHECK (last BETWEEN 0 AND 999999)
)

CREATE TABLE journal (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at DATETIME NOT NULL,
    kind TEXT NOT NULL,
    intake_id INTEGER,
    number TEXT,
    sender TEXT,
    desk TEXT,
    detail TEXT NOT NULL
)

CREATE INDEX ix_journal_intake_id ON journal (intake_id)

CREATE INDEX ix_journal_number ON journal (number)

CREATE TABLE journal_link (
    id INTEGER NOT NULL,
    gap_from INTEGER,
    digest BLOB,
    link BLOB NOT NULL,
    CONSTRAINT pk_journal_link PRIMARY KEY (id),
    CONSTRAINT ck_journal_link_entry_or_gap CHECK ((gap_from IS NULL) = (digest IS NOT NULL))
)

CREATE TABLE journal_head (
    number INTEGER NOT NULL,
    day TEXT NOT NULL,
    signed BLOB NOT NULL,
    CONSTRAINT pk_journal_head PRIMARY KEY (number)
)

CREATE TABLE evidence (
    intake_id INTEGER NOT NULL,
    received_at DATETIME NOT NULL,
    judged_at DATETIME NOT NULL,
    basis BLOB NOT NULL,
    checklist BLOB NOT NULL,
    signature BLOB NOT NULL,
    CONSTRAINT pk_evidence PRIMARY KEY (intake_id)
)

CREATE TABLE exhibit (
    digest BLOB NOT NULL,
    kind TEXT NOT NULL,
    content BLOB NOT NULL,
    CONSTRAINT pk_exhibit PRIMARY KEY (digest),
    CONSTRAINT ck_exhibit_kind CHECK (kind IN ('certificate', 'revocation-list', 'ocsp-answer', 'enrolment', 'policy', 'basis', 'checklist'))
)

CREATE TABLE sender (
    code TEXT NOT NULL,
    name TEXT NOT NULL,
    standing TEXT NOT NULL,
    answer_address TEXT NOT NULL,
    legacy_encryption BOOLEAN NOT NULL,
    mails_an_hour BIGINT,
    bytes_an_hour BIGINT,
    requests_an_hour BIGINT,
    mails_a_day BIGINT,
    bytes_a_day BIGINT,
    requests_a_day BIGINT,
    CONSTRAINT pk_sender PRIMARY KEY (code),
    CONSTRAINT ck_sender_standing CHECK (standing IN ('active', 'suspended')),
    CONSTRAINT ck_sender_mails_an_hour CHECK (mails_an_hour > 0),
    CONSTRAINT ck_sender_bytes_an_hour CHECK (bytes_an_hour > 0),
    CONSTRAINT ck_sender_requests_an_hour CHECK (requests_an_hour > 0),
    CONSTRAINT ck_sender_mails_a_day CHECK (mails_a_day > 0),
    CONSTRAINT ck_sender_bytes_a_day CHECK (bytes_a_day > 0),
    CONSTRAINT ck_sender_requests_a_day CHECK (requests_a_day > 0)
)

CREATE TABLE successor (
    sender TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    follows TEXT NOT NULL,
    uses TEXT NOT NULL,
    intake_id INTEGER NOT NULL,
    offered_at DATETIME NOT NULL,
    became TEXT NOT NULL,
    decided_at DATETIME,
    der BLOB NOT NULL,
    CONSTRAINT pk_successor PRIMARY KEY (sender, fingerprint),
    CONSTRAINT ck_successor_became CHECK (became IN ('waiting', 'enrolled', 'declined')),
    CONSTRAINT ck_successor_decided CHECK ((decided_at IS NULL) = (became = 'waiting')),
    CONSTRAINT fk_successor_sender FOREIGN KEY(sender) REFERENCES sender (code),
    CONSTRAINT fk_successor_intake_id FOREIGN KEY(intake_id) REFERENCES intake (id)
)

CREATE TABLE spending (
    sender TEXT NOT NULL,
    mails_an_hour DATETIME,
    bytes_an_hour DATETIME,
    requests_an_hour DATETIME,
    mails_a_day DATETIME,
    bytes_a_day DATETIME,
    requests_a_day DATETIME,
    CONSTRAINT pk_spending PRIMARY KEY (sender),
    CONSTRAINT fk_spending_sender FOREIGN KEY(sender) REFERENCES sender (code)
)

CREATE TABLE desk (
    code TEXT NOT NULL,
    name TEXT NOT NULL,
    address TEXT NOT NULL,
    standing TEXT NOT NULL,
    CONSTRAINT pk_desk PRIMARY KEY (code),
    CONSTRAINT ck_desk_code CHECK (code GLOB '[0-9A-Z][0-9A-Z][0-9A-Z][0-9A-Z][0-9A-Z]'),
    CONSTRAINT ck_desk_standing CHECK (standing IN ('active', 'suspended'))
)

CREATE TABLE installation (
    id INTEGER NOT NULL,
    environment TEXT NOT NULL,
    CONSTRAINT pk_installation PRIMARY KEY (id),
    CONSTRAINT ck_installation_one_row CHECK (id = 1),
    CONSTRAINT ck_installation_environment CHECK (environment IN ('production', 'ecole'))
)

CREATE TABLE issuing (
    id INTEGER NOT NULL,
    stopped_at DATETIME,
    stopped_by TEXT,
    stopped_why TEXT,
    reserved BOOLEAN DEFAULT 0 NOT NULL,
    CONSTRAINT pk_issuing PRIMARY KEY (id),
    CONSTRAINT ck_issuing_one_row CHECK (id = 1),
    CONSTRAINT ck_issuing_stopped_whole CHECK ((stopped_at IS NULL) = (stopped_by IS NULL) AND (stopped_at IS NULL) = (stopped_why IS NULL))
)

CREATE TABLE reserved_number (
    desk TEXT NOT NULL,
    digest TEXT NOT NULL,
    position INTEGER NOT NULL,
    number TEXT NOT NULL,
    given_at DATETIME,
    CONSTRAINT pk_reserved_number PRIMARY KEY (digest, desk, position)
)

CREATE INDEX ix_reserved_number_number ON reserved_number (number)

CREATE TABLE mailbox_mark (
    mailbox TEXT NOT NULL,
    uidvalidity BIGINT NOT NULL,
    uid BIGINT NOT NULL,
    CONSTRAINT pk_mailbox_mark PRIMARY KEY (mailbox)
)

CREATE TABLE service_key (
    fingerprint TEXT NOT NULL,
    use TEXT NOT NULL,
    active_from DATETIME NOT NULL,
    retired_at DATETIME,
    CONSTRAINT pk_service_key PRIMARY KEY (fingerprint, use),
    CONSTRAINT ck_service_key_use CHECK (use IN ('signing', 'decryption'))
)

CREATE TABLE key_home (
    id INTEGER NOT NULL,
    store TEXT NOT NULL,
    CONSTRAINT pk_key_home PRIMARY KEY (id),
    CONSTRAINT ck_key_home_one_row CHECK (id = 1)
)

CREATE TABLE trust_generation (
    id INTEGER NOT NULL,
    generation BIGINT NOT NULL,
    revocations BIGINT DEFAULT '0' NOT NULL,
    CONSTRAINT pk_trust_generation PRIMARY KEY (id),
    CONSTRAINT ck_trust_generation_one_row CHECK (id = 1)
)

CREATE TABLE revocation (
    kind TEXT NOT NULL,
    url TEXT NOT NULL,
    about TEXT NOT NULL,
    etag TEXT,
    modified TEXT,
    says TEXT,
    published DATETIME,
    expires DATETIME,
    fetched_at DATETIME,
    asked_at DATETIME NOT NULL,
    next_at DATETIME NOT NULL,
    failures INTEGER NOT NULL,
    failing_since DATETIME,
    failure TEXT,
    octets BLOB,
    CONSTRAINT pk_revocation PRIMARY KEY (kind, url, about),
    CONSTRAINT ck_revocation_whole CHECK ((octets IS NULL) = (fetched_at IS NULL) AND (octets IS NULL) = (published IS NULL) AND (octets IS NULL) = (expires IS NULL)),
    CONSTRAINT ck_revocation_failing CHECK ((failures = 0) = (failing_since IS NULL) AND (failures = 0) = (failure IS NULL)),
    CONSTRAINT ck_revocation_answer CHECK ((says IS NOT NULL) = (kind = 'answer' AND octets IS NOT NULL)),
    CONSTRAINT ck_revocation_kind CHECK (kind IN ('list', 'answer')),
    CONSTRAINT ck_revocation_says CHECK (says IN ('good', 'revoked', 'unknown'))
)

CREATE TABLE file (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    record TEXT NOT NULL,
    desk TEXT NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    intake_id INTEGER NOT NULL,
    key_id TEXT,
    settled BOOLEAN DEFAULT 0 NOT NULL,
    receipt BLOB,
    returned BLOB,
    CONSTRAINT uq_file_desk_name UNIQUE (desk, name),
    CONSTRAINT ck_file_desk CHECK (desk GLOB '[0-9A-Z][0-9A-Z][0-9A-Z][0-9A-Z][0-9A-Z]'),
    CONSTRAINT ck_file_name CHECK (length(name) BETWEEN 1 AND 64 AND name NOT GLOB '*[^0-9A-Za-z.-]*'),
    CONSTRAINT uq_file_record UNIQUE (record),
    CONSTRAINT fk_file_intake_id FOREIGN KEY(intake_id) REFERENCES intake (id)
)

CREATE INDEX ix_file_digest_desk ON file (digest, desk)

CREATE INDEX ix_file_intake_id ON file (intake_id)

CREATE TABLE awaited_file (
    intake_id INTEGER NOT NULL,
    desk TEXT NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    CONSTRAINT pk_awaited_file PRIMARY KEY (desk, name, intake_id),
    CONSTRAINT fk_awaited_file_intake_id FOREIGN KEY(intake_id) REFERENCES intake (id)
)

CREATE TABLE outbox (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    "key" TEXT NOT NULL,
    part INTEGER NOT NULL,
    intake_id INTEGER,
    received_at DATETIME NOT NULL,
    recipient TEXT NOT NULL,
    message_id TEXT NOT NULL,
    envelope_id TEXT NOT NULL,
    dated_at DATETIME NOT NULL,
    queued_at DATETIME NOT NULL,
    key_id TEXT,
    body_digest TEXT,
    state TEXT NOT NULL,
    reason TEXT,
    sends INTEGER DEFAULT '0' NOT NULL,
    copies_before INTEGER DEFAULT '0' NOT NULL,
    part_bytes_max INTEGER,
    attempts INTEGER DEFAULT '0' NOT NULL,
    next_at DATETIME,
    round INTEGER,
    sending_at DATETIME,
    missed_since DATETIME,
    missed_at DATETIME,
    sent_at DATETIME,
    sent_again_at DATETIME,
    lease_owner TEXT,
    lease_until DATETIME,
    payload BLOB,
    raw BLOB,
    CONSTRAINT ck_outbox_lease_whole CHECK ((lease_owner IS NULL) = (lease_until IS NULL)),
    CONSTRAINT uq_outbox_kind_key_part UNIQUE (kind, "key", part),
    CONSTRAINT ck_outbox_state CHECK (state IN ('queued', 'composed', 'sending', 'sent', 'held', 'withdrawn')),
    CONSTRAINT ck_outbox_due CHECK ((next_at IS NOT NULL) = (state IN ('queued', 'composed'))),
    CONSTRAINT ck_outbox_queued_has_no_bytes CHECK (state <> 'queued' OR raw IS NULL),
    CONSTRAINT ck_outbox_frozen_before_sent CHECK (state NOT IN ('composed', 'sending') OR raw IS NOT NULL),
    CONSTRAINT ck_outbox_digest_of_bytes CHECK (raw IS NULL OR body_digest IS NOT NULL),
    CONSTRAINT ck_outbox_sent_at CHECK (state <> 'sent' OR sent_at IS NOT NULL),
    CONSTRAINT ck_outbox_attempts CHECK (attempts >= 0),
    CONSTRAINT fk_outbox_intake_id FOREIGN KEY(intake_id) REFERENCES intake (id),
    CONSTRAINT uq_outbox_message_id UNIQUE (message_id),
    CONSTRAINT uq_outbox_envelope_id UNIQUE (envelope_id)
)

CREATE INDEX ix_outbox_due ON outbox (state, received_at, id, next_at, lease_until, lease_owner, part, kind, "key") WHERE next_at IS NOT NULL

CREATE INDEX ix_outbox_intake_id ON outbox (intake_id)

CREATE INDEX ix_outbox_kept ON outbox (sent_at, id) WHERE raw IS NOT NULL AND intake_id IS NULL

CREATE INDEX ix_outbox_lease ON outbox (lease_owner, lease_until, state) WHERE lease_until IS NOT NULL

CREATE INDEX ix_outbox_line ON outbox (recipient, round, next_at, part, kind, "key") WHERE next_at IS NOT NULL

CREATE INDEX ix_outbox_on_its_way ON outbox (kind, received_at, id, state, sent_at, intake_id, part, "key") WHERE state != 'sent' AND state != 'withdrawn'

CREATE INDEX ix_outbox_placeless ON outbox (state, received_at, id, next_at, lease_until, recipient) WHERE round IS NULL AND next_at IS NOT NULL

CREATE INDEX ix_outbox_round ON outbox (state, round, received_at, id, next_at, lease_until, part, kind, "key") WHERE next_at IS NOT NULL

CREATE INDEX ix_outbox_sending ON outbox (state, lease_until, id, sending_at, lease_owner) WHERE sending_at IS NOT NULL

CREATE INDEX ix_outbox_sent ON outbox (kind, sent_at, received_at, intake_id) WHERE sent_at IS NOT NULL

CREATE TABLE sender_address (
    sender TEXT NOT NULL,
    address TEXT NOT NULL,
    CONSTRAINT pk_sender_address PRIMARY KEY (sender, address),
    CONSTRAINT ck_sender_address_lower_case CHECK (address = lower(address)),
    CONSTRAINT fk_sender_address_sender FOREIGN KEY(sender) REFERENCES sender (code)
)

CREATE TABLE certificate (
    fingerprint TEXT NOT NULL,
    use TEXT NOT NULL,
    sender TEXT NOT NULL,
    der BLOB NOT NULL,
    standing TEXT NOT NULL,
    CONSTRAINT pk_certificate PRIMARY KEY (fingerprint, use),
    CONSTRAINT ck_certificate_use CHECK (use IN ('sign', 'encrypt')),
    CONSTRAINT ck_certificate_standing CHECK (standing IN ('active', 'suspended')),
    CONSTRAINT fk_certificate_sender FOREIGN KEY(sender) REFERENCES sender (code)
)

CREATE INDEX ix_certificate_sender ON certificate (sender)

CREATE TABLE mandate (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    sender TEXT NOT NULL,
    desk TEXT NOT NULL,
    territory TEXT NOT NULL,
    rights TEXT NOT NULL,
    starts_on DATE NOT NULL,
    ends_on DATE,
    CONSTRAINT uq_mandate_sender_desk_territory_starts_on UNIQUE (sender, desk, territory, starts_on),
    CONSTRAINT ck_mandate_canary_apart CHECK ((sender = 'canary') = (territory = '000') AND (sender = 'canary') = (desk IN ('00000', 'Z0000')) AND (sender <> 'canary' OR rights = 'CRE')),
    CONSTRAINT fk_mandate_sender FOREIGN KEY(sender) REFERENCES sender (code),
    CONSTRAINT fk_mandate_desk FOREIGN KEY(desk) REFERENCES desk (code)
)

CREATE TABLE request (
    number TEXT NOT NULL,
    id TEXT NOT NULL,
    territory TEXT NOT NULL,
    desk TEXT NOT NULL,
    sender TEXT NOT NULL,
    state TEXT NOT NULL,
    motive TEXT,
    deposited_on DATE NOT NULL,
    renewed_on DATE,
    expires_on DATE NOT NULL,
    ended_on DATE,
    noticed_for DATE,
    registered_at DATETIME NOT NULL,
    revision INTEGER NOT NULL,
    dated_at DATETIME NOT NULL,
    key_id TEXT,
    file_record TEXT NOT NULL,
    position INTEGER NOT NULL,
    payload BLOB,
    CONSTRAINT pk_request PRIMARY KEY (number),
    CONSTRAINT uq_request_file_record_position UNIQUE (file_record, position),
    CONSTRAINT ck_request_state CHECK (state IN ('active', 'deregistered', 'removed')),
    CONSTRAINT ck_request_motive CHECK ((motive IS NOT NULL) = (state = 'deregistered')),
    CONSTRAINT ck_request_ended_on CHECK ((ended_on IS NULL) = (state = 'active')),
    CONSTRAINT ck_request_number CHECK (number GLOB '[0-9][0-9][0-9AB]0[1-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9A-Z][0-9A-Z][0-9A-Z][0-9A-Z][0-9A-Z]' OR number GLOB '[0-9][0-9][0-9AB]1[0-2][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9A-Z][0-9A-Z][0-9A-Z][0-9A-Z][0-9A-Z]'),
    CONSTRAINT ck_request_territory CHECK (substr(number, 1, 3) = territory),
    CONSTRAINT ck_request_canary_apart CHECK ((territory = '000') = (desk IN ('00000', 'Z0000'))),
    CONSTRAINT uq_request_id UNIQUE (id),
    CONSTRAINT fk_request_file_record FOREIGN KEY(file_record) REFERENCES file (record)
)

CREATE INDEX ix_request_erasable ON request (ended_on, number) WHERE ended_on IS NOT NULL AND payload IS NOT NULL

CREATE INDEX ix_request_expiry ON request (expires_on, number) WHERE state = 'active'

CREATE TABLE history (
    number TEXT NOT NULL,
    revision INTEGER NOT NULL,
    territory TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    operation TEXT NOT NULL,
    state TEXT NOT NULL,
    motive TEXT,
    renewed_on DATE,
    expires_on DATE NOT NULL,
    ended_on DATE,
    desk TEXT,
    sender TEXT,
    door TEXT,
    intake_id INTEGER,
    file_record TEXT,
    position INTEGER,
    dated_at DATETIME NOT NULL,
    at DATETIME NOT NULL,
    said BLOB,
    content_before BLOB,
    CONSTRAINT pk_history PRIMARY KEY (number, revision),
    CONSTRAINT uq_history_territory_sequence UNIQUE (territory, sequence),
    CONSTRAINT ck_history_operation CHECK (operation IN ('CRE', 'CRS', 'MOD', 'REN', 'RAD', 'SUP', 'RET', 'DIS', 'COP')),
    CONSTRAINT ck_history_state CHECK (state IN ('active', 'deregistered', 'removed')),
    CONSTRAINT ck_history_door CHECK (door IN ('mail', 'operator')),
    CONSTRAINT fk_history_number FOREIGN KEY(number) REFERENCES request (number)
)

CREATE TABLE history_counter (
    territory TEXT NOT NULL,
    last BIGINT NOT NULL,
    CONSTRAINT pk_history_counter PRIMARY KEY (territory)
)

CREATE TABLE dispatch (
    sender TEXT NOT NULL,
    desk TEXT NOT NULL,
    number INTEGER NOT NULL,
    territory TEXT NOT NULL,
    follows BIGINT NOT NULL,
    through BIGINT NOT NULL,
    requests INTEGER NOT NULL,
    made_at DATETIME NOT NULL,
    CONSTRAINT pk_dispatch PRIMARY KEY (sender, desk, number),
    CONSTRAINT uq_dispatch_sender_desk_territory_follows UNIQUE (sender, desk, territory, follows),
    CONSTRAINT ck_dispatch_forward CHECK (follows < through)
)

CREATE TABLE request_reference (
    desk TEXT NOT NULL,
    token TEXT NOT NULL,
    digest TEXT NOT NULL,
    request_id TEXT NOT NULL,
    CONSTRAINT pk_request_reference PRIMARY KEY (desk, token),
    CONSTRAINT fk_request_reference_request_id FOREIGN KEY(request_id) REFERENCES request (id) DEFERRABLE INITIALLY DEFERRED
)

CREATE INDEX ix_request_reference_request_id ON request_reference (request_id)

CREATE TABLE active_identity (
    territory TEXT NOT NULL,
    token TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    nir_token TEXT,
    request_id TEXT NOT NULL,
    CONSTRAINT pk_active_identity PRIMARY KEY (territory, token, ordinal),
    CONSTRAINT uq_active_identity_territory_nir_token UNIQUE (territory, nir_token),
    CONSTRAINT ck_active_identity_ordinal CHECK (ordinal >= 0),
    CONSTRAINT fk_active_identity_request_id FOREIGN KEY(request_id) REFERENCES request (id) DEFERRABLE INITIALLY DEFERRED
)

CREATE INDEX ix_active_identity_request_id ON active_identity (request_id)

CREATE TABLE near_person (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    request_id TEXT NOT NULL,
    element TEXT NOT NULL,
    tokens BLOB NOT NULL,
    sealed BLOB NOT NULL,
    CONSTRAINT uq_near_person_request_id_element UNIQUE (request_id, element),
    CONSTRAINT fk_near_person_request_id FOREIGN KEY(request_id) REFERENCES request (id)
)

CREATE TABLE near_token (
    token BIGINT NOT NULL,
    person BIGINT NOT NULL,
    CONSTRAINT pk_near_token PRIMARY KEY (token, person)
) WITHOUT ROWID

CREATE TABLE probable_duplicate (
    territory TEXT NOT NULL,
    number TEXT NOT NULL,
    other TEXT NOT NULL,
    likeness TEXT NOT NULL,
    found_at DATETIME NOT NULL,
    CONSTRAINT pk_probable_duplicate PRIMARY KEY (territory, number, other),
    CONSTRAINT ck_probable_duplicate_likeness CHECK (likeness IN ('exact', 'spelling', 'swapped-names', 'compound-name', 'used-name', 'typing-error', 'swapped-day-and-month', 'wrong-digit')),
    CONSTRAINT fk_probable_duplicate_number FOREIGN KEY(number) REFERENCES request (number),
    CONSTRAINT fk_probable_duplicate_other FOREIGN KEY(other) REFERENCES request (number)
)

CREATE INDEX ix_probable_duplicate_found_at ON probable_duplicate (found_at)

CREATE TABLE homonym_release (
    territory TEXT NOT NULL,
    token TEXT NOT NULL,
    desk TEXT NOT NULL,
    CONSTRAINT pk_homonym_release PRIMARY KEY (token, territory, desk)
)

CREATE TABLE nir (
    request_id TEXT NOT NULL,
    key_id TEXT,
    sealed BLOB NOT NULL,
    CONSTRAINT pk_nir PRIMARY KEY (request_id),
    CONSTRAINT fk_nir_request_id FOREIGN KEY(request_id) REFERENCES request (id)
)

CREATE TABLE landlord (
    municipality TEXT NOT NULL,
    siren TEXT NOT NULL,
    name TEXT NOT NULL,
    CONSTRAINT pk_landlord PRIMARY KEY (municipality, siren)
)

CREATE TABLE commission (
    department TEXT NOT NULL,
    name TEXT NOT NULL,
    address TEXT NOT NULL,
    delay_months INTEGER NOT NULL,
    CONSTRAINT pk_commission PRIMARY KEY (department),
    CONSTRAINT ck_commission_delay_months CHECK (delay_months > 0)
)

CREATE TABLE reference_edition (
    id INTEGER NOT NULL,
    edition BIGINT NOT NULL,
    CONSTRAINT pk_reference_edition PRIMARY KEY (id),
    CONSTRAINT ck_reference_edition_one_row CHECK (id = 1)
)

CREATE TABLE attestation (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    number TEXT NOT NULL,
    token TEXT NOT NULL,
    digest TEXT NOT NULL,
    edition BIGINT NOT NULL,
    intake_id INTEGER NOT NULL,
    issued_at DATETIME NOT NULL,
    key_id TEXT,
    content BLOB,
    CONSTRAINT fk_attestation_number FOREIGN KEY(number) REFERENCES request (number),
    CONSTRAINT fk_attestation_intake_id FOREIGN KEY(intake_id) REFERENCES intake (id)
)

CREATE UNIQUE INDEX ix_attestation_kept ON attestation (token) WHERE content IS NOT NULL

CREATE INDEX ix_attestation_intake_id ON attestation (intake_id)

CREATE INDEX ix_attestation_number ON attestation (number)

CREATE TABLE alarm (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    code TEXT NOT NULL,
    subject TEXT NOT NULL,
    value TEXT NOT NULL,
    since DATETIME NOT NULL,
    seen_at DATETIME NOT NULL,
    raised_at DATETIME,
    escalated_at DATETIME,
    acknowledged_at DATETIME,
    acknowledged_by TEXT,
    acknowledged_why TEXT,
    cleared_at DATETIME,
    CONSTRAINT ck_alarm_acknowledged_whole CHECK ((acknowledged_at IS NULL) = (acknowledged_by IS NULL) AND (acknowledged_at IS NULL) = (acknowledged_why IS NULL)),
    CONSTRAINT ck_alarm_escalated_when_raised CHECK (escalated_at IS NULL OR raised_at IS NOT NULL)
)

CREATE UNIQUE INDEX ix_alarm_lasts ON alarm (code, subject) WHERE cleared_at IS NULL

CREATE TABLE alarm_notice (
    alarm_id INTEGER NOT NULL,
    occasion TEXT NOT NULL,
    turn INTEGER NOT NULL,
    channel TEXT NOT NULL,
    due_at DATETIME NOT NULL,
    attempts INTEGER DEFAULT '0' NOT NULL,
    told_at DATETIME,
    CONSTRAINT pk_alarm_notice PRIMARY KEY (alarm_id, occasion, turn, channel),
    CONSTRAINT ck_alarm_notice_occasion CHECK (occasion IN ('raised', 'reminder', 'escalated', 'cleared')),
    CONSTRAINT ck_alarm_notice_channel CHECK (channel IN ('first', 'second', 'webhook')),
    CONSTRAINT fk_alarm_notice_alarm_id FOREIGN KEY(alarm_id) REFERENCES alarm (id)
)

CREATE INDEX ix_alarm_notice_due ON alarm_notice (due_at) WHERE told_at IS NULL

CREATE TABLE worker_sign (
    owner TEXT NOT NULL,
    host TEXT NOT NULL,
    begun_at DATETIME NOT NULL,
    beaten_at DATETIME NOT NULL,
    emptied_at DATETIME,
    state TEXT NOT NULL,
    tables TEXT NOT NULL,
    CONSTRAINT pk_worker_sign PRIMARY KEY (owner)
)

CREATE TABLE canary_run (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    file_name TEXT NOT NULL,
    begun_at DATETIME NOT NULL,
    late_at DATETIME NOT NULL,
    sent_at DATETIME,
    ended_at DATETIME,
    outcome TEXT,
    number TEXT,
    CONSTRAINT ck_canary_run_outcome CHECK (outcome IN ('answered', 'unsent', 'refused', 'wrong', 'lost')),
    CONSTRAINT ck_canary_run_ended CHECK ((ended_at IS NULL) = (outcome IS NULL)),
    CONSTRAINT uq_canary_run_file_name UNIQUE (file_name)
)

CREATE TABLE job_run (
    job TEXT NOT NULL,
    since DATETIME NOT NULL,
    done_at DATETIME,
    CONSTRAINT pk_job_run PRIMARY KEY (job)
)

CREATE TABLE reexamination (
    id INTEGER NOT NULL,
    entry BIGINT NOT NULL,
    night DATETIME,
    mails INTEGER NOT NULL,
    CONSTRAINT pk_reexamination PRIMARY KEY (id),
    CONSTRAINT ck_reexamination_one_row CHECK (id = 1)
)

CREATE TABLE doubted_mail (
    intake_id INTEGER NOT NULL,
    promise TEXT NOT NULL,
    found_at DATETIME NOT NULL,
    CONSTRAINT pk_doubted_mail PRIMARY KEY (intake_id, promise),
    CONSTRAINT fk_doubted_mail_intake_id FOREIGN KEY(intake_id) REFERENCES intake (id)
)

CREATE TABLE broken_promise (
    invariant TEXT NOT NULL,
    times INTEGER NOT NULL,
    looked_at DATETIME NOT NULL,
    CONSTRAINT pk_broken_promise PRIMARY KEY (invariant)
)

CREATE TRIGGER intake_raw_is_written_once BEFORE UPDATE OF raw ON intake FOR EACH ROW WHEN (OLD.raw IS NOT NULL AND NEW.raw IS NOT NULL AND NEW.raw IS NOT OLD.raw) BEGIN SELECT RAISE(ABORT, 'intake_raw_is_written_once'); END

CREATE TRIGGER file_receipt_is_written_once BEFORE UPDATE OF receipt ON file FOR EACH ROW WHEN (OLD.receipt IS NOT NULL AND NEW.receipt IS NOT NULL AND NEW.receipt IS NOT OLD.receipt) BEGIN SELECT RAISE(ABORT, 'file_receipt_is_written_once'); END

CREATE TRIGGER file_returned_is_written_once BEFORE UPDATE OF returned ON file FOR EACH ROW WHEN (OLD.returned IS NOT NULL AND NEW.returned IS NOT NULL AND NEW.returned IS NOT OLD.returned) BEGIN SELECT RAISE(ABORT, 'file_returned_is_written_once'); END

CREATE TRIGGER outbox_payload_is_written_once BEFORE UPDATE OF payload ON outbox FOR EACH ROW WHEN (OLD.payload IS NOT NULL AND NEW.payload IS NOT NULL AND NEW.payload IS NOT OLD.payload) BEGIN SELECT RAISE(ABORT, 'outbox_payload_is_written_once'); END

CREATE TRIGGER outbox_raw_is_written_once BEFORE UPDATE OF raw ON outbox FOR EACH ROW WHEN (OLD.raw IS NOT NULL AND NEW.raw IS NOT NULL AND NEW.raw IS NOT OLD.raw) BEGIN SELECT RAISE(ABORT, 'outbox_raw_is_written_once'); END

CREATE TRIGGER outbox_body_digest_is_written_once BEFORE UPDATE OF body_digest ON outbox FOR EACH ROW WHEN (OLD.body_digest IS NOT NULL AND NEW.body_digest IS NOT NULL AND NEW.body_digest IS NOT OLD.body_digest) BEGIN SELECT RAISE(ABORT, 'outbox_body_digest_is_written_once'); END

CREATE TRIGGER attestation_content_is_written_once BEFORE UPDATE OF content ON attestation FOR EACH ROW WHEN (OLD.content IS NOT NULL AND NEW.content IS NOT NULL AND NEW.content IS NOT OLD.content) BEGIN SELECT RAISE(ABORT, 'attestation_content_is_written_once'); END

CREATE TRIGGER intake_digest_never_changes BEFORE UPDATE OF digest ON intake FOR EACH ROW WHEN (NEW.digest IS NOT OLD.digest) BEGIN SELECT RAISE(ABORT, 'intake_digest_never_changes'); END

CREATE TRIGGER file_digest_never_changes BEFORE UPDATE OF digest ON file FOR EACH ROW WHEN (NEW.digest IS NOT OLD.digest) BEGIN SELECT RAISE(ABORT, 'file_digest_never_changes'); END

CREATE TRIGGER file_name_never_changes BEFORE UPDATE OF name ON file FOR EACH ROW WHEN (NEW.name IS NOT OLD.name) BEGIN SELECT RAISE(ABORT, 'file_name_never_changes'); END

CREATE TRIGGER request_number_never_changes BEFORE UPDATE OF number ON request FOR EACH ROW WHEN (NEW.number IS NOT OLD.number) BEGIN SELECT RAISE(ABORT, 'request_number_never_changes'); END

CREATE TRIGGER request_id_never_changes BEFORE UPDATE OF id ON request FOR EACH ROW WHEN (NEW.id IS NOT OLD.id) BEGIN SELECT RAISE(ABORT, 'request_id_never_changes'); END

CREATE TRIGGER request_desk_never_changes BEFORE UPDATE OF desk ON request FOR EACH ROW WHEN (NEW.desk IS NOT OLD.desk) BEGIN SELECT RAISE(ABORT, 'request_desk_never_changes'); END

CREATE TRIGGER request_deposited_on_never_changes BEFORE UPDATE OF deposited_on ON request FOR EACH ROW WHEN (NEW.deposited_on IS NOT OLD.deposited_on) BEGIN SELECT RAISE(ABORT, 'request_deposited_on_never_changes'); END

CREATE TRIGGER outbox_message_id_never_changes BEFORE UPDATE OF message_id ON outbox FOR EACH ROW WHEN (NEW.message_id IS NOT OLD.message_id) BEGIN SELECT RAISE(ABORT, 'outbox_message_id_never_changes'); END

CREATE TRIGGER attestation_number_never_changes BEFORE UPDATE OF number ON attestation FOR EACH ROW WHEN (NEW.number IS NOT OLD.number) BEGIN SELECT RAISE(ABORT, 'attestation_number_never_changes'); END

CREATE TRIGGER attestation_digest_never_changes BEFORE UPDATE OF digest ON attestation FOR EACH ROW WHEN (NEW.digest IS NOT OLD.digest) BEGIN SELECT RAISE(ABORT, 'attestation_digest_never_changes'); END

CREATE TRIGGER installation_environment_never_changes BEFORE UPDATE OF environment ON installation FOR EACH ROW WHEN (NEW.environment IS NOT OLD.environment) BEGIN SELECT RAISE(ABORT, 'installation_environment_never_changes'); END

CREATE TRIGGER key_home_store_never_changes BEFORE UPDATE OF store ON key_home FOR EACH ROW WHEN (NEW.store IS NOT OLD.store) BEGIN SELECT RAISE(ABORT, 'key_home_store_never_changes'); END

CREATE TRIGGER journal_is_kept BEFORE DELETE ON journal FOR EACH ROW BEGIN SELECT RAISE(ABORT, 'journal_is_kept'); END

CREATE TRIGGER history_is_kept BEFORE DELETE ON history FOR EACH ROW BEGIN SELECT RAISE(ABORT, 'history_is_kept'); END

CREATE TRIGGER request_is_kept BEFORE DELETE ON request FOR EACH ROW BEGIN SELECT RAISE(ABORT, 'request_is_kept'); END

CREATE TRIGGER file_is_kept BEFORE DELETE ON file FOR EACH ROW WHEN (OLD.settled) BEGIN SELECT RAISE(ABORT, 'file_is_kept'); END

CREATE TRIGGER attestation_is_kept BEFORE DELETE ON attestation FOR EACH ROW BEGIN SELECT RAISE(ABORT, 'attestation_is_kept'); END

CREATE TRIGGER issuing_is_kept BEFORE DELETE ON issuing FOR EACH ROW BEGIN SELECT RAISE(ABORT, 'issuing_is_kept'); END

CREATE TRIGGER installation_is_kept BEFORE DELETE ON installation FOR EACH ROW BEGIN SELECT RAISE(ABORT, 'installation_is_kept'); END

CREATE TRIGGER key_home_is_kept BEFORE DELETE ON key_home FOR EACH ROW BEGIN SELECT RAISE(ABORT, 'key_home_is_kept'); END

CREATE TRIGGER journal_is_append_only BEFORE UPDATE ON journal FOR EACH ROW BEGIN SELECT RAISE(ABORT, 'journal_is_append_only'); END

CREATE TRIGGER history_is_append_only BEFORE UPDATE ON history FOR EACH ROW BEGIN SELECT RAISE(ABORT, 'history_is_append_only'); END

CREATE TRIGGER request_removed_is_final BEFORE UPDATE OF state ON request FOR EACH ROW WHEN (OLD.state = 'removed' AND NEW.state <> OLD.state) BEGIN SELECT RAISE(ABORT, 'request_removed_is_final'); END

CREATE TRIGGER file_settled_is_final BEFORE UPDATE OF settled ON file FOR EACH ROW WHEN (OLD.settled AND NOT NEW.settled) BEGIN SELECT RAISE(ABORT, 'file_settled_is_final'); END

CREATE TRIGGER service_key_fingerprint_never_changes BEFORE UPDATE OF fingerprint ON service_key FOR EACH ROW WHEN (NEW.fingerprint IS NOT OLD.fingerprint) BEGIN SELECT RAISE(ABORT, 'service_key_fingerprint_never_changes'); END

CREATE TRIGGER service_key_use_never_changes BEFORE UPDATE OF use ON service_key FOR EACH ROW WHEN (NEW.use IS NOT OLD.use) BEGIN SELECT RAISE(ABORT, 'service_key_use_never_changes'); END

CREATE TRIGGER service_key_active_from_never_changes BEFORE UPDATE OF active_from ON service_key FOR EACH ROW WHEN (NEW.active_from IS NOT OLD.active_from) BEGIN SELECT RAISE(ABORT, 'service_key_active_from_never_changes'); END

CREATE TRIGGER service_key_is_kept BEFORE DELETE ON service_key FOR EACH ROW BEGIN SELECT RAISE(ABORT, 'service_key_is_kept'); END

CREATE TRIGGER service_key_retired_is_final BEFORE UPDATE OF retired_at ON service_key FOR EACH ROW WHEN (OLD.retired_at IS NOT NULL AND NEW.retired_at IS NOT OLD.retired_at) BEGIN SELECT RAISE(ABORT, 'service_key_retired_is_final'); END

CREATE TRIGGER intake_is_decided_once BEFORE UPDATE OF state ON intake FOR EACH ROW WHEN (OLD.state IN ('answered', 'same_delivery') AND NEW.state <> OLD.state) BEGIN SELECT RAISE(ABORT, 'intake_is_decided_once'); END

CREATE TRIGGER outbox_sent_is_final BEFORE UPDATE OF state ON outbox FOR EACH ROW WHEN (OLD.state = 'sent' AND NEW.state NOT IN ('sent', 'held') AND NOT (NEW.state = 'composed' AND NEW.copies_before > OLD.copies_before)) BEGIN SELECT RAISE(ABORT, 'outbox_sent_is_final'); END

CREATE TRIGGER journal_link_is_kept BEFORE DELETE ON journal_link FOR EACH ROW BEGIN SELECT RAISE(ABORT, 'journal_link_is_kept'); END

CREATE TRIGGER journal_link_is_append_only BEFORE UPDATE ON journal_link FOR EACH ROW BEGIN SELECT RAISE(ABORT, 'journal_link_is_append_only'); END

CREATE TRIGGER journal_head_is_kept BEFORE DELETE ON journal_head FOR EACH ROW BEGIN SELECT RAISE(ABORT, 'journal_head_is_kept'); END

CREATE TRIGGER journal_head_is_append_only BEFORE UPDATE ON journal_head FOR EACH ROW BEGIN SELECT RAISE(ABORT, 'journal_head_is_append_only'); END

CREATE TRIGGER evidence_is_kept BEFORE DELETE ON evidence FOR EACH ROW BEGIN SELECT RAISE(ABORT, 'evidence_is_kept'); END

CREATE TRIGGER exhibit_is_kept BEFORE DELETE ON exhibit FOR EACH ROW BEGIN SELECT RAISE(ABORT, 'exhibit_is_kept'); END

CREATE TRIGGER evidence_is_append_only BEFORE UPDATE ON evidence FOR EACH ROW BEGIN SELECT RAISE(ABORT, 'evidence_is_append_only'); END

CREATE TRIGGER exhibit_is_append_only BEFORE UPDATE ON exhibit FOR EACH ROW BEGIN SELECT RAISE(ABORT, 'exhibit_is_append_only'); END

INSERT INTO trust_generation (id, generation) VALUES (1, 1)

INSERT INTO issuing (id) VALUES (1)

INSERT INTO reference_edition (id, edition) VALUES (1, 1)
