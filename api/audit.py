"""Routes of /audit."""

from api import route
from api.schemas.audit import AuditEntry, AuditQuery, AuditVerdict
from api.shapes import Page
from controllers.access.audit_trail import AuditController
from utils.decorators import auth, validate


@route("GET", "/audit", summary="Show the audit trail", returns=Page[AuditEntry])
@auth(administrator=True)
@validate(query=AuditQuery)
def list_audit(actor, query):
    """Who changed what, newest first."""
    return AuditController(actor).listing(**query)


@route("GET", "/audit/verify", summary="Verify the audit trail", returns=AuditVerdict)
@auth(administrator=True)
def verify_audit(actor):
    """Whether every entry is as it was written. Keep newest_seal elsewhere to prove later that nothing was written anew."""
    return AuditController(actor).verify()
